//! Trees in memory -> file and dirmeta objects.

use rayon::prelude::*;

use super::context::{Ingest, header};
use super::tree::Tree;
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{DirMeta, ObjectType, S_IFDIR, S_IFLNK, S_IFREG};
use crate::progress::Event;
use crate::source::{Attributes, MemoryDirectory, MemoryEntry, MemoryTree, Ownership};

impl Ingest<'_, '_> {
    /// Lays a tree in memory over `tree`. Filter, xattrs and labels are as for directories.
    pub(super) fn memory(&self, source: &MemoryTree, tree: Tree) -> Result<Tree> {
        Ok(self.memory_directory("/", &source.root, Some(tree))?.unwrap_or_default())
    }

    /// `None` for a directory that is left out and was not there before.
    fn memory_directory(&self, path: &str, source: &MemoryDirectory, tree: Option<Tree>) -> Result<Option<Tree>> {
        let Some(recorded) = self.filter.apply(path, ownership(&source.attributes, S_IFDIR))? else { return Ok(tree) };
        let mut tree = tree.unwrap_or_default();
        let xattrs = self.xattrs(|| Ok(source.attributes.xattrs.sorted()))?;
        let xattrs = self.labelled(path, recorded.mode, xattrs)?;
        let dirmeta = DirMeta { uid: recorded.uid, gid: recorded.gid, mode: recorded.mode, xattrs };
        tree.dirmeta = Some(self.transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())?);
        let child = |name: &str| if path == "/" { format!("/{name}") } else { format!("{path}/{name}") };
        let entries = Vec::from_iter(&source.entries);
        let files: Vec<Result<Option<Checksum>>> =
            entries.par_iter().map(|(name, entry)| self.memory_file(&child(name), entry)).collect();
        for ((name, _), file) in entries.iter().zip(files) {
            if let Some(checksum) = file? {
                tree.add_file(name, checksum)?;
            }
        }
        for (name, entry) in entries {
            let MemoryEntry::Directory(below) = entry else { continue };
            if tree.file(name).is_some() {
                return Err(Error::failed(format!("Can't replace file with directory: {name}")));
            }
            let existing = match tree.has_directory(name) {
                true => Some(tree.take_directory(self.transaction.repo(), name)?),
                false => None,
            };
            if let Some(below) = self.memory_directory(&child(name), below, existing)? {
                tree.put_directory(name.clone(), below);
            }
        }
        Ok(Some(tree))
    }

    /// `None` for directories and for what is left out.
    fn memory_file(&self, path: &str, entry: &MemoryEntry) -> Result<Option<Checksum>> {
        let (attributes, kind, content, target) = match entry {
            MemoryEntry::File(attributes, content) => (attributes, S_IFREG, &content[..], ""),
            MemoryEntry::Symlink(attributes, target) => (attributes, S_IFLNK, &b""[..], &target[..]),
            MemoryEntry::Directory(_) => return Ok(None),
        };
        let Some(recorded) = self.filter.apply(path, ownership(attributes, kind))? else { return Ok(None) };
        let xattrs = self.xattrs(|| Ok(attributes.xattrs.sorted()))?;
        let xattrs = self.labelled(path, recorded.mode, xattrs)?;
        self.progress.event(Event::Advanced { steps: 1, bytes: content.len() as u64 });
        self.transaction.write_bytes(&header(recorded, xattrs, target.to_owned()), content).map(Some)
    }
}

fn ownership(Attributes { uid, gid, mode, .. }: &Attributes, kind: u32) -> Ownership {
    Ownership { uid: *uid, gid: *gid, mode: mode | kind }
}
