//! The commits of a pull, one after the other, with their parents.

use super::local::Importer;
use super::plan::{Completeness, Plan, WantedCommit};
use super::{PullOptions, PullStats, Want};
use crate::error::{Context, OfObject, Result};
use crate::fsck::bindings;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::refspec::CollectionRef;
use crate::repo::CommitState;

/// Imports the commits that the plan wants.
pub(super) fn import_wanted(
    importer: &Importer<'_, '_>,
    plan: &mut Plan,
    options: &PullOptions,
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
            true => update(importer, &wanted, options, stats)?,
            false => import(importer, &wanted, options, stats)?,
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
    options: &PullOptions,
    stats: &mut PullStats,
) -> Result<Commit> {
    let name = ObjectName::new(wanted.commit, ObjectType::Commit);
    let commit = Commit::decode(&importer.load_present(&name)?).of_object(name)?;
    verify_bindings(wanted, &commit, options)?;
    if let Some(detached) = importer.load_detached_metadata(&wanted.commit)? {
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
    options: &PullOptions,
    stats: &mut PullStats,
) -> Result<Commit> {
    let name = ObjectName::new(wanted.commit, ObjectType::Commit);
    let bytes = importer.load(&name)?;
    let commit = Commit::decode(&bytes).of_object(name)?;
    verify_bindings(wanted, &commit, options)?;
    let detached = importer.load_detached_metadata(&wanted.commit)?;
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

fn verify_bindings(wanted: &WantedCommit, commit: &Commit, options: &PullOptions) -> Result<()> {
    match wanted.found_by.as_ref().and_then(binding) {
        Some(binding) if options.verify_bindings => {
            bindings::verify(commit, binding).context(|| format!("Commit {}", wanted.commit))
        }
        _ => Ok(()),
    }
}

/// The ref that a commit must have been made for.
fn binding(want: &Want) -> Option<bindings::Wanted<'_>> {
    match want {
        Want::Commit(_) => None,
        Want::Ref(name) => Some(bindings::Wanted { name: name.as_str(), collection: None }),
        Want::CollectionRef(CollectionRef { collection, name }) => {
            Some(bindings::Wanted { name: name.as_str(), collection: Some(collection.as_str()) })
        }
    }
}
