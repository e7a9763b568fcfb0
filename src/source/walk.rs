//! Directories, opened and listed relative to descriptors.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, SeekFrom, Stat};

use super::xattrs;
use crate::error::{During, Error, Result};
use crate::object::Xattrs;
use crate::repo::tree::TreePath;

/// An open directory of the tree.
///
/// It may be shared between threads, except that only one at a time may ask for
/// [`Directory::entries`]: the position of a listing belongs to the descriptor.
#[derive(Debug)]
pub struct Directory {
    fd: OwnedFd,
    /// From the root of the tree.
    path: TreePath,
    /// Whether the descriptor has been read to its end.
    listed: AtomicBool,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name; upstream stores UTF-8 only.
    pub name: String,
    /// The kind, as the listing gave it: the file may have been exchanged since.
    pub kind: EntryKind,
}

/// The kinds of files that a tree can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

/// The metadata of an inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions and type bits.
    pub mode: u32,
    /// Length of the content in bytes.
    pub size: u64,
    /// Device.
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Time of the last change of the content: seconds since 1970, nanoseconds.
    pub mtime: (i64, u64),
    /// Time of the last change of content or inode: seconds since 1970, nanoseconds.
    pub ctime: (i64, u64),
}

/// A regular file, open for reading.
#[derive(Debug)]
pub struct OpenFile {
    fd: OwnedFd,
    /// The metadata of the inode when it was opened.
    pub metadata: Metadata,
}

/// Listings are read in pieces of this many bytes, some 200 to 600 entries.
const LISTING_BUFFER_LEN: usize = 16 * 1024;

/// `O_NONBLOCK`, so that a pipe that took a file's place does not hang the walk.
const OPEN_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

impl Directory {
    /// Opens the root of a tree. The last component of the path must not be a symbolic link (`t/`
    /// follows one).
    pub fn open(path: &Path) -> Result<Self> {
        let fd = fs::open(path, OPEN_FLAGS.union(OFlags::DIRECTORY), Mode::empty())
            .calling("opendir", path)?;
        Ok(Self { fd, path: TreePath::default(), listed: AtomicBool::new(false) })
    }

    /// Opens a directory in this one, unless it is deeper than
    /// [`MAX_DEPTH`](crate::repo::tree::MAX_DEPTH).
    pub fn open_directory(&self, name: &str) -> Result<Self> {
        let path = self.path.child(name);
        path.check_depth()?;
        let flags = OPEN_FLAGS.union(OFlags::DIRECTORY);
        let fd =
            self.with_context("opendir", name, fs::openat(&self.fd, name, flags, Mode::empty()))?;
        Ok(Self { fd, path, listed: AtomicBool::new(false) })
    }

    /// Opens a regular file in this directory and asks for its metadata.
    pub fn open_file(&self, name: &str) -> Result<OpenFile> {
        let fd = self.with_context(
            "openat",
            name,
            fs::openat(&self.fd, name, OPEN_FLAGS, Mode::empty()),
        )?;
        let metadata = Metadata::of(&self.with_context("fstat", name, fs::fstat(&fd))?);
        match metadata.kind() {
            Some(EntryKind::File) => Ok(OpenFile { fd, metadata }),
            _ => Err(special_file(&self.shown_path(name))),
        }
    }

    /// Where the directory is in the tree: `/usr/bin`, and `/` for the root.
    pub fn path(&self) -> String {
        self.path.text()
    }

    /// Where an entry is in the tree, as the filters want to know it.
    pub fn child_path(&self, name: &str) -> String {
        self.path.child_text(name)
    }

    /// The entries, sorted by the bytes of their names. Devices, pipes and sockets are an error, as
    /// are names that are not UTF-8.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        self.entries_without(&|_| false)
    }

    /// [`Directory::entries`] without those devices, pipes and sockets that `is_left_out` knows by
    /// name. It is asked about nothing else.
    pub fn entries_without(&self, is_left_out: &dyn Fn(&str) -> bool) -> Result<Vec<Entry>> {
        if self.listed.swap(true, Ordering::Relaxed) {
            self.own("lseek", fs::seek(&self.fd, SeekFrom::Start(0)))?;
        }
        let mut buffer = [MaybeUninit::uninit(); LISTING_BUFFER_LEN];
        let mut listing = RawDir::new(&self.fd, &mut buffer);
        let mut entries = Vec::new();
        while let Some(found) = listing.next() {
            let found = self.own("readdir", found)?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") {
                continue;
            }
            let Ok(name) = std::str::from_utf8(name) else {
                let name = self.shown_path(&String::from_utf8_lossy(name));
                return Err(Error::failed(format!("Invalid UTF-8 in filename {name}")));
            };
            let kind = match found.file_type() {
                // Some file systems do not report the type.
                FileType::Unknown => self.metadata_of(name)?.kind(),
                known => EntryKind::of(known),
            };
            let kind = match kind {
                Some(kind) => kind,
                None if is_left_out(name) => continue,
                None => return Err(special_file(&self.shown_path(name))),
            };
            entries.push(Entry { name: name.to_owned(), kind });
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// The metadata of the directory itself.
    pub fn metadata(&self) -> Result<Metadata> {
        Ok(Metadata::of(&self.own("fstat", fs::fstat(&self.fd))?))
    }

    /// The metadata of an entry, of any kind, not following symbolic links.
    pub fn metadata_of(&self, name: &str) -> Result<Metadata> {
        let stat = self.with_context(
            "fstatat",
            name,
            fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW),
        )?;
        Ok(Metadata::of(&stat))
    }

    /// The xattrs of the directory itself.
    pub fn xattrs(&self) -> Result<Xattrs> {
        xattrs::of_fd(self.fd.as_fd(), || shown(&self.path()).to_owned())
    }

    /// The xattrs of a file that [`Directory::open_file`] opened under this name.
    pub fn xattrs_of_file(&self, name: &str, file: &OpenFile) -> Result<Xattrs> {
        xattrs::of_fd(file.fd.as_fd(), || self.shown_path(name))
    }

    /// The xattrs of a symbolic link.
    pub fn xattrs_of_symlink(&self, name: &str) -> Result<Xattrs> {
        xattrs::of_symlink(self.fd.as_fd(), name, || self.shown_path(name))
    }

    /// The target of a symbolic link; upstream stores UTF-8 only.
    pub fn symlink_target(&self, name: &str) -> Result<String> {
        let target =
            self.with_context("readlinkat", name, fs::readlinkat(&self.fd, name, Vec::new()))?;
        target.into_string().map_err(|_| {
            Error::failed(format!("Invalid UTF-8 in symlink target of {}", self.shown_path(name)))
        })
    }

    /// The path of an entry for an error message. At the root it is the bare name that upstream
    /// shows everywhere.
    pub fn shown_path(&self, name: &str) -> String {
        let path = self.child_path(name);
        shown(&path).to_owned()
    }

    /// Names the directory in an error.
    fn own<T>(&self, call: &'static str, result: rustix::io::Result<T>) -> Result<T> {
        result.or_else(|error| Err(error).calling(call, shown(&self.path())))
    }

    /// Names the entry in an error; its path is only built when there is one.
    fn with_context<T>(
        &self,
        call: &'static str,
        name: &str,
        result: rustix::io::Result<T>,
    ) -> Result<T> {
        result.or_else(|error| Err(error).calling(call, self.shown_path(name)))
    }
}

impl AsFd for Directory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl OpenFile {
    /// The file, to read its content from.
    pub fn into_file(self) -> File {
        File::from(self.fd)
    }
}

impl AsFd for OpenFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl EntryKind {
    /// `None` for devices, pipes and sockets.
    fn of(file_type: FileType) -> Option<Self> {
        match file_type {
            FileType::RegularFile => Some(Self::File),
            FileType::Directory => Some(Self::Directory),
            FileType::Symlink => Some(Self::Symlink),
            _ => None,
        }
    }
}

impl Metadata {
    /// The kind; `None` for devices, pipes and sockets.
    pub fn kind(&self) -> Option<EntryKind> {
        EntryKind::of(FileType::from_raw_mode(self.mode))
    }

    fn of(stat: &Stat) -> Self {
        Self {
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            dev: stat.st_dev,
            ino: stat.st_ino,
            mtime: (stat.st_mtime, stat.st_mtime_nsec),
            ctime: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

fn special_file(path: &str) -> Error {
    Error::failed(format!("Not a regular file or symlink: {path}"))
}

/// A path of the tree without its leading slash, so that it is not mistaken for one of the
/// machine's.
fn shown(path: &str) -> &str {
    match path.trim_start_matches('/') {
        "" => ".",
        relative => relative,
    }
}
