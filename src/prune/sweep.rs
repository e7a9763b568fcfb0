//! Finds and removes unreachable objects. Each of the 256 directories is listed once, and processed
//! by one thread at a time.

use rayon::prelude::*;
use rustix::io::Errno;

use super::{PruneStats, Scope};
use crate::checksum::Checksum;
use crate::error::{Context, During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::{CommitState, ObjectSet, Repo};

/// Objects to be removed.
pub(super) struct Unreachable {
    pub(super) stats: PruneStats,
    /// By directory.
    objects: Vec<Vec<ObjectName>>,
}

/// Lists the repository and returns what is not in the set.
pub(super) fn unreachable(repo: &Repo, scope: Scope, reachable: &ObjectSet) -> Result<Unreachable> {
    let per_directory =
        (0..=255u8).into_par_iter().map(|first| in_directory(repo, scope, reachable, first));
    let per_directory = per_directory.collect::<Result<Vec<_>>>()?;
    let mut stats = PruneStats::default();
    let mut objects = Vec::with_capacity(per_directory.len());
    for (counted, names) in per_directory {
        stats.objects_total += counted.objects_total;
        stats.objects_deleted += counted.objects_deleted;
        stats.bytes_freed += counted.bytes_freed;
        objects.push(names);
    }
    Ok(Unreachable { stats, objects })
}

fn in_directory(
    repo: &Repo,
    scope: Scope,
    reachable: &ObjectSet,
    first: u8,
) -> Result<(PruneStats, Vec<ObjectName>)> {
    let mut names = repo.list_objects_starting_with(first)?;
    if scope == Scope::CommitsOnly {
        names.retain(|name| name.object_type == ObjectType::Commit);
    }
    let mut stats = PruneStats { objects_total: names.len() as u64, ..PruneStats::default() };
    let reachable = reachable.shard(first);
    names.retain(|name| !reachable.contains(name));
    stats.objects_deleted = names.len() as u64;
    for name in &names {
        stats.bytes_freed += repo.stored_size(name)?;
    }
    Ok((stats, names))
}

/// Removes the objects: first all commits, then all dirtrees, then all others.
pub(super) fn remove(repo: &Repo, found: &Unreachable, progress: &dyn Progress) -> Result<()> {
    let total = Some(found.stats.objects_deleted);
    progress.event(Event::Started { task: "deleting objects", total });
    let phases: [fn(ObjectType) -> bool; 3] = [
        |object_type| object_type == ObjectType::Commit,
        |object_type| object_type == ObjectType::DirTree,
        |object_type| !matches!(object_type, ObjectType::Commit | ObjectType::DirTree),
    ];
    let has_commits =
        found.objects.iter().flatten().any(|name| name.object_type == ObjectType::Commit);
    for phase in phases {
        let of_phase = |names: &[ObjectName]| -> Result<()> {
            for name in names.iter().filter(|name| phase(name.object_type)) {
                match name.object_type {
                    ObjectType::Commit => remove_commit(repo, &name.checksum, Absent::IsFine)?,
                    _ => drop(repo.delete_object(name)?),
                }
                progress.event(Event::Advanced { steps: 1, bytes: 0 });
            }
            Ok(())
        };
        found.objects.par_iter().try_for_each(|names| of_phase(names))?;
        // The removal of commits is durable before anything that they need is removed.
        if phase(ObjectType::Commit) && repo.config().fsync && has_commits {
            rustix::fs::syncfs(repo.dir()).during("syncing", repo.path())?;
        }
    }
    progress.event(Event::Finished);
    Ok(())
}

/// How a missing commit is treated when it is to be removed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    IsAnError,
    IsFine,
}

/// Removes a commit and what belongs to it; the tombstone is written before the commit is removed.
pub(super) fn remove_commit(repo: &Repo, commit: &Checksum, absent: Absent) -> Result<()> {
    let name = ObjectName::new(*commit, ObjectType::Commit);
    if repo.config().tombstone_commits && repo.has_own_object(&name)? {
        repo.write_tombstone(commit)?;
    }
    if !repo.delete_object(&name)? && absent == Absent::IsAnError {
        let hex = commit.to_hex();
        let path = format!("{}/{}.commit", &hex[..2], &hex[2..]);
        return Err(Errno::NOENT)
            .calling("unlinkat", path)
            .context(|| format!("Deleting object {name}"));
    }
    repo.delete_object(&ObjectName::new(*commit, ObjectType::CommitMeta))?;
    repo.mark_commit(commit, CommitState::Complete).context(|| format!("Deleting object {name}"))
}
