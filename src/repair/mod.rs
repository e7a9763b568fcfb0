//! Repairs a repository: what is damaged or missing is fetched again, verified and put in place;
//! what no source has is listed.
//!
//! ```text
//! scan    which objects are damaged or missing: first from all commits, then from what has come
//! fetch   gets objects from one source, within one transaction
//! lost    the commits, refs and paths that use what nobody has
//! rest    what is no object: refs, static deltas, the summary, what is staged
//! ```
//!
//! A damaged object stays where it is until a verified copy replaces it with one rename, as another
//! file: checkouts that are hard links to it keep what they have. A commit is marked as damaged
//! before it comes back, and no longer when all that it reaches is sound. So a kill at any moment
//! leaves the repository no worse than it was.

mod fetch;
mod lost;
mod rest;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::find_object::Use;
use crate::fsck::Fault;
use crate::object::{ObjectName, ObjectType};
use crate::progress::Progress;
use crate::pull::{PullOptions, Supply};
use crate::refspec::CollectionId;
use crate::repo::{CommitState, LockKind, Repo};
use crate::threads;

pub use rest::{DamagedFile, Staged};
use scan::Scan;

/// Where objects are fetched from.
#[derive(Debug)]
pub struct Source<'s> {
    /// What it is called in reports.
    pub name: String,
    /// Its objects.
    pub supply: Supply<'s>,
    /// The collection that its commits must be bound to.
    pub collection: Option<CollectionId>,
    /// What its commits and files must fulfil: signatures, bindings, modes. Nothing else of it
    /// counts.
    pub options: PullOptions,
}

/// How to repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RepairOptions {
    /// Change nothing.
    pub dry_run: bool,
    /// Go on where an earlier check with this option was interrupted.
    pub resume: bool,
    /// The most paths of a lost object that are listed for each commit.
    pub most_paths: usize,
}

/// What was found and done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairReport {
    /// Commits that should be complete, all of which were checked.
    pub commits: u64,
    /// Commits that are partial on purpose, sorted. What is missing of them is not fetched.
    pub partial: Vec<Checksum>,
    /// What was damaged or missing and has been put in place, or would be in a dry run; sorted.
    pub restored: Vec<Restored>,
    /// What is damaged or missing and no source has, sorted.
    pub lost: Vec<Lost>,
    /// Refs, deltas and other files that are damaged, and are not restored.
    pub damaged_files: Vec<DamagedFile>,
    /// Whether the summary was malformed and has been made again, or would be.
    pub summary_made: bool,
    /// What killed or running transactions have staged.
    pub staged: Vec<Staged>,
}

/// An object that was put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Which.
    pub object: ObjectName,
    /// What was wrong.
    pub fault: Fault,
    /// The number of the source that it came from, in the order in which they were given. In a dry
    /// run the first one that has it, or that may have it because it is a server.
    pub source: usize,
    /// Its stored size in bytes, if it is known.
    pub bytes: Option<u64>,
}

/// An object that nobody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Which.
    pub object: ObjectName,
    /// What is wrong with it.
    pub fault: Fault,
    /// The same for users.
    pub message: String,
    /// Why it did not come from sources that should have it.
    pub reasons: Vec<String>,
    /// What uses it, the youngest commit first.
    pub uses: Vec<Use>,
}

impl RepairReport {
    /// Whether everything is as it should be now.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.damaged_files.is_empty()
    }
}

/// What is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Damage {
    fault: Fault,
    message: String,
}

/// Checks everything that commits reach, and fetches what is damaged or missing from the sources,
/// which are tried in order.
///
/// # Errors
/// When the repository cannot be read or written; [`Error::LockTimeout`]. What a source does not
/// have, or has damaged, is no error but in the report.
pub fn repair(
    repo: &Repo,
    sources: &[Source<'_>],
    options: &RepairOptions,
    progress: &dyn Progress,
) -> Result<RepairReport> {
    repo.refuse_links()?;
    if !options.dry_run {
        repo.check_writable()?;
    }
    // A concurrent prune would make objects appear missing.
    let _lock = repo.lock(LockKind::Shared)?;
    let mut report = RepairReport { staged: rest::staged(repo)?, ..RepairReport::default() };
    if !options.dry_run {
        rest::clear_the_way(repo)?;
    }
    let (refs, damaged_refs) = rest::refs(repo)?;
    report.damaged_files = damaged_refs;
    let mut scan = Scan::new(repo, refs.iter().map(|(_, commit)| *commit), progress)?;
    report.commits = scan.expected().len() as u64;
    report.partial = scan.partial().to_vec();
    let damage = threads::run(|| scan.look_at_all(options.resume))?;
    let lost = match options.dry_run {
        true => count(sources, damage, &mut report),
        false => restore((repo, sources), &mut scan, damage, (&mut report, progress))?,
    };
    scan.finish();
    report.restored.sort_unstable_by_key(|restored| restored.object);
    report.lost = lost::with_uses(repo, lost, refs, options.most_paths)?;
    if !options.dry_run {
        mark(repo, scan.expected(), &report.lost)?;
    }
    report.damaged_files.extend(rest::deltas(repo)?);
    rest::summary(repo, options.dry_run, &mut report)?;
    Ok(report)
}

/// Objects with what is wrong and why they did not come.
type Open = BTreeMap<ObjectName, (Damage, Vec<String>)>;

/// What would be fetched, as far as that can be seen: what a missing dirtree leads to cannot.
fn count(
    sources: &[Source<'_>],
    damage: BTreeMap<ObjectName, Damage>,
    report: &mut RepairReport,
) -> Open {
    let mut lost = Open::new();
    for (object, damage) in damage {
        match sources.iter().position(|source| fetch::may_have(source, &object)) {
            Some(number) => {
                let bytes = fetch::size(&sources[number], &object);
                let fault = damage.fault;
                report.restored.push(Restored { object, fault, source: number, bytes });
            }
            None => {
                lost.insert(object, (damage, Vec::new()));
            }
        }
    }
    lost
}

/// Fetches until nothing more comes, and returns what nobody has.
fn restore(
    (repo, sources): (&Repo, &[Source<'_>]),
    scan: &mut Scan<'_>,
    mut damage: BTreeMap<ObjectName, Damage>,
    (report, progress): (&mut RepairReport, &dyn Progress),
) -> Result<Open> {
    let mut lost = Open::new();
    loop {
        // The detached metadata of a commit can be judged when that is here.
        let waits = |name: &ObjectName| {
            name.object_type == ObjectType::CommitMeta
                && damage.contains_key(&ObjectName::new(name.checksum, ObjectType::Commit))
        };
        let later: BTreeSet<ObjectName> = damage.keys().copied().filter(waits).collect();
        let now = damage.into_iter().filter(|(name, _)| !later.contains(name));
        let now: Open = now.map(|(name, damage)| (name, (damage, Vec::new()))).collect();
        let mut fetched: Vec<Restored> = Vec::new();
        let mut left = now;
        for (number, source) in sources.iter().enumerate().filter(|_| !sources.is_empty()) {
            if left.is_empty() {
                break;
            }
            fetched.extend(fetch::fetch(repo, (number, source), &mut left, progress)?);
        }
        lost.extend(left);
        let brought: Vec<ObjectName> = fetched.iter().map(|restored| restored.object).collect();
        report.restored.extend(fetched);
        if brought.is_empty() && later.is_empty() {
            return Ok(lost);
        }
        let found = threads::run(|| scan.look_again(&brought, &later))?;
        // What has come and is damaged again will not get better.
        damage = BTreeMap::new();
        for (name, fault) in found {
            match brought.contains(&name) {
                true => {
                    report.restored.retain(|restored| restored.object != name);
                    lost.insert(name, (fault, Vec::new()));
                }
                false => {
                    damage.insert(name, fault);
                }
            }
        }
        for name in &later {
            let commit = ObjectName::new(name.checksum, ObjectType::Commit);
            if lost.contains_key(&commit)
                && let Some(fault) = damage.remove(name)
            {
                lost.insert(*name, (fault, Vec::new()));
            }
        }
        if damage.is_empty() {
            return Ok(lost);
        }
    }
}

/// Marks the commits that are not whole as damaged, and the others as complete.
fn mark(repo: &Repo, expected: &[Checksum], lost: &[Lost]) -> Result<()> {
    let uses = lost.iter().filter(|lost| lost.object.object_type != ObjectType::CommitMeta);
    let broken: BTreeSet<Checksum> =
        uses.flat_map(|lost| lost.uses.iter().map(|user| user.commit)).collect();
    for commit in expected {
        let state = match broken.contains(commit) {
            true => CommitState::PartialFsck,
            false => CommitState::Complete,
        };
        if repo.commit_state(commit)? != state {
            repo.mark_commit(commit, state)?;
        }
    }
    Ok(())
}

/// Whether an error is about this machine, so that no other source can help.
fn is_local(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(error, Error::MinFreeSpace { .. })
        || matches!(error.io_kind(), Some(StorageFull | QuotaExceeded | ReadOnlyFilesystem))
}
