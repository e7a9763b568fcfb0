//! What exists at the destination already.

use std::fs::File;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::checksum::{Checksum, Hasher};
use crate::dir::{self, Dir};
use crate::error::{During, Result};
use crate::object::{FileHeader, S_IFMT, Xattrs};
use crate::repo::{Repo, RepoMode, read_xattrs, read_xattrs_at};

/// How much of a file is read at a time, in bytes.
const BUFFER_LEN: usize = 128 << 10;
/// The permissions that a bare-user-only repository keeps.
const CANONICAL_BITS: u32 = 0o755;

/// Whether the name is taken.
pub(super) fn exists(dir: BorrowedFd<'_>, name: &str) -> Result<bool> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(error).calling("fstatat", name),
    }
}

/// Whether both names are links to one file.
pub(super) fn is_same_inode(
    one: (BorrowedFd<'_>, &str),
    other: (BorrowedFd<'_>, &str),
) -> Result<bool> {
    let inode = |(dir, name): (BorrowedFd<'_>, &str)| {
        let stat =
            rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).calling("fstatat", name);
        stat.map(|stat| (stat.st_dev, stat.st_ino))
    };
    Ok(inode(one)? == inode(other)?)
}

/// Whether the file would become the object `checksum` if it was committed to the repository.
pub(super) fn is_identical(
    repo: &Repo,
    dir: BorrowedFd<'_>,
    name: &str,
    checksum: &Checksum,
) -> Result<bool> {
    let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW).calling("fstatat", name)?;
    let records_xattrs = repo.mode() != RepoMode::BareUserOnly && !repo.config().disable_xattrs;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Symlink => {
            let target =
                rustix::fs::readlinkat(dir, name, Vec::new()).calling("readlinkat", name)?;
            let Ok(symlink_target) = target.into_string() else { return Ok(false) };
            let xattrs = match records_xattrs {
                true => read_xattrs_at(dir, name.as_bytes()).calling("llistxattr", name)?,
                false => Xattrs::default(),
            };
            let header = FileHeader { symlink_target, xattrs, ..ownership(repo, &stat) };
            Ok(Checksum::of(&header.content_header()) == *checksum)
        }
        FileType::RegularFile => {
            let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let mut file = File::from(
                rustix::fs::openat(dir, name, flags, Mode::empty()).calling("openat", name)?,
            );
            let xattrs = match records_xattrs {
                true => read_xattrs(&file).calling("flistxattr", name)?,
                false => Xattrs::default(),
            };
            let mut hasher = Hasher::new();
            hasher.update(&FileHeader { xattrs, ..ownership(repo, &stat) }.content_header());
            let mut buffer = vec![0; BUFFER_LEN];
            loop {
                match file.read(&mut buffer).during("reading", name)? {
                    0 => return Ok(hasher.finish() == *checksum),
                    length => hasher.update(&buffer[..length]),
                }
            }
        }
        _ => Ok(false),
    }
}

/// The header without xattrs and target.
fn ownership(repo: &Repo, stat: &Stat) -> FileHeader {
    let (mut uid, mut gid, mut mode) = (stat.st_uid, stat.st_gid, stat.st_mode);
    if repo.mode() == RepoMode::BareUserOnly {
        (uid, gid) = (0, 0);
        if FileType::from_raw_mode(mode) == FileType::RegularFile {
            mode &= S_IFMT | CANONICAL_BITS;
        }
    }
    FileHeader { uid, gid, mode, symlink_target: String::new(), xattrs: Xattrs::default() }
}

/// Removes a directory with everything in it; anything else of that name stays.
pub(super) fn remove_directory(parent: BorrowedFd<'_>, name: &str) -> Result<()> {
    match kind(parent, Path::new(name))? {
        Some(FileType::Directory) => remove_all(parent, Path::new(name)),
        _ => Ok(()),
    }
}

/// Removes anything but a directory; a directory stays.
pub(super) fn remove_other_than_directory(parent: BorrowedFd<'_>, name: &Path) -> Result<()> {
    match kind(parent, name)? {
        None | Some(FileType::Directory) => Ok(()),
        Some(_) => rustix::fs::unlinkat(parent, name, AtFlags::empty()).calling("unlinkat", name),
    }
}

/// What has that name, symbolic links not followed.
fn kind(parent: BorrowedFd<'_>, name: &Path) -> Result<Option<FileType>> {
    match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).calling("fstatat", name),
    }
}

/// Removes a file, or a directory with everything in it; a missing one is not an error. No symlink
/// is followed.
pub(super) fn remove_all(parent: BorrowedFd<'_>, name: &Path) -> Result<()> {
    // The destination, which the user has named, is the only name with directories before it.
    if name.components().count() == 1 {
        return dir::remove_all(parent, name).calling("unlinkat", name);
    }
    let (parent, last) = match Dir::open_parent(name) {
        Ok(opened) => opened,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error).calling("opendir", name),
    };
    dir::remove_all(parent, last).calling("unlinkat", name)
}
