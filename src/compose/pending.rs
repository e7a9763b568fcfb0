//! Pending refs: `refs/remotes/osier-pending/REF` holds a commit that is composed but not
//! published.
//!
//! A ref of a remote protects its commit from every prune, including ostree's, is covered by fsck
//! and is not in the summary.

use crate::checksum::Checksum;
use crate::error::Result;
use crate::refspec::{RefName, RemoteName};
use crate::repo::Repo;

/// The name of the remote that pending refs belong to.
pub(crate) const REMOTE: &str = "osier-pending";

/// The commit that is pending for a ref.
///
/// # Errors
/// When the pending ref cannot be read.
pub(crate) fn read(repo: &Repo, name: &RefName) -> Result<Option<Checksum>> {
    repo.try_resolve_rev(&refspec_text(name))
}

/// Makes a commit pending for a ref, replacing any other.
///
/// # Errors
/// When the pending ref cannot be written.
pub(crate) fn set(repo: &Repo, name: &RefName, commit: &Checksum) -> Result<()> {
    repo.set_ref_immediate(Some(&remote()), name, Some(commit))
}

/// Removes the pending ref.
///
/// # Errors
/// When the pending ref cannot be removed.
pub(crate) fn remove(repo: &Repo, name: &RefName) -> Result<()> {
    repo.set_ref_immediate(Some(&remote()), name, None)
}

fn remote() -> RemoteName {
    RemoteName::parse(REMOTE).expect("the constant is a fragment")
}

/// The pending ref as a user writes it.
pub(crate) fn refspec_text(name: &RefName) -> String {
    format!("{REMOTE}:{name}")
}
