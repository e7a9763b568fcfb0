//! Keyrings of remotes: OpenPGP public keys, one binary packet after the other, in
//! `NAME.trustedkeys.gpg`.

use std::path::PathBuf;

use crate::error::Result;
use crate::repo::Repo;

/// Where a remote's keyring is.
pub(super) fn path(repo: &Repo, remote: &str) -> PathBuf {
    repo.path().join(file_name(remote))
}

pub(super) fn file_name(remote: &str) -> String {
    format!("{remote}.trustedkeys.gpg")
}

/// Adds public keys, armoured or binary, to a remote's keyring: all of them, or those that `ids`
/// choose. Keys that are there already get what is new about them. Returns how many primary keys
/// are new. Whether there is such a remote is not looked at.
///
/// # Errors
/// When no remote can have that name, there is no public key in them, an id does not stand for
/// exactly one, or the keyring cannot be read or written.
#[cfg(feature = "gpg")]
pub fn import_keys(repo: &Repo, remote: &str, keys: &[u8], ids: &[&str]) -> Result<usize> {
    use crate::error::During;
    use crate::input;
    use crate::refspec::RemoteName;
    use crate::sign::openpgp::{self, MAX_KEYRING_SIZE};

    RemoteName::parse(remote)?;
    let name = file_name(remote);
    let keyring = match input::read_stored(repo.dir(), &name, MAX_KEYRING_SIZE) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error).during("reading", path(repo, remote)),
    };
    let imported = openpgp::import(&keyring, keys, ids)?;
    repo.replace_file(name.as_ref(), &imported.keyring)?;
    Ok(imported.new_keys)
}

/// Fails: this build has no OpenPGP.
///
/// # Errors
/// Always.
#[cfg(not(feature = "gpg"))]
pub fn import_keys(_: &Repo, _: &str, _: &[u8], _: &[&str]) -> Result<usize> {
    Err(crate::error::Error::failed("GPG has been disabled at build time"))
}
