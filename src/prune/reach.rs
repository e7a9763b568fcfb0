//! What commits reach, found by several threads: level by level, each dirtree read once.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use super::commits::CommitRoot;
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::object::{DirTreeReader, ObjectName, ObjectType};
use crate::repo::{CommitState, Repo};

/// A set of object names that threads add to; about 60 bytes an object.
pub(super) struct ObjectSet {
    /// By the first byte of the checksum, as the directories of objects are.
    shards: Vec<Mutex<HashSet<ObjectName>>>,
}

impl ObjectSet {
    fn new() -> Self {
        Self { shards: (0..=255u8).map(|_| Mutex::default()).collect() }
    }

    /// Adds an object and says whether it is new.
    fn insert(&self, name: ObjectName) -> bool {
        self.shard(name.checksum.as_bytes()[0]).insert(name)
    }

    /// The objects whose checksums start with a byte.
    pub(super) fn shard(&self, first: u8) -> MutexGuard<'_, HashSet<ObjectName>> {
        // A panic while inserting leaves the set whole.
        self.shards[usize::from(first)].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The commits with nothing that they reach.
pub(super) fn commits_alone(commits: &[CommitRoot]) -> ObjectSet {
    let set = ObjectSet::new();
    for root in commits {
        set.insert(ObjectName::new(root.commit, ObjectType::Commit));
    }
    set
}

/// The commits with everything that they reach.
pub(super) fn from_commits(repo: &Repo, commits: &[CommitRoot]) -> Result<ObjectSet> {
    let set = commits_alone(commits);
    let mut complete = Vec::new();
    let mut partial = Vec::new();
    for root in commits {
        log::debug!("Traversing commit {}", root.commit);
        set.insert(ObjectName::new(root.dirmeta, ObjectType::DirMeta));
        match repo.commit_state(&root.commit)? {
            CommitState::Complete => complete.push(root.dirtree),
            CommitState::Partial | CommitState::PartialFsck => partial.push(root.dirtree),
        }
    }
    let walk = Walk { repo, set };
    // A dirtree that both kinds need must be there, so those that insist on it go first.
    walk.all_below(complete, Missing::IsAnError)?;
    walk.all_below(partial, Missing::IsSkipped)?;
    Ok(walk.set)
}

/// What a missing dirtree means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    IsAnError,
    IsSkipped,
}

struct Walk<'r> {
    repo: &'r Repo,
    set: ObjectSet,
}

impl Walk<'_> {
    fn all_below(&self, mut level: Vec<Checksum>, missing: Missing) -> Result<()> {
        level.retain(|dirtree| self.set.insert(ObjectName::new(*dirtree, ObjectType::DirTree)));
        while !level.is_empty() {
            let below = level.par_iter().map(|dirtree| self.below(dirtree, missing)).collect::<Result<Vec<_>>>()?;
            level = below.concat();
        }
        Ok(())
    }

    /// Adds what a dirtree lists, and returns the dirtrees that were not known yet.
    fn below(&self, dirtree: &Checksum, missing: Missing) -> Result<Vec<Checksum>> {
        let name = ObjectName::new(*dirtree, ObjectType::DirTree);
        let bytes = match super::load_verified(self.repo, &name) {
            Err(Error::MissingMetadata { .. }) if missing == Missing::IsSkipped => return Ok(Vec::new()),
            other => other?,
        };
        let reader = DirTreeReader::new(&bytes).of_object(name)?;
        for file in reader.files() {
            let file = file.of_object(name)?;
            self.set.insert(ObjectName::new(Checksum::from_bytes(*file.checksum), ObjectType::File));
        }
        let mut new = Vec::new();
        for dir in reader.dirs() {
            let dir = dir.of_object(name)?;
            self.set.insert(ObjectName::new(Checksum::from_bytes(*dir.dirmeta), ObjectType::DirMeta));
            let dirtree = Checksum::from_bytes(*dir.dirtree);
            if self.set.insert(ObjectName::new(dirtree, ObjectType::DirTree)) {
                new.push(dirtree);
            }
        }
        Ok(new)
    }
}
