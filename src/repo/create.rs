//! Making a repository.

use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::{OpenOptions, Repo, RepoMode};
use crate::error::{Context, During, Result};
use crate::refspec::CollectionId;

/// The directories of a new repository, in the order in which upstream makes them: `objects` last, so that a repository
/// that has it has everything.
const DIRECTORIES: [&str; 8] =
    ["tmp", "extensions", "state", "refs", "refs/heads", "refs/mirrors", "refs/remotes", "objects"];

impl Repo {
    /// Makes a repository at `path` (its parent directory must exist) and opens it. One that is there is only opened:
    /// `mode` and `collection_id` are ignored then.
    ///
    /// # Errors
    /// When a directory or the config cannot be written; for bare-user also when user xattrs cannot.
    pub fn create(path: &Path, mode: RepoMode, collection_id: Option<&CollectionId>) -> Result<Self> {
        Self::create_with(path, mode, collection_id, &OpenOptions::default())
    }

    /// [`Repo::create`] with what the environment says.
    ///
    /// # Errors
    /// As [`Repo::create`].
    pub fn create_with(
        path: &Path,
        mode: RepoMode,
        collection_id: Option<&CollectionId>,
        options: &OpenOptions,
    ) -> Result<Self> {
        if !path.join("objects").is_dir() {
            write_skeleton(path, mode, collection_id).context(|| "Creating repo".to_owned())?;
        }
        Self::open_with(path, options)
    }
}

fn write_skeleton(path: &Path, mode: RepoMode, collection_id: Option<&CollectionId>) -> Result<()> {
    make_directory(path)?;
    if mode == RepoMode::BareUser {
        probe_user_xattrs(path)?;
    }
    let config = path.join("config");
    if !config.exists() {
        let mut text = format!("[core]\nrepo_version=1\nmode={mode}\n");
        if let Some(id) = collection_id {
            text.push_str(&format!("collection-id={id}\n"));
        }
        // A half-written config would make the directory unusable for good, so it appears whole.
        let temporary = path.join(".config-new");
        std::fs::write(&temporary, text).during("writing", &temporary)?;
        std::fs::rename(&temporary, &config).during("renaming", &temporary)?;
    }
    for name in DIRECTORIES {
        make_directory(&path.join(name))?;
    }
    Ok(())
}

fn make_directory(path: &Path) -> Result<()> {
    match rustix::fs::mkdir(path, Mode::from_raw_mode(0o775)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(error) => Err(error).calling("mkdirat", path),
    }
}

/// bare-user repositories keep owner and mode in a user xattr: better to hear at once that there are none.
fn probe_user_xattrs(path: &Path) -> Result<()> {
    let probe = path.join(".xattr-probe");
    let file = std::fs::File::create(&probe).during("creating", &probe)?;
    let set = rustix::fs::fsetxattr(&file, "user.ostreemeta", b"probe", rustix::fs::XattrFlags::empty());
    std::fs::remove_file(&probe).during("removing", &probe)?;
    set.calling("fsetxattr", path)
}
