//! Large files are put off until the rest of the tree has been read, and then stored the largest
//! first.
//!
//! One file is worked on by one thread. A large one that is found last would keep a single
//! processor busy while all others have nothing to do; sorted by size, the last ones are the least
//! large.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::stat_cache::Question;
use crate::checksum::Checksum;
use crate::object::FileHeader;
use crate::source::OpenFile;

/// Files from this size on are put off, in bytes.
const MIN_SIZE: u64 = 4 << 20;
/// Each of them is kept open; further ones are not put off.
const MOST: usize = 64;
/// This part of the files that the process may have open are these, at most.
const PART_OF_OPEN_FILES: u64 = 8;

/// Stands in the tree for a file that is put off.
pub(super) const PUT_OFF: Checksum = Checksum::from_bytes([0; 32]);

/// A file that is put off.
pub(super) struct LargeFile {
    /// From the root of the tree, as in `/usr/lib/large`.
    pub(super) path: String,
    /// What it is called in messages.
    pub(super) shown_path: String,
    pub(super) header: FileHeader,
    pub(super) file: OpenFile,
    /// What the stat cache shall be told the answer to.
    pub(super) question: Option<Question>,
}

/// The files that are put off.
pub(super) struct LargeFiles {
    files: Mutex<Vec<LargeFile>>,
    /// Of files that are there or were promised room.
    number: AtomicUsize,
    most: usize,
}

impl LargeFiles {
    /// None so far, with as much room as the limit of the process for open files leaves.
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

    /// Whether a file of `size` bytes shall be put off; it has to be, then.
    pub(super) fn takes(&self, size: u64) -> bool {
        size >= MIN_SIZE && self.number.fetch_add(1, Ordering::Relaxed) < self.most
    }

    pub(super) fn put_off(&self, large: LargeFile) {
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
    fn small_files_and_more_than_can_be_open_are_not_put_off() {
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
