//! Looks at what transactions have staged.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::staging::{OWN, is_fan_out, lock_name, names_in, staging_names};
use crate::dir::{self, Dir};
use crate::error::{During, Result};
use crate::repo::Repo;
use crate::repo::lock::{LockKind, try_lock};

/// A staging directory: its name in `tmp/`, its objects and their bytes, whether it is in use.
type StagedDirectory = (String, (u64, u64), bool);

impl Repo {
    /// The staging directories of this repository.
    ///
    /// # Errors
    /// When one cannot be read.
    pub(crate) fn list_staged(&self) -> Result<Vec<StagedDirectory>> {
        let mut staged = Vec::new();
        let tmp = self.tmp()?;
        for name in staging_names(self)? {
            let path = || self.path().join("tmp").join(&name);
            let objects = match Dir::beneath(tmp, &name) {
                Ok(outer) => count_both(&outer).during("reading", path())?,
                // It has gone meanwhile, or is something else.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                Err(error) => return Err(error).during("opening", path()),
            };
            let is_in_use = is_locked(tmp, &lock_name(&name)).during("locking", path())?;
            staged.push((name, objects, is_in_use));
        }
        Ok(staged)
    }
}

/// Counts osier's objects, and those of `ostree` beside them.
fn count_both(outer: &Dir) -> Result<(u64, u64), Errno> {
    let (objects, bytes) = count(outer)?;
    match Dir::beneath(outer, PathBuf::from(OWN)) {
        Ok(own) => count(&own).map(|(more, size)| (objects + more, bytes + size)),
        Err(Errno::NOENT) => Ok((objects, bytes)),
        Err(error) => Err(error),
    }
}

fn count(dir: &Dir) -> Result<(u64, u64), Errno> {
    let (mut objects, mut bytes) = (0u64, 0u64);
    for prefix in names_in(dir.as_fd())?.into_iter().filter(|name| is_fan_out(name)) {
        let Ok(fan_out) = Dir::beneath(dir, &prefix) else { continue };
        for name in names_in(fan_out.as_fd())? {
            let Ok(stat) = dir::stat(&fan_out, &name) else { continue };
            objects += 1;
            bytes = bytes.saturating_add(u64::try_from(stat.st_size).unwrap_or(0));
        }
    }
    Ok((objects, bytes))
}

/// Whether another process holds a lock.
fn is_locked(tmp: BorrowedFd<'_>, name: &str) -> std::io::Result<bool> {
    match dir::open(tmp, name, OFlags::RDWR | OFlags::NONBLOCK, Mode::empty()) {
        Ok(file) => try_lock(&file, LockKind::Exclusive).map(|locked| !locked),
        Err(Errno::NOENT) => Ok(false),
        // Whoever may not open it cannot know.
        Err(Errno::ACCESS) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
