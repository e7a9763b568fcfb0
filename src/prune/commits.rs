//! Which commits are kept.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{Depth, Retention, Roots};
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::object::{Commit, ObjectName, ObjectType};
use crate::repo::{ListRefs, Repo};

/// What there is to know about a commit here.
#[derive(Clone, Copy, Debug)]
pub(super) struct CommitRoot {
    pub(super) commit: Checksum,
    pub(super) dirtree: Checksum,
    pub(super) dirmeta: Checksum,
    parent: Option<Checksum>,
    /// In seconds since 1970.
    timestamp: u64,
}

/// The commits that are kept, in no order.
pub(super) fn kept(repo: &Repo, roots: &Roots) -> Result<Vec<CommitRoot>> {
    let mut history = History { repo, loaded: HashMap::new(), kept: HashMap::new() };
    match roots {
        Roots::AllCommits => {
            let commits = repo.list_commits_starting_with("")?;
            history.preload(&commits)?;
            // Parents may be in a parent repository only; what they reach may be here.
            commits.iter().try_for_each(|commit| history.keep(commit, Depth::Unlimited))?;
        }
        Roots::Refs(depth) => {
            let refs = repo.list_refs(None, ListRefs::Full)?.into_iter().map(|(_, commit)| commit);
            let collection_refs =
                repo.list_collection_refs(None)?.into_iter().map(|(_, commit)| commit);
            refs.chain(collection_refs).try_for_each(|commit| history.keep(&commit, *depth))?;
        }
        Roots::Retained(retention) => {
            for (refspec, commit) in repo.list_refs(None, ListRefs::Full)? {
                history.keep_branch(&refspec.to_string(), &commit, retention)?;
            }
        }
    }
    let History { kept, loaded, .. } = history;
    Ok(kept.keys().filter_map(|commit| loaded.get(commit).copied().flatten()).collect())
}

/// Commits as they are walked; each is read once.
struct History<'r> {
    repo: &'r Repo,
    /// `None` for those that are not there.
    loaded: HashMap<Checksum, Option<CommitRoot>>,
    /// With the depth to which the parents are kept already.
    kept: HashMap<Checksum, Depth>,
}

impl History<'_> {
    fn preload(&mut self, commits: &[Checksum]) -> Result<()> {
        let load = |commit: &Checksum| Ok((*commit, load(self.repo, commit)?));
        self.loaded = commits.par_iter().map(load).collect::<Result<_>>()?;
        Ok(())
    }

    fn load(&mut self, commit: &Checksum) -> Result<Option<CommitRoot>> {
        if let Some(known) = self.loaded.get(commit) {
            return Ok(*known);
        }
        let loaded = load(self.repo, commit)?;
        self.loaded.insert(*commit, loaded);
        Ok(loaded)
    }

    fn keep_branch(&mut self, refspec: &str, tip: &Checksum, retention: &Retention) -> Result<()> {
        let Retention { depth, younger_than, only_branches, branch_depth } = retention;
        let is_spared =
            !only_branches.is_empty() && !only_branches.iter().any(|branch| branch == refspec);
        match (branch_depth.get(refspec), younger_than) {
            (Some(depth), _) => self.keep(tip, *depth),
            (None, _) if is_spared => self.keep(tip, Depth::Unlimited),
            (None, Some(time)) => self.keep_younger(tip, *time),
            (None, None) => self.keep(tip, *depth),
        }
    }

    /// Keeps a commit and this many of its parents.
    fn keep(&mut self, tip: &Checksum, mut depth: Depth) -> Result<()> {
        let mut next = Some(*tip);
        while let Some(commit) = next {
            if self.kept.get(&commit).is_some_and(|known| *known >= depth) {
                return Ok(());
            }
            let Some(root) = self.load(&commit)? else { return Ok(()) };
            self.kept.insert(commit, depth);
            depth = match depth {
                Depth::Unlimited => Depth::Unlimited,
                Depth::Parents(0) => return Ok(()),
                Depth::Parents(more) => Depth::Parents(more - 1),
            };
            next = root.parent;
        }
        Ok(())
    }

    /// Keeps a commit, and its parents down to the first one that is older than the time.
    fn keep_younger(&mut self, tip: &Checksum, time: i64) -> Result<()> {
        self.keep(tip, Depth::Parents(0))?;
        let mut next = Some(*tip);
        while let Some(commit) = next {
            // A time before 1970 is later than any other here, as it is for upstream.
            let Some(root) =
                self.load(&commit)?.filter(|root| root.timestamp >= time.cast_unsigned())
            else {
                break;
            };
            self.keep(&commit, Depth::Parents(0))?;
            next = root.parent;
        }
        Ok(())
    }
}

fn load(repo: &Repo, commit: &Checksum) -> Result<Option<CommitRoot>> {
    let name = ObjectName::new(*commit, ObjectType::Commit);
    let bytes = match repo.load_verified(&name) {
        Err(Error::MissingMetadata { .. }) => return Ok(None),
        other => other?,
    };
    let object = Commit::decode(&bytes).of_object(name)?;
    Ok(Some(CommitRoot {
        commit: *commit,
        dirtree: object.root_dirtree,
        dirmeta: object.root_dirmeta,
        parent: object.parent,
        timestamp: object.timestamp,
    }))
}
