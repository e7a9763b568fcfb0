//! Checks out one file or symlink: as a hard link to the object where the repository stores it in
//! the right form, else as a copy.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;

use super::context::{Checkout, Target};
use super::{HardLinks, Overwrite, Relabel, existing, whiteout};
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{Context, During, Error, Result};
use crate::object::{FileHeader, ObjectName, ObjectType};
use crate::repo::{FileObject, Repo, RepoMode, loose_path};

/// The result of an attempt to link.
pub(super) enum Link {
    /// The file is there, or what was there before may stay.
    Done,
    /// It has to be a copy; the object, if it has been opened.
    Copy(Option<Box<FileObject>>),
    /// The repository does not have the object.
    Missing,
}

/// A file of the repository that is linked to.
pub(super) struct Origin<'a> {
    /// The directory it is in.
    pub(super) dir: BorrowedFd<'a>,
    /// Its name there.
    pub(super) name: &'a str,
    /// Its path, for messages.
    pub(super) shown: &'a str,
}

/// Without it only root could read the checked out file.
const OWNER_MAY_READ: u32 = 0o400;

impl Checkout<'_> {
    /// Checks out one file object as `name`.
    pub(super) fn file(&self, target: &Target, name: &str, checksum: &Checksum) -> Result<()> {
        if self.options.replaces_other_kinds() && !target.is_new {
            existing::remove_directory(target.dir.as_fd(), name)?;
        }
        if let (Some(name), true) =
            (whiteout::passthrough_name(name), self.options.passthrough_whiteouts)
        {
            let object = self.load(checksum)?;
            if !object.header.is_symlink() {
                return self.whiteout_device(target, name, &object.header);
            }
        }
        let mut opened = None;
        // A label is not the object's, so no link to it can have one.
        if self.options.hard_links != HardLinks::Never && self.label_prefix.is_none() {
            match self.link(target, name, checksum)? {
                Link::Done => return Ok(()),
                Link::Copy(object) => opened = object,
                Link::Missing => {}
            }
        }
        let mut object = match opened {
            Some(object) => *object,
            None => self.load(checksum)?,
        };
        if let (Some(Relabel { policy, .. }), Some(prefix)) =
            (&self.options.relabel, &self.label_prefix)
        {
            let xattrs = std::mem::take(&mut object.header.xattrs);
            object.header.xattrs = policy.labelled(
                &format!("{prefix}{}", target.path.child_text(name)),
                object.header.mode,
                xattrs,
            )?;
        }
        if self.uses_cache() && is_linked_in_user_mode(&object) {
            match self.link_cached(target, name, object)? {
                None => return Ok(()),
                Some(again) => object = again,
            }
        }
        self.copy(target, name, object).context(|| format!("Copy checkout of {checksum} to {name}"))
    }

    pub(super) fn load(&self, checksum: &Checksum) -> Result<FileObject> {
        match self.repo.load_file(checksum) {
            Err(error) if self.repo.mode() != RepoMode::Archive => {
                Err(error).context(|| format!("Opening content object {checksum}"))
            }
            loaded => loaded,
        }
    }

    /// Links to the object in the repository, or in the first parent that has it.
    fn link(&self, target: &Target, name: &str, checksum: &Checksum) -> Result<Link> {
        let mut next = Some(self.repo);
        while let Some(repo) = next {
            if self.can_link(repo.mode()) {
                match self.link_object(repo, target, name, checksum)? {
                    Link::Missing => {}
                    outcome => return Ok(outcome),
                }
            } else if self.options.hard_links == HardLinks::Required {
                let object = self.load(checksum)?;
                if self.is_always_copied(&object, repo.mode()) {
                    return Ok(Link::Copy(Some(Box::new(object))));
                }
                return Err(Error::failed(match repo.mode() {
                    RepoMode::BareUser => {
                        "User repository mode requires user checkout mode to hardlink"
                    }
                    _ => "Bare repository mode cannot hardlink in user checkout mode",
                }));
            }
            next = repo.parent();
        }
        Ok(Link::Missing)
    }

    fn can_link(&self, mode: RepoMode) -> bool {
        match mode {
            RepoMode::Bare => !self.user_mode,
            RepoMode::BareUser | RepoMode::BareUserOnly => self.user_mode,
            RepoMode::BareSplitXattrs | RepoMode::Archive => false,
        }
    }

    /// Whether the object is copied even where links are required, as upstream does: a link would
    /// save little, or could not have the requested properties.
    fn is_always_copied(&self, object: &FileObject, mode: RepoMode) -> bool {
        match object.header.is_symlink() {
            true => mode == RepoMode::BareUser,
            false => object.size == 0 || self.user_mode && object.header.mode & OWNER_MAY_READ == 0,
        }
    }

    fn link_object(
        &self,
        repo: &Repo,
        target: &Target,
        name: &str,
        checksum: &Checksum,
    ) -> Result<Link> {
        let object_name = ObjectName::new(*checksum, ObjectType::File);
        if repo.mode() == RepoMode::BareUser {
            if repo.parent().is_some() && !repo.has_own_object(&object_name)? {
                return Ok(Link::Missing);
            }
            let object = match repo.load_file(checksum) {
                Err(Error::MissingFile { .. }) => return Ok(Link::Missing),
                loaded => loaded?,
            };
            if !is_linked_in_user_mode(&object) {
                return Ok(Link::Copy(Some(Box::new(object))));
            }
        } else {
            let stat = match repo.stat_object(&object_name) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => return Ok(Link::Missing),
                Err(error) => {
                    return Err(error).during("looking for", repo.object_path(&object_name));
                }
            };
            // Links to an empty file save nothing, and their number is limited.
            let is_empty =
                FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_size == 0;
            let is_symlink = FileType::from_raw_mode(stat.st_mode) == FileType::Symlink;
            let is_unreadable = stat.st_mode & OWNER_MAY_READ == 0;
            if is_empty || repo.mode() == RepoMode::BareUserOnly && (is_symlink || is_unreadable) {
                return Ok(Link::Copy(None));
            }
        }
        let linked = repo.at_object(&object_name, |dir, file_name| {
            Ok(self.link_to(
                target,
                name,
                &Origin { dir, name: file_name, shown: &loose_path(&object_name, repo.mode()) },
                checksum,
            ))
        });
        match linked {
            Ok(linked) => linked,
            Err(Errno::NOENT) => Ok(Link::Missing),
            Err(error) => Err(error).during("opening", repo.object_path(&object_name)),
        }
    }

    /// Links `name` to a file of the repository.
    pub(super) fn link_to(
        &self,
        target: &Target,
        name: &str,
        origin: &Origin<'_>,
        checksum: &Checksum,
    ) -> Result<Link> {
        let dir = target.dir.as_fd();
        let mut linked = rustix::fs::linkat(origin.dir, origin.name, dir, name, AtFlags::empty());
        if linked == Err(Errno::EXIST) {
            match self.options.overwrite {
                Overwrite::Union => linked = self.replace_by_link(target, name, origin)?,
                Overwrite::UnionAdd => return Ok(Link::Done),
                Overwrite::UnionIdentical
                    if existing::is_same_inode((dir, name), (origin.dir, origin.name))?
                        || existing::is_identical(self.repo, dir, name, checksum)? =>
                {
                    return Ok(Link::Done);
                }
                Overwrite::Nothing | Overwrite::UnionIdentical => {}
            }
        }
        match linked {
            Ok(()) => {
                self.count_linked();
                Ok(Link::Done)
            }
            Err(Errno::MLINK | Errno::XDEV | Errno::PERM)
                if self.options.hard_links != HardLinks::Required =>
            {
                Ok(Link::Copy(None))
            }
            Err(Errno::NOENT) => Ok(Link::Missing),
            Err(error) => {
                Err(Error::refused(format!("Hardlinking {} to {name}", origin.shown), error))
            }
        }
    }

    /// Replaces an existing file by a new link; the inner result is that of linking.
    fn replace_by_link(
        &self,
        target: &Target,
        name: &str,
        origin: &Origin<'_>,
    ) -> Result<std::result::Result<(), Errno>> {
        let dir = target.dir.as_fd();
        let linked = dir::at_free_name(
            || Ok(super::copy::temporary_name()),
            |temporary| {
                rustix::fs::linkat(origin.dir, origin.name, dir, temporary, AtFlags::empty())
            },
            |error, _| Err(error),
        );
        let temporary = match linked {
            Ok((temporary, ())) => temporary,
            Err(error) => return Ok(Err(error)),
        };
        let renamed = rustix::fs::renameat(dir, &temporary, dir, name);
        // Renaming one of two links to a file over the other does nothing, and leaves both.
        let _ = rustix::fs::unlinkat(dir, &temporary, AtFlags::empty());
        renamed.calling("renameat", format!("{temporary}, {name}"))?;
        Ok(Ok(()))
    }
}

/// Whether a file of the repository can stand for the object in user mode.
pub(super) fn is_linked_in_user_mode(object: &FileObject) -> bool {
    let FileHeader { mode, .. } = object.header;
    !object.header.is_symlink() && object.size > 0 && mode & OWNER_MAY_READ != 0
}
