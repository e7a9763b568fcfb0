//! The commits of a pull, one after the other, with their parents.

use std::collections::HashSet;

use super::local::Root;
use super::{PullOptions, PullStats};
use crate::checksum::Checksum;
use crate::error::{Context, OfObject, Result};
use crate::fsck::bindings;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::repo::{Ancestry, CommitState, Importer, Repo, Transaction};

/// Imports commits, and collects what they reach.
pub(super) struct Commits<'p, 'r> {
    transaction: &'p Transaction<'r>,
    source: &'p Repo,
    importer: &'p Importer<'p, 'r>,
    options: &'p PullOptions,
    found: Found,
}

/// What the commits came to.
#[derive(Default)]
pub(super) struct Found {
    /// All commits that were asked for or reached through parents.
    pub(super) reached: HashSet<Checksum>,
    /// The trees of those that were not complete here.
    pub(super) roots: Vec<Root>,
    /// What was imported so far.
    pub(super) stats: PullStats,
}

impl<'p, 'r> Commits<'p, 'r> {
    pub(super) fn new(
        transaction: &'p Transaction<'r>,
        source: &'p Repo,
        importer: &'p Importer<'p, 'r>,
        options: &'p PullOptions,
    ) -> Self {
        Self { transaction, source, importer, options, found: Found::default() }
    }

    /// Imports a commit and as many generations of parents as are wanted. `name` is the ref by which it was found.
    pub(super) fn add(&mut self, commit: &Checksum, name: Option<&str>) -> Result<()> {
        let mut next = Some((*commit, name));
        let mut generation = 0;
        let mut ancestry = Ancestry::default();
        while let Some((commit, name)) = next {
            ancestry.enter(&commit)?;
            let is_new = self.found.reached.insert(commit);
            // A commit may be wanted for itself and be reached as a parent: its own parents are still to be followed.
            let decoded = if is_new { self.import(&commit, name)? } else { self.load(&commit)? };
            let follows = self.options.depth.is_none_or(|depth| generation < depth);
            generation += 1;
            next = decoded.parent.filter(|_| follows).map(|parent| (parent, None));
            if let Some((parent, _)) = next
                && !self.is_anywhere(&parent)?
            {
                // The source has only the younger part of its history.
                next = None;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Found {
        self.found
    }

    fn is_anywhere(&self, commit: &Checksum) -> Result<bool> {
        let name = ObjectName::new(*commit, ObjectType::Commit);
        Ok(self.importer.is_present(&name)? || self.source.has_object(&name)?)
    }

    fn load(&self, commit: &Checksum) -> Result<Commit> {
        let repo = self.transaction.repo();
        let here = repo.has_object(&ObjectName::new(*commit, ObjectType::Commit))?;
        if here { repo.load_commit(commit) } else { self.source.load_commit(commit) }
    }

    fn import(&mut self, commit: &Checksum, ref_name: Option<&str>) -> Result<Commit> {
        let repo = self.transaction.repo();
        let name = ObjectName::new(*commit, ObjectType::Commit);
        let is_present = self.importer.is_present(&name)?;
        let detached = self.importer.detached_metadata(commit)?;
        let (decoded, is_complete) = if is_present {
            self.found.stats.transferred_bytes += detached;
            (self.load(commit)?, repo.commit_state(commit)? == CommitState::Complete)
        } else {
            // A mark that fsck left says more than ours.
            if repo.commit_state(commit)? == CommitState::Complete {
                repo.mark_commit(commit, CommitState::Partial)?;
            }
            let bytes = self.importer.metadata(&name)?;
            self.found.stats.metadata_objects_imported += 1;
            (Commit::decode(&bytes).of_object(name)?, false)
        };
        if let Some(name) = ref_name.filter(|_| self.options.verify_bindings) {
            bindings::verify(&decoded, bindings::Wanted { name, collection: None })
                .context(|| format!("Commit {commit}"))?;
        }
        if !is_complete && !self.options.commit_metadata_only {
            self.found.roots.push(Root { dirtree: decoded.root_dirtree, dirmeta: decoded.root_dirmeta });
        }
        Ok(decoded)
    }
}
