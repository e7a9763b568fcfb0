//! Removes commits that are no longer wanted and objects that no commit needs (docs/format.md,
//! section 20).
//!
//! A commit is kept because of its [`Roots`]; what a kept commit reaches is kept, everything else
//! is removed. All names are collected before the first file is removed, so an error until then
//! removes nothing; and because a damaged dirtree no longer shows what it kept alive, commits and
//! dirtrees are compared with their checksums on the way. Commits are removed before what they
//! need, and dirtrees before what they list: a killed prune leaves objects that the next one
//! removes, never an incomplete commit. The same holds for a power loss, because the removal of
//! commits is synced before anything else is removed.

mod by_policy;
mod commits;
mod reach;
mod sweep;
mod table;

use std::collections::BTreeMap;

use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::progress::{Event, Progress};
use crate::remote;
use crate::repo::deltas::{self, DeltaName};
use crate::repo::{LockKind, Repo};
use crate::threads;

pub use by_policy::{
    Keep, Pace, Policy, PolicyOptions, PolicyReport, PolicyRow, RowOf, Rule, Tag, prune_by_policy,
};

/// What to remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// The commits to keep.
    pub roots: Roots,
    /// The objects to consider.
    pub scope: Scope,
    /// Only count, remove nothing.
    pub dry_run: bool,
}

/// The commits to keep, and how many of their parents. Commits that are not in the repository are
/// skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// All commits in the repository.
    #[default]
    AllCommits,
    /// Those that refs point to: `refs/heads`, remote and mirrored ones.
    Refs(Depth),
    /// Those that `refs/heads` and remote refs point to, with rules for each ref.
    Retained(Retention),
}

/// How many parents of a commit are kept with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// At most this many.
    Parents(u32),
    /// No limit.
    Unlimited,
}

/// How much of each ref's history is kept. The commit that a ref points to is always kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    /// The parents kept for a ref that no other rule covers.
    pub depth: Depth,
    /// Instead of `depth`: keep parents up to the first that is older than this time, in seconds
    /// since 1970.
    pub younger_than: Option<i64>,
    /// Keep the whole history of all refs but these; empty for no such rule. Refs are written as in
    /// [`Repo::list_refs`].
    pub only_branches: Vec<String>,
    /// The parents kept for particular refs, regardless of the other rules.
    pub branch_depth: BTreeMap<String, Depth>,
}

/// The objects to consider.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// No limit.
    #[default]
    AllObjects,
    /// Commits alone, with their detached metadata and partial marks; what they reach is neither
    /// counted nor removed.
    CommitsOnly,
}

/// Counts of what was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneStats {
    /// Objects that were there before.
    pub objects_total: u64,
    /// Objects that were removed, or would have been.
    pub objects_deleted: u64,
    /// Their size in the repository, in bytes.
    pub bytes_freed: u64,
}

/// Removes unreachable objects, static deltas to commits that no longer exist, and summaries of
/// remotes that no longer exist. The repository is locked exclusively meanwhile.
///
/// A commit is removed together with its detached metadata and its partial mark, and leaves a
/// tombstone if `core.tombstone-commits` is set.
///
/// # Errors
/// When a dirtree of a kept commit is missing, unless the commit is marked as partial, and when a
/// kept commit or dirtree is corrupted or malformed: nothing has been removed then. When something
/// cannot be removed.
pub fn prune(repo: &Repo, options: &PruneOptions, progress: &dyn Progress) -> Result<PruneStats> {
    repo.refuse_links()?;
    let _lock = repo.lock(LockKind::Exclusive)?;
    threads::run(|| prune_in_pool(repo, options, progress))
}

fn prune_in_pool(
    repo: &Repo,
    options: &PruneOptions,
    progress: &dyn Progress,
) -> Result<PruneStats> {
    progress.event(Event::Started { task: "looking for unreachable objects", total: None });
    let kept = commits::kept(repo, &options.roots)?;
    let reachable = match options.scope {
        Scope::AllObjects => reach::from_commits(repo, &kept)?,
        Scope::CommitsOnly => reach::commits_alone(&kept),
    };
    drop(kept);
    let found = sweep::unreachable(repo, options.scope, &reachable)?;
    drop(reachable);
    progress.event(Event::Finished);
    if !options.dry_run {
        sweep::remove(repo, &found, progress)?;
        remove_deltas(repo, |name| Ok(!deltas::target_exists(repo, name)?))?;
    }
    remove_stale_summaries(repo)?;
    Ok(found.stats)
}

/// Removes one commit as [`prune`] would, but not the objects that only it needs.
///
/// # Errors
/// When a ref points to it, in upstream's words; when it is not in the repository.
pub fn delete_commit(repo: &Repo, commit: &Checksum) -> Result<()> {
    repo.refuse_links()?;
    let _lock = repo.lock(LockKind::Exclusive)?;
    check_unreferenced(repo, commit)?;
    sweep::remove_commit(repo, commit, sweep::Absent::IsAnError)
}

/// Refuses a commit that a ref points to.
///
/// # Errors
/// In upstream's words, with the ref.
pub fn check_unreferenced(repo: &Repo, commit: &Checksum) -> Result<()> {
    let refs = repo.list_refs(None, crate::repo::ListRefs::Full)?.into_iter();
    let refs = refs.map(|(refspec, target)| (format!("'{refspec}'"), target));
    let collections = repo
        .list_collection_refs(None)?
        .into_iter()
        .map(|(name, target)| (name.to_string(), target));
    match refs.chain(collections).find(|(_, target)| target == commit) {
        Some((name, _)) => Err(Error::failed(format!("Commit '{commit}' is referenced by {name}"))),
        None => Ok(()),
    }
}

/// Removes the static deltas to a commit.
///
/// # Errors
/// When they cannot be removed.
pub fn delete_static_deltas(repo: &Repo, to: &Checksum) -> Result<()> {
    repo.refuse_links()?;
    let _lock = repo.lock(LockKind::Exclusive)?;
    remove_deltas(repo, |name| Ok(name.to == *to))
}

/// Removes static deltas to each commit but those from the newest `keep` commits, by their time,
/// and the one from nothing; then makes the indexes anew. Commits that are not in the repository
/// count as the oldest. Returns how many deltas were removed.
///
/// # Errors
/// When a commit cannot be read, or something cannot be removed or written.
pub fn keep_newest_deltas(repo: &Repo, keep: usize) -> Result<u64> {
    repo.refuse_links()?;
    let _lock = repo.lock(LockKind::Exclusive)?;
    let mut by_target = BTreeMap::<Checksum, Vec<(Option<u64>, DeltaName)>>::new();
    for name in deltas::list(repo)? {
        let Some(from) = name.from else { continue };
        let time = match repo.load_commit(&from) {
            Ok(commit) => Some(commit.timestamp),
            Err(Error::MissingMetadata { .. }) => None,
            Err(error) => return Err(error),
        };
        by_target.entry(name.to).or_default().push((time, name));
    }
    let mut removed = 0;
    for mut names in by_target.into_values() {
        names.sort_by(|one, other| other.cmp(one));
        for (_, name) in names.iter().skip(keep) {
            deltas::remove(repo, name)?;
            removed += 1;
        }
    }
    deltas::reindex(repo)?;
    Ok(removed)
}

fn remove_deltas(repo: &Repo, is_gone: impl Fn(&DeltaName) -> Result<bool>) -> Result<()> {
    for name in deltas::list(repo)? {
        if is_gone(&name)? {
            deltas::remove(repo, &name)?;
        }
    }
    Ok(())
}

/// The directory that caches the summaries of remotes, as `REMOTE` and `REMOTE.sig`.
const SUMMARY_CACHE: &str = "tmp/cache/summaries";

fn remove_stale_summaries(repo: &Repo) -> Result<()> {
    let path = repo.path().join(SUMMARY_CACHE);
    let directory = match Dir::beneath(repo.dir(), SUMMARY_CACHE) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error).during("listing", path),
    };
    let remotes = remote::names(repo)?;
    let is_known = |name: &str| remotes.iter().any(|remote| remote == name);
    for name in dir::names(&directory).during("listing", &path)? {
        let known = name
            .to_str()
            .is_some_and(|name| is_known(name) || name.strip_suffix(".sig").is_some_and(is_known));
        if known {
            continue;
        }
        match dir::remove_file(&directory, &name) {
            Ok(()) | Err(Errno::NOENT | Errno::ISDIR) => {}
            Err(error) => return Err(error).during("removing", path.join(name)),
        }
    }
    Ok(())
}
