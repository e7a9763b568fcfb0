//! Removes from a store what its refs do not reach.
//!
//! ```text
//! 1. the objects are listed
//! 2. what the refs reach is marked, and what commits reach that are younger than the guard: those
//!    of pushes that are under way
//! 3. the refs are read again; if one has moved, all of step 2 is done again
//! 4. what is older than the guard and not marked is removed: indexes and superblocks of deltas, their
//!    parts, commits, dirtrees, everything else
//! ```
//!
//! So a kill leaves objects that the next run removes, never a commit without something it needs.
//! What a push sends is younger than the guard until its refs have moved.

use std::collections::BTreeMap;

use super::destination::object_path;
use super::store::{Listed, Store};
use super::survey::{Found, Problem, Survey, inventory, refs_of};
use crate::checksum::Checksum;
use crate::delta_format::DeltaName;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::refspec::RefName;
use crate::repo::ObjectSet;

/// How often the marks are made anew because refs have moved meanwhile.
const ATTEMPTS: u32 = 20;
/// How many names are removed before the progress says so.
const AT_A_TIME: usize = 16_000;

/// What is removed from a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorePruneOptions {
    /// How many parents are kept with the commit of each ref; `None` is all that are there.
    pub depth: Option<u32>,
    /// What was written later than so many seconds ago is kept in any case.
    pub guard: u64,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Only count, remove nothing.
    pub dry_run: bool,
}

/// Counts of what was removed, or would have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StorePruneStats {
    /// Objects that were there before, detached metadata among them.
    pub objects_total: u64,
    /// Objects that were removed.
    pub objects_deleted: u64,
    /// Objects that no ref reaches, but that are too young to be removed.
    pub objects_young: u64,
    /// Files of static deltas, and indexes of them, that were removed.
    pub delta_files_deleted: u64,
    /// The size of everything that was removed, in bytes.
    pub bytes_freed: u64,
}

/// Removes the objects that no ref of the store reaches, and static deltas to commits that are
/// removed. The summary stays as it is.
///
/// # Errors
/// When the store is no archive or fails; when something that a ref reaches is missing or damaged,
/// or refs move again and again: nothing has been removed then.
pub fn prune_store(
    store: &dyn Store,
    options: &StorePruneOptions,
    progress: &dyn Progress,
) -> Result<StorePruneStats> {
    progress.event(Event::Started { task: "looking for unreachable objects", total: None });
    let limit = i64::try_from(options.now.saturating_sub(options.guard)).unwrap_or(i64::MAX);
    let inventory = inventory(store)?;
    let kept = kept(store, &inventory, options.depth, limit)?;
    let mut plan = Plan::default();
    plan.add_objects(&inventory, &kept, limit);
    drop(inventory);
    plan.add_deltas(store, &kept, limit)?;
    progress.event(Event::Finished);
    if !options.dry_run {
        plan.remove(store, progress)?;
    }
    Ok(plan.stats)
}

/// Everything that is kept, as of refs that have not moved since.
fn kept(
    store: &dyn Store,
    inventory: &[Found],
    depth: Option<u32>,
    limit: i64,
) -> Result<ObjectSet> {
    let mut refs = refs_of(store)?;
    for _ in 0..ATTEMPTS {
        let kept = marked(store, inventory, (&refs, depth), limit)?;
        let now = refs_of(store)?;
        if now == refs {
            return Ok(kept);
        }
        refs = now;
    }
    Err(Error::failed(format!(
        "refs of {} moved whenever they had been read ({ATTEMPTS} times)",
        store.name()
    )))
}

fn marked(
    store: &dyn Store,
    inventory: &[Found],
    (refs, depth): (&BTreeMap<RefName, Checksum>, Option<u32>),
    limit: i64,
) -> Result<ObjectSet> {
    let mut survey = Survey::new(store);
    let commits = inventory.iter().filter(|found| found.name.object_type == ObjectType::Commit);
    let listed: Vec<Checksum> = commits.clone().map(|found| found.name.checksum).collect();
    survey.load_commits(&listed)?;
    let mut wanted = Vec::new();
    for (name, tip) in refs {
        use crate::error::Context as _;
        let history = survey.history(tip, depth);
        wanted.extend(history.context(|| format!("{}: the ref {name}", store.name()))?);
    }
    survey.reach(&wanted)?;
    let mut problems = std::mem::take(&mut survey.problems).into_iter();
    // A damaged commit that no ref reaches keeps nothing.
    if let Some((name, problem)) = problems.find(|(name, _)| survey.reached.contains(name)) {
        let error = match problem {
            Problem::Missing => Error::missing(name),
            Problem::Corrupted(error) => error,
        };
        return Err(Error::During { what: store.name().to_owned(), source: Box::new(error) });
    }
    let young = commits.filter(|found| found.written > limit);
    let young: Vec<Checksum> = young.map(|found| found.name.checksum).collect();
    survey.reach(&young)?;
    Ok(survey.reached)
}

/// What is removed, by the order in which that happens.
#[derive(Default)]
struct Plan {
    entries_of_deltas: Vec<String>,
    parts_of_deltas: Vec<String>,
    commits: Vec<ObjectName>,
    dirtrees: Vec<ObjectName>,
    others: Vec<ObjectName>,
    stats: StorePruneStats,
}

impl Plan {
    fn add_objects(&mut self, inventory: &[Found], kept: &ObjectSet, limit: i64) {
        self.stats.objects_total = inventory.len() as u64;
        for Found { name, size, written } in inventory {
            // Detached metadata belongs to its commit.
            let owner = match name.object_type {
                ObjectType::CommitMeta => ObjectName::new(name.checksum, ObjectType::Commit),
                _ => *name,
            };
            if kept.contains(&owner) {
                continue;
            }
            if *written > limit {
                self.stats.objects_young += 1;
                continue;
            }
            self.stats.objects_deleted += 1;
            self.stats.bytes_freed += size;
            match name.object_type {
                ObjectType::Commit | ObjectType::CommitMeta => self.commits.push(*name),
                ObjectType::DirTree => self.dirtrees.push(*name),
                _ => self.others.push(*name),
            }
        }
    }

    fn add_deltas(&mut self, store: &dyn Store, kept: &ObjectSet, limit: i64) -> Result<()> {
        let is_gone = |delta: Option<DeltaName>, file: &Listed<'_>| {
            let to = delta.map(|delta| ObjectName::new(delta.to, ObjectType::Commit));
            to.is_some_and(|to| !kept.contains(&to)) && file.written <= limit
        };
        store.list("deltas", &mut |file| {
            let mut parts = file.name.splitn(3, '/');
            let (Some(prefix), Some(rest)) = (parts.next(), parts.next()) else { return };
            if is_gone(DeltaName::of_directory(prefix, rest), file) {
                self.add_file_of_delta(format!("deltas/{}", file.name), file.size);
            }
        })?;
        store.list("delta-indexes", &mut |file| {
            let name = file.name.strip_suffix(".index").and_then(|name| name.split_once('/'));
            let delta = name.and_then(|(prefix, rest)| DeltaName::of_directory(prefix, rest));
            if is_gone(delta, file) {
                self.add_file_of_delta(format!("delta-indexes/{}", file.name), file.size);
            }
        })
    }

    fn add_file_of_delta(&mut self, name: String, size: u64) {
        self.stats.delta_files_deleted += 1;
        self.stats.bytes_freed += size;
        let is_entry = name.ends_with("/superblock") || name.ends_with(".index");
        let list = if is_entry { &mut self.entries_of_deltas } else { &mut self.parts_of_deltas };
        list.push(name);
    }

    fn remove(&self, store: &dyn Store, progress: &dyn Progress) -> Result<()> {
        let total = self.stats.objects_deleted + self.stats.delta_files_deleted;
        progress.event(Event::Started { task: "prune", total: Some(total) });
        let removed = |number: usize| {
            progress.event(Event::Advanced { steps: number as u64, bytes: 0 });
        };
        for names in [&self.entries_of_deltas, &self.parts_of_deltas] {
            store.remove(names)?;
            removed(names.len());
        }
        for objects in [&self.commits, &self.dirtrees, &self.others] {
            for objects in objects.chunks(AT_A_TIME) {
                let names: Vec<String> = objects.iter().map(object_path).collect();
                store.remove(&names)?;
                removed(names.len());
            }
        }
        progress.event(Event::Finished);
        Ok(())
    }
}
