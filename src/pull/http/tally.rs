//! What a pull reports while it runs: what has come, what is still to come, what is repeated.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::body::Shared;
use crate::http::HttpError;
use crate::progress::{Event, Progress};
use crate::pull::space::Missing;

/// The time between two looks at what has come.
const PERIOD: Duration = Duration::from_millis(100);

/// Counts what is reported.
pub(super) struct Tally<'w> {
    progress: &'w dyn Progress,
    shared: Arc<Shared>,
    looked: Instant,
    /// The bytes that were reported.
    bytes: u64,
    /// Files that commits list.
    listed: u64,
    /// Bytes that are expected; `None` once a commit did not list what it reaches.
    expected: Option<u64>,
    /// The total that was reported.
    total: (u64, Option<u64>),
    /// Parts of all deltas that are fetched or there already.
    pub(super) parts: u64,
    /// Bytes of such parts that are here, and of all.
    pub(super) part_bytes: (u64, u64),
    /// Files that did not have to be fetched.
    pub(super) files_present: u64,
}

impl<'w> Tally<'w> {
    pub(super) fn new(progress: &'w dyn Progress, shared: Arc<Shared>) -> Self {
        Self {
            progress,
            shared,
            looked: Instant::now(),
            bytes: 0,
            listed: 0,
            expected: Some(0),
            total: (0, None),
            parts: 0,
            part_bytes: (0, 0),
            files_present: 0,
        }
    }

    /// Takes note of what a commit lists as missing, if it lists anything.
    pub(super) fn expects(&mut self, missing: Option<&Missing>) {
        self.listed += missing.map_or(0, |missing| missing.listed_files);
        self.expects_bytes(missing.map(|missing| missing.stored));
    }

    /// Takes note of bytes that will come.
    pub(super) fn expects_bytes(&mut self, bytes: Option<u64>) {
        let sum = self.expected.zip(bytes);
        self.expected = sum.map(|(expected, bytes)| expected.saturating_add(bytes));
    }

    /// A file is stored.
    pub(super) fn file_is_there(&mut self) {
        self.advance(1);
    }

    /// So many files are known.
    pub(super) fn found(&mut self, files: u64) {
        let total = (files.max(self.listed), self.expected.filter(|_| self.listed > 0));
        if total != self.total {
            self.total = total;
            self.progress.event(Event::Total { steps: total.0, bytes: total.1 });
        }
    }

    /// Reports what has happened in the threads since the last time, but not too often: returns
    /// whether it was time for it.
    pub(super) fn look(&mut self) -> bool {
        if self.looked.elapsed() < PERIOD {
            return false;
        }
        self.looked = Instant::now();
        let retried = {
            let mut retried = self.shared.retried.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *retried)
        };
        for (error, wait) in retried {
            self.retry(&error, wait);
        }
        if self.shared.transferred.load(Ordering::Relaxed) != self.bytes {
            self.advance(0);
        }
        true
    }

    /// A request is repeated after a wait.
    pub(super) fn retry(&self, error: &HttpError, wait: Duration) {
        let HttpError { url, what: reason, .. } = error;
        self.progress.event(Event::Retry { url, reason, wait });
    }

    fn advance(&mut self, steps: u64) {
        let transferred = self.shared.transferred.load(Ordering::Relaxed);
        let bytes = transferred.saturating_sub(self.bytes);
        self.bytes = transferred;
        self.progress.event(Event::Advanced { steps, bytes });
    }
}
