//! Files of the repository that are replaced as a whole: refs, config, summary, detached metadata.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, Timespec, Timestamps};

use super::Repo;
use crate::error::{During, Error, Result};
use crate::keyfile::KeyFile;

impl Repo {
    /// Replaces a file of the repository, named relative to it: readers see the old content or the new one, and the
    /// new one is on disk before it gets the name (unless `core.fsync` is off).
    ///
    /// # Errors
    /// When the directory is not there or anything cannot be written; the old file is still whole then.
    pub fn replace_file(&self, name: &Path, content: &[u8]) -> Result<()> {
        let temporary = self.write_temporary(content)?;
        let placed = self.place_temporary(&temporary, name);
        if placed.is_err() {
            self.discard_temporary(&temporary);
        }
        placed
    }

    /// Replaces the `config`. The open repository goes on with the old one.
    ///
    /// # Errors
    /// As [`Repo::replace_file`].
    pub fn write_config(&self, keyfile: &KeyFile) -> Result<()> {
        self.replace_file(Path::new("config"), keyfile.to_string().as_bytes())
    }

    /// Writes a file of mode 0644 into `tmp/`, synced, and returns its name relative to the repository.
    pub(crate) fn write_temporary(&self, content: &[u8]) -> Result<PathBuf> {
        let (name, mut file) = self.create_temporary("replace")?;
        let written = file.write_all(content).and_then(|()| {
            rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
            if self.config().fsync {
                file.sync_data()?;
            }
            Ok(())
        });
        if let Err(error) = written {
            let _ = rustix::fs::unlinkat(self.dir(), &name, rustix::fs::AtFlags::empty());
            return Err(error).during("writing", self.path().join(&name));
        }
        Ok(name)
    }

    /// Gives a file of [`Repo::write_temporary`] its name, in place of the file that had it.
    pub(crate) fn place_temporary(&self, temporary: &Path, name: &Path) -> Result<()> {
        rustix::fs::renameat(self.dir(), temporary, self.dir(), name).calling("openat", name)
    }

    /// Removes a file of [`Repo::write_temporary`] that is not needed after all.
    pub(crate) fn discard_temporary(&self, temporary: &Path) {
        // If it cannot be removed it expires.
        let _ = rustix::fs::unlinkat(self.dir(), temporary, rustix::fs::AtFlags::empty());
    }

    /// Creates an empty file with a new name in `tmp/`; what a killed process leaves there expires.
    pub(crate) fn create_temporary(&self, prefix: &str) -> Result<(PathBuf, File)> {
        loop {
            let name = PathBuf::from(format!("tmp/{prefix}-{}", random_letters()?));
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
            match rustix::fs::openat(self.dir(), &name, flags, Mode::from_raw_mode(0o600)) {
                Ok(fd) => return Ok((name, fd.into())),
                Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error).calling("openat", &name),
            }
        }
    }

    /// Bumps the modification time of the repository, which tells clients and caches that refs have changed.
    pub(crate) fn touch(&self) -> Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
        rustix::fs::futimens(self.dir(), &Timestamps { last_access: now, last_modification: now })
            .during("touching", self.path())
    }
}

/// Six letters and digits, as `mkdtemp` gives.
pub(super) fn random_letters() -> Result<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0u8; 6];
    let filled = rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .during("reading random bytes for", "tmp")?;
    if filled < bytes.len() {
        return Err(Error::failed("the kernel gave too few random bytes"));
    }
    Ok(bytes.iter().map(|&byte| LETTERS[usize::from(byte) % LETTERS.len()] as char).collect())
}
