//! Applies deltas: whole ones from files, or commit and parts one by one for those who fetch them.

use std::path::Path;

use super::envelope::{DeltaFile, verify};
use super::machine::{self, PartStats};
use super::payload::{self, PartBytes};
use super::refused;
use crate::checksum::Checksum;
use crate::delta_format::{PartHeader, Payload, Superblock};
use crate::error::{Context, Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress, Silent};
use crate::repo::{Repo, Transaction, Trust, verify_metadata};
use crate::sign::VerificationKeys;

/// How a delta is applied.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// The keys that a signed delta must be signed with. Without them signatures are not verified,
    /// unless the repository's `core.sign-verify-deltas` says that they have to be.
    pub keys: Option<VerificationKeys>,
}

/// What a delta has brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyStats {
    /// The commit that the delta leads to.
    pub commit: Checksum,
    /// Parts that were executed.
    pub parts: u64,
    /// Parts whose objects were all there already.
    pub skipped_parts: u64,
    /// What all parts have brought.
    pub objects: PartStats,
}

/// Applies a delta in files, all or nothing. `path` is its directory or its superblock; parts are
/// inlined or lie beside the superblock. No ref is written.
///
/// # Errors
/// In upstream's words when the delta cannot be used or is wrong; `Delta is incomplete: N objects
/// missing` when it did not bring what it lists.
pub fn apply_offline(
    repo: &Repo,
    path: &Path,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<ApplyStats> {
    repo.check_writable()?;
    let delta = DeltaFile::open(repo, path)?;
    let transaction = Transaction::begin(repo)?;
    match apply(&transaction, &delta, options, progress) {
        Ok(stats) => {
            transaction.commit()?;
            Ok(stats)
        }
        Err(error) => {
            transaction.abort(Some(&error));
            Err(error)
        }
    }
}

fn apply(
    transaction: &Transaction<'_>,
    delta: &DeltaFile,
    options: &ApplyOptions,
    progress: &dyn Progress,
) -> Result<ApplyStats> {
    let envelope = delta.envelope()?;
    let required = Requirement::of(transaction.repo())?;
    match (&envelope.signatures, &options.keys) {
        (Some(_), Some(keys)) => drop(verify(&envelope, keys)?),
        (Some(_), None) if required >= Requirement::WhereSigned => {
            return Err(Error::failed("Key is mandatory to check delta signature"));
        }
        (None, _) if required == Requirement::Always => {
            return Err(Error::failed("no signatures in static-delta"));
        }
        _ => {}
    }
    let superblock = envelope.superblock()?;
    if let Some(from) = superblock.from
        && !transaction.was_present(&ObjectName::new(from, ObjectType::Commit))?
    {
        let message = format!("Commit {from}, which is the delta source, is not in repository");
        return Err(Error::failed(message));
    }
    let name = ObjectName::new(superblock.to, ObjectType::Commit);
    if !transaction.was_present(&name)? {
        verify_metadata(&name, superblock.commit).context(writing)?;
    }
    if !superblock.fallbacks.is_empty() {
        let message = "Cannot execute delta offline: contains nonempty http fallback entries";
        return Err(Error::failed(message));
    }
    let mut stats = ApplyStats {
        commit: superblock.to,
        parts: 0,
        skipped_parts: 0,
        objects: PartStats::default(),
    };
    let _finished = Started::new(&superblock, progress);
    let inlined = superblock.inlined_parts();
    for (number, header) in superblock.parts.iter().enumerate() {
        header.check_version().map_err(refused)?;
        if is_present(transaction, header)? {
            stats.skipped_parts += 1;
            let (steps, bytes) = (header.objects.len() as u64, header.content_size);
            progress.event(Event::Advanced { steps, bytes });
            continue;
        }
        let apply = |part: PartBytes<'_>| apply_part_with(transaction, header, part, progress);
        let applied = match inlined.part(number) {
            Some(part) => apply(PartBytes::Inlined(part)),
            None => {
                let mut file = delta.part(number).map_err(|error| {
                    Error::refused(format!("Opening deltapart '{number}'"), error)
                })?;
                apply(PartBytes::File(&mut file))
            }
        };
        stats.objects.add(applied.context(|| format!("Executing delta part {number}"))?);
        stats.parts += 1;
    }
    check_complete(transaction, &superblock)?;
    // Last, for what an aborted transaction has written comes back with the next one. Upstream
    // writes it first, so a commit without its objects may be what is left of a delta that failed.
    apply_commit(transaction, &superblock)?;
    Ok(stats)
}

/// Which deltas have to be signed, as `core.sign-verify-deltas` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Requirement {
    /// None has to be.
    Never,
    /// Those that are signed must be signed with a known key; upstream accepts all others.
    WhereSigned,
    /// Every one must be signed with a known key.
    Always,
}

impl Requirement {
    /// What the configuration of a repository says.
    ///
    /// # Errors
    /// When the value is neither a yes or no nor `required`.
    pub fn of(repo: &Repo) -> Result<Self> {
        const KEY: &str = "sign-verify-deltas";
        let config = repo.config();
        let malformed = |source| Error::Malformed { what: "config".to_owned(), source };
        if config.keyfile.get("core", KEY).map_err(malformed)?.as_deref() == Some("required") {
            return Ok(Self::Always);
        }
        Ok(match config.keyfile.get_bool("core", KEY).map_err(malformed)? {
            Some(true) => Self::WhereSigned,
            _ => Self::Never,
        })
    }
}

/// Writes the commit of a superblock with its detached metadata, unless it is there already.
///
/// # Errors
/// `Writing metadata object: Corrupted commit object`, when it has not the name that the superblock
/// says.
pub fn apply_commit(transaction: &Transaction<'_>, superblock: &Superblock<'_>) -> Result<()> {
    let name = ObjectName::new(superblock.to, ObjectType::Commit);
    if transaction.was_present(&name)? {
        return Ok(());
    }
    // The commit first: what is named after it can be written only once it was verified.
    transaction.write_metadata_as(&name, superblock.commit, Trust::Untrusted).context(writing)?;
    match superblock.detached_metadata() {
        Some(metadata) => transaction.write_detached_metadata(&superblock.to, &metadata),
        None => Ok(()),
    }
}

fn writing() -> String {
    "Writing metadata object".to_owned()
}

/// Whether all objects of a part are there already, so that it needs not be read.
///
/// # Errors
/// When the operating system cannot determine it.
pub fn is_present(transaction: &Transaction<'_>, header: &PartHeader<'_>) -> Result<bool> {
    for object in header.objects.iter() {
        if !transaction.was_present(&object)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Applies one part: reads it to its end, verifies it against its header and executes it. Objects
/// that are there already are left alone.
///
/// # Errors
/// `Delta part has too new version N`; `Checksum mismatch in static delta part`; in upstream's
/// words for broken parts, with the operation that is wrong; for objects that do not have the name
/// in the header's list.
pub fn apply_part(
    transaction: &Transaction<'_>,
    header: &PartHeader<'_>,
    part: PartBytes<'_>,
) -> Result<PartStats> {
    apply_part_with(transaction, header, part, &Silent)
}

/// The same; reports every object that is done, with its bytes.
fn apply_part_with(
    transaction: &Transaction<'_>,
    header: &PartHeader<'_>,
    part: PartBytes<'_>,
    progress: &dyn Progress,
) -> Result<PartStats> {
    header.check_version().map_err(refused)?;
    let bytes = payload::read(transaction.repo(), header, part)?;
    machine::execute(transaction, header.objects, &Payload::new(&bytes), progress)
}

/// The applying of a delta, which ends when this is dropped.
struct Started<'p>(&'p dyn Progress);

impl<'p> Started<'p> {
    fn new(superblock: &Superblock<'_>, progress: &'p dyn Progress) -> Self {
        let (mut steps, mut bytes) = (0u64, 0u64);
        for part in &superblock.parts {
            steps = steps.saturating_add(part.objects.len() as u64);
            bytes = bytes.saturating_add(part.content_size);
        }
        progress.event(Event::Started { task: "static delta", total: None });
        progress.event(Event::Total { steps, bytes: Some(bytes) });
        Self(progress)
    }
}

impl Drop for Started<'_> {
    fn drop(&mut self) {
        self.0.event(Event::Finished);
    }
}

/// Refuses a delta whose operations made fewer objects than it lists. Upstream accepts it.
fn check_complete(transaction: &Transaction<'_>, superblock: &Superblock<'_>) -> Result<()> {
    let mut missing = 0u64;
    let mut view = None;
    for object in superblock.parts.iter().flat_map(|part| part.objects.iter()) {
        if transaction.was_present(&object)? {
            continue;
        }
        let view = match &view {
            Some(view) => view,
            None => view.insert(transaction.view()?),
        };
        missing += u64::from(!view.has_object(&object)?);
    }
    match missing {
        0 => Ok(()),
        _ => Err(Error::failed(format!("Delta is incomplete: {missing} objects missing"))),
    }
}
