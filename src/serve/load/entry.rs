//! Directories and files of commits.

use std::io::Read as _;

use super::rev::Target;
use crate::checksum::Checksum;
use crate::error::{During as _, Error};
use crate::object::DirTree;
use crate::repo::tree::{Node, lookup};
use crate::repo::{FileObject, FileReader, Repo};
use crate::serve::failure::Failure;
use crate::serve::view::{Content, FileView, Pages, RowKind, TreeRow, TreeView};

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) enum Found {
    Tree(Box<TreeView>),
    File(Box<FileView>),
}

/// The content of a file.
#[derive(Debug)]
pub(in crate::serve) struct Raw {
    pub(in crate::serve) name: String,
    pub(in crate::serve) object: FileObject,
}

/// Entries on a page.
const PAGE_SIZE: usize = 500;
/// How much of a text is shown, in bytes.
pub(in crate::serve) const SHOWN_TEXT: u64 = 128 << 10;

/// A directory or file.
pub(in crate::serve) fn entry(repo: &Repo, target: Target, page: usize) -> Result<Found, Failure> {
    let node = find(repo, &target)?;
    let Target { commit, names } = target;
    match node {
        Node::Directory { dirtree, dirmeta } => {
            let (rows, pages) = rows(repo, &repo.load_dirtree(&dirtree)?, page)?;
            let meta = repo.load_dirmeta(&dirmeta)?;
            Ok(Found::Tree(Box::new(TreeView {
                commit,
                names,
                dirtree,
                dirmeta,
                meta,
                rows,
                pages,
            })))
        }
        Node::File(checksum) => {
            let object = repo.load_file(&checksum)?;
            let (header, size) = (object.header.clone(), object.size);
            let content = match header.is_symlink() {
                true => Content::Symlink,
                false => content(object)?,
            };
            Ok(Found::File(Box::new(FileView { commit, names, checksum, header, size, content })))
        }
    }
}

/// The content of a regular file.
pub(in crate::serve) fn raw(repo: &Repo, target: &Target) -> Result<Raw, Failure> {
    let name = target.names.last().cloned().unwrap_or_default();
    match find(repo, target)? {
        Node::File(checksum) => {
            let object = repo.load_file(&checksum)?;
            match object.header.is_symlink() {
                true => Err(Failure::not_found(format!("{name} is a symbolic link"))),
                false => Ok(Raw { name, object }),
            }
        }
        Node::Directory { .. } => Err(Failure::not_found("a directory has no content")),
    }
}

fn find(repo: &Repo, target: &Target) -> Result<Node, Failure> {
    let root = Node::root_of(&repo.load_commit(&target.commit)?);
    if target.names.is_empty() {
        return Ok(root);
    }
    let path = format!("/{}", target.names.join("/"));
    match lookup(repo, &root, &path) {
        Ok(place) => Ok(place.node),
        // A parent that is a file.
        Err(Error::Failed(what)) => Err(Failure::not_found(format!("{path}: {what}"))),
        Err(error) => Err(error.into()),
    }
}

/// The entries of a page, directories first.
fn rows(repo: &Repo, tree: &DirTree, page: usize) -> Result<(Vec<TreeRow>, Pages), Failure> {
    let total = tree.dirs.len() + tree.files.len();
    let pages = Pages::new(page, PAGE_SIZE, total)
        .ok_or_else(|| Failure::not_found("there is no such page of this directory"))?;
    let dirs = tree.dirs.iter().map(|dir| (&dir.name, dir.dirtree, true));
    let files = tree.files.iter().map(|(name, checksum)| (name, *checksum, false));
    let shown = dirs.chain(files).skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE);
    let rows = shown.map(|(name, checksum, is_directory)| {
        let kind = match is_directory {
            true => RowKind::Directory,
            false => kind(repo, &checksum),
        };
        TreeRow { name: name.clone(), checksum, kind }
    });
    Ok((rows.collect(), pages))
}

fn kind(repo: &Repo, checksum: &Checksum) -> RowKind {
    match repo.stat_file(checksum) {
        Ok((header, _)) if header.is_symlink() => {
            RowKind::Symlink { target: header.symlink_target }
        }
        Ok((header, size)) => RowKind::File { mode: header.mode, size },
        Err(error) => RowKind::Unreadable(Failure::from(error).message),
    }
}

/// The beginning of a text.
fn content(object: FileObject) -> Result<Content, Failure> {
    let size = object.size;
    let mut bytes = Vec::new();
    let checksum = object.checksum().to_hex();
    FileReader::new(object).take(SHOWN_TEXT).read_to_end(&mut bytes).during("reading", checksum)?;
    let is_whole = size <= SHOWN_TEXT;
    let valid = match str::from_utf8(&bytes) {
        Ok(text) => text,
        // The end of what is shown may be in the middle of a character.
        Err(error) if !is_whole && error.error_len().is_none() => {
            str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return Ok(Content::Binary),
    };
    match valid.contains('\0') {
        true => Ok(Content::Binary),
        false => Ok(Content::Text { text: valid.to_owned(), is_whole }),
    }
}
