//! How much memory is used at a time. The user sets a limit; less is taken where more would not
//! make it faster. Neither has an influence on the delta, but for pairs of files that the limit is
//! too small for.

use super::GenerateOptions;
use super::job::Job;
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

    /// What these jobs need with so many threads, as far as these limits allow. Work takes no more
    /// than it needs by itself.
    pub(super) fn needed(self, options: &GenerateOptions, jobs: &[Job], threads: u64) -> Self {
        let patches = jobs.iter().filter(|job| matches!(job, Job::Patched { .. }));
        let largest = patches.map(Job::weight).max().unwrap_or_default();
        // The largest patch may be begun first, and has half of it then.
        let prepared = largest.saturating_mul(2).max(PREPARED);
        let payload = jobs.iter().map(Job::size).fold(0, u64::saturating_add);
        let part = options.max_chunk_size.min(payload);
        // Some more, because parts are rarely as large as they are meant to be.
        let parts = threads.saturating_mul(part.saturating_add(part / 8));
        Self { prepared: self.prepared.min(prepared), parts: self.parts.min(parts), ..self }
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
    fn no_more_waits_than_is_of_use() {
        let whole = limits(&[plain(500 * MB)], 2, 100 << 30);
        assert_eq!((whole.prepared, whole.parts), (PREPARED, 2 * 36 * MB));
        let update = limits(&[patched(40 * MB), patched(5 * MB), plain(2 * MB)], 2, 100 << 30);
        assert_eq!((update.prepared, update.parts), (80 * MB, 2 * 36 * MB));
        let small = limits(&[patched(12 * MB), plain(4 * MB)], 2, 100 << 30);
        assert_eq!((small.prepared, small.parts), (PREPARED, 2 * 18 * MB));
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
