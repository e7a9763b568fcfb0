//! Paths within a commit.
//!
//! They are looked up literally, as upstream does: `.` and `..` are ordinary names (which no
//! directory has), a trailing slash refers to an entry with an empty name, and everything before a
//! doubled slash is ignored. Symbolic links are not followed.

use std::collections::HashSet;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::gvariant::DecodeError;
use crate::object::{Commit, DirTree, ObjectName, ObjectType};
use crate::repo::Repo;

/// The deepest nesting of directories that is followed, on disk and in commits. A path on Linux has
/// at most 2048 names, but programs that change directories can make deeper trees.
pub const MAX_DEPTH: usize = 4096;

/// The error for deeper directories.
const TOO_DEEP: &str = "too many directories within each other";

/// Checks the depth of a directory, counted from 0 for the root; `path` names it.
///
/// # Errors
/// When it is deeper than [`MAX_DEPTH`].
pub fn check_depth(depth: usize, path: impl FnOnce() -> String) -> Result<()> {
    if depth > MAX_DEPTH { Err(Error::failed(format!("{TOO_DEEP}: {}", path()))) } else { Ok(()) }
}

/// A file or directory of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// A directory.
    Directory {
        /// What it contains.
        dirtree: Checksum,
        /// Its owner, mode and xattrs.
        dirmeta: Checksum,
    },
    /// A regular file or symbolic link.
    File(Checksum),
}

impl Node {
    /// The root directory of a commit.
    pub fn root_of(commit: &Commit) -> Self {
        Self::Directory { dirtree: commit.root_dirtree, dirmeta: commit.root_dirmeta }
    }
}

/// The path of a directory in a tree. It shares its parents with other paths, so that a walk holds
/// each name once.
#[derive(Clone, Debug, Default)]
pub struct TreePath(Option<Arc<Component>>);

#[derive(Debug)]
struct Component {
    above: TreePath,
    name: Box<str>,
    depth: usize,
}

impl Drop for Component {
    fn drop(&mut self) {
        // A loop instead of recursion.
        let mut above = self.above.0.take();
        while let Some(mut component) = above.and_then(Arc::into_inner) {
            above = component.above.0.take();
        }
    }
}

impl TreePath {
    /// The path of a directory in this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        Self(Some(Arc::new(Component {
            above: self.clone(),
            name: name.into(),
            depth: self.depth() + 1,
        })))
    }

    /// Its depth: 0 for the root.
    pub fn depth(&self) -> usize {
        self.0.as_ref().map_or(0, |component| component.depth)
    }

    /// The absolute path; `/` for the root.
    pub fn text(&self) -> String {
        if self.0.is_none() { "/".to_owned() } else { self.below("") }
    }

    /// The absolute path of an entry of this directory.
    pub fn child_text(&self, name: &str) -> String {
        self.below(&format!("/{name}"))
    }

    /// The absolute path without a slash at its end, and what follows.
    pub fn below(&self, end: &str) -> String {
        let mut names = Vec::with_capacity(self.depth());
        let mut next = &self.0;
        while let Some(component) = next {
            names.push(&*component.name);
            next = &component.above.0;
        }
        let mut text = String::with_capacity(
            names.iter().map(|name| name.len() + 1).sum::<usize>() + end.len(),
        );
        for name in names.into_iter().rev() {
            text.push('/');
            text.push_str(name);
        }
        text.push_str(end);
        text
    }

    /// [`check_depth`] of this directory; an error shows the beginning of the path.
    ///
    /// # Errors
    /// When it is deeper than [`MAX_DEPTH`].
    pub fn check_depth(&self) -> Result<()> {
        check_depth(self.depth(), || {
            self.text().chars().take(SHOWN_CHARS).collect::<String>() + "..."
        })
    }
}

/// How much of the path of a too deep directory an error shows.
const SHOWN_CHARS: usize = 100;

/// The dirtrees on the way down from a root.
///
/// A dirtree that contains itself cannot be made, but a repository with damaged objects can have
/// one, and endless nesting can be made: code that descends into directories enters them here.
#[derive(Clone, Debug, Default)]
pub struct Descent {
    entered: Vec<Checksum>,
    /// The same dirtrees, for lookup.
    known: HashSet<Checksum>,
}

impl Descent {
    /// Goes down into a directory.
    ///
    /// # Errors
    /// [`Error::MalformedObject`] when the directory contains itself, or is nested too deeply.
    pub fn enter(&mut self, dirtree: &Checksum) -> Result<()> {
        if self.known.contains(dirtree) {
            return Err(contains_itself(dirtree));
        }
        check_object_depth(self.entered.len(), dirtree)?;
        self.entered.push(*dirtree);
        self.known.insert(*dirtree);
        Ok(())
    }

    /// Goes back up from the directory entered last.
    pub fn leave(&mut self) {
        if let Some(dirtree) = self.entered.pop() {
            self.known.remove(&dirtree);
        }
    }
}

/// Checks the depth of a directory of a commit, counted from 0 for the root.
///
/// # Errors
/// [`Error::MalformedObject`] when it is deeper than [`MAX_DEPTH`].
pub fn check_object_depth(depth: usize, dirtree: &Checksum) -> Result<()> {
    if depth > MAX_DEPTH { Err(refused(dirtree, TOO_DEEP)) } else { Ok(()) }
}

/// The error for a dirtree that contains itself.
pub(crate) fn contains_itself(dirtree: &Checksum) -> Error {
    refused(dirtree, "the directory contains itself")
}

fn refused(dirtree: &Checksum, what: &str) -> Error {
    let object = ObjectName::new(*dirtree, ObjectType::DirTree);
    Error::MalformedObject { object, source: DecodeError::new(what) }
}

/// A [`Node`] and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The names from the root to it.
    pub names: Vec<String>,
    /// The file or directory.
    pub node: Node,
}

impl Place {
    /// The absolute path in the commit.
    pub fn path(&self) -> String {
        join(&self.names)
    }

    /// The names of the directory that it is in.
    pub fn parent(&self) -> Vec<String> {
        let mut names = self.names.clone();
        names.pop();
        names
    }
}

/// Finds a path; a relative one starts at the root too.
///
/// # Errors
/// With upstream's messages when there is no such file, or a parent is not a directory.
pub fn lookup(repo: &Repo, root: &Node, path: &str) -> Result<Place> {
    lookup_from(repo, root, &[], path)
}

/// Finds a path that, if relative, starts at the directory with these names from the root.
///
/// # Errors
/// As [`lookup`].
pub fn lookup_from(repo: &Repo, root: &Node, directory: &[String], path: &str) -> Result<Place> {
    let names = resolve(directory, path);
    let mut node = *root;
    for (index, name) in names.iter().enumerate() {
        let Node::Directory { dirtree, .. } = node else {
            return Err(Error::failed("Not a directory"));
        };
        node = child(&repo.load_dirtree(&dirtree)?, name)
            .ok_or_else(|| Error::NoSuchPath { path: join(&names[..=index]) })?;
    }
    Ok(Place { names, node })
}

fn child(dirtree: &DirTree, name: &str) -> Option<Node> {
    let file = dirtree
        .files
        .iter()
        .find(|(file, _)| file == name)
        .map(|(_, checksum)| Node::File(*checksum));
    file.or_else(|| {
        let dir = dirtree.dirs.iter().find(|dir| dir.name == name)?;
        Some(Node::Directory { dirtree: dir.dirtree, dirmeta: dir.dirmeta })
    })
}

fn join(names: &[String]) -> String {
    format!("/{}", names.join("/"))
}

/// The names that a path stands for.
fn resolve(directory: &[String], mut path: &str) -> Vec<String> {
    let mut names = directory.to_vec();
    loop {
        if path == "/" {
            return Vec::new();
        }
        if let Some(rest) = path.strip_prefix('/') {
            names.clear();
            path = rest;
        }
        let Some((name, rest)) = path.split_once('/') else {
            names.push(path.to_owned());
            return names;
        };
        names.push(name.to_owned());
        path = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_literally() {
        // What ostree looks for, as its messages for `ls COMMIT PATH` show.
        let cases: [(&str, &[&str]); 10] = [
            ("/", &[]),
            ("///", &[]),
            ("//", &["", ""]),
            ("", &[""]),
            ("usr", &["usr"]),
            ("/usr/bin", &["usr", "bin"]),
            ("/usr/", &["usr", ""]),
            ("//usr//bin", &["bin"]),
            ("./usr", &[".", "usr"]),
            ("/usr/../usr", &["usr", "..", "usr"]),
        ];
        for (path, names) in cases {
            assert_eq!(resolve(&[], path), names, "{path}");
        }
    }

    #[test]
    fn relative_targets_start_at_the_directory_of_the_link() {
        let directory = ["usr".to_owned(), "lib".to_owned()];
        assert_eq!(resolve(&directory, "lib.so.1"), ["usr", "lib", "lib.so.1"]);
        assert_eq!(resolve(&directory, "/etc/x"), ["etc", "x"]);
    }
}
