//! Turning directories into objects, in parallel.
//!
//! Each directory is listed by one thread, its entries are then worked on by all: files are read, hashed and, if they
//! are new, compressed and staged; subdirectories are gone into. Results are collected in name order, so timing has no
//! say in them. The content of small files is held in a buffer of the thread, larger files stream, and the largest wait for
//! the end.

use std::cell::RefCell;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;

use rayon::prelude::*;

use super::consume::Seen;
use super::context::{Ingest, header, ownership};
use super::large::{LargeFile, PUT_OFF};
use super::options::HardLinks;
use super::tree::Tree;
use super::unchanged::Look;
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::object::{DirMeta, FileHeader, ObjectType, Xattrs};
use crate::progress::Event;
use crate::repo::tree::Descent;
use crate::repo::{Adoptable, SourceFile};
use crate::source::{Directory, Entry, EntryKind, Metadata, OpenFile, Ownership};

/// Files up to this size, in bytes, are read once and held in memory; above it they may be read twice, to be hashed and to be
/// stored.
const MAX_HELD: u64 = 1 << 20;

thread_local! {
    /// The content of the file that this thread is working on.
    static CONTENT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
            let existing = match entry.kind {
                EntryKind::Directory if tree.has_directory(&entry.name) => {
                    Some(tree.take_directory(self.transaction.repo(), &entry.name)?)
                }
                _ => None,
            };
            work.push((entry, existing));
        }
        // All are waited for, so that of several errors always the same one is reported.
        let done: Vec<Result<Done>> =
            work.into_par_iter().map(|(entry, existing)| self.entry((directory, metadata), entry, existing)).collect();
        for result in done {
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

    fn entry(&self, (directory, found): (&Directory, &Metadata), entry: Entry, existing: Option<Tree>) -> Result<Done> {
        let Entry { name, kind } = entry;
        let stored = match kind {
            EntryKind::Directory => {
                let below = directory.open_directory(&name)?;
                let metadata = below.metadata()?;
                return Ok(match (self.recorded(&below, &metadata)?, existing) {
                    (Some(ownership), existing) => {
                        if let Some(consumed) = self.consumed {
                            consumed.note_directory((found.dev, found.ino), &name, (metadata.dev, metadata.ino));
                        }
                        let tree = self.directory(&below, (&metadata, ownership), existing.unwrap_or_default())?;
                        Done::Directory(name, tree)
                    }
                    (None, Some(tree)) => Done::Directory(name, tree),
                    (None, None) => Done::Skipped,
                });
            }
            EntryKind::File | EntryKind::Symlink => self.noted((directory, found), &name, || match kind {
                EntryKind::Symlink => self.symlink(directory, &name),
                _ => self.file(directory, &name),
            })?,
        };
        Ok(stored.map_or(Done::Skipped, |checksum| Done::File(name, checksum)))
    }

    /// Notes what goes away after the commit. It is looked at before it is read, so that it stays if it is exchanged in
    /// between.
    fn noted(
        &self,
        (directory, found): (&Directory, &Metadata),
        name: &str,
        read: impl FnOnce() -> Result<Option<Checksum>>,
    ) -> Result<Option<Checksum>> {
        let Some(consumed) = self.consumed else { return read() };
        let seen = Seen::of(directory, name)?;
        let stored = read()?;
        if stored.is_some() {
            consumed.note_file((found.dev, found.ino), name, seen);
        }
        Ok(stored)
    }

    fn file(&self, directory: &Directory, name: &str) -> Result<Option<Checksum>> {
        let looked = match self.look(directory, name, EntryKind::File)? {
            Look::Skipped => return Ok(None),
            Look::Unchanged(checksum, size) => return Ok(Some(self.done(checksum, size))),
            Look::Changed(recorded) => Some(recorded),
            Look::Nothing => None,
        };
        let file = directory.open_file(name)?;
        let metadata = file.metadata;
        let known = if looked.is_some() { None } else { self.known_object(&metadata) };
        if let (Some(checksum), HardLinks::Trust) = (known, self.hard_links) {
            return Ok(Some(self.reuse(checksum, metadata.size)));
        }
        let original = match known {
            Some(checksum) => Some(self.transaction.repo().load_file(&checksum)?.header),
            None => None,
        };
        let asked = looked.is_some();
        let recorded = match looked {
            Some(recorded) => recorded.of(&metadata, || directory.shown_path(name))?,
            None => {
                // The checkout of a bare-user repository has lost owner and mode; the object still has them.
                let found = original.as_ref().map_or(ownership(&metadata), ownership_of_header);
                let Some(recorded) = self.filtered(directory, name, found)? else { return Ok(None) };
                recorded
            }
        };
        let xattrs = match &original {
            Some(header) => self.xattrs(|| Ok(header.xattrs.clone()))?,
            None => self.xattrs(|| directory.xattrs_of_file(name, &file))?,
        };
        let xattrs = self.labelled_child(directory, name, recorded.mode, xattrs)?;
        let header = header(recorded, xattrs, String::new());
        let question = match known {
            Some(checksum) if original.as_ref() == Some(&header) => {
                return Ok(Some(self.reuse(checksum, metadata.size)));
            }
            Some(_) => None,
            None => self.question_of_opened(directory, name, &metadata, (recorded, &header.xattrs))?,
        };
        if let (Some(cache), Some(question), false) = (self.stat_cache, &question, asked)
            && let Some(checksum) = self.answer(cache, question, metadata.size)?
        {
            return Ok(Some(self.done(checksum, metadata.size)));
        }
        if self.consumed.is_none() && self.large_files.takes(metadata.size) {
            let (path, shown_path) = (directory.child_path(name), directory.shown_path(name));
            self.large_files.put_off(LargeFile { path, shown_path, header, file, question });
            return Ok(Some(PUT_OFF));
        }
        let adopt = self.consumed.is_some().then(|| Adoptable { directory: directory.as_fd(), name });
        let checksum = self.content(&header, file, &|| directory.shown_path(name), adopt)?;
        if let (Some(cache), Some(question)) = (self.stat_cache, question) {
            cache.remember(question, checksum);
        }
        Ok(Some(checksum))
    }

    /// Stores the content of a file; `shown` is what it is called in messages.
    pub(super) fn content(
        &self,
        header: &FileHeader,
        file: OpenFile,
        shown: &dyn Fn() -> String,
        adopt: Option<Adoptable<'_>>,
    ) -> Result<Checksum> {
        let size = file.metadata.size;
        let file = file.into_file();
        let checksum = if size > MAX_HELD || adopt.is_some() {
            let path = shown();
            self.transaction.write_file(header, SourceFile { file: &file, size, path: Path::new(&path), adopt })?
        } else {
            CONTENT.with_borrow_mut(|buffer| {
                let content = read_whole(&file, size, buffer).during("reading", shown())?;
                let content = content.ok_or_else(|| Error::SourceChanged { path: shown().into() })?;
                self.transaction.write_bytes(header, content)
            })?
        };
        self.progress.event(Event::Advanced { steps: 1, bytes: size });
        Ok(checksum)
    }

    fn symlink(&self, directory: &Directory, name: &str) -> Result<Option<Checksum>> {
        let looked = match self.look(directory, name, EntryKind::Symlink)? {
            Look::Skipped => return Ok(None),
            Look::Unchanged(checksum, _) => return Ok(Some(self.done(checksum, 0))),
            Look::Changed(recorded) => Some(recorded),
            Look::Nothing => None,
        };
        let metadata = directory.metadata_of(name)?;
        if metadata.kind() != Some(EntryKind::Symlink) {
            return Err(Error::SourceChanged { path: directory.shown_path(name).into() });
        }
        let asked = looked.is_some();
        let known = if asked { None } else { self.known_object(&metadata) };
        if let (Some(checksum), HardLinks::Trust) = (known, self.hard_links) {
            return Ok(Some(self.reuse(checksum, 0)));
        }
        let recorded = match looked {
            Some(recorded) => recorded.of(&metadata, || directory.shown_path(name))?,
            None => match self.filtered(directory, name, ownership(&metadata))? {
                Some(recorded) => recorded,
                None => return Ok(None),
            },
        };
        let xattrs = self.xattrs(|| directory.xattrs_of_symlink(name))?;
        let xattrs = self.labelled_child(directory, name, recorded.mode, xattrs)?;
        let header = header(recorded, xattrs, directory.symlink_target(name)?);
        if let Some(checksum) = known
            && self.transaction.repo().load_file(&checksum)?.header == header
        {
            return Ok(Some(self.reuse(checksum, 0)));
        }
        let checksum = self.transaction.write_bytes(&header, b"")?;
        // Everything was asked for by name; it must have been one link all the time.
        if asked
            && let Some(cache) = self.stat_cache
            && directory.metadata_of(name)? == metadata
            && let Some(question) = self.question_of_opened(directory, name, &metadata, (recorded, &header.xattrs))?
        {
            cache.remember(question, checksum);
        }
        Ok(Some(self.done(checksum, 0)))
    }

    pub(super) fn known_object(&self, metadata: &Metadata) -> Option<Checksum> {
        self.devino.get(metadata.dev, metadata.ino).copied()
    }

    fn reuse(&self, checksum: Checksum, bytes: u64) -> Checksum {
        self.transaction.count_devino_hit();
        self.done(checksum, bytes)
    }

    /// Reports that one more entry is done, whose content of so many bytes need not be read.
    fn done(&self, checksum: Checksum, bytes: u64) -> Checksum {
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

    fn labelled_child(&self, directory: &Directory, name: &str, mode: u32, xattrs: Xattrs) -> Result<Xattrs> {
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

fn ownership_of_header(header: &FileHeader) -> Ownership {
    Ownership { uid: header.uid, gid: header.gid, mode: header.mode }
}

/// Reads a file that had `size` bytes, with one system call if it still has. `None` when it grew beyond what may be held.
fn read_whole<'b>(mut file: &std::fs::File, size: u64, buffer: &'b mut Vec<u8>) -> std::io::Result<Option<&'b [u8]>> {
    let size = size as usize;
    // One byte more shows whether it grew.
    if buffer.len() < size + 1 {
        buffer.resize(size + 1, 0);
    }
    let length = loop {
        match file.read(&mut buffer[..size + 1]) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    if length == size {
        return Ok(Some(&buffer[..size]));
    }
    buffer.truncate(length);
    file.take(MAX_HELD + 1 - length as u64).read_to_end(buffer)?;
    Ok((buffer.len() as u64 <= MAX_HELD).then_some(&buffer[..]))
}
