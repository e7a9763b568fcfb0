//! Gives new file objects of the bare modes their metadata; `read/bare.rs` says where it goes.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::object::{FileHeader, ObjectName, S_IFMT};
use crate::repo::read::bare::METADATA_XATTR;
use crate::repo::read::xattrs::proc_path;
use crate::repo::{Repo, RepoMode};

/// The mode bits that bare-user and bare-user-only let a file have.
const USER_MODE_BITS: u32 = 0o775;

/// Gives a finished temporary file the owner, mode, xattrs and modification time of the object.
/// Where the mode marks unfinished files, it is set last.
pub(in crate::repo) fn apply_metadata(
    repo: &Repo,
    file: &File,
    header: &FileHeader,
) -> Result<(), Errno> {
    if repo.mode() != RepoMode::Archive {
        let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
        let keep = Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT };
        rustix::fs::futimens(file, &Timestamps { last_access: keep, last_modification: epoch })?;
    }
    let permissions = header.mode & !S_IFMT;
    match repo.mode() {
        RepoMode::Bare => {
            // Changing the owner clears the setuid bits, so the mode comes after it.
            rustix::fs::fchown(
                file,
                Some(Uid::from_raw(header.uid)),
                Some(Gid::from_raw(header.gid)),
            )?;
            rustix::fs::fchmod(file, Mode::from_raw_mode(permissions))?;
            for (name, value) in header.xattrs.iter() {
                rustix::fs::fsetxattr(file, name, value, XattrFlags::empty())?;
            }
        }
        RepoMode::BareUser => {
            rustix::fs::fsetxattr(
                file,
                METADATA_XATTR,
                &header.encode_meta(),
                XattrFlags::empty(),
            )?;
            let mode =
                if header.is_symlink() { 0o644 } else { permissions & USER_MODE_BITS | 0o400 };
            rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
        }
        RepoMode::BareUserOnly => rustix::fs::fchmod(file, Mode::from_raw_mode(permissions))?,
        // Upstream's experimental writer stores only the content.
        RepoMode::BareSplitXattrs | RepoMode::Archive => {
            rustix::fs::fchmod(file, Mode::from_raw_mode(0o644))?
        }
    }
    Ok(())
}

/// Whether the mode keeps symlinks as symlinks.
pub(in crate::repo) fn has_real_symlinks(mode: RepoMode) -> bool {
    matches!(mode, RepoMode::Bare | RepoMode::BareUserOnly | RepoMode::BareSplitXattrs)
}

/// Makes a symlink object under a temporary name in `dir`.
pub(in crate::repo) fn create_symlink(
    repo: &Repo,
    dir: BorrowedFd<'_>,
    name: &str,
    header: &FileHeader,
) -> Result<(), Errno> {
    rustix::fs::symlinkat(&header.symlink_target, dir, name)?;
    if repo.mode() != RepoMode::Bare {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(header.uid), Gid::from_raw(header.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    for (key, value) in header.xattrs.iter() {
        let path = proc_path(dir, name.as_bytes());
        rustix::fs::lsetxattr(&path[..], key, value, XattrFlags::empty())?;
    }
    Ok(())
}

/// bare-user-only refuses modes that it could not keep.
pub(crate) fn check_user_only_mode(name: &ObjectName, header: &FileHeader) -> Result<()> {
    let permissions = header.mode & !S_IFMT;
    let refused = permissions & !USER_MODE_BITS;
    if header.is_symlink() || refused == 0 {
        return Ok(());
    }
    let mode = header.mode;
    let message = format!(
        "Content object {}: invalid mode 0{mode:04o} with bits 0{refused:04o}",
        name.checksum
    );
    Err(Error::failed(message))
}
