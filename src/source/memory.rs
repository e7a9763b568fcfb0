//! A tree that is built from values, without a file system.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::object::{PERMISSION_BITS, S_IFMT, Xattrs, validate_file_name};
use crate::repo::tree::check_depth;

/// Who owns an entry, and what may be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The id of the owning user.
    pub uid: u32,
    /// The id of the owning group.
    pub gid: u32,
    /// The permissions, as in `0o644`; the type of the entry is added to them. Those of symbolic
    /// links are 0777 mostly.
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
/// Directories that are not added by themselves are root's and have mode 0755. An entry replaces an
/// earlier one of its path, but never a directory something that is none, nor the other way round.
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
#[derive(Clone, Debug)]
pub struct MemoryTree {
    /// All directories in a list, so that nothing recurses into deep trees; the root comes first.
    directories: Vec<MemoryDirectory>,
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
    /// The number of a directory.
    Directory(usize),
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
        Self { directories: vec![MemoryDirectory::new()] }
    }

    /// The directory of that number; 0 is the root.
    pub(crate) fn numbered(&self, number: usize) -> &MemoryDirectory {
        &self.directories[number]
    }

    /// Adds a directory with those above it, or gives one that is there these attributes; `/` is
    /// the root.
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
    pub fn add_file(
        &mut self,
        path: &str,
        content: impl Into<Vec<u8>>,
        attributes: Attributes,
    ) -> Result<()> {
        self.add(path, MemoryEntry::File(attributes.clone(), content.into()), &attributes)
    }

    /// Adds a symbolic link with the directories above it.
    ///
    /// # Errors
    /// As [`MemoryTree::add_directory`]; also for a target that is empty or has a NUL in it.
    pub fn add_symlink(
        &mut self,
        path: &str,
        target: impl Into<String>,
        attributes: Attributes,
    ) -> Result<()> {
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
        check_depth(names.len(), || path.chars().take(SHOWN_CHARS).collect::<String>() + "...")?;
        let mut number = 0;
        for name in names {
            let new = self.directories.len();
            let entry = self.directories[number].entries.entry((*name).to_owned());
            number = match entry.or_insert(MemoryEntry::Directory(new)) {
                MemoryEntry::Directory(below) => *below,
                _ => {
                    return Err(Error::failed(format!(
                        "{path}: can't replace file with directory: {name}"
                    )));
                }
            };
            if number == new {
                self.directories.push(MemoryDirectory::new());
            }
        }
        Ok(&mut self.directories[number])
    }
}

/// Trees are the same if their entries are, in whatever order they were added.
impl PartialEq for MemoryTree {
    fn eq(&self, other: &Self) -> bool {
        let mut waiting = vec![(0, 0)];
        while let Some((one, other_one)) = waiting.pop() {
            let (one, other_one) = (self.numbered(one), other.numbered(other_one));
            if one.attributes != other_one.attributes
                || one.entries.len() != other_one.entries.len()
            {
                return false;
            }
            for ((name, entry), (other_name, other_entry)) in
                one.entries.iter().zip(&other_one.entries)
            {
                match (entry, other_entry) {
                    _ if name != other_name => return false,
                    (MemoryEntry::Directory(one), MemoryEntry::Directory(other)) => {
                        waiting.push((*one, *other))
                    }
                    (entry, other_entry) if entry != other_entry => return false,
                    _ => {}
                }
            }
        }
        true
    }
}

impl Eq for MemoryTree {}

/// The names of a path, of which there may be none.
fn names(path: &str) -> Result<Vec<&str>> {
    let names: Vec<&str> = path.split('/').filter(|name| !name.is_empty()).collect();
    for name in &names {
        validate_file_name(name)
            .map_err(|error| Error::failed(format!("{path}: {}", error.what)))?;
    }
    Ok(names)
}

/// How much of a path an error shows that is too deep.
const SHOWN_CHARS: usize = 100;

fn check_mode(path: &str, Attributes { mode, .. }: &Attributes) -> Result<()> {
    if mode & S_IFMT != 0 || *mode > PERMISSION_BITS {
        return Err(Error::failed(format!("{path}: 0{mode:o} has more than permissions")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::tree::MAX_DEPTH;

    fn error(result: Result<()>) -> String {
        result.unwrap_err().chain()
    }

    #[test]
    fn what_no_tree_can_hold_is_refused() {
        let mut tree = MemoryTree::new();
        let plain = || Attributes::new(0o644);
        assert_eq!(
            error(tree.add_file("a/../b", "", plain())),
            "a/../b: Invalid path uplink filename '..'"
        );
        assert_eq!(error(tree.add_file("/", "", plain())), "/: the root is a directory");
        assert_eq!(
            error(tree.add_file("a", "", Attributes::new(0o100_644))),
            "a: 0100644 has more than permissions"
        );
        assert_eq!(
            error(tree.add_symlink("l", "", plain())),
            "l: invalid target of a symbolic link"
        );
        tree.add_file("dir/file", "", plain()).unwrap();
        assert_eq!(
            error(tree.add_file("dir", "", plain())),
            "dir: can't replace directory with file"
        );
        let below = tree.add_directory("dir/file/x", plain());
        assert_eq!(error(below), "dir/file/x: can't replace file with directory: file");
        let deep = "d/".repeat(MAX_DEPTH + 1);
        let expected =
            format!("too many directories within each other: {}...", &deep[..SHOWN_CHARS]);
        assert_eq!(error(tree.add_directory(&deep, plain())), expected);
    }

    #[test]
    fn trees_are_equal_in_whatever_order_they_were_made() {
        let tree = |paths: &[&str]| {
            let mut tree = MemoryTree::new();
            for path in paths {
                tree.add_file(path, *path, Attributes::new(0o644)).unwrap();
            }
            tree
        };
        assert_eq!(tree(&["a/b", "c/d/e", "f"]), tree(&["f", "c/d/e", "a/b"]));
        assert_ne!(tree(&["a/b", "c/d/e"]), tree(&["a/b", "c/d/f"]));
        assert_ne!(tree(&["a/b"]), tree(&["a/b", "a/c"]));
    }
}
