//! The files of a delta, and who has signed it.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::refused;
use super::spool::Spool;
use crate::delta_format::{DeltaName, Signed, Superblock};
use crate::dir::Dir;
use crate::error::{During, Error, Result};
use crate::gvariant::Dict;
use crate::input;
use crate::map::FileBytes;
use crate::object::detached;
use crate::repo::Repo;
use crate::sign::{self, VerificationKeys, Verified};

const SUPERBLOCK: &str = "superblock";
const BUFFER: usize = 64 << 10;
/// A fifo must not block, and links in a path that the user has named are the user's.
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// A superblock's file, and the directory in which parts are looked for.
#[derive(Debug)]
pub struct DeltaFile {
    bytes: FileBytes,
    directory: Dir,
    path: PathBuf,
}

impl DeltaFile {
    /// Opens a delta that the user has named: its directory or its superblock. The file goes
    /// through the memory or the `tmp` of the repository.
    ///
    /// # Errors
    /// As upstream's when it is missing.
    pub fn open(repo: &Repo, path: &Path) -> Result<Self> {
        match Dir::open(path) {
            Ok(directory) => {
                let path = path.join(SUPERBLOCK);
                Self::read(repo, directory, OsStr::new(SUPERBLOCK), path, Path::new(SUPERBLOCK))
            }
            Err(Errno::NOTDIR) => {
                let (directory, name) =
                    Dir::open_parent(path).calling("opendir", path.parent().unwrap_or(path))?;
                Self::read(repo, directory, &name, path.to_owned(), Path::new(&name))
            }
            Err(error) => Err(error).calling("openat", "O_DIRECTORY"),
        }
    }

    /// Opens a superblock's file that the user has named.
    ///
    /// # Errors
    /// `openat(PATH): No such file or directory`
    pub fn open_superblock(repo: &Repo, path: &Path) -> Result<Self> {
        let (directory, name) = Dir::open_parent(path).calling("openat", path)?;
        Self::read(repo, directory, &name, path.to_owned(), path)
    }

    /// Opens a delta of the repository.
    ///
    /// # Errors
    /// `openat(deltas/AB/CDEF.../superblock): No such file or directory`
    pub fn of_repo(repo: &Repo, name: &DeltaName) -> Result<Self> {
        let path = name.superblock_path();
        let directory = Dir::beneath(repo.dir(), name.directory()).calling("openat", &path)?;
        Self::read(repo, directory, OsStr::new(SUPERBLOCK), repo.path().join(&path), &path)
    }

    fn read(
        repo: &Repo,
        directory: Dir,
        name: &OsStr,
        path: PathBuf,
        shown: &Path,
    ) -> Result<Self> {
        let opened = rustix::fs::openat(&directory, name, FLAGS, Mode::empty());
        let file = input::require_regular(opened.calling("openat", shown)?.into());
        let mut file = file.during("reading", &path)?;
        let mut spool = Spool::new(repo);
        let mut buffer = vec![0; BUFFER];
        loop {
            match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => spool.write(&buffer[..length])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).during("reading", &path),
            }
        }
        Ok(Self { bytes: spool.finish()?, directory, path })
    }

    /// The bytes of the file.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The superblock in the file and its signatures.
    ///
    /// # Errors
    /// As [`Envelope::decode`].
    pub fn envelope(&self) -> Result<Envelope<'_>> {
        Envelope::decode(&self.bytes)
    }

    /// Opens the file of a part beside the superblock.
    pub(super) fn part(&self, number: usize) -> Result<File, Errno> {
        open_part(&self.directory, number.to_string())
    }
}

/// Opens the file of a part beneath a directory.
pub(super) fn open_part(
    directory: impl std::os::fd::AsFd,
    path: impl AsRef<Path>,
) -> Result<File, Errno> {
    let file = crate::dir::open(directory, path, FLAGS, Mode::empty())?;
    input::require_regular(file)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))
}

/// What a superblock's file holds.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The superblock's own bytes.
    pub superblock: &'a [u8],
    /// The signatures over them, when the file is a signed superblock.
    pub signatures: Option<Dict>,
}

impl<'a> Envelope<'a> {
    /// Takes a file apart.
    ///
    /// # Errors
    /// `no signatures in static-delta`, when it is made for signatures and has none.
    pub fn decode(file: &'a [u8]) -> Result<Self> {
        Ok(match Signed::decode(file).map_err(refused)? {
            Some(signed) => {
                Self { superblock: signed.superblock, signatures: Some(signed.signatures) }
            }
            None => Self { superblock: file, signatures: None },
        })
    }

    /// Reads the superblock.
    ///
    /// # Errors
    /// As [`Superblock::decode`].
    pub fn superblock(&self) -> Result<Superblock<'a>> {
        Superblock::decode(self.superblock).map_err(refused)
    }
}

/// Verifies that a superblock was signed with one of the keys.
///
/// # Errors
/// `no signatures in static-delta`, `no signature for 'ostree.sign.T' in static-delta superblock`,
/// and as [`sign::verify`].
pub fn verify(delta: &Envelope<'_>, keys: &VerificationKeys) -> Result<Verified> {
    let none = || Error::failed("no signatures in static-delta");
    let signatures = delta.signatures.as_ref().ok_or_else(none)?;
    let key = keys.engine().signature_type().metadata_key();
    let signatures = detached::signatures(signatures, key).ok_or_else(|| {
        Error::failed(format!("no signature for '{key}' in static-delta superblock"))
    })?;
    Ok(sign::verify(keys, delta.superblock, signatures)?)
}
