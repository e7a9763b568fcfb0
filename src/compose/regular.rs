//! Reads files that others wrote: only regular ones, up to a limit.
//!
//! A FIFO would block the run for ever, a device has no end, and a link leads elsewhere.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::error::{During, Error, Result};

/// The largest JSON document that is read, in bytes: in memory it takes many times as much.
pub(crate) const LONGEST_JSON: u64 = 8 << 20;

/// How a symbolic link as the last part of a path is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// It is followed: the user gave the path.
    Follow,
    /// It is an error: a program created it.
    Refuse,
}

/// Opens a file for reading if it is a regular one; never waits.
///
/// # Errors
/// When it is not a regular file, or cannot be opened.
pub(crate) fn open(path: &Path, links: Links) -> Result<File> {
    // Merely opening a device may have effects, so the first check precedes it; the second one is
    // decisive.
    let metadata = match links {
        Links::Follow => fs::metadata(path),
        Links::Refuse => fs::symlink_metadata(path),
    };
    if !metadata.during("opening", path)?.is_file() {
        return Err(odd(path));
    }
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if links == Links::Refuse {
        flags |= OFlags::NOFOLLOW;
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)
        .during("opening", path)?;
    match file.metadata().during("opening", path)?.is_file() {
        true => Ok(file),
        false => Err(odd(path)),
    }
}

fn odd(path: &Path) -> Error {
    Error::failed(format!("{} is no regular file", path.display()))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// When it is no regular file, has more bytes, or cannot be read.
pub(crate) fn read(path: &Path, links: Links, limit: u64) -> Result<Vec<u8>> {
    read_open(open(path, links)?, path, limit)
}

/// Reads a file that is open; `path` names it in messages.
///
/// # Errors
/// When it has more bytes than `limit`, or cannot be read.
pub(crate) fn read_open(file: File, path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more shows that there is more.
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).during("reading", path)?;
    match bytes.len() as u64 > limit {
        true => Err(Error::failed(format!("{} has more than {limit} bytes", path.display()))),
        false => Ok(bytes),
    }
}

/// Refuses a file for a program to read if [`read`] would refuse it; a missing one is left to the
/// program.
///
/// # Errors
/// When it is no regular file or has more than `limit` bytes.
pub(crate) fn check(path: &Path, limit: u64) -> Result<()> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(odd(path)),
        Ok(metadata) if metadata.len() > limit => {
            Err(Error::failed(format!("{} has more than {limit} bytes", path.display())))
        }
        _ => Ok(()),
    }
}

/// Whether there is a regular file with this name.
///
/// # Errors
/// When something else has the name.
pub(crate) fn is_there(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(true),
        Ok(_) => Err(odd(path)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).during("looking for", path),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("file"), "12345678").unwrap();
        symlink("file", path("link")).unwrap();
        symlink("/dev/zero", path("zero")).unwrap();
        mknodat(CWD, path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        fs::create_dir(path("directory")).unwrap();
        assert_eq!(read(&path("file"), Links::Refuse, 8).unwrap(), b"12345678");
        assert_eq!(read(&path("link"), Links::Follow, 8).unwrap(), b"12345678");
        let message = read(&path("file"), Links::Follow, 7).unwrap_err().chain();
        assert_eq!(message, format!("{} has more than 7 bytes", path("file").display()));
        assert!(check(&path("file"), 8).is_ok() && check(&path("file"), 7).is_err());
        for (name, links) in [
            ("link", Links::Refuse),
            ("zero", Links::Follow),
            ("zero", Links::Refuse),
            ("fifo", Links::Follow),
            ("fifo", Links::Refuse),
            ("directory", Links::Follow),
        ] {
            let expected = format!("{} is no regular file", path(name).display());
            assert_eq!(read(&path(name), links, 8).unwrap_err().chain(), expected);
        }
        assert!(is_there(&path("file")).unwrap() && !is_there(&path("none")).unwrap());
        for name in ["link", "fifo", "directory"] {
            assert_eq!(
                is_there(&path(name)).unwrap_err().chain(),
                format!("{} is no regular file", path(name).display())
            );
        }
        assert!(check(&path("none"), 8).is_ok());
    }
}
