//! Trees in memory -> file and dirmeta objects.

use super::context::{Ingest, header};
use super::tree::{Done, Tree};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::{DirMeta, ObjectType, S_IFDIR, S_IFLNK, S_IFREG};
use crate::progress::Event;
use crate::repo::tree::TreePath;
use crate::source::{Attributes, MemoryEntry, MemoryTree, Ownership};
use crate::threads::{Fold, Opened, fold, pieces};

struct Memory<'m, 'i, 'r> {
    ingest: &'m Ingest<'i, 'r>,
    source: &'m MemoryTree,
}

enum Part<'m> {
    /// The index of a directory of the source, and the entry that the tree has under its name.
    Directory {
        name: &'m str,
        path: TreePath,
        number: usize,
        existing: Option<Tree>,
    },
    Files(TreePath, Vec<(&'m str, &'m MemoryEntry)>),
}

impl Ingest<'_, '_> {
    /// Overlays a tree in memory onto `tree`. Filter, xattrs and labels apply as for directories.
    pub(super) fn memory(&self, source: &MemoryTree, tree: Tree) -> Result<Tree> {
        let root = Part::Directory {
            name: "",
            path: TreePath::default(),
            number: 0,
            existing: Some(tree),
        };
        Done::root(fold(&Memory { ingest: self, source }, root)?)
    }
}

impl<'m> Fold for Memory<'m, '_, '_> {
    type Part = Part<'m>;
    type Open = (&'m str, Tree);
    type Folded = Vec<Done>;

    fn open(&self, part: Part<'m>) -> Result<Opened<(&'m str, Tree), Part<'m>, Vec<Done>>> {
        let ingest = self.ingest;
        let (name, path, number, existing) = match part {
            Part::Files(path, files) => {
                let stored = |(name, entry): (&str, &MemoryEntry)| {
                    let stored = self.file(&path.child_text(name), entry)?;
                    Ok(stored
                        .map_or(Done::Nothing, |checksum| Done::File(name.to_owned(), checksum)))
                };
                return files.into_iter().map(stored).collect::<Result<_>>().map(Opened::Whole);
            }
            Part::Directory { name, path, number, existing } => (name, path, number, existing),
        };
        let source = self.source.numbered(number);
        let text = path.text();
        let Some(recorded) = ingest.filter.apply(&text, ownership(&source.attributes, S_IFDIR))?
        else {
            let stays =
                existing.map_or(Done::Nothing, |tree| Done::Directory(name.to_owned(), tree));
            return Ok(Opened::Whole(vec![stays]));
        };
        let mut tree = existing.unwrap_or_default();
        let xattrs = ingest.xattrs(|| Ok(source.attributes.xattrs.sorted()))?;
        let xattrs = ingest.labelled(&text, recorded.mode, xattrs)?;
        let dirmeta = DirMeta { uid: recorded.uid, gid: recorded.gid, mode: recorded.mode, xattrs };
        tree.dirmeta =
            Some(ingest.transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())?);
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for (name, entry) in &source.entries {
            match entry {
                MemoryEntry::Directory(number) => dirs.push((name, *number)),
                entry => files.push((name.as_str(), entry)),
            }
        }
        let mut parts: Vec<Part<'m>> =
            pieces(files).map(|files| Part::Files(path.clone(), files)).collect();
        for (name, number) in dirs {
            let existing = match tree.has_directory(name) {
                true => Some(tree.take_directory(ingest.transaction.repo(), name)?),
                false => None,
            };
            parts.push(Part::Directory { name, path: path.child(name), number, existing });
        }
        Ok(Opened::Parts((name, tree), parts))
    }

    fn close(&self, (name, mut tree): (&'m str, Tree), below: Vec<Vec<Done>>) -> Result<Vec<Done>> {
        tree.put_all(below.into_iter().flatten())?;
        Ok(vec![Done::Directory(name.to_owned(), tree)])
    }
}

impl Memory<'_, '_, '_> {
    /// `None` for what is left out.
    fn file(&self, path: &str, entry: &MemoryEntry) -> Result<Option<Checksum>> {
        let ingest = self.ingest;
        let (attributes, kind, content, target) = match entry {
            MemoryEntry::File(attributes, content) => (attributes, S_IFREG, &content[..], ""),
            MemoryEntry::Symlink(attributes, target) => {
                (attributes, S_IFLNK, &b""[..], &target[..])
            }
            MemoryEntry::Directory(_) => return Ok(None),
        };
        let Some(recorded) = ingest.filter.apply(path, ownership(attributes, kind))? else {
            return Ok(None);
        };
        let xattrs = ingest.xattrs(|| Ok(attributes.xattrs.sorted()))?;
        let xattrs = ingest.labelled(path, recorded.mode, xattrs)?;
        ingest.progress.event(Event::Advanced { steps: 1, bytes: content.len() as u64 });
        ingest
            .transaction
            .write_bytes(&header(recorded, xattrs, target.to_owned()), content)
            .map(Some)
    }
}

fn ownership(Attributes { uid, gid, mode, .. }: &Attributes, kind: u32) -> Ownership {
    Ownership { uid: *uid, gid: *gid, mode: mode | kind }
}
