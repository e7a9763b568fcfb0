//! Applies deltas: whole ones from files, or commit and parts one by one for those who fetch them.

use std::path::Path;

use super::complete::check_complete;
use super::envelope::{DeltaFile, verify};
use super::parts::{self, ApplyStats};
use crate::delta_format::Superblock;
use crate::error::{Context, Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::Progress;
use crate::repo::{Repo, Transaction, Trust, verify_metadata};
use crate::sign::VerificationKeys;

/// How a delta is applied.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// The keys that a signed delta must be signed with. Without them signatures are not verified,
    /// unless the repository's `core.sign-verify-deltas` says that they have to be.
    pub keys: Option<VerificationKeys>,
}

/// Applies a delta in files, all or nothing. `path` is its directory or its superblock; parts are
/// inlined or lie beside the superblock. No ref is written.
///
/// # Errors
/// In upstream's words when the delta cannot be used or is wrong; `Delta is incomplete: N objects
/// missing` when it did not bring what it lists, or what its commit needs.
pub fn apply_offline(
    repo: &Repo,
    path: &Path,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<ApplyStats> {
    repo.check_writable()?;
    let delta = DeltaFile::open(repo, path)?;
    let transaction = Transaction::begin(repo)?;
    match apply(&transaction, &delta, options, progress) {
        Ok(stats) => {
            transaction.commit()?;
            Ok(stats)
        }
        Err(error) => {
            transaction.abort(Some(&error));
            Err(error)
        }
    }
}

fn apply(
    transaction: &Transaction<'_>,
    delta: &DeltaFile,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<ApplyStats> {
    let envelope = delta.envelope()?;
    let required = Requirement::of(transaction.repo())?;
    match (&envelope.signatures, &options.keys) {
        (Some(_), Some(keys)) => drop(verify(&envelope, keys)?),
        (Some(_), None) if required >= Requirement::WhereSigned => {
            return Err(Error::failed("Key is mandatory to check delta signature"));
        }
        (None, _) if required == Requirement::Always => {
            return Err(Error::failed("no signatures in static-delta"));
        }
        _ => {}
    }
    let superblock = envelope.superblock()?;
    if let Some(from) = superblock.from
        && !transaction.was_present(&ObjectName::new(from, ObjectType::Commit))?
    {
        let message = format!("Commit {from}, which is the delta source, is not in repository");
        return Err(Error::failed(message));
    }
    let name = ObjectName::new(superblock.to, ObjectType::Commit);
    if !transaction.was_present(&name)? {
        verify_metadata(&name, superblock.commit).context(writing)?;
    }
    if !superblock.fallbacks.is_empty() {
        let message = "Cannot execute delta offline: contains nonempty http fallback entries";
        return Err(Error::failed(message));
    }
    let stats = parts::apply(transaction, delta, &superblock, progress)?;
    check_complete(transaction, &superblock)?;
    // Last, for what an aborted transaction has written comes back with the next one. Upstream
    // writes it first, so a commit without its objects may be what is left of a delta that failed.
    apply_commit(transaction, &superblock)?;
    Ok(stats)
}

/// Which deltas have to be signed, as `core.sign-verify-deltas` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// None has to be.
    Never,
    /// Those that are signed must be signed with a known key; upstream accepts all others.
    WhereSigned,
    /// Every one must be signed with a known key.
    Always,
}

impl Requirement {
    /// What the configuration of a repository says.
    ///
    /// # Errors
    /// When the value is neither a yes or no nor `required`.
    pub fn of(repo: &Repo) -> Result<Self> {
        const KEY: &str = "sign-verify-deltas";
        let config = repo.config();
        let malformed = |source| Error::Malformed { what: "config".to_owned(), source };
        if config.keyfile.get("core", KEY).map_err(malformed)?.as_deref() == Some("required") {
            return Ok(Self::Always);
        }
        Ok(match config.keyfile.get_bool("core", KEY).map_err(malformed)? {
            Some(true) => Self::WhereSigned,
            _ => Self::Never,
        })
    }
}

/// Writes the commit of a superblock with its detached metadata, unless it is there already.
///
/// # Errors
/// `Writing metadata object: Corrupted commit object`, when it has not the name that the superblock
/// says.
pub fn apply_commit(transaction: &Transaction<'_>, superblock: &Superblock<'_>) -> Result<()> {
    let name = ObjectName::new(superblock.to, ObjectType::Commit);
    if transaction.was_present(&name)? {
        return Ok(());
    }
    // The commit first: what is named after it can be written only once it was verified.
    transaction.write_metadata_as(&name, superblock.commit, Trust::Untrusted).context(writing)?;
    match superblock.detached_metadata() {
        Some(metadata) => transaction.write_detached_metadata(&superblock.to, &metadata),
        None => Ok(()),
    }
}

fn writing() -> String {
    "Writing metadata object".to_owned()
}
