//! Directories -> file and dirmeta objects, in parallel.
//!
//! One thread lists a directory; all threads then read and hash its files, compress and stage those
//! that are new, and enter its subdirectories. Results are collected in name order, so they do not
//! depend on timing.

use std::sync::Arc;

use super::context::{Ingest, ownership};
use super::tree::{Done, Tree};
use crate::error::Result;
use crate::object::{DirMeta, ObjectType};
use crate::source::{Directory, Entry, EntryKind, Metadata, Ownership};
use crate::threads::{Fold, Opened, fold};

/// An open directory, with the metadata of its inode.
struct Listed {
    directory: Arc<Directory>,
    metadata: Metadata,
}

enum Part {
    Root(Arc<Directory>, Tree),
    /// A subdirectory, and the entry that the tree has under its name.
    Directory(Arc<Listed>, String, Option<Tree>),
    Files(Arc<Listed>, Vec<Entry>),
}

/// The number of files in one piece of work.
const FILES_AT_A_TIME: usize = 8;

impl Ingest<'_, '_> {
    /// Overlays a directory with everything in it onto `tree`.
    pub(super) fn root(&self, directory: Arc<Directory>, tree: Tree) -> Result<Tree> {
        let mut tree = Done::root(fold(&Directories(self), Part::Root(directory, tree))?)?;
        self.store_large_files(&mut tree)?;
        Ok(tree)
    }

    /// What is recorded for the directory itself; `None` leaves it out.
    fn recorded(&self, directory: &Directory, metadata: &Metadata) -> Result<Option<Ownership>> {
        let path = if self.filter.needs_paths() { directory.path() } else { String::new() };
        self.filter.apply(&path, ownership(metadata))
    }
}

struct Directories<'d, 'i, 'r>(&'d Ingest<'i, 'r>);

impl Fold for Directories<'_, '_, '_> {
    type Part = Part;
    type Open = (String, Tree);
    type Folded = Vec<Done>;

    fn open(&self, part: Part) -> Result<Opened<(String, Tree), Part, Vec<Done>>> {
        let Self(ingest) = self;
        match part {
            Part::Files(listed, entries) => {
                let stored = ingest.leaves(&listed.directory, &listed.metadata, &entries);
                let done = entries.into_iter().zip(stored).map(|(Entry { name, .. }, stored)| {
                    Ok(stored?.map_or(Done::Nothing, |checksum| Done::File(name, checksum)))
                });
                done.collect::<Result<_>>().map(Opened::Whole)
            }
            Part::Root(directory, tree) => {
                let metadata = directory.metadata()?;
                match ingest.recorded(&directory, &metadata)? {
                    Some(ownership) => self.directory(
                        Listed { directory, metadata },
                        ownership,
                        String::new(),
                        tree,
                    ),
                    None => Ok(Opened::Whole(vec![Done::Directory(String::new(), tree)])),
                }
            }
            Part::Directory(parent, name, existing) => {
                let directory = Arc::new(parent.directory.open_directory(&name)?);
                let metadata = directory.metadata()?;
                match (ingest.recorded(&directory, &metadata)?, existing) {
                    (Some(ownership), existing) => {
                        if let Some(consumed) = ingest.consumed {
                            let found = (parent.metadata.dev, parent.metadata.ino);
                            consumed.note_directory(found, &name, (metadata.dev, metadata.ino));
                        }
                        drop(parent);
                        let tree = existing.unwrap_or_default();
                        self.directory(Listed { directory, metadata }, ownership, name, tree)
                    }
                    (None, Some(tree)) => Ok(Opened::Whole(vec![Done::Directory(name, tree)])),
                    (None, None) => Ok(Opened::Whole(vec![Done::Nothing])),
                }
            }
        }
    }

    fn close(&self, (name, mut tree): (String, Tree), below: Vec<Vec<Done>>) -> Result<Vec<Done>> {
        tree.put_all(below.into_iter().flatten())?;
        Ok(vec![Done::Directory(name, tree)])
    }
}

impl Directories<'_, '_, '_> {
    fn directory(
        &self,
        listed: Listed,
        ownership: Ownership,
        name: String,
        mut tree: Tree,
    ) -> Result<Opened<(String, Tree), Part, Vec<Done>>> {
        let Self(ingest) = self;
        let Listed { directory, metadata } = &listed;
        let xattrs = ingest.xattrs(|| directory.xattrs())?;
        let xattrs = match ingest.policy {
            None => xattrs,
            Some(policy) => policy.labelled(&directory.path(), ownership.mode, xattrs)?,
        };
        let dirmeta =
            DirMeta { uid: ownership.uid, gid: ownership.gid, mode: ownership.mode, xattrs };
        tree.dirmeta =
            Some(ingest.transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())?);
        // The repository may be inside the tree, and this very commit makes files come and go in
        // its `tmp`.
        let is_own_tmp = ingest.own_tmp == (metadata.dev, metadata.ino);
        let is_left_out = |name: &str| ingest.filter.leaves_out(&directory.child_path(name));
        let entries =
            if is_own_tmp { Vec::new() } else { directory.entries_without(&is_left_out)? };
        let listed = Arc::new(listed);
        let mut parts = Vec::new();
        let mut files = Vec::new();
        for entry in entries {
            match entry.kind {
                EntryKind::Directory => {
                    if !files.is_empty() {
                        parts.push(Part::Files(listed.clone(), std::mem::take(&mut files)));
                    }
                    let existing = match tree.has_directory(&entry.name) {
                        true => Some(tree.take_directory(ingest.transaction.repo(), &entry.name)?),
                        false => None,
                    };
                    parts.push(Part::Directory(listed.clone(), entry.name, existing));
                }
                EntryKind::File | EntryKind::Symlink => {
                    files.push(entry);
                    if files.len() == FILES_AT_A_TIME {
                        parts.push(Part::Files(listed.clone(), std::mem::take(&mut files)));
                    }
                }
            }
        }
        if !files.is_empty() {
            parts.push(Part::Files(listed, files));
        }
        Ok(Opened::Parts((name, tree), parts))
    }
}
