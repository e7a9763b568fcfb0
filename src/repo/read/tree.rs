//! Paths within a commit.
//!
//! They are looked up as upstream does: literally. `.` and `..` are names like others (which no directory has), a slash at
//! the end names an entry without a name, and what stands before a doubled slash does not count. Symbolic links are
//! not followed.

use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{Commit, DirTree, ObjectName, ObjectType};
use crate::repo::Repo;

/// How many directories within each other are followed, on disk and in commits. A path of Linux has at most 2048 names, but
/// programs that go from directory to directory make deeper trees.
pub const MAX_DEPTH: usize = 4096;

/// What is wrong with what is deeper.
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

/// The dirtrees on the way down from a root.
///
/// A dirtree that contains itself cannot be made, but a repository with damaged objects can have one, and nesting without
/// end can be made: whoever recurses into directories enters them here.
#[derive(Clone, Debug, Default)]
pub struct Descent {
    entered: Vec<Checksum>,
}

impl Descent {
    /// Goes down into a directory.
    ///
    /// # Errors
    /// [`Error::MalformedObject`] when the directory is within itself, or within too many others.
    pub fn enter(&mut self, dirtree: &Checksum) -> Result<()> {
        check_descent(self.entered.iter(), dirtree)?;
        self.entered.push(*dirtree);
        Ok(())
    }

    /// Goes back up from the directory entered last.
    pub fn leave(&mut self) {
        self.entered.pop();
    }
}

/// Checks that a directory may be gone into: [`Descent`] for whoever does not recurse. `entered` are the dirtrees that it
/// is in, in any order.
///
/// # Errors
/// As [`Descent::enter`].
pub fn check_descent<'c>(entered: impl Iterator<Item = &'c Checksum>, dirtree: &Checksum) -> Result<()> {
    let refuse = |what: &str| Err(DecodeError::new(what)).of_object(ObjectName::new(*dirtree, ObjectType::DirTree));
    let mut depth = 0;
    for outer in entered {
        if outer == dirtree {
            return refuse("the directory contains itself");
        }
        depth += 1;
    }
    if depth > MAX_DEPTH { refuse(TOO_DEEP) } else { Ok(()) }
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
    /// The absolute path.
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
/// In upstream's words when there is no such file, or something on the way is no directory.
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
        let Node::Directory { dirtree, .. } = node else { return Err(Error::failed("Not a directory")) };
        node = child(&repo.load_dirtree(&dirtree)?, name)
            .ok_or_else(|| Error::NoSuchPath { path: join(&names[..=index]) })?;
    }
    Ok(Place { names, node })
}

fn child(dirtree: &DirTree, name: &str) -> Option<Node> {
    let file = dirtree.files.iter().find(|(file, _)| file == name).map(|(_, checksum)| Node::File(*checksum));
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
        // What the real program looks for, as far as its messages show: `ls COMMIT PATH`.
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
