//! Levels 1 to 3: the first match is taken.

use super::matcher::Search;
use super::window::{MAX_DISTANCE, MIN_MATCH};
use super::{Encoder, Input, Last};

impl Encoder {
    pub(super) fn run_fast(&mut self, input: Input, output: &mut Vec<u8>) {
        let tuning = self.tuning;
        while self.is_ready(input) {
            let (at, lookahead) = (self.at, self.lookahead());
            let first = if lookahead >= MIN_MATCH {
                usize::from(self.chains.insert(self.window.four(at), at))
            } else {
                0
            };
            let longer_than = MIN_MATCH - 1;
            let search = Search {
                at,
                lookahead,
                first,
                longer_than,
                chain: tuning.chain,
                nice: tuning.nice,
            };
            let is_worth_it = first != 0 && at - first <= MAX_DISTANCE;
            let found = if is_worth_it { search.longest(&self.window, &self.chains) } else { None };
            let is_full = match found {
                None => {
                    self.at += 1;
                    self.block.literal(self.window.byte(at))
                }
                Some(found) => {
                    self.at += found.length;
                    if found.length <= tuning.lazy && self.lookahead() >= MIN_MATCH {
                        for inside in at + 1..self.at {
                            self.chains.insert(self.window.four(inside), inside);
                        }
                    }
                    self.block.reference(at - found.start, found.length)
                }
            };
            if is_full {
                self.end_block(Last::No, output);
            }
        }
    }
}
