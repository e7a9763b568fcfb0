//! The repository lock and the locks of staging directories: open-file-description locks on files
//! that are never removed.
//!
//! A lock belongs to an open file, so the lock of a killed process is released with it. Within a
//! process the repository lock is a stack: it may be taken again while it is held, in either kind,
//! and the file is locked in the strongest kind held.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{FlockOperation, Mode, OFlags};

use super::Repo;
use crate::dir;
use crate::error::{During, Error, Result};
use crate::input;

/// The kind of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LockKind {
    /// Excludes processes that delete objects.
    Shared,
    /// Excludes all other processes.
    Exclusive,
}

impl LockKind {
    fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }
}

/// The interval at which a busy lock is tried again.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The same for a lock that is held only briefly.
const UPDATE_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The lock file of an open repository with the kinds of lock held by this process, the latest
/// last.
#[derive(Debug, Default)]
pub(super) struct LockStack(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    file: Option<File>,
    kinds: Vec<LockKind>,
}

/// Holds the repository lock until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct RepoLock<'r> {
    stack: Option<&'r LockStack>,
    kind: LockKind,
}

impl Repo {
    /// Takes the repository lock, waiting up to `core.lock-timeout-secs`. A repository that is not
    /// writable, or that has `core.locking=false`, is not locked.
    ///
    /// # Errors
    /// [`Error::LockTimeout`] when another process holds it for longer.
    pub fn lock(&self, kind: LockKind) -> Result<RepoLock<'_>> {
        if !self.is_writable() || !self.config().locking {
            return Ok(RepoLock { stack: None, kind });
        }
        let timeout = u64::try_from(self.config().lock_timeout_secs).ok().map(Duration::from_secs);
        let started = Instant::now();
        loop {
            // The mutex is not held while waiting, so that another thread can release the lock.
            log::debug!("Locking repo {}", kind.name());
            if self.lock_stack.try_push(self, kind)? {
                return Ok(RepoLock { stack: Some(&self.lock_stack), kind });
            }
            match timeout {
                Some(timeout) if started.elapsed() >= timeout => {
                    return Err(Error::LockTimeout { kind: kind.name() });
                }
                _ => thread::sleep(POLL_INTERVAL),
            }
        }
    }

    /// Takes the repository lock without waiting; `None` when another process holds it. Otherwise
    /// as [`Repo::lock`].
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn try_lock(&self, kind: LockKind) -> Result<Option<RepoLock<'_>>> {
        if !self.is_writable() || !self.config().locking {
            return Ok(Some(RepoLock { stack: None, kind }));
        }
        let locked = self.lock_stack.try_push(self, kind)?;
        Ok(locked.then_some(RepoLock { stack: Some(&self.lock_stack), kind }))
    }
}

impl Repo {
    /// Locks out other updates of the same thing, which a lock file in `tmp/` represents. Its name
    /// starts with `staging-` and ends in `-lock`, as the lock files of staging directories do:
    /// cleaning up `tmp/` removes it only when it is not locked. Nothing is locked with
    /// `core.locking=false`.
    ///
    /// # Errors
    /// [`Error::LockTimeout`] after `core.lock-timeout-secs`.
    pub(crate) fn lock_update(&self, name: &'static str) -> Result<UpdateLock<'_>> {
        let config = self.config();
        let timeout = u64::try_from(config.lock_timeout_secs).ok().map(Duration::from_secs);
        let started = Instant::now();
        loop {
            if !config.locking {
                return Ok(UpdateLock { repo: self, name, file: None });
            }
            let locked = try_lock_removable(self.tmp()?, name);
            if let Some(file) = locked.calling("openat", Path::new("tmp").join(name))? {
                return Ok(UpdateLock { repo: self, name, file: Some(file) });
            }
            if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
                return Err(Error::LockTimeout { kind: LockKind::Exclusive.name() });
            }
            thread::sleep(UPDATE_POLL_INTERVAL);
        }
    }
}

/// Locks out other updates of the same thing until it is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct UpdateLock<'r> {
    repo: &'r Repo,
    name: &'static str,
    file: Option<File>,
}

impl Drop for UpdateLock<'_> {
    fn drop(&mut self) {
        // Removed while it is still locked, so that no other process can be holding it.
        if let (Some(_), Ok(tmp)) = (&self.file, self.repo.tmp()) {
            let _ = dir::remove_file(tmp, self.name);
        }
    }
}

impl LockStack {
    fn try_push(&self, repo: &Repo, kind: LockKind) -> Result<bool> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let strongest = held.kinds.iter().copied().max();
        if strongest < Some(kind) {
            if held.file.is_none() {
                let mode = Mode::from_raw_mode(0o660);
                // A link could lead to an unrelated file, and a pipe or device cannot be locked.
                let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
                let opened = dir::open(repo.dir(), ".lock", flags, mode).map_err(io::Error::from);
                let file = opened.and_then(input::require_regular);
                held.file = Some(file.during("opening", repo.path().join(".lock"))?);
            }
            let file = held.file.as_ref().expect("the lock file was opened just above");
            if !try_lock(file, kind).during("locking", repo.path().join(".lock"))? {
                return Ok(false);
            }
        }
        held.kinds.push(kind);
        Ok(true)
    }

    fn pop(&self, kind: LockKind) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = held.kinds.iter().rposition(|&other| other == kind) {
            held.kinds.remove(index);
        }
        match held.kinds.iter().copied().max() {
            // Closing the file releases the lock.
            None => held.file = None,
            Some(remaining) if remaining < kind => {
                if let Some(file) = &held.file {
                    // Downgrading a held lock cannot block.
                    let _ = try_lock(file, remaining);
                }
            }
            Some(_) => {}
        }
    }
}

impl Drop for RepoLock<'_> {
    fn drop(&mut self) {
        if let Some(stack) = self.stack {
            stack.pop(self.kind);
        }
    }
}

/// Locks a whole file without waiting; `false` when another process holds the lock.
pub(crate) fn try_lock(file: &File, kind: LockKind) -> io::Result<bool> {
    let lock = libc::flock {
        l_type: match kind {
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
        } as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    match fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&lock)) {
        Ok(_) => Ok(true),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => Ok(false),
        // A file system without open-file-description locks.
        Err(nix::Error::EINVAL) => {
            let operation = match kind {
                LockKind::Shared => FlockOperation::NonBlockingLockShared,
                LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
            };
            match rustix::fs::flock(file, operation) {
                Ok(()) => Ok(true),
                Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes the exclusive lock of a lock file that is removed on release, as those of staging
/// directories are.
///
/// Returns `None` when another process holds the lock, or removed the file meanwhile.
pub(super) fn try_lock_removable(dir: impl AsFd, name: &str) -> io::Result<Option<File>> {
    let flags = OFlags::CREATE | OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = input::require_regular(dir::open(dir, name, flags, Mode::from_raw_mode(0o660))?)?;
    if !try_lock(&file, LockKind::Exclusive)? {
        return Ok(None);
    }
    // A process that released it between our open and our lock has unlinked the file that we now
    // hold.
    let still_there = rustix::fs::fstat(&file)?.st_nlink > 0;
    Ok(still_there.then_some(file))
}
