//! What is looked at before a commit is written, wherever it comes from: signatures, bindings and
//! times.

use super::plan::WantedCommit;
use super::{PullOptions, Want};
use crate::error::{Context, Result};
use crate::fsck::bindings;
use crate::object::Commit;
use crate::refspec::{CollectionId, CollectionRef};
use crate::repo::Repo;
#[cfg(feature = "gpg")]
use crate::{
    checksum::Checksum,
    error::Error,
    gvariant::Dict,
    object::{ObjectName, ObjectType},
    progress::{Event, Progress, Silent},
    refspec::{RefName, Refspec},
    sign::{
        PolicyError,
        openpgp::{self, format_c},
    },
};

/// Whether commits may be older than what is there.
#[cfg(feature = "gpg")]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TimestampCheck {
    /// They may.
    #[default]
    None,
    /// No commit of a ref may be older than the ref's present one.
    Refs,
    /// No commit at all may be older than this rev.
    Rev(String),
}

/// The checks of one pull.
pub(super) struct Checks<'o> {
    pub(super) options: &'o PullOptions,
    /// Is told of signatures.
    #[cfg(feature = "gpg")]
    pub(super) progress: &'o dyn Progress,
    /// The collection that commits must be bound to.
    collection: Option<CollectionId>,
    #[cfg(feature = "gpg")]
    repo: &'o Repo,
    /// The commit that none may be older than, with its time.
    #[cfg(feature = "gpg")]
    oldest: Option<(Checksum, u64)>,
}

/// A commit that has come.
#[cfg_attr(not(feature = "gpg"), expect(dead_code, reason = "only signatures need the bytes"))]
pub(super) struct Candidate<'c> {
    pub(super) wanted: &'c WantedCommit,
    pub(super) bytes: &'c [u8],
    pub(super) commit: &'c Commit,
    /// The detached metadata that came with it.
    pub(super) detached: Option<&'c [u8]>,
    /// Whether it was there already. Then, if no detached metadata came, those that are stored
    /// count.
    pub(super) is_stored: bool,
}

impl<'o> Checks<'o> {
    /// Prepares the checks of a pull into `repo` from a source of that collection.
    ///
    /// # Errors
    /// When the rev that commits are compared with is not there.
    pub(super) fn new(
        repo: &'o Repo,
        options: &'o PullOptions,
        collection: Option<CollectionId>,
    ) -> Result<Self> {
        #[cfg(not(feature = "gpg"))]
        let _ = repo;
        Ok(Self {
            options,
            collection,
            #[cfg(feature = "gpg")]
            progress: &Silent,
            #[cfg(feature = "gpg")]
            repo,
            #[cfg(feature = "gpg")]
            oldest: oldest(repo, &options.timestamps)?,
        })
    }

    /// Checks a commit whose bytes match its name.
    ///
    /// # Errors
    /// When a demanded signature is missing, it was made for another ref or collection, or is older
    /// than allowed.
    pub(super) fn check(&self, candidate: &Candidate<'_>) -> Result<()> {
        #[cfg(feature = "gpg")]
        self.check_signatures(candidate)?;
        self.check_bindings(candidate)?;
        #[cfg(feature = "gpg")]
        self.check_time(candidate)?;
        Ok(())
    }

    fn check_bindings(&self, candidate: &Candidate<'_>) -> Result<()> {
        if !self.options.verify_bindings {
            return Ok(());
        }
        let found_by = candidate.wanted.found_by.as_ref();
        let collection = match found_by {
            Some(
                Want::CollectionRef(CollectionRef { collection, .. })
                | Want::CollectionRefAt(CollectionRef { collection, .. }, _),
            ) => Some(collection),
            _ => self.collection.as_ref(),
        };
        let wanted = bindings::Wanted {
            name: found_by.and_then(Want::name).map(|name| name.as_str()),
            collection: collection.map(CollectionId::as_str),
        };
        if wanted.name.is_none() && wanted.collection.is_none() {
            return Ok(());
        }
        bindings::verify(candidate.commit, wanted)
            .context(|| format!("Commit {}", candidate.wanted.commit))
    }
}

#[cfg(feature = "gpg")]
impl Checks<'_> {
    fn check_signatures(&self, candidate: &Candidate<'_>) -> Result<()> {
        let policy = &self.options.demands.commits;
        if policy.is_empty() {
            return Ok(());
        }
        let commit = candidate.wanted.commit;
        let stored = match candidate.detached {
            // What cannot be read has no signatures.
            Some(bytes) => Some(Dict::decode(bytes).unwrap_or_default()),
            None if candidate.is_stored => self.repo.load_detached_metadata(&commit)?,
            None => None,
        };
        let refused = |error: PolicyError| match error {
            PolicyError::NoDetachedMetadata => error.to_string(),
            error if error.is_gpg() => format!("Commit {commit}: {error}"),
            error if candidate.is_stored => format!("Can't verify commit {commit}: {error}"),
            error => format!("Can't verify commit: {error}"),
        };
        let verified = policy.verify(candidate.bytes, stored.as_ref());
        let accepted = verified.map_err(|error| Error::failed(refused(error)))?;
        if let Some(gpg) = &policy.gpg {
            let counted = openpgp::counted(&accepted.gpg);
            let noun = if counted.len() == 1 { "signature" } else { "signatures" };
            let mut text =
                format!("\nGPG: Verification enabled, found {} {noun}:\n", counted.len());
            for report in counted {
                text.push('\n');
                text.push_str(&report.describe("  ", &gpg.zone));
            }
            self.progress.event(Event::Signatures(&text));
        }
        Ok(())
    }

    fn check_time(&self, candidate: &Candidate<'_>) -> Result<()> {
        let time = candidate.commit.timestamp;
        let commit = candidate.wanted.commit;
        if let Some(oldest) = self.oldest {
            refuse_older((commit, time), oldest)?;
        }
        let name = candidate.wanted.found_by.as_ref().and_then(Want::name);
        let Some(name) = name.filter(|_| self.options.timestamps == TimestampCheck::Refs) else {
            return Ok(());
        };
        match self.current(name)? {
            Some(current) => refuse_older((commit, time), current),
            None => Ok(()),
        }
    }

    /// The present commit of a ref, and its time: of the remote's if there is one.
    fn current(&self, name: &RefName) -> Result<Option<(Checksum, u64)>> {
        let refspec = Refspec { remote: self.options.remote.clone(), name: name.clone() };
        let found = self.repo.try_resolve_rev(&refspec.to_string())?;
        let found = found.or(self.repo.try_resolve_rev(name.as_str())?);
        let Some(commit) = found else { return Ok(None) };
        Ok(Some((commit, self.repo.load_commit(&commit)?.timestamp)))
    }
}

#[cfg(feature = "gpg")]
fn oldest(repo: &Repo, check: &TimestampCheck) -> Result<Option<(Checksum, u64)>> {
    let TimestampCheck::Rev(rev) = check else { return Ok(None) };
    let commit = repo.resolve_rev(rev)?;
    let name = ObjectName::new(commit, ObjectType::Commit);
    let reading = || format!("Reading {commit} for timestamp-check-from-rev");
    if !repo.has_object(&name)? {
        return Err(Error::missing(name)).context(reading);
    }
    Ok(Some((commit, repo.load_commit(&commit).context(reading)?.timestamp)))
}

#[cfg(feature = "gpg")]
fn refuse_older(
    (commit, time): (Checksum, u64),
    (current, current_time): (Checksum, u64),
) -> Result<()> {
    if time >= current_time {
        return Ok(());
    }
    let text = |time: u64| {
        let seconds = i64::try_from(time).ok();
        let text = seconds.and_then(|seconds| format_c(seconds, &jiff::tz::TimeZone::UTC));
        text.unwrap_or_else(|| time.to_string())
    };
    Err(Error::failed(format!(
        "Upgrade target revision '{commit}' with timestamp '{}' is chronologically older than current revision \
         '{current}' with timestamp '{}'; use --allow-downgrade to permit",
        text(time),
        text(current_time)
    )))
}
