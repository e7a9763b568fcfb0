//! Writes refs, one at a time and atomically. A transaction calls this after its objects are in
//! place.

use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::refspec::{CollectionRef, RefName, RemoteName};
use crate::repo::Repo;

/// The mode of ref directories, before the umask.
const DIRECTORY_MODE: u32 = 0o777;

impl Repo {
    /// Sets a ref of `refs/heads`, or of a remote, at once; `None` deletes it.
    ///
    /// # Errors
    /// For a name that looks like a checksum, or that is a directory of refs; when it cannot be
    /// written.
    pub fn set_ref_immediate(
        &self,
        remote: Option<&RemoteName>,
        name: &RefName,
        commit: Option<&Checksum>,
    ) -> Result<()> {
        self.write_ref(remote, name, commit)?;
        self.touch()
    }

    /// Sets a ref of a collection at once: the repository's own in `refs/heads`, others in
    /// `refs/mirrors`.
    ///
    /// # Errors
    /// As [`Repo::set_ref_immediate`].
    pub fn set_collection_ref_immediate(
        &self,
        name: &CollectionRef,
        commit: Option<&Checksum>,
    ) -> Result<()> {
        self.write_collection_ref(name, commit)?;
        self.touch()
    }

    /// Makes `name` an alias: a symlink in `refs/heads` to another ref there.
    ///
    /// # Errors
    /// As [`Repo::set_ref_immediate`].
    pub fn set_alias(&self, name: &RefName, target: &RefName) -> Result<()> {
        let path = PathBuf::from("refs/heads").join(name.as_str());
        let topmost = self.prepare_ref(Path::new("refs/heads"), name)?;
        let depth = name.as_str().matches('/').count();
        let link = format!("{}{}", "../".repeat(depth), target.as_str());
        let tmp = self.tmp()?;
        let (temporary, ()) = dir::at_free_name(
            || Ok(format!("alias-{}", crate::repo::write::replace::random_letters()?)),
            |temporary| rustix::fs::symlinkat(&link, tmp, temporary),
            |error, temporary| Err(error).calling("symlinkat", temporary),
        )?;
        let placed = dir::rename((tmp, &temporary), (self.dir(), &path), RenameFlags::empty());
        if placed.is_err() {
            let _ = dir::remove_file(tmp, &temporary);
        }
        placed.calling("renameat", &path)?;
        self.sync_directories(&path, &topmost)?;
        self.touch()
    }

    pub(in crate::repo) fn write_ref(
        &self,
        remote: Option<&RemoteName>,
        name: &RefName,
        commit: Option<&Checksum>,
    ) -> Result<()> {
        match commit {
            Some(commit) => log::debug!("Setting ref {} to {commit}", name.as_str()),
            None => log::debug!("Deleting ref {}", name.as_str()),
        }
        match remote {
            None => self.write_ref_below(Path::new("refs/heads"), name, commit),
            Some(remote) => {
                self.write_ref_below(&Path::new("refs/remotes").join(remote.as_str()), name, commit)
            }
        }
    }

    pub(in crate::repo) fn write_collection_ref(
        &self,
        name: &CollectionRef,
        commit: Option<&Checksum>,
    ) -> Result<()> {
        if self.collection_id().as_ref() == Some(&name.collection) {
            self.write_ref_below(Path::new("refs/heads"), &name.name, commit)
        } else {
            let base = Path::new("refs/mirrors").join(name.collection.as_str());
            self.write_ref_below(&base, &name.name, commit)
        }
    }

    fn write_ref_below(
        &self,
        base: &Path,
        name: &RefName,
        commit: Option<&Checksum>,
    ) -> Result<()> {
        let path = base.join(name.as_str());
        let Some(commit) = commit else {
            return match dir::remove_file(self.dir(), &path) {
                // A later prune may remove what the ref protected.
                Ok(()) => self.sync_directories(&path, path.parent().unwrap_or(base)),
                Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error).calling("unlinkat", path),
            };
        };
        let topmost = self.prepare_ref(base, name)?;
        self.replace_file(&path, format!("{commit}\n").as_bytes())?;
        self.sync_directories(&path, &topmost)
    }

    /// Creates the directories of a ref, and removes empty directories that have its name. Returns
    /// the deepest directory that existed before.
    fn prepare_ref(&self, base: &Path, name: &RefName) -> Result<PathBuf> {
        if Checksum::from_hex(name.as_str()).is_ok() {
            return Err(Error::failed(format!(
                "Rev name '{}' looks like a checksum",
                name.as_str()
            )));
        }
        let path = base.join(name.as_str());
        let directory = path.parent().unwrap_or(base);
        let is_directory =
            |path: &Path| dir::stat(self.dir(), path).is_ok_and(|stat| dir::is_directory(&stat));
        let topmost =
            directory.ancestors().find(|above| is_directory(above)).unwrap_or(base).to_owned();
        match dir::make_dirs(self.dir(), directory, DIRECTORY_MODE) {
            Ok(_) => {}
            // A ref has the name of a directory. The wording is upstream's, which notices only
            // here.
            Err(Errno::NOTDIR | Errno::LOOP | Errno::EXIST) => {
                return Err(Errno::NOTDIR).calling("openat", &path);
            }
            Err(error) => return Err(error).calling("mkdirat", directory),
        }
        if !is_directory(&path) {
            return Ok(topmost);
        }
        if let Some(below) = self.ref_names(&path)?.first() {
            let message =
                format!("Conflict: {below} exists under {} when attempting write", name.as_str());
            return Err(Error::failed(message));
        }
        self.remove_empty_directories(&path)?;
        Ok(topmost)
    }

    /// Removes a directory that contains only directories, none of them part of a ref's path.
    fn remove_empty_directories(&self, path: &Path) -> Result<()> {
        for entry in walkdir::WalkDir::new(self.path().join(path)).contents_first(true) {
            let entry = entry.map_err(std::io::Error::from).during("listing", path)?;
            let relative = entry.path().strip_prefix(self.path()).unwrap_or(path);
            dir::remove_dir(self.dir(), relative).during("removing", entry.path())?;
        }
        Ok(())
    }

    /// A ref's name is durable once its directory and those created for it are synced, up to
    /// `topmost`.
    fn sync_directories(&self, path: &Path, topmost: &Path) -> Result<()> {
        if !self.config().fsync {
            return Ok(());
        }
        for directory in path.ancestors().skip(1) {
            let synced =
                Dir::beneath(self.dir(), directory).and_then(|dir| rustix::fs::fsync(&dir));
            synced.during("syncing", self.path().join(directory))?;
            if directory == topmost {
                break;
            }
        }
        Ok(())
    }
}
