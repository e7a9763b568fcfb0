//! Pulling from a web server.
//!
//! ```text
//! window   how many requests may be under way, no I/O
//! task     what is asked for, and where it is
//! flights  what has no answer yet, and which of it takes too long
//! delay    when to go on after failures
//! body     a body that goes on where it broke
//! partial  large bodies as far as they have come, for the next run
//! receive  one file that has come: verified, then written
//! delta    which delta a commit is pulled by
//! work     what the threads work with
//! driver   the thread that decides what is asked for next
//! commits  its part that deals with commits
//! parts    its part that deals with deltas
//! tally    what it reports
//! named    single files, without a driver
//! watch    ends it when nothing comes any more
//! ```

mod body;
mod commits;
mod delay;
mod delta;
mod driver;
mod flights;
mod metadata;
mod named;
mod partial;
mod parts;
mod receive;
mod tally;
mod task;
mod watch;
mod window;
mod work;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checks::Checks;
use super::dry_run::{DeltaTotals, DryRun, Purpose, changes};
use super::in_summary::{InSummary, all_in, decode_summary};
use super::local::Importer;
use super::plan::Plan;
use super::refs::{InSource, Lookup};
use super::space::{Commits, Space};
use super::{DeltaUse, PullOptions, PullStats, Want, complete, refs, set_refs};
use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::keyfile::{KeyFile, text_of};
use crate::progress::{Event, Progress};
use crate::refspec::{CollectionId, CollectionRef, RefName};
use crate::remote::origin::{Origin, Side};
use crate::repo::{CommitState, Repo, RepoMode, Transaction, Trust};
use crate::summary::cache::{self, Cache};
use crate::summary::fetch::{self, Place, RemoteSummary};
use crate::summary::verify::Asker;
use crate::summary::{self, Summary, key, store};
use delta::{Choice, Goal, Search};
use driver::Outcome;
pub(super) use named::Server;
use partial::Partials;
use receive::Receiver;

/// A remote to pull from.
#[derive(Clone, Debug)]
pub struct Source<'s> {
    /// Its name; empty for a repository that is no remote.
    pub name: &'s str,
    /// The refs that are pulled when none are given.
    pub branches: &'s [String],
    /// The collection that its commits must be bound to.
    pub collection: Option<CollectionId>,
    /// Its files.
    pub origin: &'s Origin<'s>,
    /// Where its summaries are cached.
    pub cache: SummaryCache<'s>,
    /// Repositories on this machine in which objects are looked for first.
    pub local_caches: &'s [Repo],
}

/// Where summaries are cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SummaryCache<'c> {
    /// In the repository.
    #[default]
    Own,
    /// In this directory.
    In(&'c Path),
    /// Nowhere.
    None,
}

/// Gets commits with all that they reach from a remote into `repo`. The summary follows if the
/// config asks for it (`core.auto-update-summary`).
///
/// # Errors
/// When a file cannot be fetched, a demanded signature is missing, a commit was made for another
/// ref, an object does not match its name, or something cannot be written. No ref has moved then;
/// what was verified stays for the next attempt.
pub fn pull_http(
    repo: &Repo,
    source: &Source<'_>,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<PullStats> {
    let prepared = Prepared::new(repo, source, options)?;
    for (target, commit) in &prepared.wanted.refs {
        progress.event(Event::Resolved { name: &target.to_string(), commit: *commit });
    }
    let mut checks = Checks::new(repo, options, source.collection.clone())?;
    checks.progress = progress;
    let mut transaction = Transaction::begin(repo)?;
    progress.event(Event::Started { task: "pull", total: None });
    let parties = (source, progress);
    let result = transfer(&transaction, &prepared, &checks, parties, Purpose::Fetch);
    progress.event(Event::Finished);
    let Outcome { plan, stats, .. } = match result {
        Ok((done, _)) => done,
        Err(error) => {
            transaction.abort(Some(&error));
            return Err(error);
        }
    };
    let complete = complete(plan, options);
    transaction.remove_kept();
    set_refs(&mut transaction, prepared.wanted.refs, options)?;
    transaction.commit()?;
    // It names only what is there now.
    if prepared.mirrors_all {
        copy_summary(repo, &prepared.fetched)?;
    }
    for commit in complete {
        repo.mark_commit(&commit, CommitState::Complete)?;
    }
    summary::auto_update(repo)?;
    Ok(stats)
}

/// Finds out what [`pull_http`] would do. Dirtrees and dirmetas of commits that do not list what
/// they reach are fetched, and forgotten again. Nothing in the repository changes.
///
/// # Errors
/// As [`pull_http`], as far as it gets; when what is missing does not fit.
pub fn dry_run_http(
    repo: &Repo,
    source: &Source<'_>,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<DryRun> {
    let source = Source { cache: SummaryCache::None, ..source.clone() };
    let prepared = Prepared::new(repo, &source, options)?;
    let checks = Checks::new(repo, options, source.collection.clone())?;
    let transaction = Transaction::begin(repo)?;
    progress.event(Event::Started { task: "pull", total: None });
    let parties = (&source, progress);
    let result = transfer(&transaction, &prepared, &checks, parties, Purpose::Count);
    progress.event(Event::Finished);
    transaction.abort(None);
    let (outcome, deltas) = result?;
    let refs = changes(repo, prepared.wanted.refs)?;
    Ok(DryRun { refs, deltas, missing: outcome.missing })
}

/// What is known before the first object comes.
struct Prepared {
    wanted: refs::Wanted,
    /// Whether everything that the server has is mirrored, its summary included.
    mirrors_all: bool,
    fetched: RemoteSummary,
    summary: Option<Summary>,
    /// Whether the server has an index for each commit with deltas.
    indexed_deltas: bool,
    uses_deltas: bool,
    tombstones: bool,
}

impl Prepared {
    /// Fetches the summary if it is needed, and finds the commits.
    fn new(repo: &Repo, source: &Source<'_>, options: &PullOptions) -> Result<Self> {
        let is_archive = repo.mode() == RepoMode::Archive;
        if is_archive && options.deltas == DeltaUse::Required {
            return Err(Error::failed("Can't use static deltas in an archive repo"));
        }
        let uses_deltas =
            !is_archive && options.deltas != DeltaUse::Off && !options.commit_metadata_only;
        let mirrors_all = options.mirror && options.wanted.is_empty() && source.branches.is_empty();
        let mut requested = match (options.wanted.as_slice(), source.branches) {
            ([], _) if mirrors_all => Vec::new(),
            ([], []) => {
                let name = source.name;
                return Err(Error::failed(format!("No configured branches for remote {name}")));
            }
            ([], branches) => {
                branches.iter().map(|name| Ok(Want::parse(name)?)).collect::<Result<_>>()?
            }
            (wanted, _) => wanted.to_vec(),
        };
        let is_looked_up = |want: &Want| matches!(want, Want::Ref(_) | Want::CollectionRef(_));
        let mut needs_summary = mirrors_all || requested.iter().any(is_looked_up);
        let mut indexed_deltas = false;
        if !needs_summary && uses_deltas {
            indexed_deltas = has_indexed_deltas(source.origin)?;
            needs_summary = !indexed_deltas;
        }
        let fetched = match needs_summary {
            true => fetch_summary(repo, source, options)?,
            false => RemoteSummary::default(),
        };
        let summary =
            fetched.summary.as_ref().map(|file| decode_summary(&file.bytes)).transpose()?;
        if options.mirror && options.wanted.is_empty() {
            let summary = summary.as_ref().ok_or_else(|| {
                Error::failed(
                    "Fetching all refs was requested in mirror mode, but remote repository does \
                     not have a summary",
                )
            })?;
            requested.extend(all_in(summary)?);
        }
        if let Some(summary) = &summary {
            indexed_deltas |= boolean(summary, key::INDEXED_DELTAS);
        }
        let offers_any = indexed_deltas
            || summary.as_ref().is_some_and(|s| s.metadata.get(key::STATIC_DELTAS).is_some());
        if options.deltas == DeltaUse::Required && !offers_any {
            return Err(Error::failed(
                "Fetch configured to require static deltas, but no summary deltas or delta index \
                 found",
            ));
        }
        let own = repo.collection_id();
        let wanted = match &summary {
            Some(summary) => {
                refs::resolve(&requested, &InSummary::new(summary)?, options, own.as_ref())?
            }
            None => refs::resolve(&requested, &OnServer(source.origin), options, own.as_ref())?,
        };
        let tombstones = match &summary {
            Some(summary) => {
                check_mode(summary)?;
                boolean(summary, key::TOMBSTONE_COMMITS)
            }
            None => false,
        };
        Ok(Self { wanted, mirrors_all, fetched, summary, indexed_deltas, uses_deltas, tombstones })
    }
}

/// Where a pull comes from, and whom it reports to.
type Parties<'p> = (&'p Source<'p>, &'p dyn Progress);

/// Gets everything, or only counts it.
fn transfer(
    transaction: &Transaction<'_>,
    prepared: &Prepared,
    checks: &Checks<'_>,
    (source, progress): Parties<'_>,
    purpose: Purpose,
) -> Result<(Outcome, DeltaTotals)> {
    let options = checks.options;
    let mut plan = Plan::new(options);
    let mut deltas = Vec::new();
    let mut requests = 0;
    let commits = &prepared.wanted.commits;
    let number = match (commits.len(), options.depth) {
        (0 | 1, Some(0)) => Commits::One,
        _ => Commits::More,
    };
    let mut space = Space::new(transaction.repo(), number)?;
    if prepared.uses_deltas {
        let offers = (prepared.summary.as_ref(), prepared.indexed_deltas);
        let goal = Goal { purpose, space };
        let mut search = Search::new(transaction, source.origin, checks, offers, goal)?;
        for found in commits {
            match search.choose(found)? {
                Choice::Objects => plan.want(&found.commit, &found.want),
                Choice::Nothing => {}
                Choice::Delta(delta) => deltas.push(delta),
            }
        }
        (requests, space) = (search.requests, search.goal.space);
    } else {
        commits.iter().for_each(|found| plan.want(&found.commit, &found.want));
    }
    let delta_totals = match purpose {
        Purpose::Count => totals(transaction, &deltas)?,
        Purpose::Fetch => DeltaTotals::default(),
    };
    let shared = Arc::new(body::Shared::default());
    let transport = Arc::clone(source.origin.transport());
    let (is_dry, shared_too) = (purpose == Purpose::Count, Arc::clone(&shared));
    let partials = Partials::new(transaction);
    let receiver =
        Receiver { transaction, options, is_dry, partials, transport, shared: shared_too };
    let trust = match options.http_trusted {
        true => options.trust,
        false => Trust::Untrusted,
    };
    let caches = source.local_caches.iter();
    let caches = caches.map(|cache| Importer::new(transaction, cache, trust, options.file_modes));
    let work = work::Work {
        origin: source.origin,
        receiver,
        checks,
        purpose,
        caches: caches.collect::<Result<_>>()?,
        sizes: commits.iter().filter_map(|found| Some((found.commit, found.size?))).collect(),
        tombstones: prepared.tombstones,
        progress,
    };
    let mut outcome = driver::run(&work, plan, deltas, space)?;
    outcome.stats.transferred_bytes = shared.transferred.load(Ordering::Relaxed);
    // As upstream counts them, whether or not there were any.
    outcome.stats.metadata_objects_fetched += requests;
    Ok((outcome, delta_totals))
}

/// What deltas consist of, and how much of it is there.
fn totals(transaction: &Transaction<'_>, deltas: &[Arc<delta::Delta>]) -> Result<DeltaTotals> {
    let mut totals = DeltaTotals::default();
    let mut count = |is_present: bool, size: u64, content: u64| {
        totals.parts += 1;
        totals.bytes = totals.bytes.saturating_add(size);
        totals.content_bytes = totals.content_bytes.saturating_add(content);
        if is_present {
            totals.parts_present += 1;
            totals.bytes_present = totals.bytes_present.saturating_add(size);
        }
    };
    for delta in deltas {
        let superblock = delta.superblock()?;
        for part in &superblock.parts {
            count(crate::delta::is_present(transaction, part)?, part.size, part.content_size);
        }
        for fallback in &superblock.fallbacks {
            let is_present = transaction.was_present(&fallback.name)?;
            count(is_present, fallback.size, fallback.content_size);
        }
    }
    Ok(totals)
}

/// Whether the config of the server says that each commit with deltas has an index.
fn has_indexed_deltas(origin: &Origin<'_>) -> Result<bool> {
    let bytes = origin.fetch_existing(Side::Meta, "config")?;
    let malformed = |source| Error::Malformed { what: "config of the remote".to_owned(), source };
    let keyfile = text_of(&bytes).and_then(KeyFile::parse).map_err(malformed)?;
    Ok(keyfile.get_bool("core", "indexed-deltas").map_err(malformed)?.unwrap_or(false))
}

fn boolean(summary: &Summary, key: &str) -> bool {
    summary.metadata.get(key).and_then(|value| value.view().as_bool()).unwrap_or(false)
}

fn fetch_summary(repo: &Repo, source: &Source<'_>, options: &PullOptions) -> Result<RemoteSummary> {
    let cache = match source.cache {
        SummaryCache::Own => Some(Cache::open(repo, None)?),
        SummaryCache::In(path) => Some(Cache::open(repo, Some(path))?),
        SummaryCache::None => None,
    };
    let place = Place {
        remote: source.name,
        origin: source.origin,
        cache: cache.as_ref(),
        refuse_invalid_cache: repo.options().refuse_invalid_cache,
    };
    fetch::fetch(&place, &options.demands.summary, Asker::Pull)
}

/// Refuses a server whose repository is no archive, if its summary says so.
fn check_mode(summary: &Summary) -> Result<()> {
    let mode = summary.metadata.get(key::MODE);
    match mode.and_then(|mode| mode.view().as_str()) {
        Some(mode) if !matches!(mode, "archive" | "archive-z2") => {
            Err(Error::failed(format!("Can't pull from archives with mode \"{mode}\"")))
        }
        _ => Ok(()),
    }
}

/// Copies the summary of a server and its signature as they are.
fn copy_summary(repo: &Repo, fetched: &RemoteSummary) -> Result<()> {
    let Some(summary) = &fetched.summary else { return Ok(()) };
    let lock = store::lock(repo)?;
    let signature = fetched.signature.as_ref();
    store::prepare(repo, &lock, &summary.bytes, signature.map(|file| file.bytes.as_slice()))?
        .place()?;
    for (name, file) in [("summary", Some(summary)), ("summary.sig", signature)] {
        if let Some(file) = file {
            cache::mark(repo.dir(), name, &file.validators);
        }
    }
    Ok(())
}

/// Refs on a server without a summary.
struct OnServer<'o>(&'o Origin<'o>);

impl Lookup for OnServer<'_> {
    fn find(&self, name: &RefName) -> Result<InSource> {
        self.read(&format!("refs/heads/{name}"), ("(empty)", name))
    }

    fn find_in_collection(&self, name: &CollectionRef) -> Result<InSource> {
        let CollectionRef { collection, name } = name;
        self.read(&format!("refs/mirrors/{collection}/{name}"), (collection.as_str(), name))
    }
}

impl OnServer<'_> {
    fn read(&self, path: &str, (collection, name): (&str, &RefName)) -> Result<InSource> {
        let bytes = self.0.fetch_existing(Side::Meta, path)?;
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        let commit = Checksum::from_hex(text).map_err(|_| {
            let shown: String = text
                .chars()
                .take(64)
                .map(|char| if char.is_control() { ' ' } else { char })
                .collect();
            Error::failed(format!("Invalid rev {shown}"))
        });
        let commit =
            commit.context(|| format!("Fetching checksum for ref ({collection}, {name})"))?;
        Ok(InSource { commit, size: None, collection: None })
    }
}
