//! What a delta is made of, and how far the work is.

use log::debug;

use super::Candidate;
use super::job::{Job, Prepared};
use crate::checksum::Checksum;
use crate::object::ObjectName;
use crate::progress::{Event, Progress};

/// What a delta has become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GenerateStats {
    /// Whether it was written. It was not if it is larger than
    /// [`if_smaller`](super::GenerateOptions::if_smaller) allows.
    pub is_written: bool,
    /// The number of parts.
    pub parts: u64,
    /// Bytes of all parts.
    pub part_bytes: u64,
    /// What the new objects take in the repository, in bytes: those that are in the delta and those
    /// that are fetched by themselves.
    pub loose_bytes: u64,
    /// Files of which blocks are in an old one, and the bytes that are in none.
    pub rolled: KindStats,
    /// Files that are patches of an old one, and the bytes of the patches.
    pub patched: KindStats,
    /// Files and symlinks that are sent whole, and their bytes.
    pub whole: KindStats,
    /// Metadata objects and their bytes.
    pub metadata: KindStats,
    /// Files that are fetched by themselves, and their bytes in the repository.
    pub fallbacks: KindStats,
}

/// Objects of a kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStats {
    /// Their number.
    pub objects: u64,
    /// Bytes before compression.
    pub bytes: u64,
}

impl GenerateStats {
    /// What a client fetches besides the superblock, in bytes.
    pub fn bytes(&self) -> u64 {
        self.part_bytes.saturating_add(self.fallbacks.bytes)
    }

    /// Whether a client fetches at most so many hundredths of what the objects take by themselves.
    pub(super) fn is_below(&self, percent: u64) -> bool {
        u128::from(self.bytes()) * 100 <= u128::from(self.loose_bytes) * u128::from(percent)
    }

    /// Counts an object that is ready to be written.
    pub(super) fn count(&mut self, job: &Job, prepared: &Prepared) {
        let paired = |how: &str, Candidate { pair, new_size, .. }: &Candidate, bytes: u64| {
            debug!("{how} {} of {}: {bytes} bytes for {new_size}", pair.new, pair.old);
        };
        let whole = |name: &Checksum, bytes: u64| debug!("whole {name}: {bytes} bytes");
        let (kind, bytes) = match (job, prepared) {
            (Job::Metadata(ObjectName { .. }), Prepared::Metadata(bytes)) => {
                (&mut self.metadata, bytes.len() as u64)
            }
            (Job::Rolled { candidate, matches }, _) => {
                let bytes = candidate.new_size.saturating_sub(matches.bytes());
                paired("rollsum", candidate, bytes);
                (&mut self.rolled, bytes)
            }
            (Job::Patched { candidate, .. }, Prepared::Patch(_, patch)) => {
                let bytes = patch.len() as u64;
                paired("bsdiff", candidate, bytes);
                (&mut self.patched, bytes)
            }
            (Job::Plain { name, size }, _) => {
                whole(name, *size);
                (&mut self.whole, *size)
            }
            (Job::Symlink(name), Prepared::File(header, _)) => {
                let bytes = header.symlink_target.len() as u64;
                whole(name, bytes);
                (&mut self.whole, bytes)
            }
            _ => return,
        };
        kind.add(bytes);
    }
}

impl KindStats {
    pub(super) fn add(&mut self, bytes: u64) {
        self.objects += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Reports how far the work is. Each byte of an object counts twice: when the object is ready, and
/// when the part that it is in is compressed.
pub(super) struct Advance<'p>(&'p dyn Progress);

impl<'p> Advance<'p> {
    /// The comparison of pairs of files begins.
    pub(super) fn compare(progress: &'p dyn Progress, pairs: usize) -> Self {
        progress.event(Event::Started { task: "comparing files", total: Some(pairs as u64) });
        Self(progress)
    }

    /// The writing of objects begins.
    pub(super) fn write(progress: &'p dyn Progress, jobs: &[Job]) -> Self {
        progress.event(Event::Started { task: "static delta", total: None });
        let bytes = jobs.iter().map(Job::size).fold(0, u64::saturating_add).saturating_mul(2);
        progress.event(Event::Total { steps: jobs.len() as u64, bytes: Some(bytes) });
        Self(progress)
    }

    pub(super) fn step(&self, bytes: u64) {
        self.0.event(Event::Advanced { steps: 1, bytes });
    }

    pub(super) fn compressed(&self, bytes: u64) {
        self.0.event(Event::Advanced { steps: 0, bytes });
    }
}

impl Drop for Advance<'_> {
    fn drop(&mut self) {
        self.0.event(Event::Finished);
    }
}
