//! Writing refs, one at a time and atomically. A transaction calls this after its objects are in place.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::Repo;
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::refspec::{CollectionRef, RefName};

impl Repo {
    /// Sets a ref of `refs/heads`, or of a remote, at once; `None` deletes it.
    ///
    /// # Errors
    /// For a name that looks like a checksum, or that is a directory of refs; when it cannot be written.
    pub fn set_ref_immediate(&self, remote: Option<&str>, name: &RefName, commit: Option<&Checksum>) -> Result<()> {
        self.write_ref(remote, name, commit)?;
        self.touch()
    }

    /// Sets a ref of a collection at once: the repository's own in `refs/heads`, others in `refs/mirrors`.
    ///
    /// # Errors
    /// As [`Repo::set_ref_immediate`].
    pub fn set_collection_ref_immediate(&self, name: &CollectionRef, commit: Option<&Checksum>) -> Result<()> {
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
        let temporary = loop {
            let temporary = format!("tmp/alias-{}", super::replace::random_letters()?);
            match rustix::fs::symlinkat(&link, self.dir(), &temporary) {
                Ok(()) => break temporary,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error).calling("symlinkat", &temporary),
            }
        };
        rustix::fs::renameat(self.dir(), &temporary, self.dir(), &path).calling("renameat", &path)?;
        self.sync_directories(&path, &topmost)?;
        self.touch()
    }

    pub(super) fn write_ref(&self, remote: Option<&str>, name: &RefName, commit: Option<&Checksum>) -> Result<()> {
        match commit {
            Some(commit) => log::debug!("Setting ref {} to {commit}", name.as_str()),
            None => log::debug!("Deleting ref {}", name.as_str()),
        }
        match remote {
            None => self.write_ref_below(Path::new("refs/heads"), name, commit),
            Some(remote) => self.write_ref_below(&Path::new("refs/remotes").join(remote), name, commit),
        }
    }

    pub(super) fn write_collection_ref(&self, name: &CollectionRef, commit: Option<&Checksum>) -> Result<()> {
        if self.collection_id() == Some(&name.collection) {
            self.write_ref_below(Path::new("refs/heads"), &name.name, commit)
        } else {
            let base = Path::new("refs/mirrors").join(name.collection.as_str());
            self.write_ref_below(&base, &name.name, commit)
        }
    }

    fn write_ref_below(&self, base: &Path, name: &RefName, commit: Option<&Checksum>) -> Result<()> {
        let path = base.join(name.as_str());
        let Some(commit) = commit else {
            return match rustix::fs::unlinkat(self.dir(), &path, AtFlags::empty()) {
                // Prune may be about to remove what the ref protected.
                Ok(()) => self.sync_directories(&path, path.parent().unwrap_or(base)),
                Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error).calling("unlinkat", path),
            };
        };
        let topmost = self.prepare_ref(base, name)?;
        self.replace_file(&path, format!("{commit}\n").as_bytes())?;
        self.sync_directories(&path, &topmost)
    }

    /// Makes the directories of a ref, and makes way for it where only empty directories have its name. Returns the
    /// lowest directory on the way there that had been made before.
    fn prepare_ref(&self, base: &Path, name: &RefName) -> Result<PathBuf> {
        if Checksum::from_hex(name.as_str()).is_ok() {
            return Err(Error::failed(format!("Rev name '{}' looks like a checksum", name.as_str())));
        }
        let path = base.join(name.as_str());
        let directory = path.parent().unwrap_or(base);
        let topmost = directory.ancestors().find(|above| self.path().join(above).is_dir());
        let topmost = topmost.unwrap_or(base).to_owned();
        match fs::create_dir_all(self.path().join(directory)) {
            Ok(()) => {}
            // A ref stands where a directory should be; the words are those of upstream, which only hears it here.
            Err(error) if matches!(error.kind(), ErrorKind::NotADirectory | ErrorKind::AlreadyExists) => {
                return Err(Errno::NOTDIR).calling("openat", &path);
            }
            Err(error) => return Err(error).calling("mkdirat", directory),
        }
        let absolute = self.path().join(&path);
        let is_directory = fs::symlink_metadata(&absolute).is_ok_and(|metadata| metadata.is_dir());
        if !is_directory {
            return Ok(topmost);
        }
        if let Some(below) = self.ref_names(&path)?.first() {
            let message = format!("Conflict: {below} exists under {} when attempting write", name.as_str());
            return Err(Error::failed(message));
        }
        remove_empty_directories(&absolute)?;
        Ok(topmost)
    }

    /// The name of a ref is durable once its directory is, and those that were made for it are: up to `topmost`.
    fn sync_directories(&self, path: &Path, topmost: &Path) -> Result<()> {
        if !self.config().fsync {
            return Ok(());
        }
        for directory in path.ancestors().skip(1) {
            let absolute = self.path().join(directory);
            fs::File::open(&absolute).and_then(|file| file.sync_all()).during("syncing", absolute)?;
            if directory == topmost {
                break;
            }
        }
        Ok(())
    }
}

/// Removes a directory that holds nothing but directories.
fn remove_empty_directories(path: &Path) -> Result<()> {
    for entry in walkdir::WalkDir::new(path).contents_first(true) {
        let entry = entry.map_err(std::io::Error::from).during("listing", path)?;
        fs::remove_dir(entry.path()).during("removing", entry.path())?;
    }
    Ok(())
}
