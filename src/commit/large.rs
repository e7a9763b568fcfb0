//! Large files are deferred until the rest of the tree has been read, and then stored, largest
//! first.
//!
//! Each file is processed by one thread. A large one found last would keep a single processor busy
//! while all others idle; sorted by size, the last ones are the smallest of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::stat_cache::Question;
use crate::checksum::Checksum;
use crate::object::FileHeader;
use crate::source::OpenFile;

/// Files of at least this size, in bytes, are deferred.
const MIN_SIZE: u64 = 4 << 20;
/// The most files that are deferred, because each is kept open.
const MOST: usize = 64;
/// Deferred files take at most one in this many of the descriptors that the process may have.
const PART_OF_OPEN_FILES: u64 = 8;

/// The placeholder in the tree for a deferred file.
pub(super) const DEFERRED: Checksum = Checksum::from_bytes([0; 32]);

/// A deferred file.
pub(super) struct LargeFile {
    /// From the root of the tree, as in `/usr/lib/large`.
    pub(super) path: String,
    /// Its path in messages.
    pub(super) shown_path: String,
    pub(super) header: FileHeader,
    pub(super) file: OpenFile,
    /// The question whose answer goes into the stat cache.
    pub(super) question: Option<Question>,
}

/// The deferred files.
pub(super) struct LargeFiles {
    files: Mutex<Vec<LargeFile>>,
    /// The number of files that are here or have a place reserved.
    number: AtomicUsize,
    most: usize,
}

impl LargeFiles {
    /// An empty list, with room for as many files as the process's limit of open files leaves.
    pub(super) fn new() -> Self {
        Self::within(rustix::process::getrlimit(rustix::process::Resource::Nofile).current)
    }

    fn within(limit: Option<u64>) -> Self {
        let part = limit.and_then(|limit| usize::try_from(limit / PART_OF_OPEN_FILES).ok());
        Self {
            files: Mutex::default(),
            number: AtomicUsize::new(0),
            most: part.map_or(MOST, |part| part.min(MOST)),
        }
    }

    /// Whether to defer a file of `size` bytes. If so, a place is reserved that must be used.
    pub(super) fn takes(&self, size: u64) -> bool {
        size >= MIN_SIZE && self.number.fetch_add(1, Ordering::Relaxed) < self.most
    }

    pub(super) fn defer(&self, large: LargeFile) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).push(large);
    }

    pub(super) fn take(&self) -> Vec<LargeFile> {
        self.number.store(0, Ordering::Relaxed);
        std::mem::take(&mut self.files.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_files_and_more_than_can_be_open_are_not_deferred() {
        for (limit, most) in [(None, MOST), (Some(1 << 20), MOST), (Some(40), 5), (Some(7), 0)] {
            let files = LargeFiles::within(limit);
            assert!(!files.takes(MIN_SIZE - 1));
            assert!((0..most).all(|_| files.takes(MIN_SIZE)), "{limit:?}");
            assert!(!files.takes(MIN_SIZE), "{limit:?}");
            files.take();
            assert_eq!(files.takes(u64::MAX), most > 0);
        }
    }
}
