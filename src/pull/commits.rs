//! The commits of a pull, one after the other, with their parents.

use super::PullStats;
use super::checks::{Candidate, Checks};
use super::local::Importer;
use super::plan::{Completeness, Plan, WantedCommit};
use crate::error::{OfObject, Result};
use crate::object::{Commit, ObjectName, ObjectType};
use crate::repo::CommitState;

/// Imports the commits that the plan wants.
pub(super) fn import_wanted(
    importer: &Importer<'_, '_>,
    plan: &mut Plan,
    checks: &Checks<'_>,
    stats: &mut PullStats,
) -> Result<()> {
    while let Some(wanted) = plan.next_commit() {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        let is_present = importer.is_present(&name)?;
        if wanted.is_parent && !is_present && !importer.is_in_source(&name)? {
            // The source has only the younger part of its history.
            plan.commit_is_absent(&wanted);
            continue;
        }
        let commit = match is_present {
            true => update(importer, &wanted, checks, stats)?,
            false => import(importer, &wanted, checks, stats)?,
        };
        let completeness = match is_present
            && importer.repo().commit_state(&wanted.commit)? == CommitState::Complete
        {
            true => Completeness::Complete,
            false => Completeness::Partial,
        };
        plan.commit_arrived(&wanted.commit, &commit, completeness)?;
    }
    Ok(())
}

/// Takes over new detached metadata of a commit that is there.
fn update(
    importer: &Importer<'_, '_>,
    wanted: &WantedCommit,
    checks: &Checks<'_>,
    stats: &mut PullStats,
) -> Result<Commit> {
    let name = ObjectName::new(wanted.commit, ObjectType::Commit);
    let bytes = importer.load_present(&name)?;
    let commit = Commit::decode(&bytes).of_object(name)?;
    let detached = importer.load_detached_metadata(&wanted.commit)?;
    let new = detached.as_deref();
    checks.check(&Candidate {
        wanted,
        bytes: &bytes,
        commit: &commit,
        detached: new,
        is_stored: true,
    })?;
    if let Some(detached) = detached {
        importer.store_detached_metadata(&wanted.commit, &detached)?;
        stats.transferred_bytes += detached.len() as u64;
    }
    Ok(commit)
}

/// Takes over a commit with its detached metadata. Nothing is written before all there is to be
/// looked at was: what comes with a commit that is refused replaces nothing.
fn import(
    importer: &Importer<'_, '_>,
    wanted: &WantedCommit,
    checks: &Checks<'_>,
    stats: &mut PullStats,
) -> Result<Commit> {
    let name = ObjectName::new(wanted.commit, ObjectType::Commit);
    let bytes = importer.load(&name)?;
    let commit = Commit::decode(&bytes).of_object(name)?;
    let detached = importer.load_detached_metadata(&wanted.commit)?;
    let new = detached.as_deref();
    checks.check(&Candidate {
        wanted,
        bytes: &bytes,
        commit: &commit,
        detached: new,
        is_stored: false,
    })?;
    let repo = importer.repo();
    // A mark left by fsck has more information than ours.
    if repo.commit_state(&wanted.commit)? == CommitState::Complete {
        repo.mark_commit(&wanted.commit, CommitState::Partial)?;
    }
    if let Some(detached) = detached {
        importer.store_detached_metadata(&wanted.commit, &detached)?;
    }
    importer.store(&name, &bytes)?;
    stats.metadata_objects_imported += 1;
    Ok(commit)
}
