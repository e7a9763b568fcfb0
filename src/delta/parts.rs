//! Applies the parts of a delta in files, several at a time.
//!
//! A part is hashed and decompressed by one thread, and executed by all that have nothing else to
//! do. A part that reads files which another part makes waits until all others have been applied.
//! No known generator makes such parts.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::envelope::DeltaFile;
use super::machine::{self, PartStats};
use super::payload::{self, PartBytes};
use super::refused;
use super::units;
use crate::checksum::Checksum;
use crate::delta_format::{InlinedParts, PartHeader, Payload, Superblock};
use crate::error::{Context, Error, Result};
use crate::progress::{Event, Progress, Silent};
use crate::repo::Transaction;
use crate::threads;

/// How many parts are read at a time: each takes the memory of its dictionary and of its payload,
/// as far as that stays in memory.
const AT_A_TIME: usize = 4;

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

/// Applies all parts whose objects are not all there.
///
/// # Errors
/// Those of the first part that fails, among those that do not wait for others.
pub(super) fn apply(
    transaction: &Transaction<'_>,
    delta: &DeltaFile,
    superblock: &Superblock<'_>,
    progress: &dyn Progress,
) -> Result<ApplyStats> {
    let inlined = superblock.inlined_parts();
    let parts = Parts { transaction, delta, superblock, inlined, progress };
    let _finished = Started::new(superblock, progress);
    let results = threads::run(|| Ok(parts.in_parallel()))?;
    let mut stats = ApplyStats {
        commit: superblock.to,
        parts: 0,
        skipped_parts: 0,
        objects: PartStats::default(),
    };
    let mut waiting = Vec::new();
    for (number, result) in results.into_iter().enumerate() {
        // There is none where one before it failed.
        let Some(result) = result else { continue };
        match result? {
            Outcome::Present => stats.skipped_parts += 1,
            Outcome::Applied(objects) => {
                stats.parts += 1;
                stats.objects.add(objects);
            }
            Outcome::Waits => waiting.push(number),
        }
    }
    for number in waiting {
        let header = parts.header(number)?;
        let apply = |part: PartBytes<'_>| apply_part_with(transaction, header, part, progress);
        let objects = parts.read(number, apply)?;
        stats.parts += 1;
        stats.objects.add(objects);
    }
    Ok(stats)
}

/// What has become of a part.
enum Outcome {
    /// All of its objects had been there.
    Present,
    Applied(PartStats),
    /// It reads files that other parts may make.
    Waits,
}

struct Parts<'p> {
    transaction: &'p Transaction<'p>,
    delta: &'p DeltaFile,
    superblock: &'p Superblock<'p>,
    inlined: InlinedParts<'p>,
    progress: &'p dyn Progress,
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

impl<'p> Parts<'p> {
    fn header(&self, number: usize) -> Result<&PartHeader<'p>> {
        let missing = || Error::failed(format!("there is no delta part {number}"));
        self.superblock.parts.get(number).ok_or_else(missing)
    }

    /// The results in the order of the parts. Behind one that fails there may be none.
    fn in_parallel(&self) -> Vec<Option<Result<Outcome>>> {
        let count = self.superblock.parts.len();
        let results = Mutex::new((0..count).map(|_| None).collect::<Vec<_>>());
        let (next, first_failed) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        rayon::scope(|scope| {
            for _ in 0..AT_A_TIME.min(rayon::current_num_threads()).min(count) {
                scope.spawn(|_| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= count || number > first_failed.load(Ordering::Relaxed) {
                            break;
                        }
                        let result = self.apply(number);
                        if result.is_err() {
                            first_failed.fetch_min(number, Ordering::Relaxed);
                        }
                        let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                        if let Some(place) = results.get_mut(number) {
                            *place = Some(result);
                        }
                    }
                });
            }
        });
        results.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, number: usize) -> Result<Outcome> {
        let header = self.header(number)?;
        header.check_version().map_err(refused)?;
        if is_present(self.transaction, header)? {
            let (steps, bytes) = (header.objects.len() as u64, header.content_size);
            self.progress.event(Event::Advanced { steps, bytes });
            return Ok(Outcome::Present);
        }
        let applied = self.read(number, |part| {
            apply_independent_part(self.transaction, header, part, self.progress)
        })?;
        Ok(applied.map_or(Outcome::Waits, Outcome::Applied))
    }

    fn read<T>(&self, number: usize, apply: impl FnOnce(PartBytes<'_>) -> Result<T>) -> Result<T> {
        let applied = match self.inlined.part(number) {
            Some(part) => apply(PartBytes::Inlined(part)),
            None => {
                let mut file = self.delta.part(number).map_err(|error| {
                    Error::refused(format!("Opening deltapart '{number}'"), error)
                })?;
                apply(PartBytes::File(&mut file))
            }
        };
        applied.context(|| format!("Executing delta part {number}"))
    }
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

/// Applies a part as [`apply_part`] does, unless it reads files that were not there when the
/// transaction began: then nothing is done, and the result is `None`.
fn apply_independent_part(
    transaction: &Transaction<'_>,
    header: &PartHeader<'_>,
    part: PartBytes<'_>,
    progress: &dyn Progress,
) -> Result<Option<PartStats>> {
    header.check_version().map_err(refused)?;
    let bytes = payload::read(transaction.repo(), header, part)?;
    let payload = Payload::new(&bytes);
    match units::is_independent(transaction, header.objects, &payload)? {
        true => machine::execute(transaction, header.objects, &payload, progress).map(Some),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Hasher;
    use crate::delta_format::{
        ByteOrder, Endianness, Mode, ObjectList, Operation, PayloadWriter, Slice,
    };
    use crate::object::{FileHeader, ObjectName, ObjectType, Xattrs};
    use crate::repo::{OpenOptions, Repo, RepoMode};

    const MODE: u32 = 0o100_644;

    fn file(content: &[u8]) -> ObjectName {
        let symlink_target = String::new();
        let header =
            FileHeader { uid: 0, gid: 0, mode: MODE, symlink_target, xattrs: Xattrs::new() };
        let mut hasher = Hasher::new();
        hasher.update(&header.content_header());
        hasher.update(content);
        ObjectName::new(hasher.finish(), ObjectType::File)
    }

    fn part(fill: impl FnOnce(&mut PayloadWriter)) -> Vec<u8> {
        let mut part = PayloadWriter::default();
        part.mode(Mode { uid: 0, gid: 0, mode: MODE });
        part.xattrs(&Xattrs::new());
        fill(&mut part);
        [&[0][..], &part.encode()].concat()
    }

    fn whole(content: &'static [u8]) -> Vec<u8> {
        part(|part| {
            let content = part.append(content);
            part.push(Operation::File { mode: 0, xattrs: 0, content });
        })
    }

    /// The beginning of another file.
    fn beginning(of: &[u8], length: u64) -> Vec<u8> {
        part(|part| {
            let offset = part.append(file(of).checksum.as_bytes()).offset;
            part.push(Operation::Open { mode: 0, xattrs: 0, size: length });
            part.push(Operation::SetReadSource { offset });
            part.push(Operation::Write(Slice { offset: 0, length }));
            part.push(Operation::Close);
        })
    }

    /// Applies parts of one object each to a repository that is empty.
    fn applied(parts: &[(Vec<u8>, ObjectName)]) -> Result<(ApplyStats, u64), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repo");
        Repo::create(&path, RepoMode::BareUserOnly, None).unwrap();
        let options = OpenOptions { disable_fsync: true, ..OpenOptions::default() };
        let repo = Repo::open_with(&path, &options).unwrap();
        let lists: Vec<Vec<u8>> =
            parts.iter().map(|(_, object)| ObjectList::encode(&[*object])).collect();
        std::fs::write(folder.path().join("superblock"), b"").unwrap();
        let mut headers = Vec::new();
        for (number, ((bytes, _), list)) in parts.iter().zip(&lists).enumerate() {
            std::fs::write(folder.path().join(number.to_string()), bytes).unwrap();
            headers.push(PartHeader {
                version: 0,
                checksum: Checksum::of(bytes),
                size: bytes.len() as u64,
                content_size: 0,
                objects: ObjectList::decode(list).unwrap(),
            });
        }
        let superblock = Superblock {
            metadata: Vec::new(),
            timestamp: 0,
            from: None,
            to: Checksum::of(b"commit"),
            commit: &[],
            parents: &[],
            endianness: Endianness::Marked(ByteOrder::Little),
            parts: headers,
            fallbacks: Vec::new(),
        };
        let delta = DeltaFile::open(&repo, folder.path()).unwrap();
        let transaction = Transaction::begin(&repo).unwrap();
        match apply(&transaction, &delta, &superblock, &Silent) {
            Ok(stats) => {
                transaction.commit().unwrap();
                let stored = repo.list_objects().unwrap().len() as u64;
                Ok((stats, stored))
            }
            Err(error) => {
                transaction.abort(Some(&error));
                Err(error.chain())
            }
        }
    }

    #[test]
    fn a_part_that_reads_what_another_one_makes_waits_for_it() {
        let long = b"a long content";
        let mut parts = [(whole(long), file(long)), (beginning(long, 6), file(b"a long"))];
        let (stats, stored) = applied(&parts).unwrap();
        assert_eq!((stats.parts, stats.objects.content_objects, stored), (2, 2, 2));
        parts.reverse();
        assert_eq!(applied(&parts).unwrap(), (stats, stored));
        let error = applied(&parts[..1]).unwrap_err();
        assert!(error.starts_with("Executing delta part 0: "), "{error}");
    }

    #[test]
    fn the_first_part_that_fails_is_reported() {
        let mut parts: Vec<(Vec<u8>, ObjectName)> =
            (0..40).map(|_| (whole(b"content"), file(b"content"))).collect();
        for number in [7, 8, 30] {
            parts[number].1 = file(b"another");
        }
        for _ in 0..10 {
            let error = applied(&parts).unwrap_err();
            assert!(error.starts_with("Executing delta part 7: "), "{error}");
        }
    }
}
