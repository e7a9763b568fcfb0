//! Directories of commits.

use super::item::{Item, Kind};
use crate::checksum::Checksum;
use crate::error::{OfObject, Result};
use crate::gvariant::DecodeError;
use crate::map::FileBytes;
use crate::object::{DirRef, DirTree, DirTreeReader, FileRef, ObjectName, ObjectType};
use crate::repo::Repo;
use crate::repo::tree::TreePath;

/// A directory of a commit.
pub(super) struct Stored {
    pub(super) dirtree: Checksum,
    pub(super) path: TreePath,
    contents: DirTree,
}

impl Stored {
    pub(super) fn load(repo: &Repo, dirtree: Checksum, path: TreePath) -> Result<Self> {
        path.check_depth()?;
        Ok(Self { dirtree, path, contents: repo.load_dirtree(&dirtree)? })
    }

    /// Files first, then directories.
    pub(super) fn items(&self) -> impl Iterator<Item = (&str, Kind)> {
        let files =
            self.contents.files.iter().map(|(name, file)| (name.as_str(), Kind::StoredFile(*file)));
        let dirs = self.contents.dirs.iter().map(|dir| {
            (
                dir.name.as_str(),
                Kind::StoredDirectory { dirtree: dir.dirtree, dirmeta: dir.dirmeta },
            )
        });
        files.chain(dirs)
    }

    pub(super) fn entries(&self) -> Vec<Item> {
        self.items().map(|(name, kind)| Item { name: name.to_owned(), kind }).collect()
    }
}

/// The bytes of a dirtree.
pub(super) struct Bytes {
    name: ObjectName,
    bytes: FileBytes,
}

impl Bytes {
    pub(super) fn load(repo: &Repo, dirtree: Checksum) -> Result<Self> {
        let name = ObjectName::new(dirtree, ObjectType::DirTree);
        Ok(Self { name, bytes: repo.load_metadata(&name)? })
    }

    /// Checks the dirtree as far as a comparison would.
    pub(super) fn check(&self) -> Result<()> {
        DirTreeReader::new(&self.bytes).and_then(|reader| reader.check()).of_object(self.name)
    }

    pub(super) fn listing(&self) -> Result<Listing<'_>> {
        Listing::read(&self.bytes).of_object(self.name)
    }
}

/// A dirtree that is read in place, checked as [`DirTree::decode`] does.
pub(super) struct Listing<'a> {
    files: Vec<FileRef<'a>>,
    dirs: Vec<DirRef<'a>>,
}

/// What two directories of commits have at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Two files that differ, or a file and a directory.
    Modified(&'a str),
    /// An entry of the first only.
    Removed(&'a str),
    /// Two directories.
    Directories(DirRef<'a>, DirRef<'a>),
    /// A file of the second only.
    AddedFile(&'a str),
    /// A directory of the second only.
    AddedDirectory(DirRef<'a>),
}

impl<'a> Listing<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let reader = DirTreeReader::new(bytes)?;
        let files = reader.files().collect::<Result<_, _>>()?;
        Ok(Self { files, dirs: reader.dirs().collect::<Result<_, _>>()? })
    }

    /// Whether each list has its names in strictly ascending order, as a merge needs them. In a
    /// malformed dirtree they may not be.
    pub(super) fn is_in_order(&self) -> bool {
        self.files.is_sorted_by(|one, next| one.name < next.name)
            && self.dirs.is_sorted_by(|one, next| one.name < next.name)
    }

    /// Compares two directories that are both in order. What is found comes in the order of the
    /// result: the entries of the first, then what only the second has, each time files before
    /// directories.
    pub(super) fn compare(
        &self,
        second: &Self,
        mut found: impl FnMut(Found<'a>) -> Result<()>,
    ) -> Result<()> {
        let (mut files, mut dirs) = (Names::new(&second.files), Names::new(&second.dirs));
        for file in &self.files {
            match (dirs.find(file.name), files.find(file.name)) {
                (Some(_), _) => found(Found::Modified(file.name))?,
                (None, Some(other)) if other.checksum == file.checksum => {}
                (None, Some(_)) => found(Found::Modified(file.name))?,
                (None, None) => found(Found::Removed(file.name))?,
            }
        }
        let (mut files, mut dirs) = (Names::new(&second.files), Names::new(&second.dirs));
        for dir in &self.dirs {
            match (dirs.find(dir.name), files.find(dir.name)) {
                (Some(other), _) => found(Found::Directories(*dir, *other))?,
                (None, Some(_)) => found(Found::Modified(dir.name))?,
                (None, None) => found(Found::Removed(dir.name))?,
            }
        }
        let (mut files, mut dirs) = (Names::new(&self.files), Names::new(&self.dirs));
        for file in &second.files {
            if files.find(file.name).is_none() && dirs.find(file.name).is_none() {
                found(Found::AddedFile(file.name))?;
            }
        }
        let (mut files, mut dirs) = (Names::new(&self.files), Names::new(&self.dirs));
        for dir in &second.dirs {
            if files.find(dir.name).is_none() && dirs.find(dir.name).is_none() {
                found(Found::AddedDirectory(*dir))?;
            }
        }
        Ok(())
    }
}

trait Named {
    fn name(&self) -> &str;
}

impl Named for FileRef<'_> {
    fn name(&self) -> &str {
        self.name
    }
}

impl Named for DirRef<'_> {
    fn name(&self) -> &str {
        self.name
    }
}

/// Entries in name order, to be searched for names in that order.
struct Names<'l, E>(&'l [E]);

impl<'l, E: Named> Names<'l, E> {
    fn new(entries: &'l [E]) -> Self {
        Self(entries)
    }

    /// The entry with this name; those before it are not found again.
    fn find(&mut self, name: &str) -> Option<&'l E> {
        while let Some((entry, rest)) = self.0.split_first() {
            match entry.name().cmp(name) {
                std::cmp::Ordering::Less => self.0 = rest,
                std::cmp::Ordering::Equal => return Some(entry),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::DirEntry;

    fn sum(byte: u8) -> Checksum {
        Checksum::from_bytes([byte; 32])
    }

    fn dirtree(files: &[(&str, u8)], dirs: &[(&str, u8)]) -> Vec<u8> {
        let dir = |(name, byte): &(&str, u8)| DirEntry {
            name: (*name).to_owned(),
            dirtree: sum(*byte),
            dirmeta: sum(0),
        };
        let tree = DirTree {
            files: files.iter().map(|(name, byte)| ((*name).to_owned(), sum(*byte))).collect(),
            dirs: dirs.iter().map(dir).collect(),
        };
        tree.encode()
    }

    #[test]
    fn a_merge_finds_each_kind_of_difference_in_order() {
        let first = dirtree(
            &[("a", 1), ("changed", 1), ("now-dir", 1), ("z", 1)],
            &[("both", 1), ("gone", 2), ("now-file", 3)],
        );
        let second = dirtree(
            &[("b", 1), ("changed", 2), ("now-file", 1), ("z", 1)],
            &[("added", 1), ("both", 1), ("now-dir", 2)],
        );
        let [first, second] = [&first, &second].map(|bytes| Listing::read(bytes).unwrap());
        let mut found = Vec::new();
        first
            .compare(&second, |one| {
                found.push(match one {
                    Found::Modified(name) => format!("M {name}"),
                    Found::Removed(name) => format!("D {name}"),
                    Found::Directories(one, other) => format!("both {} {}", one.name, other.name),
                    Found::AddedFile(name) => format!("A {name}"),
                    Found::AddedDirectory(dir) => format!("A {}/", dir.name),
                });
                Ok(())
            })
            .unwrap();
        let expected = [
            "D a",
            "M changed",
            "M now-dir",
            "both both both",
            "D gone",
            "M now-file",
            "A b",
            "A added/",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn names_out_of_order_and_repeated_ones_are_noticed() {
        let is_in_order = |files: &[&str], dirs: &[&str]| {
            let [files, dirs] =
                [files, dirs].map(|names| Vec::from_iter(names.iter().map(|name| (*name, 1))));
            Listing::read(&dirtree(&files, &dirs)).unwrap().is_in_order()
        };
        assert!(is_in_order(&[], &[]));
        assert!(is_in_order(&["a", "b"], &["a", "b", "c"]));
        assert!(!is_in_order(&["b", "a"], &[]));
        assert!(!is_in_order(&["a", "a"], &[]));
        assert!(!is_in_order(&["a"], &["b", "b"]));
        assert!(!is_in_order(&["a"], &["c", "b"]));
    }
}
