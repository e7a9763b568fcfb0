//! Which keys the signatures of a repository are verified with.

use std::path::Path;

use super::{find, keyring, remotes_directory};
use crate::error::Result;
use crate::repo::Repo;
use crate::sign::openpgp::{Absent, Keyring};

/// Keyring directories outside the repository.
#[derive(Clone, Copy, Debug, Default)]
pub struct Directories<'d> {
    /// The keyrings of the system; it need not exist.
    pub global: Option<&'d Path>,
    /// The one that the user names; it must exist.
    pub homedir: Option<&'d Path>,
}

impl Directories<'_> {
    /// The keys in these directories only.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn keyring(&self) -> Result<Keyring> {
        let mut keyring = Keyring::default();
        self.add_to(&mut keyring)?;
        Ok(keyring)
    }

    fn add_to(&self, keyring: &mut Keyring) -> Result<()> {
        if let Some(global) = self.global {
            keyring.add_directory(global, Absent::Skipped)?;
        }
        match self.homedir {
            Some(homedir) => keyring.add_directory(homedir, Absent::Refused),
            None => Ok(()),
        }
    }
}

/// The keys of all remotes of a repository, and those in the directories.
///
/// # Errors
/// When a keyring cannot be read.
pub fn of_all_remotes(repo: &Repo, directories: &Directories<'_>) -> Result<Keyring> {
    let mut keyring = Keyring::default();
    keyring.add_directory(repo.path(), Absent::Skipped)?;
    directories.add_to(&mut keyring)?;
    Ok(keyring)
}

/// The keys of one remote: its keyring, what its `gpgkeypath` names, and the global directory
/// unless it has a keyring.
///
/// # Errors
/// In upstream's words when there is no such remote; when a keyring cannot be read.
pub fn of_remote(
    repo: &Repo,
    sysroot: Option<&Path>,
    name: &str,
    global: Option<&Path>,
) -> Result<Keyring> {
    let remote = find(repo, sysroot, name)?;
    let mut keyring = Keyring::default();
    let has_own = add_own(&mut keyring, repo, sysroot, name)?;
    for path in remote.config()?.verification.gpg_key_paths {
        keyring.add_key_path(&path)?;
    }
    if let Some(global) = global.filter(|_| !has_own) {
        keyring.add_directory(global, Absent::Skipped)?;
    }
    Ok(keyring)
}

/// Adds the remote's own keyring, or else the parent's, and returns whether there is one.
fn add_own(keyring: &mut Keyring, repo: &Repo, sysroot: Option<&Path>, name: &str) -> Result<bool> {
    if keyring.add_file(&keyring::path(repo, name))? {
        return Ok(true);
    }
    if let Some(directory) = remotes_directory(repo, sysroot)
        && keyring.add_file(&directory.join(keyring::file_name(name)))?
    {
        return Ok(true);
    }
    match repo.parent() {
        Some(parent) => add_own(keyring, parent, None, name),
        None => Ok(false),
    }
}
