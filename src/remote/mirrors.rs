//! The base URLs that hold the same files, and the order in which they are asked.
//!
//! It is that of the list, but a mirror that has failed twice goes to the end for the rest of the
//! pull. So does one that was twice so slow that another one was asked meanwhile, without an answer
//! in between.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::Url;

/// The failures after which a mirror goes to the end.
const MOST_FAILURES: u32 = 2;

/// The mirrors of one list, and what is known of each. They are numbered as they are listed.
#[derive(Debug)]
pub struct Mirrors {
    urls: Vec<Url>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    order: Arc<[usize]>,
    records: Vec<Record>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    failures: u32,
    /// How often it was too slow since its last answer.
    overtaken: u32,
}

impl Mirrors {
    /// A list of mirrors that nothing is known of so far.
    pub fn new(urls: Vec<Url>) -> Self {
        let records = vec![Record::default(); urls.len()];
        let order = (0..urls.len()).collect();
        Self { urls, state: Mutex::new(State { order, records }) }
    }

    /// The base URLs as they are listed.
    pub fn urls(&self) -> &[Url] {
        &self.urls
    }

    /// Where a mirror has a file; the base URL itself for an empty path.
    pub fn file(&self, mirror: usize, path: &str) -> Option<Url> {
        let base = self.urls.get(mirror)?;
        Some(if path.is_empty() { base.clone() } else { base.below(path) })
    }

    /// The numbers of all mirrors, the one to ask first at the front.
    pub fn order(&self) -> Arc<[usize]> {
        Arc::clone(&self.state().order)
    }

    /// A mirror has answered.
    pub fn answered(&self, mirror: usize) {
        if let Some(record) = self.state().records.get_mut(mirror) {
            record.overtaken = 0;
        }
    }

    /// A mirror has failed.
    pub fn failed(&self, mirror: usize) {
        self.count(mirror, |record| {
            record.failures += 1;
            record.failures == MOST_FAILURES
        });
    }

    /// A mirror was so slow that the answer of another one was taken.
    pub fn overtaken(&self, mirror: usize) {
        self.count(mirror, |record| {
            record.overtaken += 1;
            record.overtaken == MOST_FAILURES
        });
    }

    /// `counts` says whether the mirror has to go to the end.
    fn count(&self, mirror: usize, counts: impl FnOnce(&mut Record) -> bool) {
        let mut state = self.state();
        let Some(record) = state.records.get_mut(mirror) else { return };
        if counts(record) {
            *record = Record::default();
            let others = state.order.iter().copied().filter(|other| *other != mirror);
            state.order = others.chain([mirror]).collect();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(count: usize) -> Mirrors {
        Mirrors::new(vec![Url::parse("http://h/").unwrap(); count])
    }

    #[test]
    fn what_has_failed_twice_goes_to_the_end() {
        let mirrors = mirrors(3);
        mirrors.failed(0);
        mirrors.answered(0);
        assert_eq!(*mirrors.order(), [0, 1, 2]);
        mirrors.failed(0);
        assert_eq!(*mirrors.order(), [1, 2, 0]);
        mirrors.failed(1);
        mirrors.failed(1);
        assert_eq!(*mirrors.order(), [2, 0, 1]);
        // There is no such mirror.
        mirrors.failed(3);
        assert_eq!(*mirrors.order(), [2, 0, 1]);
    }

    #[test]
    fn slowness_counts_only_without_an_answer_in_between() {
        let mirrors = mirrors(2);
        for _ in 0..3 {
            mirrors.overtaken(0);
            mirrors.answered(0);
        }
        assert_eq!(*mirrors.order(), [0, 1]);
        mirrors.overtaken(0);
        mirrors.overtaken(0);
        assert_eq!(*mirrors.order(), [1, 0]);
    }
}
