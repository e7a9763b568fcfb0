//! Publishing commits: into an object store, a directory, or a repository of another machine.
//!
//! ```text
//! destination  what a place to push to has to do
//! dir          a directory of this machine
//! s3           an object store
//! ssh          a directory of another machine
//! place        what the user names a destination by
//! wanted       which refs are pushed, and whether they may move
//! there        the config and the refs of a destination
//! plan         which objects are sent, in which order
//! deltas       which static deltas are sent, and the indexes that clients find them in
//! content      what is sent of an object
//! summary      the summary of a destination, made of the refs that are there
//! store        what an object store has to do for the following
//! survey       what a store has, and what its commits reach
//! prune        removes what no ref of a store reaches
//! fsck         checks the objects of a store
//! ```
//!
//! What arrives is an archive, from which every client can pull. Content goes first, then metadata,
//! each directory after what is in it, then commits with their signatures, then deltas, then refs,
//! and the summary at last: a kill at any moment leaves the old state for clients, and the next
//! push goes on where that one ended. A ref and the summary are only written if they are what they
//! were when they were read, so that any number of builders can publish at the same time: those of
//! different refs lose nothing, and of those that publish the same ref one wins.

mod content;
mod deltas;
mod destination;
mod dir;
#[cfg(feature = "s3")]
mod fsck;
mod place;
mod plan;
#[cfg(feature = "s3")]
mod prune;
#[cfg(feature = "s3")]
mod s3;
mod ssh;
#[cfg(feature = "s3")]
mod store;
mod summary;
#[cfg(feature = "s3")]
mod survey;
mod there;
mod wanted;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::checksum::Checksum;
use crate::error::{Context as _, Error, Result};
use crate::progress::{Event, Progress};
use crate::refspec::RefName;
use crate::repo::{LockKind, Repo};
use crate::signer::Signer;

#[cfg(feature = "s3")]
pub(crate) use destination::object_path;
pub use destination::{
    Batch, Body, Conditions, Destination, Expected, Hold, Item, Put, Stored, Version,
};
pub use dir::Directory;
#[cfg(feature = "s3")]
pub use fsck::fsck_store;
pub use place::{Named, Place};
use plan::Plan;
#[cfg(feature = "s3")]
pub use prune::{StorePruneOptions, StorePruneStats, prune_store};
#[cfg(feature = "s3")]
pub use s3::{Bucket, StoreOptions, Variables, to_pull_from};
pub use ssh::{Address, Machine, Received, SshOptions, below, path_of_command, receive, refuse};
#[cfg(feature = "s3")]
pub use store::{Listed, Store, Take};
#[cfg(feature = "s3")]
pub use survey::{Contents, contents, refs_of};
use there::There;
use wanted::Moving;

/// What to push, and how.
#[derive(Clone, Debug)]
pub struct PushOptions {
    /// The refs of the repository that are pushed; all of its own if there are none.
    pub refs: Vec<RefName>,
    /// How many generations of parents are pushed with each commit, as far as they are not there;
    /// `None` is all.
    pub depth: Option<u32>,
    /// Whether the objects of the destination are listed.
    pub listing: Listing,
    /// Where refs may move to.
    pub moves: Moves,
    /// Whether refs and summary are only written if nobody else has changed them.
    pub locking: Locking,
    /// Whether the static deltas to pushed commits are pushed.
    pub deltas: Deltas,
    /// Whether the summary is brought up to date.
    pub summary: SummaryUpdate,
    /// What signs the summary.
    pub signers: Vec<Arc<dyn Signer>>,
    /// The time of the summary, in seconds since 1970.
    pub now: u64,
    /// Nothing is written; what would be sent is counted.
    pub dry_run: bool,
}

/// Whether the objects of the destination are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listing {
    /// When its refs do not say enough.
    #[default]
    Unsure,
    /// In any case: objects that it should have but has not are sent again.
    Always,
}

/// Where refs may move to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Moves {
    /// To commits that have the present one as an ancestor.
    #[default]
    Forward,
    /// To any commit.
    Anywhere,
}

/// Whether refs and summary are only written if nobody else has changed them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Locking {
    /// They are. A store that cannot do that is refused.
    #[default]
    Required,
    /// They are written in any case: the caller knows that nobody else pushes.
    Off,
}

/// Whether static deltas are pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Deltas {
    /// Those that lead to pushed commits.
    #[default]
    Sent,
    /// None.
    Left,
}

/// Whether the summary is brought up to date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SummaryUpdate {
    /// It is made anew, of all refs that are there.
    #[default]
    Written,
    /// It stays as it is.
    Left,
}

impl PushOptions {
    /// Everything as usual, at this time in seconds since 1970.
    pub fn new(now: u64) -> Self {
        Self {
            refs: Vec::new(),
            depth: Some(0),
            listing: Listing::default(),
            moves: Moves::default(),
            locking: Locking::default(),
            deltas: Deltas::default(),
            summary: SummaryUpdate::default(),
            signers: Vec::new(),
            now,
            dry_run: false,
        }
    }

    fn is_locked(&self) -> bool {
        self.locking == Locking::Required
    }
}

/// What was pushed; in a dry run, what would have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushStats {
    /// The refs, with the commits before and now.
    pub refs: Vec<PushedRef>,
    /// Commits, their detached metadata, dirtrees and dirmetas that were sent.
    pub metadata_objects_sent: u64,
    /// File objects that were sent.
    pub content_objects_sent: u64,
    /// Files of static deltas that were sent.
    pub delta_files_sent: u64,
    /// Objects that were there already.
    pub objects_present: u64,
    /// Bytes of everything that was sent, as it is stored there. In a dry run as it is stored here:
    /// not compressed, unless the repository is an archive.
    pub bytes_sent: u64,
    /// Whether the summary was written.
    pub summary_written: bool,
}

/// A ref that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedRef {
    /// Its name.
    pub name: RefName,
    /// The commit that it was set to there.
    pub old: Option<Checksum>,
    /// The commit that it is set to now.
    pub new: Checksum,
}

/// Publishes commits of `repo` with all that they reach.
///
/// # Errors
/// When an object is missing or damaged here, a ref would not move forward or was moved by somebody
/// else meanwhile, the store does not honour conditions, or something cannot be read or written. A
/// ref that could not be moved is as it was; others may have moved.
pub fn push(
    repo: &Repo,
    destination: &dyn Destination,
    options: &PushOptions,
    progress: &dyn Progress,
) -> Result<PushStats> {
    let _lock = repo.lock(LockKind::Shared)?;
    let moving = wanted::wanted(repo, options)?;
    let names: Vec<RefName> = moving.iter().map(|moving| moving.name.clone()).collect();
    let mut there = There::look(destination, &names)?;
    if let Some(config) = &there.config {
        there::settings(destination, config)?;
    }
    wanted::check_moves(repo, destination, (&moving, &there), options.moves)?;
    if options.summary == SummaryUpdate::Written && options.signers.is_empty() {
        summary::check_signers(destination, options)?;
    }
    if options.dry_run {
        return dry_run(repo, destination, (&moving, &mut there), options);
    }
    let config = open(repo, destination, &there, options)?;
    let _hold = destination.hold()?;
    let plan = plan::plan(repo, destination, (&moving, &mut there), options)?;
    let deltas = delta_plan(repo, destination, &moving, options)?;
    let mut stats = send(repo, destination, (&plan, &deltas), progress)?;
    deltas::index(destination, &deltas.deltas, options)?;
    let lost = move_refs(destination, (&moving, &there), options, &mut stats)?;
    if options.summary == SummaryUpdate::Written {
        let config = there::settings(destination, &config)?;
        let contribution = summary::Contribution { config: &config, deltas: &deltas.deltas };
        let written = summary::bring_up_to_date(repo, destination, &contribution, options);
        stats.summary_written = written.context(|| "bringing the summary up to date".to_owned())?;
    }
    match lost.is_empty() {
        true => Ok(stats),
        false => Err(Error::failed(lost.join("; "))),
    }
}

/// Makes sure that the destination is a repository, and that conditions on writes hold. Returns its
/// config.
fn open(
    repo: &Repo,
    destination: &dyn Destination,
    there: &There,
    options: &PushOptions,
) -> Result<Stored> {
    let config = match &there.config {
        Some(config) => config.clone(),
        None => there::create(destination, repo.collection_id().as_ref())?,
    };
    there::settings(destination, &config)?;
    if options.is_locked()
        && let Conditions::Broken(how) = destination.probe(there::CONFIG, &config)?
    {
        return Err(Error::failed(format!(
            "{} cannot keep builders from overwriting each other's refs: it {how}; --no-lock pushes all the same",
            destination.name()
        )));
    }
    Ok(config)
}

fn dry_run(
    repo: &Repo,
    destination: &dyn Destination,
    (moving, there): (&[Moving], &mut There),
    options: &PushOptions,
) -> Result<PushStats> {
    let plan = plan::plan(repo, destination, (moving, there), options)?;
    let deltas = delta_plan(repo, destination, moving, options)?;
    let mut stats = counted(&plan, &deltas);
    for item in plan.items().chain(&deltas.parts).chain(&deltas.superblocks) {
        stats.bytes_sent += content::stored_size(repo, item)?;
    }
    stats.refs = moving.iter().map(|moving| pushed(moving, there)).collect();
    Ok(stats)
}

fn delta_plan(
    repo: &Repo,
    destination: &dyn Destination,
    moving: &[Moving],
    options: &PushOptions,
) -> Result<deltas::Plan> {
    match options.deltas {
        Deltas::Sent => deltas::plan(repo, destination, moving),
        Deltas::Left => Ok(deltas::Plan::default()),
    }
}

fn counted(plan: &Plan, deltas: &deltas::Plan) -> PushStats {
    let metadata = plan.metadata.len() + plan.detached.len() + plan.commits.len();
    PushStats {
        metadata_objects_sent: metadata as u64,
        content_objects_sent: plan.content.len() as u64,
        delta_files_sent: (deltas.parts.len() + deltas.superblocks.len()) as u64,
        objects_present: plan.present,
        ..PushStats::default()
    }
}

/// Sends everything but what can be overwritten by others.
fn send(
    repo: &Repo,
    destination: &dyn Destination,
    (plan, deltas): (&Plan, &deltas::Plan),
    progress: &dyn Progress,
) -> Result<PushStats> {
    let mut stats = counted(plan, deltas);
    let steps = plan.items().count() as u64 + stats.delta_files_sent;
    progress.event(Event::Started { task: "push", total: Some(steps) });
    if progress.wants_totals() {
        let items = plan.items().chain(&deltas.parts).chain(&deltas.superblocks);
        let bytes = items.map(|item| content::stored_size(repo, item)).sum::<Result<u64>>()?;
        progress.event(Event::Total { steps, bytes: Some(bytes) });
    }
    let sent = AtomicU64::new(0);
    let done = |item: &Item, bytes: u64| {
        sent.fetch_add(bytes, Ordering::Relaxed);
        // The total is that of the bytes here.
        let size = content::stored_size(repo, item).unwrap_or(bytes);
        progress.event(Event::Advanced { steps: 1, bytes: size });
    };
    let load = |item: &Item| content::load(repo, item);
    let [content, metadata, detached, commits] =
        [&plan.content, &plan.metadata, &plan.detached, &plan.commits];
    // Each of these is there before the next begins.
    for items in [content, metadata, detached, commits, &deltas.parts, &deltas.superblocks] {
        if !items.is_empty() {
            destination.upload(&Batch { items, load: &load, done: &done })?;
        }
    }
    progress.event(Event::Finished);
    stats.bytes_sent = sent.into_inner();
    Ok(stats)
}

/// Moves the refs; returns what to say of those that somebody else has moved meanwhile.
fn move_refs(
    destination: &dyn Destination,
    (moving, there): (&[Moving], &There),
    options: &PushOptions,
    stats: &mut PushStats,
) -> Result<Vec<String>> {
    let mut lost = Vec::new();
    for moving in moving {
        let pushed = pushed(moving, there);
        if pushed.old != Some(moving.commit) {
            let path = there::ref_path(&moving.name);
            let text = format!("{}\n", moving.commit);
            let expected = moving.expected(there, options.is_locked());
            if destination.put_if(&path, text.as_bytes(), &expected)? == Put::Lost {
                lost.push(overtaken(destination, moving)?);
                continue;
            }
        }
        stats.refs.push(pushed);
    }
    Ok(lost)
}

fn pushed(moving: &Moving, there: &There) -> PushedRef {
    let old = there.commits.get(&moving.name).map(|(commit, _)| *commit);
    PushedRef { name: moving.name.clone(), old, new: moving.commit }
}

fn overtaken(destination: &dyn Destination, moving: &Moving) -> Result<String> {
    let now = there::read_refs(destination, std::slice::from_ref(&moving.name))?;
    let now = match now.get(&moving.name) {
        Some((commit, _)) => format!("moved to {commit}"),
        None => "deleted".to_owned(),
    };
    let Moving { name, commit } = moving;
    let place = destination.name();
    Ok(format!(
        "the ref {name} of {place} was {now} by somebody else meanwhile, so {commit} is not published"
    ))
}
