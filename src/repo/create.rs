//! Creates repositories.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::{OpenOptions, Repo, RepoMode};
use crate::dir::{self, Dir};
use crate::error::{Context, During, Result};
use crate::refspec::CollectionId;

/// The directories of a new repository, in the order in which upstream makes them: `objects` last,
/// so that a repository that has it has everything.
const DIRECTORIES: [&str; 8] =
    ["tmp", "extensions", "state", "refs", "refs/heads", "refs/mirrors", "refs/remotes", "objects"];

const DIRECTORY_MODE: u32 = 0o775;
/// Independent of the umask, as upstream's `config`.
const CONFIG_MODE: u32 = 0o644;
/// The `config` until it is complete.
const NEW_CONFIG: &str = ".config-new";
const XATTR_PROBE: &str = ".xattr-probe";

impl Repo {
    /// Creates a repository at `path` (its parent directory must exist) and opens it. An existing
    /// one is only opened: `mode` and `collection_id` are ignored then.
    ///
    /// # Errors
    /// When a directory or the config cannot be written; for bare-user also when user xattrs
    /// cannot.
    pub fn create(
        path: &Path,
        mode: RepoMode,
        collection_id: Option<&CollectionId>,
    ) -> Result<Self> {
        Self::create_with(path, mode, collection_id, &OpenOptions::default())
    }

    /// [`Repo::create`] with settings from the environment.
    ///
    /// # Errors
    /// As [`Repo::create`].
    pub fn create_with(
        path: &Path,
        mode: RepoMode,
        collection_id: Option<&CollectionId>,
        options: &OpenOptions,
    ) -> Result<Self> {
        if path.join("objects").is_dir() {
            return Self::open_with(path, options);
        }
        let make = || {
            let repo = make_directory(path)?;
            write_skeleton(&repo, path, mode, collection_id)?;
            Ok(repo)
        };
        let made = make().context(|| "Creating repo".to_owned())?;
        Self::open_in(made, path, options)
    }

    /// [`Repo::create_with`] without a collection id in a directory that is open already; `path` is
    /// for messages.
    pub(crate) fn create_in(
        dir: Dir,
        path: &Path,
        mode: RepoMode,
        options: &OpenOptions,
    ) -> Result<Self> {
        if !dir::stat(&dir, "objects").is_ok_and(|stat| dir::is_directory(&stat)) {
            let made = write_skeleton(&dir, path, mode, None);
            made.context(|| "Creating repo".to_owned())?;
        }
        Self::open_in(dir, path, options)
    }
}

fn make_directory(path: &Path) -> Result<Dir> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(DIRECTORY_MODE)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(error) => return Err(error).calling("mkdirat", path),
    }
    Dir::open(path).calling("opendir", path)
}

fn write_skeleton(
    repo: &Dir,
    path: &Path,
    mode: RepoMode,
    collection_id: Option<&CollectionId>,
) -> Result<()> {
    let _turn = Turn::wait(repo, path)?;
    if mode == RepoMode::BareUser {
        probe_user_xattrs(repo, path)?;
    }
    if matches!(dir::stat(repo, "config"), Err(Errno::NOENT)) {
        let mut text = format!("[core]\nrepo_version=1\nmode={mode}\n");
        if let Some(id) = collection_id {
            text.push_str(&format!("collection-id={id}\n"));
        }
        // A half-written config would make the directory unusable for good, so it appears whole.
        let write = || {
            let mut file = create_anew(repo, NEW_CONFIG)?;
            rustix::fs::fchmod(&file, Mode::from_raw_mode(CONFIG_MODE))?;
            file.write_all(text.as_bytes())
        };
        write().during("writing", path.join(NEW_CONFIG))?;
        let renamed = dir::rename((repo, NEW_CONFIG), (repo, "config"), RenameFlags::empty());
        renamed.during("renaming", path.join(NEW_CONFIG))?;
    }
    for name in DIRECTORIES {
        match dir::make_dir(repo, name, DIRECTORY_MODE) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error).calling("mkdirat", path.join(name)),
        }
    }
    Ok(())
}

/// While it lives, no other process creates a repository in the directory: the names of the files
/// that are not complete are fixed, so that those of a killed process are replaced.
struct Turn<'d>(&'d Dir);

impl<'d> Turn<'d> {
    fn wait(repo: &'d Dir, path: &Path) -> Result<Self> {
        loop {
            match rustix::fs::flock(repo, FlockOperation::LockExclusive) {
                // NFS cannot lock directories.
                Ok(()) | Err(Errno::BADF | Errno::NOTSUP | Errno::NOLCK) => return Ok(Self(repo)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).calling("flock", path),
            }
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let _ = rustix::fs::flock(self.0, FlockOperation::Unlock);
    }
}

/// Creates a file, replacing one left by a killed process.
fn create_anew(repo: &Dir, name: &str) -> std::io::Result<File> {
    match dir::remove_file(repo, name) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(dir::open(
        repo,
        name,
        OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY,
        Mode::from_raw_mode(0o600),
    )?)
}

/// bare-user repositories keep owner and mode in a user xattr: better to fail at once if the file
/// system has none.
fn probe_user_xattrs(repo: &Dir, path: &Path) -> Result<()> {
    let probe = path.join(XATTR_PROBE);
    let file = create_anew(repo, XATTR_PROBE).during("creating", &probe)?;
    let set =
        rustix::fs::fsetxattr(&file, "user.ostreemeta", b"probe", rustix::fs::XattrFlags::empty());
    dir::remove_file(repo, XATTR_PROBE).during("removing", &probe)?;
    set.calling("fsetxattr", path)
}
