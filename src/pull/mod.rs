//! Taking commits over from another repository.
//!
//! ```text
//! refs     requested refs -> commits
//! names    the names of the objects that are known
//! plan     what is wanted, and what follows from what has arrived; no I/O
//! checks   what is looked at before a commit is written: signatures, bindings, times
//! commits  commits and their parents, one after the other: load, verify, bindings; .commitpartial, detached metadata, commit
//! dry_run  what a pull would do, without doing it
//! objects  dirtrees and dirmetas level by level, then files, each in parallel
//! local    one object of a repository on this machine: verified, then linked, copied or written anew
//! named    single objects by their names, for repairs
//! space    whether what is missing fits
//! usb      refs of collections on removable media
//! finders  which remotes and removable media have refs of collections, and pulling from them
//! ```
//!
//! A commit is marked as partial before its object is written, and no longer when all that it
//! reaches is safely on disk; refs move last. A pull that is killed leaves nothing that looks
//! complete, and the next one goes on where it ended.

mod checks;
mod commits;
mod dry_run;
#[cfg(feature = "pull")]
mod finders;
#[cfg(feature = "pull")]
mod http;
mod in_summary;
mod local;
mod named;
mod names;
mod objects;
mod plan;
mod refs;
mod space;
mod usb;

#[cfg(feature = "gpg")]
use std::sync::Arc;
use std::time::Duration;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::progress::{Event, Progress};
use crate::refspec::{CollectionRef, InvalidRefspec, RefName, RemoteName};
#[cfg(feature = "gpg")]
use crate::remote::Demands;
use crate::repo::{CommitState, Repo, Transaction, Trust};
use crate::summary::{self, store};
use crate::threads;

use checks::Checks;
#[cfg(feature = "gpg")]
pub use checks::TimestampCheck;
pub use dry_run::{DeltaTotals, DryRun, ObjectTotals, RefChange, dry_run_local};
#[cfg(feature = "pull")]
pub use finders::{
    FetchOptions, FindOptions, Finder, FoundRemote, find_remotes, pull_from_remotes,
    removable_mounts,
};
#[cfg(feature = "pull")]
pub use http::{Source, SummaryCache, dry_run_http, pull_http};
use in_summary::{InSummary, decode_summary};
pub use local::FileModes;
use local::Importer;
pub(crate) use named::Supplier;
pub use named::Supply;
use plan::Plan;
use refs::{InRepo, Target};
pub use usb::{USB_REPO, UsbOptions, create_usb};

/// What to pull, and how.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// All refs of the source if there are none.
    pub wanted: Vec<Want>,
    /// The remote that refs become those of; without one they become local refs, or mirrored ones
    /// of a collection.
    pub remote: Option<RemoteName>,
    /// Refs become the repository's own ones, those of other collections mirrored ones.
    pub mirror: bool,
    /// How many generations of parents to follow; `None` is all.
    pub depth: Option<u32>,
    /// Take the commit objects only. They are marked as partial.
    pub commit_metadata_only: bool,
    /// The files and directories to take, by absolute path; all if there are none. Commits stay
    /// partial.
    pub subpaths: Vec<String>,
    /// Whether to compare objects with their checksums.
    pub trust: Trust,
    /// Which files are taken.
    pub file_modes: FileModes,
    /// Store what a server sends to a mirror as it comes, if it is an archive.
    pub http_trusted: bool,
    /// The most requests that are under way at a time; as many as the server takes if `None`.
    pub max_requests: Option<usize>,
    /// How long nothing may come from a server before the pull ends; each request has limits of its
    /// own.
    pub idle_limit: Duration,
    /// Whether static deltas are used.
    pub deltas: DeltaUse,
    /// Check that commits were made for the refs that they are found by.
    pub verify_bindings: bool,
    /// The signatures that commits and the summary need.
    #[cfg(feature = "gpg")]
    pub demands: Arc<Demands>,
    /// Whether commits may be older than what is there.
    #[cfg(feature = "gpg")]
    pub timestamps: TimestampCheck,
}

/// Whether a pull from a server uses static deltas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeltaUse {
    /// Where there is one that fits.
    #[default]
    Offered,
    /// No.
    Off,
    /// Nothing else.
    Required,
}

/// An item requested from a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// The commit of a ref of the source.
    Ref(RefName),
    /// A commit that a ref is set to, whatever the source says of the ref.
    RefAt(RefName, Checksum),
    /// A commit; no ref is set.
    Commit(Checksum),
    /// What a ref of a collection names. The commit must be bound to both.
    CollectionRef(CollectionRef),
    /// A commit that a ref of a collection is set to, whatever the source says of the ref. It must
    /// be bound to both.
    CollectionRefAt(CollectionRef, Checksum),
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

    /// Parses what a user types where `REF@COMMIT` is possible.
    ///
    /// # Errors
    /// For a text that is neither a ref nor a commit, and for what follows `@` and is no commit.
    pub fn parse_with_commit(text: &str) -> Result<Self> {
        let Some((name, commit)) = text.rsplit_once('@') else { return Ok(Self::parse(text)?) };
        let commit = Checksum::from_hex(commit)
            .map_err(|_| Error::failed(format!("Invalid rev {commit}")))?;
        Ok(Self::RefAt(RefName::parse(name)?, commit))
    }

    /// The ref, if it is one.
    pub fn name(&self) -> Option<&RefName> {
        match self {
            Self::Commit(_) => None,
            Self::Ref(name)
            | Self::RefAt(name, _)
            | Self::CollectionRef(CollectionRef { name, .. })
            | Self::CollectionRefAt(CollectionRef { name, .. }, _) => Some(name),
        }
    }
}

impl Default for PullOptions {
    fn default() -> Self {
        Self {
            wanted: Vec::new(),
            remote: None,
            mirror: false,
            depth: Some(0),
            commit_metadata_only: false,
            subpaths: Vec::new(),
            trust: Trust::Trusted,
            file_modes: FileModes::Any,
            http_trusted: false,
            max_requests: None,
            idle_limit: Duration::from_secs(300),
            deltas: DeltaUse::Offered,
            verify_bindings: true,
            #[cfg(feature = "gpg")]
            demands: Arc::default(),
            #[cfg(feature = "gpg")]
            timestamps: TimestampCheck::default(),
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
    /// Commits, their detached metadata, dirtrees and dirmetas that came from a server.
    pub metadata_objects_fetched: u64,
    /// File objects that came from a server.
    pub content_objects_fetched: u64,
    /// Bytes of content in files that were neither linked nor copied as they are, uncompressed.
    pub content_bytes_written: u64,
    /// Parts of static deltas that came, or were not needed.
    pub delta_parts_fetched: u64,
    /// Bytes that came from a server; of a source on this machine, those of the detached metadata
    /// of commits that were there already.
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
    let requested = match options.wanted.as_slice() {
        [] => refs::all_of(source)?,
        wanted => wanted.to_vec(),
    };
    let wanted = resolve_local(source, &requested, repo, options)?;
    for (target, commit) in &wanted.refs {
        progress.event(Event::Resolved { name: &target.to_string(), commit: *commit });
    }
    let checks = Checks::new(repo, options, source.collection_id())?;
    let mut transaction = Transaction::begin(repo)?;
    progress.event(Event::Started { task: "pull", total: None });
    let result = threads::run(|| import(&transaction, source, (&wanted, &checks), progress));
    progress.event(Event::Finished);
    let (complete, stats) = match result {
        Ok(imported) => imported,
        Err(error) => {
            transaction.abort(Some(&error));
            return Err(error);
        }
    };
    set_refs(&mut transaction, wanted.refs, options)?;
    transaction.commit()?;
    for commit in complete {
        repo.mark_commit(&commit, CommitState::Complete)?;
    }
    summary::auto_update(repo)?;
    Ok(stats)
}

/// Finds the commits in the refs of the source; in its summary only if that has to be signed.
///
/// Upstream trusts any summary, even one that is older than the refs, and so pulls old commits or
/// does not find new refs.
fn resolve_local(
    source: &Repo,
    wanted: &[Want],
    repo: &Repo,
    options: &PullOptions,
) -> Result<refs::Wanted> {
    let own = repo.collection_id();
    #[cfg(feature = "gpg")]
    if !options.demands.summary.is_empty() {
        let (bytes, signature) =
            (store::load_bytes_if_present(source)?, store::load_signature(source)?);
        let policy = &options.demands.summary;
        let asker = summary::verify::Asker::Pull;
        summary::verify::verify(policy, bytes.as_deref(), signature.as_deref(), asker)?;
        let summary = decode_summary(&bytes.unwrap_or_default())?;
        return refs::resolve(wanted, &InSummary::new(&summary)?, options, own.as_ref());
    }
    // Refs of collections are looked up as upstream does.
    let of_collections = wanted.iter().any(|want| matches!(want, Want::CollectionRef(_)));
    let summary = match of_collections || options.mirror {
        true => store::load_bytes_if_present(source)?,
        false => None,
    };
    let summary = summary.as_deref().map(decode_summary).transpose()?;
    let in_summary = summary.as_ref().map(InSummary::new).transpose()?;
    if let Some(in_summary) = in_summary.as_ref().filter(|_| of_collections) {
        return refs::resolve(wanted, in_summary, options, own.as_ref());
    }
    let collection = in_summary.and_then(InSummary::into_collection);
    refs::resolve(wanted, &InRepo { repo: source, collection }, options, own.as_ref())
}

/// Sets the refs that do not have their commits already.
fn set_refs(
    transaction: &mut Transaction<'_>,
    refs: Vec<(Target, Checksum)>,
    options: &PullOptions,
) -> Result<()> {
    for (target, commit) in refs {
        match target {
            // A mirror has refs of its own, whatever remotes of it have.
            Target::Ref(refspec) if options.mirror => transaction.set_ref(refspec, Some(commit)),
            // What the name resolves to already, be it in a parent repository or as a remote's ref,
            // upstream leaves as it is.
            Target::Ref(refspec)
                if transaction.repo().try_resolve_rev(&refspec.to_string())? == Some(commit) => {}
            Target::Ref(refspec) => transaction.set_ref(refspec, Some(commit)),
            Target::CollectionRef(name) => transaction.set_collection_ref(name, Some(commit)),
        }
    }
    Ok(())
}

/// Imports everything, and returns the commits that are complete now.
fn import(
    transaction: &Transaction<'_>,
    source: &Repo,
    (wanted, checks): (&refs::Wanted, &Checks<'_>),
    progress: &dyn Progress,
) -> Result<(Vec<Checksum>, PullStats)> {
    let options = checks.options;
    let importer = Importer::new(transaction, source, options.trust, options.file_modes)?;
    let mut plan = Plan::new(options);
    let mut stats = PullStats::default();
    let mut space = commits::space(&importer, options)?;
    for found in &wanted.commits {
        plan.want(&found.commit, &found.want);
        commits::import_wanted(&importer, (&mut plan, space.as_mut()), checks, &mut stats)?;
    }
    let plan = objects::import_wanted(&importer, plan, &mut stats, progress)?;
    Ok((complete(plan, options), stats))
}

/// The commits that have all that they reach after a pull.
fn complete(plan: Plan, options: &PullOptions) -> Vec<Checksum> {
    match options.commit_metadata_only || !options.subpaths.is_empty() {
        true => Vec::new(),
        false => plan.into_commits().collect(),
    }
}
