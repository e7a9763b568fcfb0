//! Searching for the longest match.

use super::window::{Chains, MAX_DISTANCE, Window};

/// What is searched for.
pub(super) struct Search {
    /// Where the bytes stand that are to be matched.
    pub(super) at: usize,
    /// How many there are.
    pub(super) lookahead: usize,
    /// Only a longer match is of interest.
    pub(super) longer_than: usize,
    /// How many positions of the chain are looked at.
    pub(super) chain: usize,
    /// A match this long ends the search.
    pub(super) nice: usize,
}

/// A match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) start: usize,
}

impl Search {
    /// Goes through the chain from `first` on, the nearest position first, and returns the longest match: the nearest of
    /// several. Nothing when there is none longer than asked for.
    pub(super) fn run(&self, window: &Window, chains: &Chains, first: usize) -> Option<Match> {
        let oldest = self.at.saturating_sub(MAX_DISTANCE);
        let nice = self.nice.min(self.lookahead);
        let mut found = None;
        let mut best = self.longer_than;
        // The last four bytes of what a better match has to have.
        let mut tail_at = (best + 1).saturating_sub(4);
        let mut tail = window.four(self.at + tail_at);
        let mut candidate = first;
        let mut left = self.chain;
        loop {
            if window.four(candidate + tail_at) == tail || best < 3 {
                let length = window.common(self.at, candidate).min(self.lookahead);
                if length > best {
                    best = length;
                    found = Some(Match { length: best, start: candidate });
                    if length >= nice {
                        break;
                    }
                    tail_at = best + 1 - 4;
                    tail = window.four(self.at + tail_at);
                }
            }
            candidate = chains.before(candidate);
            left -= 1;
            if candidate <= oldest || left == 0 {
                break;
            }
        }
        found
    }
}
