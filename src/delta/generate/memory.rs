//! How much memory is used at a time. The user sets a limit; less is taken where more would not
//! make it faster. Neither has an influence on the delta, but for pairs of files that the limit is
//! too small for.

use super::GenerateOptions;
use super::compress;
use super::job::Job;
use super::rollsum::Matches;
use super::shared::Shared;

/// The memory that may be taken, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// What jobs and compression take while they work.
    pub(super) work: u64,
    /// Objects that are prepared before it is their turn.
    pub(super) prepared: u64,
    /// Parts that are full and not yet compressed.
    pub(super) parts: u64,
    /// Patches that are kept for other deltas.
    pub(super) shared: u64,
}

/// Bytes of a second of comparing, and of compressing patches and other content: about, but in this
/// proportion.
const COMPARED: u64 = 8_000_000;
const COMPRESSED_PATCHES: u64 = 8_000_000;
const COMPRESSED: u64 = 1_500_000;
/// What a thread may take that does not compress, in bytes.
const OTHER: u64 = 64 << 20;
/// Prepared objects: enough that no thread waits for another one.
const PREPARED: u64 = 32 << 20;

impl Limits {
    /// All that the user allows.
    pub(super) fn most(options: &GenerateOptions, shared: &Shared) -> Self {
        let memory = options.memory_limit();
        let shared = shared.share(memory);
        // What waits for its turn has a part of its own. Work never gets the part of what is
        // shared: which files are compared must not depend on how many deltas are made.
        let eighth = memory / 8;
        Self { work: memory - 3 * eighth, prepared: eighth, parts: eighth, shared }
    }

    /// What these jobs need with so many threads, as far as these limits allow.
    pub(super) fn needed(self, options: &GenerateOptions, jobs: &[Job], threads: u64) -> Self {
        let total: Costs = jobs.iter().map(Costs::of).sum();
        let part = options.max_chunk_size.min(total.payload);
        let compressions = total.compressions(threads);
        let compression = compress::memory(part);
        let others = threads.saturating_sub(compressions).saturating_mul(OTHER);
        let largest = jobs.iter().map(Job::memory).max().unwrap_or_default();
        let work = compressions.saturating_mul(compression).saturating_add(others).max(largest);
        // Some more, because parts are rarely as large as they are meant to be.
        let parts = (compressions + 1).saturating_mul(part.saturating_add(part / 8));
        Self {
            work: self.work.min(work),
            prepared: self.prepared.min(PREPARED),
            parts: self.parts.min(parts),
            ..self
        }
    }
}

/// What jobs cost.
#[derive(Clone, Copy, Debug, Default)]
struct Costs {
    /// Bytes before compression.
    payload: u64,
    /// Milliseconds of comparing.
    comparing: u64,
    /// Milliseconds of compressing.
    compressing: u64,
}

impl Costs {
    fn of(job: &Job) -> Self {
        let milliseconds = |bytes: u64, speed: u64| bytes.saturating_mul(1000) / speed;
        match job {
            Job::Metadata(_) | Job::Symlink(_) => Self::default(),
            Job::Plain { size, .. } => {
                let compressing = milliseconds(*size, COMPRESSED);
                Self { payload: *size, comparing: 0, compressing }
            }
            Job::Rolled { candidate, matches } => {
                let rest = candidate.new_size.saturating_sub(Matches::bytes(matches));
                Self { payload: rest, comparing: 0, compressing: milliseconds(rest, COMPRESSED) }
            }
            Job::Patched { candidate, .. } => Self {
                payload: candidate.new_size,
                comparing: milliseconds(candidate.old_size, COMPARED),
                compressing: milliseconds(candidate.new_size, COMPRESSED_PATCHES),
            },
        }
    }

    /// How many threads have to compress so that no work is left at the end.
    fn compressions(self, threads: u64) -> u64 {
        let all = self.comparing.saturating_add(self.compressing).max(1);
        let rounded = self.compressing.saturating_mul(threads).saturating_add(all / 2) / all;
        rounded.clamp(1, threads.max(1))
    }
}

impl std::iter::Sum for Costs {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |sum, more| Self {
            payload: sum.payload.saturating_add(more.payload),
            comparing: sum.comparing.saturating_add(more.comparing),
            compressing: sum.compressing.saturating_add(more.compressing),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;
    use crate::delta::generate::plan::Candidate;
    use crate::delta::generate::similar::Pair;

    const MB: u64 = 1_000_000;

    fn plain(size: u64) -> Job {
        Job::Plain { name: Checksum::of(b"new"), size }
    }

    fn patched(size: u64) -> Job {
        let pair = Pair { old: Checksum::of(b"old"), new: Checksum::of(b"new") };
        let candidate = Candidate { pair, old_size: size, new_size: size, is_readable: true };
        Job::Patched { candidate, number: 0 }
    }

    fn limits(jobs: &[Job], threads: u64, memory: u64) -> Limits {
        let options = GenerateOptions { memory: Some(memory), ..GenerateOptions::new(0) };
        Limits::most(&options, &Shared::default()).needed(&options, jobs, threads)
    }

    #[test]
    fn content_is_compressed_by_all_threads_and_patches_beside_comparing() {
        let part = compress::memory(32 * MB);
        let whole = limits(&[plain(500 * MB)], 2, 100 << 30);
        assert_eq!((whole.work, whole.parts), (2 * part, 3 * 36 * MB));
        let update = limits(&[patched(50 * MB), patched(50 * MB), plain(2 * MB)], 2, 100 << 30);
        assert_eq!(update.work, part + OTHER);
        let large = limits(&[patched(100 * MB), patched(1)], 2, 100 << 30);
        assert_eq!(large.work, patched(100 * MB).memory());
    }

    #[test]
    fn the_users_limit_holds() {
        for memory in [1 << 20, 64 << 20, 1 << 30] {
            let options = GenerateOptions { memory: Some(memory), ..GenerateOptions::new(0) };
            let most = Limits::most(&options, &Shared::kept());
            let jobs = [plain(500 * MB), patched(64 * MB)];
            let Limits { work, prepared, parts, shared } = most.needed(&options, &jobs, 64);
            assert!(work + prepared + parts + shared <= memory && shared > 0, "{memory}");
        }
        assert!(limits(&[], 1, 1 << 30).work > 0);
    }
}
