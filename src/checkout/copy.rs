//! Writing a file or symlink, and getting it into place.
//!
//! In a directory that this checkout has made a file is written under its name. Elsewhere others
//! may be reading, so there it gets its name when it is complete.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Uid, XattrFlags};
use rustix::io::Errno;

use super::context::{Checkout, Target};
use super::{Overwrite, existing};
use crate::error::{During, Error, Result};
use crate::object::{FileHeader, PERMISSION_BITS};
use crate::repo::FileObject;

/// The mode bits that a file does not get in user mode, because its owner differs from the
/// commit's.
const SETUID_AND_SETGID: u32 = 0o6000;
/// The bit that a file in user mode gets, for its owner to be able to read it.
const OWNER_MAY_READ: u32 = 0o400;

/// A name for an incomplete file. If it is taken, another one is tried.
pub(super) fn temporary_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!(".checkout-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

impl Checkout<'_> {
    pub(super) fn copy(&self, target: &Target, name: &str, object: FileObject) -> Result<()> {
        let dir = target.dir.as_fd();
        let checksum = *object.checksum();
        if !target.is_new
            && self.options.overwrite != Overwrite::Union
            && existing::exists(dir, name)?
        {
            let may_stay = match self.options.overwrite {
                Overwrite::UnionAdd => true,
                Overwrite::UnionIdentical => {
                    existing::is_identical(self.repo, dir, name, &checksum)?
                }
                Overwrite::Nothing | Overwrite::Union => false,
            };
            return if may_stay { Ok(()) } else { Err(is_there(&object.header)) };
        }
        let bytes = object.size;
        if target.is_new {
            let header = object.header.clone();
            match self.write(dir, name, object) {
                Ok(Ok(())) => {}
                Ok(Err(Errno::EXIST)) => return Err(is_there(&header)),
                Ok(Err(error)) => return Err(error).calling(making(&header), name),
                Err(error) => {
                    let _ = rustix::fs::unlinkat(dir, name, AtFlags::empty());
                    return Err(error);
                }
            }
        } else {
            self.write_aside(dir, name, object)?;
        }
        self.count_copied(bytes);
        Ok(())
    }

    fn write_aside(&self, dir: BorrowedFd<'_>, name: &str, object: FileObject) -> Result<()> {
        let header = object.header.clone();
        let temporary = loop {
            let temporary = temporary_name();
            if !existing::exists(dir, &temporary)? {
                break temporary;
            }
        };
        let written = match self.write(dir, &temporary, object) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => return Err(error).calling(making(&header), name),
            Err(error) => Err(error),
        };
        let placed = written.and_then(|()| {
            if self.options.overwrite == Overwrite::Union {
                let renamed = rustix::fs::renameat(dir, &temporary, dir, name);
                return match header.is_symlink() {
                    true => renamed.calling("unlinkat", name),
                    false => renamed.calling("renameat", format!("{temporary}, {name}")),
                };
            }
            match rustix::fs::linkat(dir, &temporary, dir, name, AtFlags::empty()) {
                Err(Errno::EXIST) => Err(is_there(&header)),
                linked => linked.calling("linkat", name),
            }
        });
        if placed.is_err() || self.options.overwrite != Overwrite::Union {
            let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
        }
        placed
    }

    /// Writes a complete file or symlink; the inner error means that it could not be created.
    fn write(
        &self,
        dir: BorrowedFd<'_>,
        name: &str,
        object: FileObject,
    ) -> Result<std::result::Result<(), Errno>> {
        if object.header.is_symlink() {
            if let Err(error) = rustix::fs::symlinkat(&object.header.symlink_target, dir, name) {
                return Ok(Err(error));
            }
            if !self.user_mode {
                set_symlink_metadata(dir, name, &object.header).calling("lsetxattr", name)?;
            }
            return Ok(Ok(()));
        }
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o600)) {
            Ok(file) => File::from(file),
            Err(error) => return Ok(Err(error)),
        };
        let header = object.header.clone();
        self.write_content(object, &file, name)?;
        self.set_metadata(&file, &header).calling("fchmod", name)?;
        Ok(Ok(()))
    }

    /// Copies the content, sharing the object's blocks if the file system can do that.
    pub(super) fn write_content(
        &self,
        object: FileObject,
        mut file: &File,
        name: &str,
    ) -> Result<()> {
        if let Some(source) = object.plain_file() {
            if self.may_reflink.load(Ordering::Relaxed) {
                match rustix::fs::ioctl_ficlone(file, source) {
                    Ok(()) => return Ok(()),
                    Err(_) => self.may_reflink.store(false, Ordering::Relaxed),
                }
            }
            if copy_in_kernel(source, file, object.size) {
                return Ok(());
            }
        }
        object.read_chunks(&mut |chunk| file.write_all(chunk).calling("write", name))?;
        Ok(())
    }

    /// Owner, mode and xattrs of a regular file, as far as the checkout's mode sets them.
    pub(super) fn set_metadata(&self, file: &File, header: &FileHeader) -> Result<(), Errno> {
        let mode = header.mode & PERMISSION_BITS;
        if self.user_mode {
            return rustix::fs::fchmod(
                file,
                Mode::from_raw_mode(mode & !SETUID_AND_SETGID | OWNER_MAY_READ),
            );
        }
        // Changing the owner clears the setuid bits and file capabilities, so it comes first.
        rustix::fs::fchown(file, Some(Uid::from_raw(header.uid)), Some(Gid::from_raw(header.gid)))?;
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
        for (key, value) in header.xattrs.iter() {
            rustix::fs::fsetxattr(file, key, value, XattrFlags::empty())?;
        }
        Ok(())
    }
}

/// Owner and xattrs of a symlink, or of anything else that is not to be opened.
pub(super) fn set_symlink_metadata(
    dir: BorrowedFd<'_>,
    name: &str,
    header: &FileHeader,
) -> Result<(), Errno> {
    let (uid, gid) = (Uid::from_raw(header.uid), Gid::from_raw(header.gid));
    rustix::fs::chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    for (key, value) in header.xattrs.iter() {
        let path = format!("/proc/self/fd/{}/{name}", dir.as_raw_fd());
        rustix::fs::lsetxattr(path, key, value, XattrFlags::empty())?;
    }
    Ok(())
}

/// Whether the kernel has copied everything. If not, nothing was written.
fn copy_in_kernel(source: &File, target: &File, size: u64) -> bool {
    let (mut from, mut to) = (0, 0);
    while from < size {
        let left = usize::try_from(size - from).unwrap_or(usize::MAX);
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), left) {
            Ok(length) if length > 0 => {}
            // The positions of both files are still at the start, so that a copy by hand writes
            // over what is there.
            _ => return false,
        }
    }
    true
}

fn making(header: &FileHeader) -> &'static str {
    if header.is_symlink() { "symlinkat" } else { "openat" }
}

/// The error when an existing file must not stay. Upstream writes a file without a name and then
/// links it, so its message is about linking.
fn is_there(header: &FileHeader) -> Error {
    let call = if header.is_symlink() { "symlinkat" } else { "linkat" };
    Error::refused(call, Errno::EXIST)
}
