//! Pulling from a web server.
//!
//! ```text
//! window   how many requests may be under way, no I/O
//! task     what is asked for, and where it is
//! delay    when to go on after failures
//! body     a body that goes on where it broke
//! receive  one file that has come: verified, then written
//! driver   the thread that decides what is asked for next
//! ```

mod body;
mod delay;
mod driver;
mod receive;
mod task;
mod window;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::checks::Checks;
use super::local::Importer;
use super::plan::Plan;
use super::refs::{InSource, InSummary, Lookup};
use super::{PullOptions, PullStats, Want, complete, decode_summary, refs, set_refs};
use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::progress::{Event, Progress};
use crate::refspec::{CollectionRef, RefName};
use crate::remote::Remote;
use crate::remote::origin::{Origin, Side};
use crate::repo::{CommitState, Repo, Transaction, Trust};
use crate::summary::cache::{self, Cache};
use crate::summary::fetch::{self, Place, RemoteSummary};
use crate::summary::verify::Asker;
use crate::summary::{self, Summary, key, store};
use receive::Receiver;

/// A remote to pull from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'s> {
    /// Its configuration.
    pub remote: &'s Remote,
    /// Its files.
    pub origin: &'s Origin,
    /// Where summaries are cached, instead of the repository's own place.
    pub cache: Option<&'s Path>,
    /// Repositories on this machine in which objects are looked for first.
    pub local_caches: &'s [Repo],
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
    let config = source.remote.config()?;
    let mirrors_all = options.mirror && options.wanted.is_empty() && config.branches.is_empty();
    let mut requested = match (options.wanted.as_slice(), config.branches.as_slice()) {
        ([], _) if mirrors_all => Vec::new(),
        ([], []) => {
            let name = &source.remote.name;
            return Err(Error::failed(format!("No configured branches for remote {name}")));
        }
        ([], branches) => {
            branches.iter().map(|name| Ok(Want::parse(name)?)).collect::<Result<_>>()?
        }
        (wanted, _) => wanted.to_vec(),
    };
    let needs_summary = |want: &Want| matches!(want, Want::Ref(_) | Want::CollectionRef(_));
    let fetched = match mirrors_all || requested.iter().any(needs_summary) {
        true => fetch_summary(repo, source, options)?,
        false => RemoteSummary::default(),
    };
    let summary = fetched.summary.as_ref().map(|file| decode_summary(&file.bytes)).transpose()?;
    if options.mirror && options.wanted.is_empty() {
        let summary = summary.as_ref().ok_or_else(|| {
            Error::failed(
                "Fetching all refs was requested in mirror mode, but remote repository does not \
                 have a summary",
            )
        })?;
        requested.extend(refs::all_in(summary)?);
    }
    let own = repo.collection_id();
    let wanted = match &summary {
        Some(summary) => {
            refs::resolve(&requested, &InSummary::new(summary)?, options, own.as_ref())?
        }
        None => refs::resolve(&requested, &OnServer(source.origin), options, own.as_ref())?,
    };
    let tombstones = keeps_tombstones(source.origin, summary.as_ref())?;
    let checks = Checks::new(repo, options, config.collection()?)?;
    let mut transaction = Transaction::begin(repo)?;
    progress.event(Event::Started { task: "pull", total: None });
    let result = {
        let shared = Arc::new(body::Shared::default());
        let client = Arc::clone(source.origin.client());
        let receiver =
            Receiver { transaction: &transaction, options, client, shared: Arc::clone(&shared) };
        let sizes: HashMap<Checksum, u64> =
            wanted.commits.iter().filter_map(|found| Some((found.commit, found.size?))).collect();
        let trust = match options.http_trusted {
            true => options.trust,
            false => Trust::Untrusted,
        };
        let caches = source.local_caches.iter();
        let caches =
            caches.map(|cache| Importer::new(&transaction, cache, trust, options.file_modes));
        let work = driver::Work {
            caches: caches.collect::<Result<_>>()?,
            origin: source.origin,
            receiver,
            checks: &checks,
            sizes,
            tombstones,
            progress,
        };
        let mut plan = Plan::new(options);
        wanted.commits.iter().for_each(|found| plan.want(&found.commit, &found.want));
        driver::run(&work, plan).map(|(plan, stats)| {
            let transferred_bytes = shared.transferred.load(Ordering::Relaxed);
            (complete(plan, options), PullStats { transferred_bytes, ..stats })
        })
    };
    progress.event(Event::Finished);
    let (complete, stats) = match result {
        Ok(done) => done,
        Err(error) => {
            transaction.abort(Some(&error));
            return Err(error);
        }
    };
    set_refs(&mut transaction, wanted.refs)?;
    if mirrors_all {
        copy_summary(repo, &fetched)?;
    }
    transaction.commit()?;
    for commit in complete {
        repo.mark_commit(&commit, CommitState::Complete)?;
    }
    summary::auto_update(repo)?;
    Ok(stats)
}

fn fetch_summary(repo: &Repo, source: &Source<'_>, options: &PullOptions) -> Result<RemoteSummary> {
    let cache = Cache::open(repo, source.cache)?;
    let place = Place { remote: &source.remote.name, origin: source.origin, cache: Some(&cache) };
    fetch::fetch(&place, &options.demands.summary, Asker::Pull)
}

/// Whether the server keeps tombstones of deleted commits, as its summary says.
///
/// # Errors
/// When the repository there is no archive.
fn keeps_tombstones(_origin: &Origin, summary: Option<&Summary>) -> Result<bool> {
    let Some(summary) = summary else { return Ok(false) };
    let mode = summary.metadata.get(key::MODE);
    if let Some(mode) = mode.as_ref().and_then(|mode| mode.view().as_str().map(str::to_owned))
        && !matches!(mode.as_str(), "archive" | "archive-z2")
    {
        return Err(Error::failed(format!("Can't pull from archives with mode \"{mode}\"")));
    }
    let kept = summary.metadata.get(key::TOMBSTONE_COMMITS);
    Ok(kept.and_then(|kept| kept.view().as_bool()).unwrap_or(false))
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
struct OnServer<'o>(&'o Origin);

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
