//! Levels 4 to 9: a match is taken unless the next position has a longer one.

use super::deep::DeepSearch;
use super::matcher::{Match, Search};
use super::window::{MAX_DISTANCE, MAX_MATCH, MIN_MATCH, REACH};
use super::{Encoder, Input, Last};

/// A match of three bytes is not worth it from farther away than this.
const TOO_FAR: usize = 4096;

/// What is known of the position before the current one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// Whether that position has not been dealt with yet.
    is_open: bool,
    /// The match that begins there.
    found: Option<Match>,
}

impl Held {
    pub(super) fn slide(&mut self) {
        if let Some(found) = &mut self.found {
            found.start = found.start.saturating_sub(REACH);
        }
    }
}

impl Encoder {
    pub(super) fn run_lazy(&mut self, input: Input, output: &mut Vec<u8>) {
        while self.is_ready(input) {
            let (at, lookahead) = (self.at, self.lookahead());
            let first = if lookahead >= MIN_MATCH { self.insert(at) } else { 0 };
            let held = self.held.found;
            let held_length = held.map_or(MIN_MATCH - 1, |found| found.length);
            let found =
                if first != 0 && held_length < self.tuning.lazy && at - first <= MAX_DISTANCE {
                    self.search(at, lookahead, held_length, first)
                } else {
                    None
                };
            match held {
                Some(held) if found.is_none() => {
                    // The held match begins one before, and its first two positions are in the
                    // chains.
                    let end = at - 1 + held.length;
                    let insert_end = end.min((self.window.end + 1).saturating_sub(MIN_MATCH));
                    for inside in at + 1..insert_end {
                        self.insert(inside);
                    }
                    self.at = end;
                    self.held = Held::default();
                    if self.block.reference(at - 1 - held.start, held.length) {
                        self.end_block(Last::No, output);
                    }
                }
                _ => {
                    // The block ends before the current position, which is still open.
                    if self.held.is_open && self.block.literal(self.window.byte(at - 1)) {
                        self.end_block(Last::No, output);
                    }
                    self.held = Held { is_open: true, found };
                    self.at += 1;
                }
            }
        }
        if input == Input::Ends && self.held.is_open {
            self.block.literal(self.window.byte(self.at - 1));
            self.held = Held::default();
        }
    }

    #[inline]
    fn insert(&mut self, at: usize) -> usize {
        let four = self.window.four(at);
        let before = self.chains.insert(four, at);
        self.deep.insert(four, at, before);
        before.into()
    }

    /// Searches for a match that is longer than the one held, and worth it.
    #[inline]
    fn search(
        &self,
        at: usize,
        lookahead: usize,
        held_length: usize,
        first: usize,
    ) -> Option<Match> {
        let Self { tuning, window, chains, deep, .. } = self;
        let chain = if held_length >= tuning.good { tuning.chain / 4 } else { tuning.chain };
        let search =
            Search { at, lookahead, first, longer_than: held_length, chain, nice: tuning.nice };
        if lookahead >= MAX_MATCH
            && let Ok(found) = DeepSearch::new(search, window, deep).run()
        {
            let is_shorter_held = held_length < MIN_MATCH;
            return found.or_else(|| {
                if is_shorter_held { search.shortest(window, chains, TOO_FAR) } else { None }
            });
        }
        search
            .longest(window, chains)
            .filter(|found| found.length > MIN_MATCH || at - found.start <= TOO_FAR)
    }
}
