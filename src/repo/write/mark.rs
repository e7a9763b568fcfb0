//! What tells that a file in a staging directory was not finished: a name that no object has, or a
//! bit of its mode.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::repo::RepoMode;

/// Unfinished files have names that start so; they are worth nothing when their writer is gone.
pub(in crate::repo) const UNFINISHED_PREFIX: &str = "unfinished-";
/// The sticky bit, which does nothing for regular files.
pub(in crate::repo) const UNFINISHED_MARK: u32 = 0o1000;
pub(in crate::repo) const OWNER_ONLY: u32 = 0o600;

/// Whether finished objects never have the mark: files (of content) and others.
pub(in crate::repo) fn has_mark(mode: RepoMode, is_file: bool) -> bool {
    !is_file || matches!(mode, RepoMode::Archive | RepoMode::BareUser | RepoMode::BareUserOnly)
}

/// Whether what has the name of an object in a staging directory was not finished.
pub(in crate::repo) fn is_unfinished(mode: RepoMode, is_file: bool, stat: &Stat) -> bool {
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    has_mark(mode, is_file) && is_regular && stat.st_mode & UNFINISHED_MARK != 0
}

/// Whether the file system keeps the mark; `dir` is a directory that nobody else writes to.
pub(in crate::repo) fn is_mark_kept(dir: BorrowedFd<'_>) -> Result<bool, Errno> {
    let name = format!("{UNFINISHED_PREFIX}mark");
    let file = create(dir, &name, OWNER_ONLY | UNFINISHED_MARK)?;
    let kept = rustix::fs::fstat(&file)?.st_mode & UNFINISHED_MARK != 0;
    rustix::fs::unlinkat(dir, &name, AtFlags::empty())?;
    Ok(kept)
}

/// Creates a file that must not be there.
pub(in crate::repo) fn create(dir: BorrowedFd<'_>, path: &str, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, path, flags, Mode::from_raw_mode(mode)).map(File::from)
}
