//! Directories of the file system.

use std::fs::File;
use std::io::Read;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::RawDir;

use super::item::{Item, Kind};
use crate::checksum::{Checksum, Hasher};
use crate::error::{During, Error, OsError, Result};
use crate::object::{DirMeta, FileHeader, Xattrs};
use crate::source::{Directory, EntryKind, Metadata};

/// Upstream gets this many entries of a directory at a time, and sorts those by inode.
const LISTING_LEN: usize = 1000;
/// Listings are read in pieces of this many bytes.
const LISTING_BUFFER_LEN: usize = 16 << 10;
/// Files are read in pieces of this many bytes.
const BUFFER_LEN: usize = 128 << 10;

/// What is assumed about the files of a tree.
#[derive(Clone, Copy)]
pub(super) struct Assumed {
    /// The owner of all files.
    pub(super) uid: Option<u32>,
    /// The group of all files.
    pub(super) gid: Option<u32>,
    /// Whether no file has xattrs.
    pub(super) no_xattrs: bool,
}

impl Assumed {
    fn owned(&self, metadata: Metadata) -> Metadata {
        Metadata {
            uid: self.uid.unwrap_or(metadata.uid),
            gid: self.gid.unwrap_or(metadata.gid),
            ..metadata
        }
    }

    fn xattrs(&self, read: impl FnOnce() -> Result<Xattrs>) -> Result<Xattrs> {
        if self.no_xattrs { Ok(Xattrs::new()) } else { read() }
    }
}

/// A directory of the file system.
pub(super) struct Local {
    directory: Directory,
}

impl Local {
    /// Opens the directory that the user has named; the answers are upstream's.
    pub(super) fn open_root(path: &Path) -> Result<Self> {
        let absolute = std::path::absolute(path).during("looking for", path)?;
        let shown = absolute.components().collect::<PathBuf>();
        let metadata = std::fs::metadata(&absolute).map_err(|error| {
            Error::failed(format!(
                "Error when getting information for file “{}”: {}",
                shown.display(),
                OsError(error)
            ))
        })?;
        if !metadata.is_dir() {
            return Err(Error::failed(format!(
                "Error opening directory '{}': Not a directory",
                shown.display()
            )));
        }
        // With a trailing slash, because it may be a symlink to a directory.
        Ok(Self { directory: Directory::open(&absolute.join(""))? })
    }

    pub(super) fn child(&self, name: &str) -> Result<Self> {
        Ok(Self { directory: self.directory.open_directory(name)? })
    }

    fn path(&self) -> String {
        self.directory.path().split_off(1)
    }

    pub(super) fn child_path(&self, name: &str) -> String {
        self.directory.child_path(name).split_off(1)
    }

    /// The entries in upstream's order: as the file system lists them, each thousand sorted by
    /// inode.
    pub(super) fn entries(&self) -> Result<Vec<Item>> {
        let fd = self.directory.as_fd();
        rustix::fs::seek(fd, rustix::fs::SeekFrom::Start(0)).calling("lseek", self.path())?;
        let mut buffer = [MaybeUninit::uninit(); LISTING_BUFFER_LEN];
        let mut listing = RawDir::new(fd, &mut buffer);
        let mut names: Vec<(u64, String)> = Vec::new();
        while let Some(entry) = listing.next() {
            let entry = entry.calling("readdir", self.path())?;
            match std::str::from_utf8(entry.file_name().to_bytes()) {
                Ok("." | "..") => {}
                Ok(name) => names.push((entry.ino(), name.to_owned())),
                Err(_) => {
                    let name = String::from_utf8_lossy(entry.file_name().to_bytes()).into_owned();
                    return Err(Error::failed(format!(
                        "Invalid UTF-8 in filename {}",
                        self.child_path(&name)
                    )));
                }
            }
        }
        names.chunks_mut(LISTING_LEN).for_each(<[_]>::sort);
        let mut items = Vec::with_capacity(names.len());
        for (_, name) in names {
            let kind = Kind::Local(self.directory.metadata_of(&name)?);
            items.push(Item { name, kind });
        }
        Ok(items)
    }

    pub(super) fn find(&self, name: &str) -> Result<Option<Kind>> {
        match self.directory.metadata_of(name) {
            Ok(metadata) => Ok(Some(Kind::Local(metadata))),
            Err(error) if error.io_kind() == Some(std::io::ErrorKind::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The checksum that the dirmeta of this directory would have.
    pub(super) fn dirmeta(&self, assumed: &Assumed) -> Result<Checksum> {
        let metadata = assumed.owned(self.directory.metadata()?);
        let xattrs = assumed.xattrs(|| self.directory.xattrs())?;
        let dirmeta = DirMeta { uid: metadata.uid, gid: metadata.gid, mode: metadata.mode, xattrs };
        Ok(Checksum::of(&dirmeta.encode()))
    }

    /// The checksum that a file would have as an object.
    pub(super) fn file(
        &self,
        name: &str,
        metadata: Metadata,
        assumed: &Assumed,
    ) -> Result<Checksum> {
        let directory = &self.directory;
        let metadata = assumed.owned(metadata);
        let mut header = FileHeader {
            uid: metadata.uid,
            gid: metadata.gid,
            mode: metadata.mode,
            symlink_target: String::new(),
            xattrs: Xattrs::new(),
        };
        match metadata.kind() {
            Some(EntryKind::Symlink) => {
                header.xattrs = assumed.xattrs(|| directory.xattrs_of_symlink(name))?;
                header.symlink_target = directory.symlink_target(name)?;
                Ok(Checksum::of(&header.content_header()))
            }
            Some(EntryKind::File) => {
                let file = directory.open_file(name)?;
                header.xattrs = assumed.xattrs(|| directory.xattrs_of_file(name, &file))?;
                hash(&header, file.into_file(), &self.child_path(name))
            }
            // Devices and pipes cannot be objects, but two of them can be compared.
            _ => Ok(Checksum::of(&header.content_header())),
        }
    }
}

fn hash(header: &FileHeader, mut file: File, path: &str) -> Result<Checksum> {
    let mut hasher = Hasher::new();
    hasher.update(&header.content_header());
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        match file.read(&mut buffer).during("reading", path)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}
