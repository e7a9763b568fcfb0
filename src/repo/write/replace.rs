//! Files of the repository that are replaced as a whole: refs, config, summary, detached metadata.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::dir;
use crate::error::{During, Error, Result};
use crate::repo::Repo;
use crate::repo::lock::{LockKind, try_lock};

/// A replacement is briefly in `tmp/` under a name with this prefix, and locked as long as its
/// writer lives.
pub(in crate::repo) const REPLACEMENT_PREFIX: &str = "replace-";

/// A file written to replace another one, in the same file system.
///
/// While it is being written it has no name, so that it disappears with a killed process; from then
/// until it is in place it is locked, so that the next transaction can distinguish it from a
/// leftover. Where the file system or a missing `/proc` does not allow that, it has a name in
/// `tmp/`, and a leftover is removed when it is old.
#[derive(Debug)]
pub(crate) struct Replacement<'r> {
    repo: &'r Repo,
    pub(crate) file: File,
    /// In `tmp/`.
    name: Option<String>,
}

impl Replacement<'_> {
    /// Moves the file into place, relative to the repository.
    ///
    /// # Errors
    /// As `renameat`; the call can be repeated.
    pub(crate) fn place(&mut self, path: &Path) -> Result<(), Errno> {
        let repo = self.repo;
        self.place_by(|tmp, name| {
            dir::rename((tmp, name), (repo.dir(), path), RenameFlags::empty())
        })
    }

    /// Moves the file into place through `rename`, which gets `tmp/` and the name there.
    ///
    /// # Errors
    /// Those of `rename`; the call can be repeated.
    pub(super) fn place_by(
        &mut self,
        rename: impl FnOnce(BorrowedFd<'_>, &str) -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let name = match self.name.take() {
            Some(name) => name,
            None => self.link()?,
        };
        let placed = self.repo.tmp().map_err(|_| Errno::NOTDIR).and_then(|tmp| rename(tmp, &name));
        if placed.is_err() {
            self.name = Some(name);
        }
        placed
    }

    fn link(&self) -> Result<String, Errno> {
        let tmp = self.repo.tmp().map_err(|_| Errno::NOTDIR)?;
        let descriptor = descriptor_path(&self.file);
        let (name, ()) = dir::at_free_name(
            || Ok(format!("{REPLACEMENT_PREFIX}{}", random_letters().map_err(|_| Errno::IO)?)),
            |name| rustix::fs::linkat(CWD, &descriptor, tmp, name, AtFlags::SYMLINK_FOLLOW),
            |error, _| Err(error),
        )?;
        Ok(name)
    }
}

impl Drop for Replacement<'_> {
    fn drop(&mut self) {
        if let (Some(name), Ok(tmp)) = (self.name.take(), self.repo.tmp()) {
            let _ = dir::remove_file(tmp, &name);
        }
    }
}

impl Repo {
    /// Replaces a file of the repository, named relative to it: readers see either the old or the
    /// new content, and the new one is on disk before it gets the name (unless `core.fsync` is
    /// off).
    ///
    /// # Errors
    /// When the directory is missing or something cannot be written; the old file is then still
    /// intact.
    pub fn replace_file(&self, name: &Path, content: &[u8]) -> Result<()> {
        self.prepare_replacement(content)?.place(name).calling("openat", name)
    }

    /// Writes a file of mode 0644 that is to replace another one, and syncs it (unless `core.fsync`
    /// is off).
    ///
    /// # Errors
    /// When it cannot be written; nothing is left behind.
    pub(crate) fn prepare_replacement(&self, content: &[u8]) -> Result<Replacement<'_>> {
        let mut replacement = self.start_replacement()?;
        let written = replacement.file.write_all(content).and_then(|()| {
            rustix::fs::fchmod(&replacement.file, Mode::from_raw_mode(0o644))?;
            if self.config().fsync {
                replacement.file.sync_data()?;
            }
            Ok(())
        });
        written.during("writing", self.path().join("tmp"))?;
        Ok(replacement)
    }

    /// Starts a file that is to replace another one.
    pub(crate) fn start_replacement(&self) -> Result<Replacement<'_>> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::openat(self.tmp()?, ".", flags, Mode::from_raw_mode(0o600)) {
            Ok(fd) => {
                let file = File::from(fd);
                if rustix::fs::stat(descriptor_path(&file)).is_ok() {
                    try_lock(&file, LockKind::Exclusive)
                        .during("locking a file in", self.path().join("tmp"))?;
                    return Ok(Replacement { repo: self, file, name: None });
                }
            }
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            Err(error) => return Err(error).calling("openat", "tmp"),
        }
        let (name, file) = self.create_temporary("unlocked")?;
        Ok(Replacement { repo: self, file, name: Some(name) })
    }

    /// Creates an empty file with a new name in `tmp/` and returns the name; leftovers of a killed
    /// process expire.
    pub(crate) fn create_temporary(&self, prefix: &str) -> Result<(String, File)> {
        let (tmp, flags) = (self.tmp()?, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR);
        dir::at_free_name(
            || Ok(format!("{prefix}-{}", random_letters()?)),
            |name| dir::open(tmp, name, flags, Mode::from_raw_mode(0o600)),
            |error, name| Err(error).calling("openat", format!("tmp/{name}")),
        )
    }

    /// Bumps the modification time of the repository, which shows clients and caches that refs have
    /// changed.
    pub(crate) fn touch(&self) -> Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        rustix::fs::futimens(self.dir(), &Timestamps { last_access: now, last_modification: now })
            .during("touching", self.path())
    }
}

/// The path through which a file without a name can be linked.
fn descriptor_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Six random letters and digits, as `mkdtemp` uses.
pub(crate) fn random_letters() -> Result<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0u8; 6];
    let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .during("reading random bytes for", "tmp")?;
    if filled < bytes.len() {
        return Err(Error::failed("the kernel gave too few random bytes"));
    }
    Ok(bytes.iter().map(|&byte| LETTERS[usize::from(byte) % LETTERS.len()] as char).collect())
}
