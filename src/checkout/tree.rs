//! Directories: made with mode 0700, filled, and only then given the commit's metadata.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rustix::fs::{CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::context::{Checkout, Target};
use super::{CheckoutStats, HardLinks, Overwrite, Relabel, existing, whiteout};
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::object::{DirEntry, DirMeta, DirTree, PERMISSION_BITS};
use crate::progress::{Event, Total, with_total};
use crate::repo::tree::{Node, TreePath, lookup};
use crate::repo::{RepoMode, count_files};
use crate::threads::{Fold, Opened, fold, pieces};

/// What is still to be checked out.
pub(super) enum Part {
    Directory(Place),
    Files(Arc<Target>, Vec<(String, Checksum)>),
}

/// A directory of the commit, and where it goes.
pub(super) struct Place {
    /// None for the destination itself, which the user has named.
    parent: Option<Arc<Target>>,
    name: PathBuf,
    path: TreePath,
    dirtree: Checksum,
    dirmeta: Checksum,
}

/// A directory that is being filled.
pub(super) struct Filled {
    target: Arc<Target>,
    name: PathBuf,
    dirmeta: Arc<DirMeta>,
}

/// The only mode bits that `plain_directory_modes` leaves.
const PLAIN_DIRECTORY_BITS: u32 = 0o775;

impl Checkout<'_> {
    pub(super) fn run(mut self, commit: &Checksum, destination: &Path) -> Result<CheckoutStats> {
        let commit = self.repo.load_commit(commit)?;
        // A commit without its root is refused, whichever part of it is wanted.
        self.dirmeta(&commit.root_dirmeta)?;
        let root = Node::root_of(&commit);
        let mut subpath = Vec::new();
        let (node, name) = match &self.options.subpath {
            None => (root, None),
            Some(path) => {
                let mut place = lookup(self.repo, &root, path)?;
                let name = match place.node {
                    Node::Directory { .. } => None,
                    Node::File(_) => place.names.pop(),
                };
                subpath = place.names;
                (place.node, name)
            }
        };
        self.label_prefix =
            self.options.relabel.as_ref().filter(|_| !self.user_mode).map(|relabel| match &relabel
                .prefix
            {
                Some(prefix) => prefix.trim_end_matches('/').to_owned(),
                None => subpath.iter().map(|name| format!("/{name}")).collect(),
            });
        match (node, name) {
            (Node::Directory { dirtree, dirmeta }, _) => {
                let (parent, path) = (None, TreePath::default());
                let root = Place { parent, name: destination.to_owned(), path, dirtree, dirmeta };
                with_total(
                    self.progress,
                    |over| {
                        let steps = count_files(self.repo, &dirtree, &self.skipped, over)?;
                        Some(Total { steps, bytes: None })
                    },
                    || fold(&self, Part::Directory(root)),
                )?;
            }
            (Node::File(file), name) => {
                let target = self.make(CWD, destination, TreePath::default(), MayExist::Yes)?;
                self.file(&target, &name.unwrap_or_default(), &file)?;
            }
        }
        if self.options.fsync {
            // One call for the whole file system is faster than one for each file, and also covers
            // the directories.
            let dir = open_directory(CWD, destination, OFlags::empty())?;
            rustix::fs::syncfs(&dir).during("syncing", destination)?;
        }
        Ok(CheckoutStats {
            files_linked: self.counters.linked.load(Ordering::Relaxed),
            files_copied: self.counters.copied.load(Ordering::Relaxed),
            content_bytes_written: self.counters.bytes.load(Ordering::Relaxed),
        })
    }

    fn directory(&self, place: Place) -> Result<Opened<Filled, Part, ()>> {
        let Place { parent, name, path, dirtree, dirmeta } = place;
        if !self.skipped.is_empty() && self.skipped.contains(path.below("/").as_str()) {
            return Ok(Opened::Whole(()));
        }
        path.check_depth()?;
        let dirmeta = self.dirmeta(&dirmeta)?;
        let DirTree { files, dirs } = self.repo.load_dirtree(&dirtree)?;
        let above = parent.as_ref().map_or(CWD, |parent| parent.dir.as_fd());
        if self.options.whiteouts && files.iter().any(|(name, _)| whiteout::is_opaque(name)) {
            existing::remove_all(above, &name)?;
        }
        let may_exist =
            if self.options.overwrite == Overwrite::Nothing { MayExist::No } else { MayExist::Yes };
        let target = self.make(above, &name, path, may_exist)?;
        if target.is_new && !self.user_mode {
            let xattrs = match (&self.options.relabel, &self.label_prefix) {
                (Some(Relabel { policy, .. }), Some(prefix)) => {
                    let path = format!("{prefix}{}", target.path.below(""));
                    let path = if path.is_empty() { "/" } else { &path };
                    &policy.labelled(path, dirmeta.mode, dirmeta.xattrs.clone())?
                }
                _ => &dirmeta.xattrs,
            };
            for (key, value) in xattrs.iter() {
                rustix::fs::fsetxattr(&target.dir, key, value, XattrFlags::empty())
                    .calling("fsetxattr", &name)?;
            }
        }
        let mut kept: Vec<_> = files.iter().collect();
        if !self.skipped.is_empty() {
            kept.retain(|(name, _)| !self.skipped.contains(target.path.child_text(name).as_str()));
        }
        if self.options.whiteouts {
            whiteout::apply(self.repo, target.dir.as_fd(), &mut kept)?;
        }
        let files: Vec<_> = kept.into_iter().cloned().collect();
        let target = Arc::new(target);
        let mut parts: Vec<Part> =
            pieces(files).map(|files| Part::Files(target.clone(), files)).collect();
        parts.extend(dirs.into_iter().map(|DirEntry { name, dirtree, dirmeta }| {
            let path = target.path.child(&name);
            Part::Directory(Place {
                parent: Some(target.clone()),
                name: name.into(),
                path,
                dirtree,
                dirmeta,
            })
        }));
        Ok(Opened::Parts(Filled { target, name, dirmeta }, parts))
    }

    /// Creates a directory, or opens an existing one.
    fn make(
        &self,
        parent: BorrowedFd<'_>,
        name: &Path,
        path: TreePath,
        may_exist: MayExist,
    ) -> Result<Target> {
        let is_root = path.depth() == 0;
        if self.options.replaces_other_kinds() && !is_root {
            existing::remove_other_than_directory(parent, name)?;
        }
        let is_new = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) if may_exist == MayExist::Yes => false,
            Err(error) => return Err(Error::refused("mkdirat", error)),
        };
        // The user may give the destination as a symbolic link; the commit may not.
        let follow = if is_root && !is_new { OFlags::empty() } else { OFlags::NOFOLLOW };
        let dir = open_directory(parent, name, follow)?;
        if self.options.hard_links == HardLinks::Required && (is_root || !is_new) {
            let source =
                rustix::fs::fstat(self.repo.dir()).during("reading", self.repo.path())?.st_dev;
            let destination = rustix::fs::fstat(&dir).calling("fstat", name)?.st_dev;
            if source != destination {
                return Err(Error::failed(format!(
                    "Unable to do hardlink checkout across devices (src={source} \
                     destination={destination})"
                )));
            }
        }
        Ok(Target { dir, is_new, path })
    }

    /// Sets the commit's metadata on a complete directory.
    fn finish(&self, dir: &File, name: &Path, dirmeta: &DirMeta) -> Result<()> {
        if !self.user_mode {
            let (uid, gid) = (Uid::from_raw(dirmeta.uid), Gid::from_raw(dirmeta.gid));
            rustix::fs::fchown(dir, Some(uid), Some(gid)).calling("fchown", name)?;
        }
        // Directories of a bare-user-only repository never are what files there could not be.
        let plain =
            self.options.plain_directory_modes || self.repo.mode() == RepoMode::BareUserOnly;
        let bits = if plain { PLAIN_DIRECTORY_BITS } else { PERMISSION_BITS };
        rustix::fs::fchmod(dir, Mode::from_raw_mode(dirmeta.mode & bits))
            .calling("fchmod", name)?;
        // What is linked to objects has their time; a tree of copies has that of its making
        // throughout.
        if self.options.hard_links != HardLinks::Never {
            let epoch = Timespec { tv_sec: 0, tv_nsec: 0 };
            let times = Timestamps { last_access: epoch, last_modification: epoch };
            rustix::fs::futimens(dir, &times).calling("futimens", name)?;
        }
        Ok(())
    }

    fn dirmeta(&self, checksum: &Checksum) -> Result<Arc<DirMeta>> {
        let known = || self.dirmetas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(dirmeta) = known().get(checksum) {
            return Ok(dirmeta.clone());
        }
        let dirmeta = Arc::new(self.repo.load_dirmeta(checksum)?);
        known().insert(*checksum, dirmeta.clone());
        Ok(dirmeta)
    }

    pub(super) fn count_linked(&self) {
        self.counters.linked.fetch_add(1, Ordering::Relaxed);
        self.progress.event(Event::Advanced { steps: 1, bytes: 0 });
    }

    pub(super) fn count_copied(&self, bytes: u64) {
        self.counters.copied.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.progress.event(Event::Advanced { steps: 1, bytes });
    }
}

impl Fold for Checkout<'_> {
    type Part = Part;
    type Open = Filled;
    type Folded = ();

    fn open(&self, part: Part) -> Result<Opened<Filled, Part, ()>> {
        match part {
            Part::Directory(place) => self.directory(place),
            Part::Files(target, files) => {
                files.iter().try_for_each(|(name, checksum)| self.file(&target, name, checksum))?;
                Ok(Opened::Whole(()))
            }
        }
    }

    fn close(&self, Filled { target, name, dirmeta }: Filled, _: Vec<()>) -> Result<()> {
        if target.is_new { self.finish(&target.dir, &name, &dirmeta) } else { Ok(()) }
    }
}

/// Whether a directory may be there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MayExist {
    No,
    Yes,
}

fn open_directory(parent: BorrowedFd<'_>, name: &Path, follow: OFlags) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | follow;
    Ok(rustix::fs::openat(parent, name, flags, Mode::empty()).calling("opendir", name)?.into())
}
