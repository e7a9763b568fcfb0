//! Searching for the longest match, one position of the chain after the other.

use super::window::{Chains, MAX_DISTANCE, MIN_MATCH, Window};

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Where the bytes stand that are to be matched.
    pub(super) at: usize,
    /// How many there are.
    pub(super) lookahead: usize,
    /// The position before in the chain: where the search begins. It is at most [`MAX_DISTANCE`]
    /// back.
    pub(super) first: usize,
    /// Only a longer match is of interest. Two bytes or more.
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
    /// The longest match, the nearest of several; nothing when there is none longer than asked for.
    pub(super) fn longest(&self, window: &Window, chains: &Chains) -> Option<Match> {
        let nice = self.nice.min(self.lookahead);
        let mut found = None;
        let mut best = self.longer_than;
        self.walk(chains, |candidate| {
            // A better match has the last three bytes of the best and the one behind it.
            let tail = (best + 1).saturating_sub(4);
            if best > MIN_MATCH - 1 && window.four(candidate + tail) != window.four(self.at + tail)
            {
                return false;
            }
            // What lies behind the end of the input may be equal, but is no match.
            let length = window.common(self.at, candidate).min(self.lookahead);
            if length > best {
                best = length;
                found = Some(Match { length, start: candidate });
            }
            length >= nice && found.is_some()
        });
        found
    }

    /// The nearest match of three bytes that is at most `reach` back.
    pub(super) fn shortest(&self, window: &Window, chains: &Chains, reach: usize) -> Option<Match> {
        let three = window.four(self.at) << 8;
        let mut found = None;
        self.walk(chains, |candidate| {
            let is_near = self.at - candidate <= reach;
            if is_near && window.four(candidate) << 8 == three {
                found = Some(Match { length: MIN_MATCH, start: candidate });
            }
            found.is_some() || !is_near
        });
        found
    }

    /// The position that is too far back, except for the first of the chain, which may be one
    /// farther than the others.
    pub(super) fn too_far(&self) -> usize {
        self.at.saturating_sub(MAX_DISTANCE)
    }

    /// Shows the positions of the chain to `is_enough` until it says so.
    #[inline]
    fn walk(&self, chains: &Chains, mut is_enough: impl FnMut(usize) -> bool) {
        let too_far = self.too_far();
        let mut candidate = self.first;
        for _ in 0..self.chain {
            if is_enough(candidate) {
                break;
            }
            candidate = chains.before(candidate);
            if candidate <= too_far {
                break;
            }
        }
    }
}
