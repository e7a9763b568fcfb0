//! Taking commits over from another repository.
//!
//! ```text
//! refs     requested refs -> commits
//! plan     what is wanted, and what follows from what has arrived; no I/O
//! commits  commits and their parents, one after the other: load, verify, bindings; .commitpartial, detached metadata, commit
//! objects  dirtrees and dirmetas level by level, then files, each in parallel
//! local    one object of a repository on this machine: verified, then linked, copied or written anew
//! ```
//!
//! A commit is marked as partial before its object is written, and no longer when all that it
//! reaches is safely on disk; refs move last. A pull that is killed leaves nothing that looks
//! complete, and the next one goes on where it ended.

mod commits;
mod local;
mod objects;
mod plan;
mod refs;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::progress::{Event, Progress};
use crate::refspec::{CollectionRef, InvalidRefspec, RefName, RemoteName};
use crate::repo::{CommitState, Repo, Transaction, Trust};
use crate::summary;
use crate::threads;

pub use local::FileModes;
use local::Importer;
use plan::Plan;
use refs::Target;

/// What to pull, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullOptions {
    /// All refs of the source if there are none.
    pub wanted: Vec<Want>,
    /// The remote that refs become those of; without one they become local refs, or mirrored ones
    /// of a collection.
    pub remote: Option<RemoteName>,
    /// How many generations of parents to follow; `None` is all.
    pub depth: Option<u32>,
    /// Take the commit objects only. They are marked as partial.
    pub commit_metadata_only: bool,
    /// Whether to compare objects with their checksums.
    pub trust: Trust,
    /// Which files are taken.
    pub file_modes: FileModes,
    /// Check that commits were made for the refs that they are found by.
    pub verify_bindings: bool,
}

/// An item requested from a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The commit of a ref of the source.
    Ref(RefName),
    /// A commit; no ref is set.
    Commit(Checksum),
    /// What a ref of a collection names. The commit must be bound to both.
    CollectionRef(CollectionRef),
}

impl Want {
    /// Parses what a user types: 64 hexadecimal digits are a commit, everything else is a ref.
    ///
    /// # Errors
    /// For a text that is neither.
    pub fn parse(text: &str) -> Result<Self, InvalidRefspec> {
        match Checksum::from_hex(text) {
            Ok(commit) => Ok(Self::Commit(commit)),
            Err(_) => RefName::parse(text).map(Self::Ref),
        }
    }
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            wanted: Vec::new(),
            remote: None,
            depth: Some(0),
            commit_metadata_only: false,
            trust: Trust::Trusted,
            file_modes: FileModes::Any,
            verify_bindings: true,
        }
    }
}

/// Counts of what was pulled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PullStats {
    /// Commits, dirtrees and dirmetas that were not there before.
    pub metadata_objects_imported: u64,
    /// File objects that were not there before.
    pub content_objects_imported: u64,
    /// Bytes of content in files that were neither linked nor copied as they are, uncompressed.
    pub content_bytes_written: u64,
    /// Bytes of detached metadata of commits that were there already.
    pub transferred_bytes: u64,
}

/// Takes commits with all that they reach from `source`, a repository on this machine, into `repo`.
/// The summary follows if the config asks for it (`core.auto-update-summary`).
///
/// # Errors
/// When a ref is not in the source, a commit was made for another ref, an object is missing or (as
/// far as it is looked at) damaged, or something cannot be written. No ref has moved then; what was
/// imported stays for the next attempt.
pub fn pull_local(
    repo: &Repo,
    source: &Repo,
    options: &PullOptions,
    progress: &dyn Progress,
) -> Result<PullStats> {
    let wanted = refs::resolve(source, options)?;
    let mut transaction = Transaction::begin(repo)?;
    progress.event(Event::Started { task: "pull", total: None });
    let result = threads::run(|| import(&transaction, source, (&wanted, options), progress));
    progress.event(Event::Finished);
    let (complete, stats) = match result {
        Ok(imported) => imported,
        Err(error) => {
            transaction.abort(Some(&error));
            return Err(error);
        }
    };
    for (target, commit) in wanted.refs {
        match target {
            // What the name resolves to already, be it in a parent repository or as a remote's ref,
            // upstream leaves as it is.
            Target::Ref(refspec) if repo.try_resolve_rev(&refspec.to_string())? == Some(commit) => {
            }
            Target::Ref(refspec) => transaction.set_ref(refspec, Some(commit)),
            Target::CollectionRef(name) => transaction.set_collection_ref(name, Some(commit)),
        }
    }
    transaction.commit()?;
    for commit in complete {
        repo.mark_commit(&commit, CommitState::Complete)?;
    }
    summary::auto_update(repo)?;
    Ok(stats)
}

/// Imports everything, and returns the commits that are complete now.
fn import(
    transaction: &Transaction<'_>,
    source: &Repo,
    (wanted, options): (&refs::Wanted, &PullOptions),
    progress: &dyn Progress,
) -> Result<(Vec<Checksum>, PullStats)> {
    let importer = Importer::new(transaction, source, options.trust, options.file_modes)?;
    let mut plan = Plan::new(options.depth, options.commit_metadata_only);
    let mut stats = PullStats::default();
    for (commit, want) in &wanted.commits {
        plan.want(commit, want);
        commits::import_wanted(&importer, &mut plan, options, &mut stats)?;
    }
    let plan = objects::import_wanted(&importer, plan, &mut stats, progress)?;
    let complete =
        if options.commit_metadata_only { Vec::new() } else { plan.into_commits().collect() };
    Ok((complete, stats))
}
