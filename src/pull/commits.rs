//! The commits of a pull, one after the other, with their parents.

use super::checks::{Candidate, Checks};
use super::local::Importer;
use super::plan::{Completeness, Plan, WantedCommit};
use super::space::{Commits, Space};
use super::{PullOptions, PullStats};
use crate::error::{OfObject, Result};
use crate::map::FileBytes;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::repo::CommitState;

/// What is wanted, and whether it fits, if that is asked.
pub(super) type Forecast<'f> = (&'f mut Plan, Option<&'f mut Space>);

/// For a pull whose objects take room of their own, all of which are wanted.
pub(super) fn space(importer: &Importer<'_, '_>, options: &PullOptions) -> Result<Option<Space>> {
    let is_whole = !options.commit_metadata_only && options.subpaths.is_empty();
    let takes_room = is_whole && !importer.links_files();
    takes_room.then(|| Space::new(importer.repo(), Commits::More)).transpose()
}

/// Imports the commits that the plan wants.
pub(super) fn import_wanted(
    importer: &Importer<'_, '_>,
    (plan, space): Forecast<'_>,
    checks: &Checks<'_>,
    stats: &mut PullStats,
) -> Result<()> {
    for_each_wanted(importer, (plan, space), |wanted, is_present| match is_present {
        true => update(importer, wanted, checks, stats),
        false => import(importer, wanted, checks, stats),
    })
}

/// Takes one commit after the other that the plan wants, and tells the plan what `take` returns.
/// Its second argument is whether the commit is here already.
pub(super) fn for_each_wanted(
    importer: &Importer<'_, '_>,
    (plan, mut space): Forecast<'_>,
    mut take: impl FnMut(&WantedCommit, bool) -> Result<Commit>,
) -> Result<()> {
    while let Some(wanted) = plan.next_commit() {
        let name = ObjectName::new(wanted.commit, ObjectType::Commit);
        let is_present = importer.is_present(&name)?;
        if wanted.is_parent && !is_present && !importer.is_in_source(&name)? {
            // The source has only the younger part of its history.
            plan.commit_is_absent(&wanted);
            continue;
        }
        let commit = take(&wanted, is_present)?;
        let completeness = match is_present
            && importer.repo().commit_state(&wanted.commit)? == CommitState::Complete
        {
            true => Completeness::Complete,
            false => Completeness::Partial,
        };
        if let Some(space) = space.as_mut().filter(|_| completeness == Completeness::Partial) {
            let is_missing = |name: &ObjectName| importer.is_present(name).map(|there| !there);
            space.add_commit(&wanted.commit, &commit, is_missing)?;
        }
        plan.commit_arrived(&wanted.commit, &commit, completeness)?;
    }
    Ok(())
}

/// What the source has of a commit that has passed the checks.
pub(super) struct Checked {
    pub(super) bytes: FileBytes,
    pub(super) commit: Commit,
    detached: Option<FileBytes>,
}

/// Looks at all there is of a commit before anything is written: what comes with a commit that is
/// refused replaces nothing.
pub(super) fn check(
    importer: &Importer<'_, '_>,
    wanted: &WantedCommit,
    checks: &Checks<'_>,
    is_stored: bool,
) -> Result<Checked> {
    let name = ObjectName::new(wanted.commit, ObjectType::Commit);
    let bytes = if is_stored { importer.load_present(&name)? } else { importer.load(&name)? };
    let commit = Commit::decode(&bytes).of_object(name)?;
    let detached = importer.load_detached_metadata(&wanted.commit)?;
    checks.check(&Candidate {
        wanted,
        bytes: &bytes,
        commit: &commit,
        detached: detached.as_deref(),
        is_stored,
    })?;
    Ok(Checked { bytes, commit, detached })
}

/// Takes over new detached metadata of a commit that is there.
fn update(
    importer: &Importer<'_, '_>,
    wanted: &WantedCommit,
    checks: &Checks<'_>,
    stats: &mut PullStats,
) -> Result<Commit> {
    let Checked { commit, detached, .. } = check(importer, wanted, checks, true)?;
    if let Some(detached) = detached {
        importer.store_detached_metadata(&wanted.commit, &detached)?;
        stats.transferred_bytes += detached.len() as u64;
    }
    Ok(commit)
}

/// Takes over a commit with its detached metadata.
fn import(
    importer: &Importer<'_, '_>,
    wanted: &WantedCommit,
    checks: &Checks<'_>,
    stats: &mut PullStats,
) -> Result<Commit> {
    let Checked { bytes, commit, detached } = check(importer, wanted, checks, false)?;
    let repo = importer.repo();
    // A mark left by fsck has more information than ours.
    if repo.commit_state(&wanted.commit)? == CommitState::Complete {
        repo.mark_commit(&wanted.commit, CommitState::Partial)?;
    }
    if let Some(detached) = detached {
        importer.store_detached_metadata(&wanted.commit, &detached)?;
    }
    importer.store(&ObjectName::new(wanted.commit, ObjectType::Commit), &bytes)?;
    stats.metadata_objects_imported += 1;
    Ok(commit)
}
