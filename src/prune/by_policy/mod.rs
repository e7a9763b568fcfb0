//! Removes what a policy does not keep, beside processes that write.
//!
//! ```text
//! shared lock       1. objects are listed, the policy decides about commits, and the table of what they
//!                      reach is brought up to date: everything that goes is known
//! exclusive lock,   2. refs are read again, and directories that have changed are listed again; what
//! again and again      commits reach that stay now and did not in step 1 stays, too
//! for a moment      3. some objects are removed: commits first, then dirtrees, then everything else
//! ```
//!
//! A process that writes holds the shared lock until its objects are in place and its refs have
//! moved. So whenever the exclusive lock is held, step 2 finds every commit that has come. It may
//! reach objects that were about to be removed, because whoever wrote it found them in place: they
//! stay. What has come since step 1 began is never removed.

mod changes;
mod deltas;
mod policy;
mod report;
mod sweep;
mod verdicts;

use std::cmp::Reverse;
use std::collections::HashSet;
use std::time::Duration;

use rayon::prelude::*;

use super::remove_stale_summaries;
use super::table::{self, Table};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::{CommitState, LockKind, Repo};
use crate::threads;

use changes::Changes;
use sweep::Sweep;
use verdicts::{Commits, Row, Verdict, Verdicts};

pub use policy::{Keep, Policy, Rule, Tag};
pub use report::{PolicyReport, PolicyRow, RowOf};

/// How a repository is pruned by a policy.
#[derive(Clone, Debug)]
pub struct PolicyOptions {
    /// What is kept.
    pub policy: Policy,
    /// Commits and objects that no ref leads to are kept when they have come later than so long
    /// ago.
    pub guard: Duration,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Only count, remove nothing.
    pub dry_run: bool,
    /// How long others have to wait.
    pub pace: Pace,
}

/// For how long the exclusive lock is held at a time, and for how long it is free in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The time it is held.
    pub hold: Duration,
    /// The time it is free: longer than the interval at which those who wait try again, a quarter
    /// of a second.
    pub pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { hold: Duration::from_millis(250), pause: Duration::from_millis(300) }
    }
}

/// Removes what a policy does not keep: commits, what only they reach, objects that nothing
/// reaches, and static deltas. The delta indexes follow, and the summary if the config asks for it.
///
/// A commit is removed as by [`prune`](super::prune()).
///
/// # Errors
/// When a dirtree of a commit that is kept is missing, unless the commit is marked as partial, and
/// when such a commit or dirtree is corrupted or malformed: nothing has been removed then. When
/// something cannot be removed.
pub fn prune_by_policy(
    repo: &Repo,
    options: &PolicyOptions,
    progress: &dyn Progress,
) -> Result<PolicyReport> {
    repo.refuse_links()?;
    let shared = repo.lock(LockKind::Shared)?;
    progress.event(Event::Started { task: "looking for unreachable objects", total: None });
    let mut commits = Commits::new(repo, &options.policy, options.now);
    let mut marked = threads::run(|| mark(repo, options, &mut commits, progress))?;
    let doomed = deltas::doomed(repo, &marked.verdicts)?;
    let mut report = PolicyReport::new(options);
    report.count(&marked, &doomed);
    drop(shared);
    progress.event(Event::Finished);
    if options.dry_run {
        return Ok(report);
    }
    let found = std::mem::take(&mut marked.found.candidates);
    let mut sweep = Sweep::new(repo, options, &mut commits, marked, progress);
    sweep.remove_deltas(&doomed)?;
    sweep.remove(found, &mut report)?;
    let Marked { table, verdicts, is_new, incomplete, .. } = sweep.marked;
    let stays = |commit: &&Checksum| {
        verdicts.of.get(commit).is_some_and(|verdict| verdict.is_kept())
            && !incomplete.contains(*commit)
    };
    let order: Vec<Checksum> = verdicts.order.iter().filter(stays).copied().collect();
    if is_new || table.commits() != order {
        let table = threads::run(|| Ok(table.merged(Table::default(), &order)))?;
        table::save(repo, &table)?;
    }
    remove_stale_summaries(repo)?;
    if !doomed.is_empty() {
        let _shared = repo.lock(LockKind::Shared)?;
        crate::repo::deltas::reindex(repo)?;
    }
    if report.commits_deleted + report.deltas_deleted > 0 {
        crate::summary::auto_update(repo)?;
    }
    Ok(report)
}

/// What is known after the first step.
struct Marked {
    table: Table,
    /// Whether it has more than the file.
    is_new: bool,
    verdicts: Verdicts,
    /// Commits that do not reach all that they should.
    incomplete: HashSet<Checksum>,
    /// Dirtrees that commits lack which stay.
    holes: Vec<Checksum>,
    /// For each class of the table, whether it stays.
    kept: Vec<bool>,
    changes: Changes,
    found: Found,
}

/// An object that goes.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    name: ObjectName,
    bytes: u64,
    /// `None` if no commit reaches it.
    row: Option<Row>,
}

/// What the listing has found.
#[derive(Default)]
struct Found {
    objects_total: u64,
    /// Objects that no commit reaches, but that are too young to be removed.
    objects_young: u64,
    candidates: Vec<Candidate>,
}

fn mark(
    repo: &Repo,
    options: &PolicyOptions,
    commits: &mut Commits<'_>,
    progress: &dyn Progress,
) -> Result<Marked> {
    let limit = i64::try_from(options.now.saturating_sub(options.guard.as_secs()));
    let limit = limit.unwrap_or(i64::MAX);
    let mut changes = Changes::begin(repo)?;
    let listed = changes.list_all(repo)?;
    let is_commit = |name: &&ObjectName| name.object_type == ObjectType::Commit;
    let here: Vec<Checksum> =
        listed.par_iter().flatten().filter(is_commit).map(|name| name.checksum).collect();
    for (commit, error) in commits.read(&here) {
        // If a ref leads to it, it is an error below.
        progress.event(Event::Warning(&format!("{commit}: {}", error.chain())));
    }
    let began = changes.began();
    let is_young = |commit: &Checksum| {
        let written = written(repo, &ObjectName::new(*commit, ObjectType::Commit))?;
        Ok(written.is_some_and(|(time, _)| time.0 > limit || time >= began))
    };
    let verdicts = commits.decide(&here, is_young)?;
    changes.know(&here);

    let table = table::load(repo);
    let known: HashSet<Checksum> = table.commits().iter().copied().collect();
    let new = verdicts.order.iter().filter(|commit| !known.contains(commit));
    let roots: Vec<_> = new.filter_map(|commit| commits.root(commit)).collect();
    let (more, holes) = table::walk(repo, &roots)?;
    let mut incomplete = HashSet::new();
    let mut missing = Vec::new();
    for hole in holes {
        let mut is_missed = false;
        for commit in &hole.commits {
            let is_kept = verdicts.of.get(commit).is_some_and(|verdict| verdict.is_kept());
            let is_missing = matches!(hole.error, Error::MissingMetadata { .. });
            let may_be = is_missing && repo.commit_state(commit)? != CommitState::Complete;
            if is_kept && !may_be {
                return Err(hole.error);
            }
            is_missed |= is_kept;
            incomplete.insert(*commit);
        }
        missing.extend(is_missed.then_some(hole.object.checksum));
    }
    let is_new = !roots.is_empty();
    // All that was decided about is in the table, besides commits that are damaged.
    let is_there: HashSet<Checksum> =
        known.into_iter().chain(roots.iter().map(|root| root.commit)).collect();
    let order: Vec<Checksum> =
        verdicts.order.iter().filter(|commit| is_there.contains(commit)).copied().collect();
    let table = match is_new || table.commits() != order {
        true => table.merged(more, &order),
        false => table,
    };
    let best =
        table.best(|commit| verdicts.of.get(commit).copied().unwrap_or(Verdict::Kept(Reverse(0))));
    let kept = best.iter().map(|best| best.is_some_and(Verdict::is_kept)).collect();
    let found = find(repo, &table, &best, (listed, &verdicts), (limit, began))?;
    Ok(Marked { table, is_new, verdicts, incomplete, holes: missing, kept, changes, found })
}

/// Finds what is to be removed.
fn find(
    repo: &Repo,
    table: &Table,
    best: &[Option<Verdict>],
    (listed, verdicts): (Vec<Vec<ObjectName>>, &Verdicts),
    (limit, began): (i64, Time),
) -> Result<Found> {
    let in_directory = |(first, names): (usize, Vec<ObjectName>)| {
        let mut found = Found { objects_total: names.len() as u64, ..Found::default() };
        let mut gone = Vec::new();
        table.join(first as u8, &names, |name, class| {
            let verdict = class.and_then(|class| best.get(class as usize).copied().flatten());
            // A commit that is damaged is in no table.
            let own = match name.object_type {
                ObjectType::Commit => verdicts.of.get(&name.checksum).copied(),
                _ => None,
            };
            match verdict.or(own) {
                Some(verdict) if verdict.is_kept() => {}
                verdict => gone.push((*name, verdict.map(Verdict::row))),
            }
        });
        for (name, row) in gone {
            let Some((time, bytes)) = written(repo, &name)? else { continue };
            match row {
                // Nothing in `objects/` is newer than this but what has just come.
                _ if time >= began => found.objects_young += 1,
                None if time.0 > limit => found.objects_young += 1,
                row => found.candidates.push(Candidate { name, bytes, row }),
            }
        }
        Ok(found)
    };
    let each: Vec<Result<Found>> = listed.into_par_iter().enumerate().map(in_directory).collect();
    let mut all = Found::default();
    for found in each {
        let found = found?;
        all.objects_total += found.objects_total;
        all.objects_young += found.objects_young;
        all.candidates.extend(found.candidates);
    }
    Ok(all)
}

/// Seconds since 1970, and nanoseconds.
type Time = (i64, i64);

/// When an object got its name, and its size; `None` if it is gone.
fn written(repo: &Repo, name: &ObjectName) -> Result<Option<(Time, u64)>> {
    use crate::error::During;
    use rustix::io::Errno;
    match repo.stat_object(name) {
        Ok(stat) => {
            let time = (stat.st_ctime, stat.st_ctime_nsec as i64);
            Ok(Some((time, u64::try_from(stat.st_size).unwrap_or(0))))
        }
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error).during("looking for", repo.object_path(name)),
    }
}
