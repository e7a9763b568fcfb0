//! Which files hold the keys of a keyring, and reading them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType};

use super::keyring::Keyring;
use crate::dir::{self, Dir};
use crate::error::{During, Result};
use crate::input;

/// The largest keyring that is read, in bytes.
pub(crate) const MAX_KEYRING_SIZE: u64 = 64 << 20;

/// Files of gpg that end in `.gpg` and hold no public keys.
const NO_KEYRINGS: [&str; 2] = ["trustdb.gpg", "secring.gpg"];

/// What becomes of a directory that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It holds no keys.
    Skipped,
    /// It is an error, `opendir(PATH): No such file or directory`.
    Refused,
}

impl Keyring {
    /// Adds the keys of a binary keyring file and returns whether there is one.
    ///
    /// # Errors
    /// When it cannot be read, is no regular file or is too large.
    pub fn add_file(&mut self, path: &Path) -> Result<bool> {
        match input::read_stored(rustix::fs::CWD, path, MAX_KEYRING_SIZE) {
            Ok(bytes) => {
                self.add_binary(&bytes, path);
                Ok(true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error).during("reading", path),
        }
    }

    /// Adds the keys of all keyrings in a directory: its regular files that end in `.gpg`, but for
    /// `trustdb.gpg` and `secring.gpg`, in the order of the directory. They must be binary.
    ///
    /// # Errors
    /// When the directory or a file cannot be read, and when it is not there and must be.
    pub fn add_directory(&mut self, path: &Path, absent: Absent) -> Result<()> {
        let directory = match Dir::open(path) {
            Ok(directory) => directory,
            Err(rustix::io::Errno::NOENT) if absent == Absent::Skipped => return Ok(()),
            Err(error) => return Err(std::io::Error::from(error)).calling("opendir", path),
        };
        let is_keyring = |name: &OsStr| {
            name.as_bytes().ends_with(b".gpg") && !NO_KEYRINGS.iter().any(|other| name == *other)
        };
        for name in regular_files(&directory, path)?.into_iter().filter(|name| is_keyring(name)) {
            let file = path.join(&name);
            let bytes = input::read_stored(&directory, &name, MAX_KEYRING_SIZE);
            self.add_binary(&bytes.during("reading", &file)?, &file);
        }
        Ok(())
    }

    /// Adds the keys of what an entry of `gpgkeypath` names: a file, or all regular files of a
    /// directory, binary or armoured. One without keys adds none.
    ///
    /// # Errors
    /// When it is not there, `opendir(PATH): No such file or directory`, or cannot be read.
    pub fn add_key_path(&mut self, path: &Path) -> Result<()> {
        let is_directory = match std::fs::metadata(path) {
            Ok(metadata) => metadata.is_dir(),
            Err(error) => return Err(error).calling("opendir", path),
        };
        if !is_directory {
            let bytes = input::read_stored(rustix::fs::CWD, path, MAX_KEYRING_SIZE);
            self.add(&bytes.during("reading", path)?, path);
            return Ok(());
        }
        let directory = Dir::open(path).map_err(std::io::Error::from).calling("opendir", path)?;
        for name in regular_files(&directory, path)? {
            let file = path.join(&name);
            let bytes = input::read_stored(&directory, &name, MAX_KEYRING_SIZE);
            self.add(&bytes.during("reading", &file)?, &file);
        }
        Ok(())
    }
}

/// The paths in a value of `gpgkeypath`, which `;` or `,` separates.
pub fn split_key_path(value: &str) -> Vec<PathBuf> {
    value.split([';', ',']).filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// The names of the regular files in a directory, links left out, in its order.
fn regular_files(directory: &Dir, path: &Path) -> Result<Vec<OsString>> {
    let mut names = dir::names(directory).map_err(std::io::Error::from).during("reading", path)?;
    names.retain(|name| {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    });
    Ok(names)
}
