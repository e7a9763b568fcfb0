//! Turning directories into objects, in parallel.
//!
//! Each directory is listed by one thread, its entries are then worked on by all: files are read, hashed and, if they
//! are new, compressed and staged, some at a time; subdirectories are gone into. Results are collected in name order, so
//! timing has no say in them.

use rayon::prelude::*;

use super::context::{Ingest, header, ownership, ownership_of_header};
use super::tree::Tree;
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{DirMeta, ObjectType, Xattrs};
use crate::progress::Event;
use crate::repo::tree::Descent;
use crate::source::{Directory, Entry, EntryKind, Metadata, Ownership};

/// Files and symbolic links of a directory that are worked on together.
const LEAVES_AT_A_TIME: usize = 8;

/// What there is to do in a directory.
enum Work {
    /// A subdirectory, and what the tree has under its name.
    Directory(String, Option<Tree>),
    Leaves(Vec<Entry>),
}

/// What became of an entry.
enum Done {
    File(String, Checksum),
    Directory(String, Tree),
    /// The skip list names it; what the tree had under that name stays.
    Skipped,
}

impl Ingest<'_, '_> {
    /// Lays a directory with everything in it over `tree`.
    pub(super) fn root(&self, directory: &Directory, tree: Tree) -> Result<Tree> {
        let metadata = directory.metadata()?;
        match self.recorded(directory, &metadata)? {
            Some(ownership) => {
                let mut tree = self.directory(directory, (&metadata, ownership), tree)?;
                self.store_large_files(&mut tree)?;
                Ok(tree)
            }
            None => Ok(tree),
        }
    }

    /// What is recorded for the directory itself; `None` leaves it out.
    fn recorded(&self, directory: &Directory, metadata: &Metadata) -> Result<Option<Ownership>> {
        let path = if self.filter.needs_paths() { directory.path() } else { "" };
        self.filter.apply(path, ownership(metadata))
    }

    fn directory(
        &self,
        directory: &Directory,
        (metadata, ownership): (&Metadata, Ownership),
        mut tree: Tree,
    ) -> Result<Tree> {
        let xattrs = self.labelled(directory.path(), ownership.mode, self.xattrs(|| directory.xattrs())?)?;
        let dirmeta = DirMeta { uid: ownership.uid, gid: ownership.gid, mode: ownership.mode, xattrs };
        tree.dirmeta = Some(self.transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())?);
        let mut work = Vec::new();
        // The repository may lie in the tree, and this very commit makes files come and go in its `tmp`.
        let is_own_tmp = self.own_tmp == (metadata.dev, metadata.ino);
        let is_left_out = |name: &str| self.filter.leaves_out(&directory.child_path(name));
        for entry in if is_own_tmp { Vec::new() } else { directory.entries_without(&is_left_out)? } {
            if entry.kind == EntryKind::Directory {
                let existing = match tree.has_directory(&entry.name) {
                    true => Some(tree.take_directory(self.transaction.repo(), &entry.name)?),
                    false => None,
                };
                work.push(Work::Directory(entry.name, existing));
                continue;
            }
            match work.last_mut() {
                Some(Work::Leaves(leaves)) if leaves.len() < LEAVES_AT_A_TIME => leaves.push(entry),
                _ => work.push(Work::Leaves(vec![entry])),
            }
        }
        // All are waited for, so that of several errors always the same one is reported.
        let done: Vec<Vec<Result<Done>>> = work
            .into_par_iter()
            .map(|work| match work {
                Work::Directory(name, existing) => vec![self.below((directory, metadata), name, existing)],
                Work::Leaves(leaves) => {
                    let stored = self.leaves(directory, metadata, &leaves);
                    let done = |(Entry { name, .. }, stored): (Entry, Result<Option<Checksum>>)| {
                        Ok(stored?.map_or(Done::Skipped, |checksum| Done::File(name, checksum)))
                    };
                    leaves.into_iter().zip(stored).map(done).collect()
                }
            })
            .collect();
        for result in done.into_iter().flatten() {
            match result? {
                Done::File(name, checksum) => tree.add_file(&name, checksum)?,
                Done::Directory(name, subtree) => {
                    if tree.file(&name).is_some() {
                        return Err(Error::failed(format!("Can't replace file with directory: {name}")));
                    }
                    tree.put_directory(name, subtree);
                }
                Done::Skipped => {}
            }
        }
        Ok(tree)
    }

    fn below(&self, (directory, found): (&Directory, &Metadata), name: String, existing: Option<Tree>) -> Result<Done> {
        let below = directory.open_directory(&name)?;
        let metadata = below.metadata()?;
        Ok(match (self.recorded(&below, &metadata)?, existing) {
            (Some(ownership), existing) => {
                if let Some(consumed) = self.consumed {
                    consumed.note_directory((found.dev, found.ino), &name, (metadata.dev, metadata.ino));
                }
                let tree = self.directory(&below, (&metadata, ownership), existing.unwrap_or_default())?;
                Done::Directory(name, tree)
            }
            (None, Some(tree)) => Done::Directory(name, tree),
            (None, None) => Done::Skipped,
        })
    }

    pub(super) fn known_object(&self, metadata: &Metadata) -> Option<Checksum> {
        self.devino.get(metadata.dev, metadata.ino).copied()
    }

    pub(super) fn reuse(&self, checksum: Checksum, bytes: u64) -> Checksum {
        self.transaction.count_devino_hit();
        self.done(checksum, bytes)
    }

    /// Reports that one more entry is done, whose content of so many bytes need not be read.
    pub(super) fn done(&self, checksum: Checksum, bytes: u64) -> Checksum {
        self.progress.event(Event::Advanced { steps: 1, bytes });
        checksum
    }

    pub(super) fn filtered(&self, directory: &Directory, name: &str, found: Ownership) -> Result<Option<Ownership>> {
        if self.filter.needs_paths() {
            self.filter.apply(&directory.child_path(name), found)
        } else {
            self.filter.apply("", found)
        }
    }

    pub(super) fn xattrs(&self, read: impl FnOnce() -> Result<Xattrs>) -> Result<Xattrs> {
        if self.records_xattrs() { read() } else { Ok(Xattrs::new()) }
    }

    pub(super) fn records_xattrs(&self) -> bool {
        self.filter.records_xattrs() && !self.transaction.repo().config().disable_xattrs
    }

    /// With the label that the policy has for the path.
    pub(super) fn labelled(&self, path: &str, mode: u32, xattrs: Xattrs) -> Result<Xattrs> {
        match self.policy {
            None => Ok(xattrs),
            Some(policy) => policy.labelled(path, mode, xattrs),
        }
    }

    pub(super) fn labelled_child(
        &self,
        directory: &Directory,
        name: &str,
        mode: u32,
        xattrs: Xattrs,
    ) -> Result<Xattrs> {
        match self.policy {
            None => Ok(xattrs),
            Some(_) => self.labelled(&directory.child_path(name), mode, xattrs),
        }
    }

    /// Lays the tree of a stored directory over `tree`, running every file and directory through the filter.
    pub(super) fn stored(&self, dirtree: &Checksum, dirmeta: &Checksum, tree: Tree) -> Result<Tree> {
        self.stored_below("/", (dirtree, dirmeta), tree, &mut Descent::default())
    }

    fn stored_below(
        &self,
        path: &str,
        (dirtree, dirmeta): (&Checksum, &Checksum),
        mut tree: Tree,
        descent: &mut Descent,
    ) -> Result<Tree> {
        let repo = self.transaction.repo();
        let meta = repo.load_dirmeta(dirmeta)?;
        let found = Ownership { uid: meta.uid, gid: meta.gid, mode: meta.mode };
        let Some(recorded) = self.filter.apply(path, found)? else { return Ok(tree) };
        descent.enter(dirtree)?;
        let xattrs = self.labelled(path, recorded.mode, self.xattrs(|| Ok(meta.xattrs))?)?;
        let meta = DirMeta { uid: recorded.uid, gid: recorded.gid, mode: recorded.mode, xattrs };
        tree.dirmeta = Some(self.transaction.write_metadata(ObjectType::DirMeta, &meta.encode())?);
        let contents = repo.load_dirtree(dirtree)?;
        let child = |name: &str| if path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
        let files: Vec<Result<Option<Checksum>>> =
            contents.files.par_iter().map(|(name, checksum)| self.stored_file(&child(name), checksum)).collect();
        for ((name, _), checksum) in contents.files.iter().zip(files) {
            if let Some(checksum) = checksum? {
                tree.add_file(name, checksum)?;
            }
        }
        for dir in &contents.dirs {
            let had = tree.has_directory(&dir.name);
            let existing = tree.take_directory(repo, &dir.name)?;
            let below = self.stored_below(&child(&dir.name), (&dir.dirtree, &dir.dirmeta), existing, descent)?;
            if had || below.dirmeta.is_some() {
                tree.put_directory(dir.name.clone(), below);
            }
        }
        descent.leave();
        Ok(tree)
    }

    fn stored_file(&self, path: &str, checksum: &Checksum) -> Result<Option<Checksum>> {
        let object = self.transaction.repo().load_file(checksum)?;
        let Some(recorded) = self.filter.apply(path, ownership_of_header(&object.header))? else { return Ok(None) };
        let xattrs = self.labelled(path, recorded.mode, self.xattrs(|| Ok(object.header.xattrs.clone()))?)?;
        let header = header(recorded, xattrs, object.header.symlink_target.clone());
        self.progress.event(Event::Advanced { steps: 1, bytes: object.size });
        self.transaction.write_object(&header, object).map(Some)
    }
}
