//! Searching for the longest match with less work, and the same outcome.
//!
//! zlib looks at every position that shares a chain of three bytes, the nearest first, up to a
//! number that the level sets, and takes the first of the longest matches. Most positions cannot
//! hold it, and are passed over here:
//!
//! - a match of four bytes or more is in the chain of its first four bytes. Whether zlib would have
//!   come so far is determined by the ranks of the two positions in the chain of three bytes;
//! - once a match is known, a better one must also hold the four bytes that reach one beyond it.
//!   They are often rarer than the first four, so it is their chain that is searched, for as long
//!   as that is quick.
//!
//! Either way candidates come nearest first, and only one that is longer counts: so the outcome is
//! zlib's.

use super::matcher::{Match, Search};
use super::window::{DeepChains, Link, Window};

/// Matches of fewer bytes are not found here.
const LEAST: usize = 4;

/// This many steps through a chain of tails are quick, and one more for each 32 of the search.
/// Measured.
const TAIL_STEPS: usize = 10;

/// A search for a match of four bytes or more, where the longest match fits what lies ahead.
pub(super) struct DeepSearch<'s> {
    search: Search,
    window: &'s Window,
    chains: &'s DeepChains,
    /// The bytes to be matched begin with these.
    four: u32,
    own: Link,
    /// Candidates are above it.
    too_far: usize,
    best: usize,
    found: Option<Match>,
}

/// How a search goes on.
enum Next {
    /// At that position of the chain of the first four bytes.
    Candidate(usize),
    /// Not at all: no better match will come.
    End,
    /// It takes too long this way.
    GiveUp,
}

impl<'s> DeepSearch<'s> {
    #[inline]
    pub(super) fn new(search: Search, window: &'s Window, chains: &'s DeepChains) -> Self {
        let too_far = search.too_far();
        Self {
            four: window.four(search.at),
            own: chains.link(search.at),
            // Zero is no position, however near.
            too_far: if search.first == too_far { too_far.saturating_sub(1) } else { too_far },
            best: search.longer_than.max(LEAST - 1),
            found: None,
            search,
            window,
            chains,
        }
    }

    /// The longest match, the nearest of several. An error says that the plain search had better be
    /// asked: too many different beginnings share a chain.
    #[inline]
    pub(super) fn run(mut self) -> Result<Option<Match>, ()> {
        let mut candidate = usize::from(self.own.before);
        let mut is_tail_quick = true;
        let mut patience = 64 + self.search.chain;
        while candidate > self.too_far {
            let tail = self.best + 1 - LEAST;
            // Only the tails of positions up to the current one are in a chain: the nearest
            // candidates are found otherwise.
            let next = if tail > 0 && is_tail_quick && candidate + tail <= self.search.at {
                self.try_tails(tail, candidate)
            } else {
                self.try_start(tail, candidate)
            };
            match next {
                Next::Candidate(next) => candidate = next,
                Next::End => break,
                Next::GiveUp => is_tail_quick = false,
            }
            patience -= 1;
            if patience == 0 {
                return Err(());
            }
        }
        Ok(self.found)
    }

    /// Looks at one position of the chain of the first four bytes.
    #[inline(always)]
    fn try_start(&mut self, tail: usize, candidate: usize) -> Next {
        let link = self.chains.link(candidate);
        let has_tail =
            self.window.four(candidate + tail) == self.window.four(self.search.at + tail);
        // Without a tail, the first four bytes have just been compared.
        let is_worth_it = has_tail || tail > 0 && self.is_out_of_reach(link);
        if is_worth_it
            && (tail == 0 || self.window.four(candidate) == self.four)
            && let Some(next) = self.consider(candidate, link)
        {
            return next;
        }
        Next::Candidate(link.before.into())
    }

    /// Goes through the chain of the four bytes at `tail`, or of those one before if they are
    /// rarer. `last` is the nearest candidate that has not been looked at.
    #[inline(always)]
    fn try_tails(&mut self, mut tail: usize, last: usize) -> Next {
        let mut position = self.chains.head(self.window.four(self.search.at + tail));
        if tail > 1 {
            let other = self.chains.head(self.window.four(self.search.at + tail - 1));
            if other + 1 < position {
                position = other;
                tail -= 1;
            }
        }
        for _ in 0..TAIL_STEPS + self.search.chain / 32 {
            if position <= self.too_far + tail {
                return Next::End;
            }
            let candidate = position - tail;
            if candidate <= last
                && self.window.four(candidate) == self.four
                && let Some(next) = self.consider(candidate, self.chains.link(candidate))
            {
                return next;
            }
            position = self.chains.link(position).before.into();
        }
        Next::GiveUp
    }

    /// Whether zlib gives up before it comes to a position with the same first bytes.
    #[inline(always)]
    fn is_out_of_reach(&self, link: Link) -> bool {
        usize::from(self.own.rank.wrapping_sub(link.rank)) > self.search.chain
    }

    /// Measures a match of at least four bytes. Says how the search goes on if the match is better
    /// than the best or the last to be considered.
    #[inline(always)]
    fn consider(&mut self, candidate: usize, link: Link) -> Option<Next> {
        if self.is_out_of_reach(link) {
            return Some(Next::End);
        }
        let length = self.window.common(self.search.at, candidate);
        if length <= self.best {
            return None;
        }
        self.best = length;
        self.found = Some(Match { length, start: candidate });
        Some(if length >= self.search.nice {
            Next::End
        } else {
            Next::Candidate(link.before.into())
        })
    }
}
