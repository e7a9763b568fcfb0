//! Adopting: a source file that is about to be consumed becomes the object itself, by a hard link.
//!
//! Upstream renames the file. A link keeps the source where it is until the commit is safe on disk, so a kill in between
//! loses nothing; what the file system cannot link is written like any other content. As upstream's, an adopted file keeps
//! its modification time.
//!
//! A source that is left over from a kill is therefore the object itself. Until the commit is on disk that does no harm,
//! since no transaction takes over a file with two names; after it, the source must be removed and not be edited.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;

use super::{RepoMode, Transaction};
use crate::error::{During, Result};
use crate::object::{FileHeader, ObjectName};

/// Permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// The place of a regular file that the repository may take over.
#[derive(Clone, Copy, Debug)]
pub struct Adoptable<'a> {
    /// The directory it is in.
    pub directory: BorrowedFd<'a>,
    /// Its name there.
    pub name: &'a str,
}

impl Transaction<'_> {
    /// Links the open `file` to its object name. False when the file is not what the object has to be, or cannot be
    /// linked: nothing has happened then.
    pub(super) fn adopt(
        &self,
        object: &ObjectName,
        header: &FileHeader,
        file: &File,
        Adoptable { directory, name }: Adoptable<'_>,
    ) -> Result<bool> {
        let path = || self.repo().path().join("tmp");
        let before = rustix::fs::fstat(file).during("reading", path())?;
        if !may_become_object(self.repo().mode(), header, file, &before)? {
            return Ok(false);
        }
        let work_dir = self.work_dir();
        let temporary = loop {
            let temporary = self.temporary_name();
            match rustix::fs::linkat(directory, name, work_dir, &temporary, AtFlags::empty()) {
                Ok(()) => break temporary,
                Err(Errno::EXIST) => {}
                // Another file system, too many links, a file that may not be linked.
                Err(_) => return Ok(false),
            }
        };
        let linked = rustix::fs::statat(work_dir, &temporary, AtFlags::SYMLINK_NOFOLLOW).during("reading", path())?;
        let same_file = (linked.st_dev, linked.st_ino) == (before.st_dev, before.st_ino);
        let same_content = (linked.st_size, linked.st_mtime, linked.st_mtime_nsec)
            == (before.st_size, before.st_mtime, before.st_mtime_nsec);
        if !(same_file && same_content) {
            rustix::fs::unlinkat(work_dir, &temporary, AtFlags::empty()).during("removing", path())?;
            return Ok(false);
        }
        if before.st_mode & PERMISSIONS != header.mode & PERMISSIONS {
            rustix::fs::fchmod(file, Mode::from_raw_mode(header.mode & PERMISSIONS))
                .during("changing the mode in", path())?;
        }
        self.place(&temporary, object)?;
        Ok(true)
    }
}

/// Whether nothing has to change for the file to be the object, except the permissions in bare-user-only, which keeps
/// nothing else. The other modes keep an object's metadata where a file has none.
fn may_become_object(mode: RepoMode, header: &FileHeader, file: &File, stat: &Stat) -> Result<bool> {
    match mode {
        RepoMode::BareUserOnly => Ok(true),
        RepoMode::Bare => {
            let as_it_is = stat.st_mode & PERMISSIONS == header.mode & PERMISSIONS
                && (stat.st_uid, stat.st_gid) == (header.uid, header.gid);
            Ok(as_it_is && super::read_xattrs(file).during("reading xattrs of", "a file")? == header.xattrs)
        }
        _ => Ok(false),
    }
}
