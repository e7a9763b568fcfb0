//! Finds what the kept commits reach.

use super::commits::CommitRoot;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{AtHole, CommitState, NO_VISITOR, ObjectSet, Reading, Repo, Walk};

/// The commits without what they reach.
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
    // A dirtree that both kinds of commits need must be there, so the commits that require it come
    // first.
    for (dirtrees, missing) in [(complete, AtHole::Fail), (partial, AtHole::Skip)] {
        let at_hole = |_: &ObjectName, error: &Error| match error {
            Error::MissingMetadata { .. } => missing,
            _ => AtHole::Fail,
        };
        Walk {
            repo,
            reached: &set,
            reading: Reading::Verified,
            at_hole: &at_hole,
            visitor: NO_VISITOR,
        }
        .dirtrees(&dirtrees)?;
    }
    Ok(set)
}
