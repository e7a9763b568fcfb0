//! Directories: made with mode 0700, filled, and only then given what the commit says.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use rayon::prelude::*;
use rustix::fs::{CWD, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::context::{Checkout, Target};
use super::{CheckoutStats, HardLinks, Overwrite, Relabel, existing, whiteout};
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::object::{DirMeta, PERMISSION_BITS};
use crate::progress::{Event, Total, with_total};
use crate::repo::tree::{Node, check_depth, lookup};
use crate::repo::{RepoMode, count_files};

/// A directory of the commit.
#[derive(Clone, Copy)]
struct Stored<'t> {
    dirtree: &'t Checksum,
    dirmeta: &'t Checksum,
    /// From the directory that is checked out, with a slash at both ends; empty when nobody asks for it.
    path: &'t str,
    /// As in [`Target`].
    label_path: Option<&'t str>,
}

/// Where a directory goes.
#[derive(Clone, Copy)]
struct Place<'p> {
    parent: BorrowedFd<'p>,
    name: &'p Path,
    /// How many directories of the commit it is in: 0 is the destination itself, which the user has named.
    depth: usize,
}

impl<'p> Place<'p> {
    fn root(destination: &'p Path) -> Self {
        Self { parent: CWD, name: destination, depth: 0 }
    }
}

/// The only mode bits that `plain_directory_modes` leaves.
const PLAIN_DIRECTORY_BITS: u32 = 0o775;

impl Checkout<'_> {
    pub(super) fn run(&self, commit: &Checksum, destination: &Path) -> Result<CheckoutStats> {
        let commit = self.repo.load_commit(commit)?;
        // A commit without its root is refused as such, whatever part of it is wanted.
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
        let label_path =
            self.options.relabel.as_ref().filter(|_| !self.user_mode).map(|relabel| match &relabel.prefix {
                Some(prefix) => prefix.trim_end_matches('/').to_owned(),
                None => subpath.iter().map(|name| format!("/{name}")).collect(),
            });
        match (node, name) {
            (Node::Directory { dirtree, dirmeta }, _) => {
                let path = if self.skipped.is_empty() { "" } else { "/" };
                let stored = Stored { dirtree: &dirtree, dirmeta: &dirmeta, path, label_path: label_path.as_deref() };
                with_total(
                    self.progress,
                    |over| {
                        let steps = count_files(self.repo, &dirtree, &self.skipped, over)?;
                        Some(Total { steps, bytes: None })
                    },
                    || self.directory(Place::root(destination), stored),
                )?;
            }
            (Node::File(file), name) => {
                let target = Target { label_path, ..self.make(Place::root(destination), MayExist::Yes)? };
                self.file(&target, &name.unwrap_or_default(), &file)?;
            }
        }
        if self.options.fsync {
            // One call for the file system is quicker than one for each file, and also covers the directories.
            let dir = open_directory(CWD, destination, OFlags::empty())?;
            rustix::fs::syncfs(&dir).during("syncing", destination)?;
        }
        Ok(CheckoutStats {
            files_linked: self.counters.linked.load(Ordering::Relaxed),
            files_copied: self.counters.copied.load(Ordering::Relaxed),
            content_bytes_written: self.counters.bytes.load(Ordering::Relaxed),
        })
    }

    fn directory(&self, place: Place<'_>, stored: Stored<'_>) -> Result<()> {
        let (name, depth) = (place.name, place.depth);
        if self.skipped.contains(stored.path) {
            return Ok(());
        }
        check_depth(depth, || name.display().to_string())?;
        let dirmeta = self.dirmeta(stored.dirmeta)?;
        let tree = self.repo.load_dirtree(stored.dirtree)?;
        if self.options.whiteouts && tree.files.iter().any(|(name, _)| whiteout::is_opaque(name)) {
            existing::remove_all(place.parent, name)?;
        }
        let may_exist = if self.options.overwrite == Overwrite::Nothing { MayExist::No } else { MayExist::Yes };
        let target = Target { label_path: stored.label_path.map(str::to_owned), ..self.make(place, may_exist)? };
        if target.is_new && !self.user_mode {
            let xattrs = match (&self.options.relabel, stored.label_path) {
                (Some(Relabel { policy, .. }), Some(path)) => {
                    &policy.labelled(if path.is_empty() { "/" } else { path }, dirmeta.mode, dirmeta.xattrs.clone())?
                }
                _ => &dirmeta.xattrs,
            };
            for (key, value) in xattrs.iter() {
                rustix::fs::fsetxattr(&target.dir, key, value, XattrFlags::empty()).calling("fsetxattr", name)?;
            }
        }
        let child = |name: &str| if stored.path.is_empty() { String::new() } else { format!("{}{name}", stored.path) };
        let mut files: Vec<_> = tree.files.iter().collect();
        if !self.skipped.is_empty() {
            files.retain(|(name, _)| !self.skipped.contains(child(name).as_str()));
        }
        if self.options.whiteouts {
            whiteout::apply(self.repo, target.dir.as_fd(), &mut files)?;
        }
        // All are waited for, so that of several errors always the same one is reported.
        let done: Vec<Result<()>> =
            files.into_par_iter().map(|(name, checksum)| self.file(&target, name, checksum)).collect();
        done.into_iter().collect::<Result<()>>()?;
        let done: Vec<Result<()>> = tree
            .dirs
            .par_iter()
            .map(|dir| {
                let mut path = child(&dir.name);
                if !path.is_empty() {
                    path.push('/');
                }
                let label_path = stored.label_path.map(|parent| format!("{parent}/{}", dir.name));
                let label_path = label_path.as_deref();
                let stored = Stored { dirtree: &dir.dirtree, dirmeta: &dir.dirmeta, path: &path, label_path };
                let place = Place { parent: target.dir.as_fd(), name: Path::new(&dir.name), depth: depth + 1 };
                self.directory(place, stored)
            })
            .collect();
        done.into_iter().collect::<Result<()>>()?;
        if target.is_new { self.finish(&target.dir, name, &dirmeta) } else { Ok(()) }
    }

    /// Makes a directory, or opens the one that is there.
    fn make(&self, Place { parent, name, depth }: Place<'_>, may_exist: MayExist) -> Result<Target> {
        let is_root = depth == 0;
        if self.options.replaces_other_kinds() && !is_root {
            existing::remove_other_than_directory(parent, name)?;
        }
        let is_new = match rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700)) {
            Ok(()) => true,
            Err(Errno::EXIST) if may_exist == MayExist::Yes => false,
            Err(error) => return Err(Error::refused("mkdirat", error)),
        };
        // Whoever asks for a checkout may name the destination by a symbolic link; the commit may not.
        let follow = if is_root && !is_new { OFlags::empty() } else { OFlags::NOFOLLOW };
        let dir = open_directory(parent, name, follow)?;
        if self.options.hard_links == HardLinks::Required && (is_root || !is_new) {
            let source = rustix::fs::fstat(self.repo.dir()).during("reading", self.repo.path())?.st_dev;
            let destination = rustix::fs::fstat(&dir).calling("fstat", name)?.st_dev;
            if source != destination {
                return Err(Error::failed(format!(
                    "Unable to do hardlink checkout across devices (src={source} destination={destination})"
                )));
            }
        }
        Ok(Target { dir, is_new, label_path: None })
    }

    /// Gives a directory that is complete what the commit says about it.
    fn finish(&self, dir: &File, name: &Path, dirmeta: &DirMeta) -> Result<()> {
        if !self.user_mode {
            let (uid, gid) = (Uid::from_raw(dirmeta.uid), Gid::from_raw(dirmeta.gid));
            rustix::fs::fchown(dir, Some(uid), Some(gid)).calling("fchown", name)?;
        }
        // Directories of a bare-user-only repository never are what files there could not be.
        let plain = self.options.plain_directory_modes || self.repo.mode() == RepoMode::BareUserOnly;
        let bits = if plain { PLAIN_DIRECTORY_BITS } else { PERMISSION_BITS };
        rustix::fs::fchmod(dir, Mode::from_raw_mode(dirmeta.mode & bits)).calling("fchmod", name)?;
        // What is linked to objects has their time; a tree of copies has that of its making throughout.
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
