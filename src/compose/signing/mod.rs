//! Signing: the keys of the group `[sign]`, and what they sign: the commit before its ref moves,
//! and the summary that is published with it.
//!
//! ```text
//! find     the keys, with all that is wrong with them
//! key      a key, and whether it has signed something
//! public   its public part
//! ```
//!
//! Secret keys are read when something is to be signed, and wiped after that; rpm-ostree runs
//! without them in memory. A key that has signed a commit already does not sign it again.

mod find;
mod key;
mod public;

use std::fs::File;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::gvariant::Dict;
use crate::object::{ObjectName, ObjectType, detached};
use crate::repo::Repo;
use crate::signer::{PayloadKind, Signer};
use crate::summary;

use super::Surroundings;
use super::check::{Findings, Severity};
use super::config::SignConfig;
use find::Search;
use key::Key;

/// What signs. Without keys nothing does.
#[derive(Debug)]
pub(super) struct Keys(Vec<Arc<Key>>);

impl Keys {
    /// No keys.
    pub(super) const NONE: Self = Self(Vec::new());

    /// Looks for all keys, which become findings as well as whatever is wrong with them. A missing
    /// program is recorded with `severity`.
    pub(super) fn look(
        config: &SignConfig,
        surroundings: &Surroundings<'_>,
        severity: Severity,
        findings: &mut Findings,
    ) -> Self {
        let now = surroundings.now.cast_signed();
        let keys = Search { config, surroundings, now, severity, findings }.keys();
        let keys = Self(keys.into_iter().map(Arc::new).collect());
        findings.signers = keys.names();
        keys
    }

    /// The keys for signing; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When one of them cannot be used.
    pub(super) fn load(
        config: &SignConfig,
        surroundings: &Surroundings<'_>,
        now: u64,
    ) -> Result<Self> {
        let mut findings = Findings::default();
        let (now, severity) = (now.cast_signed(), Severity::Error);
        let search = Search { config, surroundings, now, severity, findings: &mut findings };
        let keys = search.keys();
        findings.into_result()?;
        Ok(Self(keys.into_iter().map(Arc::new).collect()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The types and public keys, as reports have them.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|key| key.public.name()).collect()
    }

    /// Signs a commit with each key that has not signed it yet: all of them, or none.
    ///
    /// # Errors
    /// When one of them cannot sign, or the signatures cannot be stored.
    pub(super) fn sign_commit(&self, repo: &Repo, commit: &Checksum) -> Result<()> {
        let payload = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
        let metadata = repo.load_detached_metadata(commit)?.unwrap_or_default();
        let mut made = Vec::new();
        for key in self.0.iter().filter(|key| !key.has_signed(&payload, &metadata)) {
            made.push((key, key.sign(PayloadKind::Commit, &payload)?));
        }
        if made.is_empty() {
            return Ok(());
        }
        repo.edit_detached_metadata(commit, |metadata| {
            // Another run may have been faster.
            made.retain(|(key, _)| !key.has_signed(&payload, &metadata));
            let signed = made.iter().fold(metadata, |metadata, (_, signature)| {
                detached::append(&metadata, signature.metadata_key, &signature.bytes)
            });
            Ok(Some(signed))
        })?;
        sync_beside(repo, commit)
    }

    /// Verifies that each key has signed a commit.
    ///
    /// # Errors
    /// When one has not.
    pub(super) fn verify_commit(&self, repo: &Repo, commit: &Checksum) -> Result<()> {
        let payload = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
        let metadata = repo.load_detached_metadata(commit)?.unwrap_or_default();
        match self.0.iter().find(|key| !key.has_signed(&payload, &metadata)) {
            None => Ok(()),
            Some(key) => Err(Error::failed(format!(
                "the commit {commit} has no valid signature of {}",
                key.label
            ))),
        }
    }

    /// Those that sign deltas: ostree knows no signatures of OpenPGP there.
    pub(super) fn delta_signers(&self) -> Vec<Arc<dyn Signer>> {
        self.for_deltas().map(|key| Arc::clone(key) as Arc<dyn Signer>).collect()
    }

    /// Whether all of these have signed a superblock.
    pub(super) fn have_signed_delta(&self, superblock: &[u8], signatures: &Dict) -> bool {
        !self.is_empty() && self.for_deltas().all(|key| key.has_signed(superblock, signatures))
    }

    fn for_deltas(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.0.iter().filter(|key| key.public.signs_deltas())
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Arc<dyn Signer>> {
        self.0.iter().map(|key| Arc::clone(key) as Arc<dyn Signer>).collect()
    }

    /// The content of `summary.sig` for a summary; `None` without keys.
    ///
    /// # Errors
    /// When one of them cannot sign.
    pub(super) fn sign_summary(&self, summary: &[u8]) -> Result<Option<Vec<u8>>> {
        summary::signature_of(summary, &self.all())
    }

    /// The names of the keys that have signed a summary, as far as `signature`, the content of
    /// `summary.sig`, says.
    pub(super) fn signed_summary(&self, summary: &[u8], signature: Option<&[u8]>) -> Vec<String> {
        let metadata = signature.map(Dict::decode).and_then(Result::ok).unwrap_or_default();
        let signed = self.0.iter().filter(|key| key.has_signed(summary, &metadata));
        signed.map(|key| key.public.name()).collect()
    }

    /// The entries of a `summary.sig` that no key would write.
    pub(super) fn others(&self, signature: &[u8]) -> Vec<String> {
        let metadata = Dict::decode(signature).unwrap_or_default();
        let is_ours = |entry: &str| self.0.iter().any(|key| key.public.metadata_key() == entry);
        let entries = metadata.iter().map(|(entry, _)| entry);
        entries.filter(|entry| !is_ours(entry)).map(str::to_owned).collect()
    }
}

/// Makes the new name of detached metadata durable: after a crash no ref is there before its
/// signatures.
fn sync_beside(repo: &Repo, commit: &Checksum) -> Result<()> {
    if !repo.config().fsync {
        return Ok(());
    }
    let path = repo.path().join("objects").join(&commit.to_hex()[..2]);
    File::open(&path).and_then(|directory| directory.sync_all()).during("syncing", path)
}
