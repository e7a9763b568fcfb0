//! Summaries of remotes with their signatures, as they were last: `tmp/cache/summaries/REMOTE` and
//! `REMOTE.sig`, or the same below a directory that the user names.
//!
//! The xattr `user.etag` of a file holds the server's `ETag`; the modification time is what the
//! server gave as `Last-Modified`. The two files are replaced one after the other, so a kill can
//! leave a pair that does not match; [`super::fetch`] finds that out and asks for the summary
//! again.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::store::MAX_SUMMARY_SIZE;
use crate::dir::{self, Dir};
use crate::error::{During, Result};
use crate::http::Validators;
use crate::input;
use crate::repo::Repo;

const DIRECTORY: &str = "summaries";
const ETAG: &str = "user.etag";
/// Nothing longer is read of an `ETag`, in bytes.
const MAX_ETAG: usize = 1024;

/// A directory of summaries.
#[derive(Debug)]
pub struct Cache {
    dir: Dir,
    path: PathBuf,
}

/// A file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached {
    /// Its content.
    pub bytes: Vec<u8>,
    /// By which the server recognises this version.
    pub validators: Validators,
}

impl Cache {
    /// Opens the cache of a repository, or the one in `directory`, which must exist.
    ///
    /// # Errors
    /// When it cannot be opened or created.
    pub fn open(repo: &Repo, directory: Option<&Path>) -> Result<Self> {
        let (parent, relative, path) = match directory {
            Some(path) => {
                (Dir::open(path).calling("opendir", path)?, DIRECTORY.to_owned(), path.to_owned())
            }
            None => {
                let path = repo.path().join("tmp");
                let tmp = Dir::beneath(repo.tmp()?, ".").calling("opendir", &path)?;
                (tmp, format!("cache/{DIRECTORY}"), path)
            }
        };
        let path = path.join(&relative);
        let dir = dir::make_dirs(&parent, &relative, 0o755).during("creating", &path)?;
        Ok(Self { dir, path })
    }

    /// Reads a file of the cache, if it is there.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Cached>> {
        let bytes = match input::read_stored(&self.dir, name, MAX_SUMMARY_SIZE) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).during("reading", self.path.join(name)),
        };
        let validators = self.validators(name).during("reading", self.path.join(name))?;
        Ok(Some(Cached { bytes, validators }))
    }

    fn validators(&self, name: &str) -> Result<Validators, Errno> {
        let file = dir::open(&self.dir, name, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        let modified = file.metadata().ok().and_then(|metadata| metadata.modified().ok());
        let mut etag = [0; MAX_ETAG];
        let etag = match rustix::fs::fgetxattr(&file, ETAG, &mut etag) {
            Ok(length) => std::str::from_utf8(&etag[..length]).ok().map(str::to_owned),
            Err(_) => None,
        };
        Ok(Validators { etag, last_modified: modified.map(httpdate::fmt_http_date) })
    }

    /// Replaces a file of the cache.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, name: &str, file: &Cached) -> Result<()> {
        input::replace_in(&self.dir, name.as_ref(), &file.bytes)
            .during("writing", self.path.join(name))?;
        mark(&self.dir, name, &file.validators);
        Ok(())
    }

    /// Removes a file of the cache, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        match dir::remove_file(&self.dir, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error).during("removing", self.path.join(name)),
        }
    }
}

/// Notes on a file by what the server recognises it. Where that is not possible the next request
/// is not conditional.
pub(crate) fn mark(dir: impl AsFd, name: &str, validators: &Validators) {
    if let Err(error) = try_mark(dir, name, validators) {
        log::debug!("no note of the server's version of {name}: {error}");
    }
}

fn try_mark(dir: impl AsFd, name: &str, validators: &Validators) -> Result<(), Errno> {
    let file = dir::open(dir, name, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty())?;
    match &validators.etag {
        Some(etag) => rustix::fs::fsetxattr(&file, ETAG, etag.as_bytes(), XattrFlags::empty())?,
        None => match rustix::fs::fremovexattr(&file, ETAG) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(error) => return Err(error),
        },
    }
    let date = validators.last_modified.as_deref();
    match date.and_then(|date| httpdate::parse_http_date(date).ok()) {
        Some(time) => rustix::fs::futimens(&file, &both(time)),
        None => Ok(()),
    }
}

fn both(time: SystemTime) -> Timestamps {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
    Timestamps { last_access: time, last_modification: time }
}
