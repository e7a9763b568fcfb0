//! The files of a policy.

use std::io::ErrorKind;
use std::path::Path;

use crate::error::{During, Error, Result};
use crate::input;
use crate::object::{Commit, DirTree};
use crate::repo::Repo;
use crate::repo::tree::{Node, lookup};

/// Symbolic links that are followed on the way to one file, as many as Linux follows.
const MAX_LINKS: usize = 40;

/// The tree that a policy is read from. Paths in it are relative.
#[derive(Clone, Copy)]
pub(super) enum Root<'r> {
    /// On this machine.
    Directory(&'r Path),
    /// In a repository.
    Commit(&'r Repo, &'r Commit),
}

impl Root<'_> {
    /// The content of a file; `None` if there is none.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Directory(root) => {
                match input::read_stored(rustix::fs::CWD, root.join(path), input::MAX_INPUT_SIZE) {
                    Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
                    read => read.map(Some).during("reading", root.join(path)),
                }
            }
            Self::Commit(repo, commit) => {
                let Some(Node::File(file)) = find(repo, commit, path)? else { return Ok(None) };
                let mut content = Vec::new();
                repo.load_file(&file)?.read_chunks(&mut |chunk| {
                    content.extend_from_slice(chunk);
                    Ok(())
                })?;
                Ok(Some(content))
            }
        }
    }

    /// The names in a directory; `None` if there is none.
    pub(super) fn list(&self, path: &str) -> Result<Option<Vec<String>>> {
        match self {
            Self::Directory(root) => {
                let path = root.join(path);
                let listing = match std::fs::read_dir(&path) {
                    Err(error)
                        if matches!(
                            error.kind(),
                            ErrorKind::NotFound | ErrorKind::NotADirectory
                        ) =>
                    {
                        return Ok(None);
                    }
                    listing => listing.during("listing", &path)?,
                };
                let name = |entry: std::io::Result<std::fs::DirEntry>| {
                    Ok(entry.during("listing", &path)?.file_name().to_string_lossy().into_owned())
                };
                listing.map(name).collect::<Result<_>>().map(Some)
            }
            Self::Commit(repo, commit) => {
                let Some(Node::Directory { dirtree, .. }) = find(repo, commit, path)? else {
                    return Ok(None);
                };
                let DirTree { files, dirs } = repo.load_dirtree(&dirtree)?;
                let files = files.into_iter().map(|(name, _)| name);
                Ok(Some(files.chain(dirs.into_iter().map(|dir| dir.name)).collect()))
            }
        }
    }

    /// The path for an error message.
    pub(super) fn shown(&self, path: &str) -> String {
        match self {
            Self::Directory(root) => root.join(path).display().to_string(),
            Self::Commit(..) => format!("/{path}"),
        }
    }
}

/// The file or directory that a path of a commit leads to, through the symbolic links on the way.
fn find(repo: &Repo, commit: &Commit, path: &str) -> Result<Option<Node>> {
    let root = Node::root_of(commit);
    let mut names: Vec<String> = Vec::new();
    let mut node = root;
    let mut left: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
    let mut links = 0;
    while let Some(name) = left.pop() {
        match name.as_str() {
            "" | "." => {}
            ".." => drop(names.pop()),
            _ => names.push(name),
        }
        node = match lookup(repo, &root, &format!("/{}", names.join("/"))) {
            Err(Error::NoSuchPath { .. }) => return Ok(None),
            found => found?.node,
        };
        match node {
            Node::File(file) => {
                let header = repo.load_file(&file)?.header;
                match header.is_symlink() {
                    false if left.is_empty() => {}
                    false => return Ok(None),
                    true if links == MAX_LINKS => {
                        return Err(Error::failed(format!("too many symbolic links: {path}")));
                    }
                    true => {
                        links += 1;
                        if header.symlink_target.starts_with('/') {
                            names.clear();
                        } else {
                            names.pop();
                        }
                        left.extend(header.symlink_target.rsplit('/').map(str::to_owned));
                    }
                }
            }
            Node::Directory { .. } => {}
        }
    }
    Ok(Some(node))
}
