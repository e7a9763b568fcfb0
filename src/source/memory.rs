//! A tree that is built from values, without a file system.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::object::{PERMISSION_BITS, S_IFMT, Xattrs, validate_file_name};

/// Directories within each other that a tree may have: as many as are followed when it is read again.
const MAX_DEPTH: usize = 2048;

/// Who owns an entry, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The permissions, as in `0o644`; the type of the entry is added to them. Those of symbolic links are 0777 mostly.
    pub mode: u32,
    /// The extended attributes.
    pub xattrs: Xattrs,
}

impl Attributes {
    /// These permissions for an entry of root's that has no xattrs.
    pub fn new(mode: u32) -> Self {
        Self { uid: 0, gid: 0, mode, xattrs: Xattrs::default() }
    }
}

/// A tree in memory, to be committed as `Source::Memory`.
///
/// Directories that are not added by themselves are root's and have mode 0755. An entry replaces an earlier one of its
/// path, but never a directory something that is none, nor the other way round.
///
/// ```
/// use osier::source::{Attributes, MemoryTree};
///
/// # fn main() -> osier::Result<()> {
/// let mut tree = MemoryTree::new();
/// tree.add_directory("var/tmp", Attributes::new(0o1777))?;
/// tree.add_file("usr/bin/hello", "#!/bin/sh\necho hello\n", Attributes::new(0o755))?;
/// tree.add_symlink("bin", "usr/bin", Attributes { gid: 5, ..Attributes::new(0o777) })?;
/// assert!(tree.add_file("usr", "", Attributes::new(0o644)).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryTree {
    pub(crate) root: MemoryDirectory,
}

/// A directory of a [`MemoryTree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MemoryDirectory {
    pub(crate) attributes: Attributes,
    pub(crate) entries: BTreeMap<String, MemoryEntry>,
}

/// What a directory of a [`MemoryTree`] holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemoryEntry {
    File(Attributes, Vec<u8>),
    Symlink(Attributes, String),
    Directory(MemoryDirectory),
}

impl MemoryDirectory {
    fn new() -> Self {
        Self { attributes: Attributes::new(0o755), entries: BTreeMap::new() }
    }
}

impl Default for MemoryTree {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTree {
    /// An empty root directory.
    pub fn new() -> Self {
        Self { root: MemoryDirectory::new() }
    }

    /// Adds a directory with those above it, or gives one that is there these attributes; `/` is the root.
    ///
    /// # Errors
    /// For a path that no tree can have, permissions outside of 07777, and a file in the way.
    pub fn add_directory(&mut self, path: &str, attributes: Attributes) -> Result<()> {
        check_mode(path, &attributes)?;
        self.directory(path, &names(path)?)?.attributes = attributes;
        Ok(())
    }

    /// Adds a regular file with the directories above it.
    ///
    /// # Errors
    /// As [`MemoryTree::add_directory`].
    pub fn add_file(&mut self, path: &str, content: impl Into<Vec<u8>>, attributes: Attributes) -> Result<()> {
        self.add(path, MemoryEntry::File(attributes.clone(), content.into()), &attributes)
    }

    /// Adds a symbolic link with the directories above it.
    ///
    /// # Errors
    /// As [`MemoryTree::add_directory`]; also for a target that is empty or has a NUL in it.
    pub fn add_symlink(&mut self, path: &str, target: impl Into<String>, attributes: Attributes) -> Result<()> {
        let target = target.into();
        if target.is_empty() || target.contains('\0') {
            return Err(Error::failed(format!("{path}: invalid target of a symbolic link")));
        }
        self.add(path, MemoryEntry::Symlink(attributes.clone(), target), &attributes)
    }

    fn add(&mut self, path: &str, entry: MemoryEntry, attributes: &Attributes) -> Result<()> {
        check_mode(path, attributes)?;
        let names = names(path)?;
        let Some((name, above)) = names.split_last() else {
            return Err(Error::failed(format!("{path}: the root is a directory")));
        };
        let directory = self.directory(path, above)?;
        if matches!(directory.entries.get(*name), Some(MemoryEntry::Directory(_))) {
            return Err(Error::failed(format!("{path}: can't replace directory with file")));
        }
        directory.entries.insert((*name).to_owned(), entry);
        Ok(())
    }

    fn directory(&mut self, path: &str, names: &[&str]) -> Result<&mut MemoryDirectory> {
        let mut directory = &mut self.root;
        for name in names {
            let entry = directory.entries.entry((*name).to_owned());
            directory = match entry.or_insert_with(|| MemoryEntry::Directory(MemoryDirectory::new())) {
                MemoryEntry::Directory(below) => below,
                _ => return Err(Error::failed(format!("{path}: can't replace file with directory: {name}"))),
            };
        }
        Ok(directory)
    }
}

/// The names of a path, of which there may be none.
fn names(path: &str) -> Result<Vec<&str>> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    for name in &names {
        validate_file_name(name).map_err(|error| Error::failed(format!("{path}: {}", error.what)))?;
    }
    match names.len() {
        0..MAX_DEPTH => Ok(names),
        _ => Err(Error::failed(format!("more than {MAX_DEPTH} directories within each other"))),
    }
}

fn check_mode(path: &str, Attributes { mode, .. }: &Attributes) -> Result<()> {
    if mode & S_IFMT != 0 || *mode > PERMISSION_BITS {
        return Err(Error::failed(format!("{path}: 0{mode:o} has more than permissions")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(result: Result<()>) -> String {
        result.unwrap_err().chain()
    }

    #[test]
    fn what_no_tree_can_hold_is_refused() {
        let mut tree = MemoryTree::new();
        let plain = || Attributes::new(0o644);
        assert_eq!(error(tree.add_file("a/../b", "", plain())), "a/../b: Invalid path uplink filename '..'");
        assert_eq!(error(tree.add_file("/", "", plain())), "/: the root is a directory");
        assert_eq!(error(tree.add_file("a", "", Attributes::new(0o100_644))), "a: 0100644 has more than permissions");
        assert_eq!(error(tree.add_symlink("l", "", plain())), "l: invalid target of a symbolic link");
        tree.add_file("dir/file", "", plain()).unwrap();
        assert_eq!(error(tree.add_file("dir", "", plain())), "dir: can't replace directory with file");
        let below = tree.add_directory("dir/file/x", plain());
        assert_eq!(error(below), "dir/file/x: can't replace file with directory: file");
        let deep = "d/".repeat(MAX_DEPTH);
        assert_eq!(error(tree.add_directory(&deep, plain())), "more than 2048 directories within each other");
    }
}
