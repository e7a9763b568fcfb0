//! Which refs are pushed, and whether they may move.

use super::destination::{Destination, Expected};
use super::there::There;
use super::{Moves, PushOptions};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::refspec::RefName;
use crate::repo::{ListRefs, Repo, walk};

/// A ref that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moving {
    /// Its name, here and there.
    pub(super) name: RefName,
    /// The commit here.
    pub(super) commit: Checksum,
}

/// The refs of the repository that are pushed: those that are named, or all of its own.
///
/// # Errors
/// When one of them is not there.
pub(super) fn wanted(repo: &Repo, options: &PushOptions) -> Result<Vec<Moving>> {
    let mut wanted: Vec<Moving> = Vec::new();
    if options.refs.is_empty() {
        for (refspec, commit) in repo.list_refs(None, ListRefs::Full)? {
            if refspec.remote.is_none() {
                wanted.push(Moving { name: refspec.name, commit });
            }
        }
        if wanted.is_empty() {
            let path = repo.path().display();
            return Err(Error::failed(format!("{path} has no refs of its own to push")));
        }
        return Ok(wanted);
    }
    for name in &options.refs {
        let commit = repo.read_local_ref(name)?;
        let commit = commit.ok_or_else(|| Error::RefNotFound { refspec: name.to_string() })?;
        if wanted.iter().all(|moving| moving.name != *name) {
            wanted.push(Moving { name: name.clone(), commit });
        }
    }
    Ok(wanted)
}

/// Refuses to move a ref anywhere but forward, unless that is asked for: what another builder has
/// published would be lost.
///
/// # Errors
/// When the commit there is no ancestor of the one here.
pub(super) fn check_moves(
    repo: &Repo,
    destination: &dyn Destination,
    (wanted, there): (&[Moving], &There),
    moves: Moves,
) -> Result<()> {
    for moving in wanted {
        let Some((old, _)) = there.commits.get(&moving.name) else { continue };
        if moves == Moves::Anywhere || is_ancestor(repo, old, &moving.commit)? {
            continue;
        }
        return Err(Error::failed(format!(
            "the ref {} is at {old} in {}, which is not an ancestor of {}; --force moves it all the same",
            moving.name,
            destination.name(),
            moving.commit
        )));
    }
    Ok(())
}

/// Whether one commit is the other, or one of its ancestors as far as these are here.
fn is_ancestor(repo: &Repo, old: &Checksum, new: &Checksum) -> Result<bool> {
    let mut history = walk::history(repo, new);
    for step in &mut history {
        if step?.0 == *old {
            return Ok(true);
        }
    }
    Ok(history.missing_parent() == Some(*old))
}

impl Moving {
    /// What the ref has to be there when it moves.
    pub(super) fn expected(&self, there: &There, is_locked: bool) -> Expected {
        match is_locked {
            true => Expected::as_read(there.commits.get(&self.name).map(|(_, stored)| stored)),
            false => Expected::Anything,
        }
    }
}
