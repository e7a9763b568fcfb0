//! The commits of a pull: checked, written, and what they reach counted where they list it.

use super::driver::Driver;
use super::metadata::verify;
use super::task::{Task, What};
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::map::FileBytes;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::pull::checks::Candidate;
use crate::pull::dry_run::Purpose;
use crate::pull::plan::{Completeness, WantedCommit};
use crate::repo::{CommitState, Trust};

impl Driver<'_, '_, '_, '_> {
    /// Takes over a commit with its detached metadata if a local cache has it and the repository
    /// does not.
    pub(super) fn commit_from_cache(&mut self, wanted: &WantedCommit) -> Result<bool> {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        if self.work.receiver.transaction.was_present(&name)? {
            return Ok(false);
        }
        let Some(number) = self.work.cache_with(&name)? else { return Ok(false) };
        let cache = &self.work.caches[number];
        let bytes = cache.load(&name)?;
        let detached = cache.load_detached_metadata(&wanted.commit)?;
        self.commit(wanted, &bytes, detached)?;
        self.stats.metadata_objects_imported += 1;
        Ok(true)
    }

    /// The detached metadata of a commit have come, if there are any. A commit that is there is
    /// checked with them; another one is asked for.
    pub(super) fn detached(
        &mut self,
        wanted: WantedCommit,
        detached: Option<FileBytes>,
    ) -> Result<()> {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        // A superblock may have brought it.
        if !self.work.has(&name, !self.parts_left.is_empty())? {
            let size = self.work.sizes.get(&wanted.commit).copied();
            self.urgent.push(Task::new(self.work.origin, What::Commit(wanted, detached), size));
            return Ok(());
        }
        let bytes = self.view.load_metadata(&name)?;
        let commit = Commit::decode(&bytes).of_object(name)?;
        let stored = match &detached {
            Some(_) => None,
            None => self.stored_detached(&wanted.commit)?,
        };
        self.work.checks.check(&Candidate {
            wanted: &wanted,
            bytes: &bytes,
            commit: &commit,
            detached: detached.as_deref().or(stored.as_deref()),
            is_stored: true,
        })?;
        self.store_detached(&wanted.commit, detached.as_deref())?;
        let completeness = match self.view.commit_state(&wanted.commit)? {
            CommitState::Complete => Completeness::Complete,
            CommitState::Partial | CommitState::PartialFsck => {
                self.forecast(&wanted.commit, &commit)?
            }
        };
        self.plan.commit_arrived(&wanted.commit, &commit, completeness)
    }

    /// Counts what a commit that is not complete reaches, if it lists that. One that is only
    /// counted need not be followed then.
    fn forecast(&mut self, name: &Checksum, commit: &Commit) -> Result<Completeness> {
        let counts = self.work.purpose == Purpose::Count;
        if counts && self.parts_left.contains_key(name) {
            // Its delta has been counted.
            return Ok(Completeness::Complete);
        }
        let options = self.work.checks.options;
        if options.commit_metadata_only {
            return Ok(Completeness::Partial);
        }
        let missing = match options.subpaths.is_empty() {
            true => {
                let has_parts = !self.parts_left.is_empty();
                let work = self.work;
                self.space.add_commit(name, commit, |name| {
                    Ok(!work.has(name, has_parts)? && work.cache_with(name)?.is_none())
                })?
            }
            // Only a part of what is listed is wanted.
            false => None,
        };
        self.tally.expects(missing.as_ref());
        match missing.filter(|_| counts) {
            None => Ok(Completeness::Partial),
            Some(missing) => {
                self.missing.add(&missing);
                Ok(Completeness::Complete)
            }
        }
    }

    /// A commit has come. Nothing is written before all there is to be looked at was.
    pub(super) fn commit(
        &mut self,
        wanted: &WantedCommit,
        bytes: &[u8],
        detached: Option<FileBytes>,
    ) -> Result<()> {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        verify(&name, bytes)?;
        let commit = Commit::decode(bytes).of_object(name)?;
        let new = detached.as_deref();
        let candidate =
            Candidate { wanted, bytes, commit: &commit, detached: new, is_stored: false };
        self.work.checks.check(&candidate)?;
        let completeness = self.forecast(&wanted.commit, &commit)?;
        if self.work.purpose == Purpose::Count {
            if !self.parts_left.contains_key(&wanted.commit) {
                self.missing.add_metadata(bytes);
            }
            return self.plan.commit_arrived(&wanted.commit, &commit, completeness);
        }
        let transaction = self.work.receiver.transaction;
        let repo = transaction.repo();
        // A mark left by fsck has more information than ours.
        if repo.commit_state(&wanted.commit)? == CommitState::Complete {
            repo.mark_commit(&wanted.commit, CommitState::Partial)?;
        }
        self.store_detached(&wanted.commit, detached.as_deref())?;
        transaction.write_metadata_as(&name, bytes, Trust::Trusted)?;
        self.plan.commit_arrived(&wanted.commit, &commit, completeness)
    }

    /// The detached metadata of a commit that are there, also if they are only staged.
    fn stored_detached(&self, commit: &Checksum) -> Result<Option<FileBytes>> {
        match self.view.load_metadata(&ObjectName::new(*commit, ObjectType::CommitMeta)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::MissingMetadata { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn store_detached(&self, commit: &Checksum, detached: Option<&[u8]>) -> Result<()> {
        let Some(bytes) = detached.filter(|_| self.work.purpose == Purpose::Fetch) else {
            return Ok(());
        };
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        self.work.receiver.transaction.write_metadata_as(&name, bytes, Trust::Trusted)
    }
}
