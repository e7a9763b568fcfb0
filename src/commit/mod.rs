//! Making commits: trees in, objects and a moved ref out.
//!
//! ```text
//! options    what is asked for
//! count      how much there is to read, found ahead
//! context    the state shared by all that make objects
//! ingest     directories -> file and dirmeta objects, in parallel
//! leaf       files and symbolic links -> file objects, some at a time
//! large      files that wait until everything else is done
//! deferred   storing them
//! unchanged  looking files up in the stat cache
//! stat_cache the objects of files that have not changed since
//! tar        tar archives -> the same
//! no_tar     its replacement without the feature `archives`
//! memory     trees in memory -> the same
//! tree       names and checksums in memory; dirtree objects, leaves first
//! consume    removing sources once the commit is safe
//! description  the commit's metadata
//! ```

mod consume;
mod context;
mod count;
mod deferred;
mod description;
mod devino;
mod directory;
#[cfg(feature = "archives")]
mod held;
mod ingest;
mod large;
mod leaf;
mod memory;
mod options;
#[cfg(feature = "archives")]
mod pathname_filter;
mod stat_cache;
mod stored;
#[cfg(feature = "archives")]
mod tar;
#[cfg(not(feature = "archives"))]
#[path = "no_tar.rs"]
mod tar;
mod tree;
mod unchanged;

use std::sync::Arc;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{Commit, ObjectType};
use crate::progress::{Event, Progress, with_total};
use crate::refspec::Refspec;
use crate::repo::{Repo, RepoMode, Transaction, TransactionStats};
use crate::signer::{PayloadKind, sign_all};
use crate::source::{Directory, Filter};
use crate::summary;
use crate::threads;

use consume::Consumed;
use context::Ingest;
use devino::DevInoCache;
use large::LargeFiles;
use stat_cache::StatCache;
use tree::Tree;

pub use options::{
    Bindings, CommitOptions, Description, HardLinks, Parent, Reading, Source, TarOptions,
};
// For the fuzzer only.
#[doc(hidden)]
pub use stat_cache::{RecordQuestion as StatCacheQuestion, Records as StatCacheRecords};
pub use stat_cache::{StatCacheOptions, StatCacheStats};

/// The result of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitOutcome {
    /// The new commit, or the parent if nothing had changed and that was to be skipped.
    pub commit: Checksum,
    /// Whether the commit was skipped.
    pub skipped: bool,
    /// Counts of what was written.
    pub stats: TransactionStats,
    /// How useful the stat cache was, if one was requested and could be used.
    pub stat_cache: Option<StatCacheStats>,
}

/// Makes a commit. The summary follows if the config asks for it (`core.auto-update-summary`).
///
/// # Errors
/// For anything wrong with a source, the repository or the options. The ref has not moved then.
pub fn commit(
    repo: &Repo,
    options: &CommitOptions,
    progress: &dyn Progress,
) -> Result<CommitOutcome> {
    let parent = find_parent(repo, options)?;
    let cache_options = options.reading.stat_cache.as_ref();
    let cache = cache_options.and_then(|options| StatCache::open(repo, options, progress));
    let mut transaction = Transaction::begin(repo)?;
    if options.reading.generate_sizes {
        transaction.record_sizes();
    }
    progress.event(Event::Started { task: "commit", total: None });
    let mut consumed = options.reading.consume.then(Consumed::default);
    let tracked = Tracked { stat_cache: cache.as_ref(), consumed: &mut consumed };
    let result = threads::run(|| write_objects(&transaction, options, tracked, parent, progress));
    progress.event(Event::Finished);
    let written = match result {
        Ok(written) => written,
        Err(error) => {
            transaction.abort(Some(&error));
            return Err(error);
        }
    };
    let stats = transaction.stats();
    let remember = |cache: Option<StatCache>| Some(cache?.finish(repo, cache_options?, progress));
    let Some(commit) = written else {
        let commit =
            parent.ok_or_else(|| Error::failed("a commit without parent cannot be unchanged"))?;
        transaction.abort(None);
        return Ok(CommitOutcome { commit, skipped: true, stats, stat_cache: remember(cache) });
    };
    if let Some(branch) = &options.branch {
        transaction.set_ref(branch.clone(), Some(commit));
    }
    let stats = transaction.commit()?;
    let stat_cache = remember(cache);
    if let Some(consumed) = consumed {
        threads::run(|| {
            consumed.remove(progress);
            Ok(())
        })?;
    }
    summary::auto_update(repo)?;
    Ok(CommitOutcome { commit, skipped: false, stats, stat_cache })
}

fn find_parent(repo: &Repo, options: &CommitOptions) -> Result<Option<Checksum>> {
    match (options.parent, &options.branch) {
        (Parent::None, _) | (Parent::OfBranch, None) => Ok(None),
        (Parent::Commit(parent), _) => Ok(Some(parent)),
        (Parent::OfBranch, Some(Refspec { remote: None, name })) => repo.read_local_ref(name),
        (Parent::OfBranch, Some(refspec)) => repo.try_resolve_rev(&refspec.to_string()),
    }
}

/// What is noted about the files of sources while they are read.
struct Tracked<'t> {
    stat_cache: Option<&'t StatCache>,
    /// Those to remove once the commit is safe.
    consumed: &'t mut Option<Consumed>,
}

/// Writes everything up to the commit object; `None` when the commit is skipped.
fn write_objects(
    transaction: &Transaction<'_>,
    options: &CommitOptions,
    tracked: Tracked<'_>,
    parent: Option<Checksum>,
    progress: &dyn Progress,
) -> Result<Option<Checksum>> {
    let repo = transaction.repo();
    let loads_commits = visits_commits(transaction, options);
    let mut tree = with_total(
        progress,
        |over| count::count(repo, options, loads_commits, over),
        || read_sources(transaction, options, tracked, progress),
    )?;
    let mut metadata = description::metadata(repo, options, parent.as_ref(), &mut tree)?;
    let root = tree.write(transaction)?;
    match &parent {
        Some(parent)
            if options.skip_if_unchanged && description::is_unchanged(repo, parent, &root)? =>
        {
            return Ok(None);
        }
        _ => {}
    }
    if options.description.composefs_digest {
        // The image is a phase of its own.
        progress.event(Event::Finished);
        description::add_composefs_digest(transaction, &root, &mut metadata, progress)?;
        progress.event(Event::Started { task: "commit", total: None });
    }
    description::add_sizes(transaction, &mut metadata);
    let commit = Commit {
        metadata,
        parent,
        related: Vec::new(),
        subject: options.description.subject.clone(),
        body: options.description.body.clone(),
        timestamp: options.description.timestamp,
        root_dirtree: root.0,
        root_dirmeta: root.1,
    };
    let bytes = commit.encode();
    let commit = transaction.write_metadata(ObjectType::Commit, &bytes)?;
    write_detached_metadata(transaction, options, &commit, &bytes)?;
    Ok(Some(commit))
}

/// Stores the user's detached metadata, then the signatures. Those that a commit with the same
/// checksum has already stay.
fn write_detached_metadata(
    transaction: &Transaction<'_>,
    options: &CommitOptions,
    commit: &Checksum,
    bytes: &[u8],
) -> Result<()> {
    let own = &options.description.detached_metadata;
    if own.is_empty() && options.signers.is_empty() {
        return Ok(());
    }
    let metadata = match own.is_empty() {
        true => transaction.repo().load_detached_metadata(commit)?.unwrap_or_default(),
        false => own.clone(),
    };
    let signers = options.signers.iter().map(AsRef::as_ref);
    let metadata = sign_all(signers, PayloadKind::Commit, bytes, &metadata)?;
    transaction.write_detached_metadata(commit, &metadata)
}

fn read_sources(
    transaction: &Transaction<'_>,
    options: &CommitOptions,
    tracked: Tracked<'_>,
    progress: &dyn Progress,
) -> Result<Tree> {
    let Tracked { stat_cache, consumed } = tracked;
    let repo = transaction.repo();
    let mut modifier = options.modifier.clone();
    let policy =
        options.selinux_policy.as_deref().filter(|_| repo.mode() != RepoMode::BareUserOnly);
    let is_visited = visits_commits(transaction, options);
    modifier.canonical_permissions |= repo.mode() == RepoMode::BareUserOnly;
    let filter = Filter::new(&modifier);
    let hard_links = options.reading.hard_links;
    let devino = if hard_links == HardLinks::Read {
        DevInoCache::default()
    } else {
        DevInoCache::scan(repo)?
    };
    let own_tmp = repo.tmp_identity()?;
    // They are opened before anything is read, so that a directory that takes over a name later is
    // not mistaken for the source.
    let mut directories = Vec::new();
    for source in &options.sources {
        if let (Source::Directory(path), Some(consumed)) = (source, consumed.as_mut()) {
            directories.push(consumed.open(path)?);
        }
    }
    let mut directories = directories.into_iter();
    let large_files = LargeFiles::new();
    let ingest = Ingest {
        transaction,
        filter: &filter,
        policy,
        hard_links,
        consumed: consumed.as_ref(),
        devino,
        stat_cache,
        large_files,
        own_tmp,
        progress,
    };
    let mut tree = match &options.base {
        None => Tree::default(),
        Some(base) => {
            let commit = repo.load_commit(base)?;
            Tree::load(repo, &commit.root_dirtree, &commit.root_dirmeta)?
        }
    };
    for source in &options.sources {
        // As upstream: the sizes of files are those of the last source, and directories follow when
        // they are written.
        transaction.restart_sizes();
        match source {
            Source::Directory(path) => {
                tree = match directories.next() {
                    Some(directory) => ingest.root(directory, tree)?,
                    None => ingest.root(Arc::new(Directory::open(path)?), tree)?,
                }
            }
            Source::Tar(path, tar_options) => {
                tree = tar::read(&ingest, path.as_deref(), tar_options, tree)?
            }
            Source::Memory(memory) => tree = ingest.memory(memory, tree)?,
            Source::Commit(commit) => {
                let commit = repo.load_commit(commit)?;
                if is_visited {
                    tree = ingest.stored(&commit.root_dirtree, &commit.root_dirmeta, tree)?;
                } else {
                    tree.lay_over(repo, &commit.root_dirtree, &commit.root_dirmeta)?;
                }
            }
        }
    }
    filter.check_all_used(progress)?;
    Ok(tree)
}

/// Whether sources that are commits are walked: their files may be recorded differently, or their
/// sizes recorded.
fn visits_commits(transaction: &Transaction<'_>, options: &CommitOptions) -> bool {
    let has_policy =
        options.selinux_policy.is_some() && transaction.repo().mode() != RepoMode::BareUserOnly;
    options.modifier.is_active() || has_policy || transaction.records_sizes()
}
