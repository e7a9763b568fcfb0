//! Reads one file of a commit by its path.

use std::io::{self, Read};

use super::file::FileObject;
use super::tree::{Node, lookup};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::FileHeader;
use crate::repo::Repo;

/// A file of a commit.
#[derive(Debug)]
pub enum FileContent {
    /// A regular file.
    Regular(FileReader),
    /// The target of a symbolic link, which is not followed.
    Symlink(String),
}

/// The content of a regular file, read from the repository piece by piece.
pub struct FileReader {
    header: FileHeader,
    size: u64,
    left: u64,
    checksum: Checksum,
    content: Box<dyn Read + Send>,
}

/// Opens the file at `path` of a commit. A path is taken literally, with or without a slash at its
/// beginning, and no symbolic link on the way is followed.
///
/// The checksum is not verified: `fsck` does that. Truncated content is an error when it is read.
///
/// ```
/// use std::io::Read;
///
/// use osier::commit::{CommitOptions, Description, Source, commit};
/// use osier::progress::Silent;
/// use osier::repo::{FileContent, Repo, RepoMode, read_file};
/// use osier::source::{Attributes, MemoryTree};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// let repo = Repo::create(&scratch.path().join("repo"), RepoMode::Archive, None)?;
/// let mut tree = MemoryTree::new();
/// tree.add_file("etc/issue", "Hello\n", Attributes::new(0o644))?;
/// let options = CommitOptions {
///     sources: vec![Source::Memory(tree)],
///     ..CommitOptions::new(Description::new(1_700_000_000))
/// };
/// let id = commit(&repo, &options, &Silent)?.commit;
///
/// match read_file(&repo, &id, "/etc/issue")? {
///     FileContent::Regular(mut reader) => {
///         let mut text = String::new();
///         reader.read_to_string(&mut text)?;
///         assert_eq!(text, "Hello\n");
///         assert_eq!(reader.header().mode, 0o100_644);
///     }
///     FileContent::Symlink(target) => panic!("a link to {target}"),
/// }
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::NoSuchPath`] when the commit has no such path, when it is a directory, or when a parent
/// of it is not; when an object on the way is missing or malformed.
pub fn read_file(repo: &Repo, commit: &Checksum, path: &str) -> Result<FileContent> {
    let root = Node::root_of(&repo.load_commit(commit)?);
    let place = lookup(repo, &root, path).map_err(|error| match error {
        Error::Failed(what) => Error::failed(format!("{path}: {what}")),
        other => other,
    })?;
    match place.node {
        Node::File(checksum) => Ok(FileContent::of(repo.load_file(&checksum)?)),
        Node::Directory { .. } => Err(Error::failed(format!("{path}: Is a directory"))),
    }
}

impl FileContent {
    fn of(object: FileObject) -> Self {
        if object.header.is_symlink() {
            return Self::Symlink(object.header.symlink_target);
        }
        Self::Regular(FileReader::new(object))
    }
}

impl FileReader {
    /// For callers that read at their own pace; [`FileObject::read_chunks`] is quicker.
    pub fn new(object: FileObject) -> Self {
        let (size, checksum) = (object.size, *object.checksum());
        let header = object.header.clone();
        Self { header, size, left: size, checksum, content: object.into_unchecked_reader() }
    }

    /// Owner, mode and xattrs.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The length of the whole content in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The name of the file object.
    pub fn checksum(&self) -> &Checksum {
        &self.checksum
    }
}

impl Read for FileReader {
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the object cannot be inflated or ends before its size.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let broken = |what: String| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("malformed object {}.file: {what}", self.checksum),
            )
        };
        let length = match self.content.read(buffer) {
            // Errors of the system are kept, errors of the inflater name the object.
            Err(error)
                if error.raw_os_error().is_none() && error.kind() != io::ErrorKind::Interrupted =>
            {
                return Err(broken(error.to_string()));
            }
            read => read?,
        };
        if length == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(broken(format!("content ends {} bytes too early", self.left)));
        }
        self.left = self.left.saturating_sub(length as u64);
        Ok(length)
    }
}

impl std::fmt::Debug for FileReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileReader")
            .field("checksum", &self.checksum)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}
