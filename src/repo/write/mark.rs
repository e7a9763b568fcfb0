//! How unfinished files in a staging directory are marked: by a name that no object has, or by a
//! mode bit.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::repo::RepoMode;

/// The prefix of unfinished files, which are useless once their writer is gone.
pub(in crate::repo) const UNFINISHED_PREFIX: &str = "unfinished-";
/// The sticky bit, which has no effect on regular files.
pub(in crate::repo) const UNFINISHED_MARK: u32 = 0o1000;
pub(in crate::repo) const OWNER_ONLY: u32 = 0o600;

/// Whether finished objects never have the mark, for file objects and for others.
pub(in crate::repo) fn has_mark(mode: RepoMode, is_file: bool) -> bool {
    !is_file || matches!(mode, RepoMode::Archive | RepoMode::BareUser | RepoMode::BareUserOnly)
}

/// Whether an entry with an object's name in a staging directory is unfinished.
pub(in crate::repo) fn is_unfinished(mode: RepoMode, is_file: bool, stat: &Stat) -> bool {
    let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    has_mark(mode, is_file) && is_regular && stat.st_mode & UNFINISHED_MARK != 0
}

/// Whether the file system keeps the mark; no one else may write to `dir`.
pub(in crate::repo) fn is_mark_kept(dir: BorrowedFd<'_>) -> Result<bool, Errno> {
    let name = format!("{UNFINISHED_PREFIX}mark");
    let file = create(dir, &name, OWNER_ONLY | UNFINISHED_MARK)?;
    let kept = rustix::fs::fstat(&file)?.st_mode & UNFINISHED_MARK != 0;
    rustix::fs::unlinkat(dir, &name, AtFlags::empty())?;
    Ok(kept)
}

/// Creates a file that must not exist.
pub(in crate::repo) fn create(dir: BorrowedFd<'_>, path: &str, mode: u32) -> Result<File, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    rustix::fs::openat(dir, path, flags, Mode::from_raw_mode(mode)).map(File::from)
}
