//! An encoder for speed: smaller output than zlib's at the same level, in less time, with bytes of
//! its own.
//!
//! What makes the difference to [`super::zlib`], which has to decide as zlib does:
//!
//! - matches are looked for in the input where it lies, a segment of a MiB at a time, by chains of
//!   four bytes;
//! - a later match is preferred by what its length saves and its distance costs;
//! - a block ends where the content changes ([`split`]), not where a buffer is full.
//!
//! The result depends on the content and the level only, not on the pieces in which the input
//! comes.

mod finder;
mod input;
mod limits;
mod split;

use super::bits::Bits;
use super::block::{Block, Last};
use super::huffman::Ties;
use finder::{Finder, Match, Search};
use input::Input;
use split::Split;

/// The number of symbols at which a block ends; the literals before one match may make it a few
/// hundred more.
const BLOCK_SYMBOLS: usize = 50_000;
/// A match of three bytes that is farther back than this costs more than three literals, mostly.
const REACH_OF_THREE: usize = 16_384;
/// The same in plain content, whose literals are short.
const REACH_OF_THREE_IN_PLAIN: usize = 256;
/// Content with fewer different bytes is plain, as text is.
const PLAIN: usize = 100;
/// How many bytes of a block are examined for that.
const SAMPLE: usize = 4096;

/// After this many searches without a match one byte is skipped after each, after twice as many
/// two, and so on.
const MISSES_BEFORE_SKIP: usize = 128;
const MOST_SKIPPED: usize = 31;

/// How a level searches.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    /// How many positions a search looks at.
    depth: usize,
    /// A match this long ends a search, and is taken without looking for a better one.
    nice: usize,
    /// How many positions behind a match are tried for a better one.
    lazy: usize,
}

const fn tuning(depth: usize, nice: usize, lazy: usize) -> Tuning {
    Tuning { depth, nice, lazy }
}

/// The levels from 1 on: what it takes to come out a little below zlib's sizes on the files of a
/// system.
const LEVELS: [Tuning; 9] = [
    tuning(1, 8, 0),
    tuning(3, 10, 0),
    tuning(4, 16, 0),
    tuning(5, 16, 1),
    tuning(7, 24, 1),
    tuning(14, 128, 1),
    tuning(20, 128, 1),
    tuning(32, 128, 1),
    tuning(128, 258, 2),
];

/// Compresses one stream after another.
#[derive(Debug)]
pub(super) struct Encoder {
    tuning: Tuning,
    finder: Finder,
    input: Input,
    block: Block,
    bits: Bits,
}

impl Encoder {
    /// An encoder of level 1 to 9; what lies outside is taken for the nearest.
    pub(super) fn new(level: u32) -> Self {
        Self {
            tuning: LEVELS[level.clamp(1, 9) as usize - 1],
            finder: Finder::new(),
            input: Input::new(),
            block: Block::new(BLOCK_SYMBOLS, Ties::InOrder),
            bits: Bits::default(),
        }
    }

    /// Begins a new stream, discarding an unfinished one.
    pub(super) fn begin(&mut self) {
        self.finder.forget(self.input.end);
        self.input.clear();
        self.block.clear();
        self.bits = Bits::default();
    }

    /// Takes all of `input`, and appends what is decided to `output`.
    pub(super) fn push(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            // A full segment waits until it is known not to be the last.
            if self.input.is_full() {
                self.write_segment(Last::No, output);
                self.finder.slide(self.input.slide());
            }
            input = &input[self.input.fill(input)..];
        }
    }

    /// Ends the stream, appending what is left of it to `output`.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) {
        self.write_segment(Last::Yes, output);
    }

    /// Writes everything up to the end of the segment, in one block or several.
    fn write_segment(&mut self, last: Last, output: &mut Vec<u8>) {
        let Tuning { depth, nice, lazy } = self.tuning;
        self.input.seal();
        let input = &self.input;
        let end = input.end;
        let finder = &mut self.finder;
        let mut split = Split::default();
        let mut block_start = input.start;
        let mut at = input.start;
        let mut reach_of_three = reach_of_three(input.slice(at..end.min(at + SAMPLE)));
        // How many searches in a row have found nothing.
        let mut misses = 0;
        while at < end {
            let mut found =
                finder.insert_and_search(input, Search { at, longer_than: 2, nice, depth });
            // Whatever comes of it, literals that give way to a better match are written first.
            let mut tries = if found.is_worth_it(reach_of_three) { lazy } else { 0 };
            let mut inserted = at + 1;
            while tries > 0 && found.length < nice && inserted < end {
                let depth = if tries == lazy { depth / 2 } else { depth / 4 };
                let search = Search { at: inserted, longer_than: found.length - 1, nice, depth };
                let next = finder.insert_and_search(input, search);
                inserted += 1;
                let ahead = inserted - 1 - at;
                if next.is_better_than(&found, ahead) {
                    for at in at..at + ahead {
                        self.block.literal(input.byte(at));
                    }
                    at += ahead;
                    found = next;
                    tries = lazy;
                } else {
                    tries -= 1;
                }
            }
            if found.is_worth_it(reach_of_three) {
                self.block.reference(found.distance, found.length);
                let next = at + found.length;
                finder.insert_all(input, inserted, next);
                at = next;
                misses = 0;
            } else {
                // Where nothing repeats, fewer and fewer positions are looked at.
                let next = end.min(at + 1 + (misses / MISSES_BEFORE_SKIP).min(MOST_SKIPPED));
                misses += 1;
                for at in at..next {
                    self.block.literal(input.byte(at));
                }
                at = next;
            }
            let ends = self.block.len() >= BLOCK_SYMBOLS
                || (split.is_due(&self.block)
                    && split.ends_block(&self.block, at - block_start, end - at));
            if ends && at < end {
                self.block.write(
                    Some(input.slice(block_start..at)),
                    Last::No,
                    &mut self.bits,
                    output,
                );
                block_start = at;
                split = Split::default();
                reach_of_three = self::reach_of_three(input.slice(at..end.min(at + SAMPLE)));
            }
        }
        self.block.write(Some(input.slice(block_start..end)), last, &mut self.bits, output);
    }
}

/// How far back a match of three bytes may be in a block that begins with `sample`.
fn reach_of_three(sample: &[u8]) -> usize {
    let mut seen = [false; 256];
    sample.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    let different = seen.iter().filter(|seen| **seen).count();
    if different < PLAIN { REACH_OF_THREE_IN_PLAIN } else { REACH_OF_THREE }
}

impl Match {
    fn is_worth_it(&self, reach_of_three: usize) -> bool {
        self.length > 3 || (self.length == 3 && self.distance <= reach_of_three)
    }

    /// Whether it saves more than the match `ahead` positions before it, for which that many
    /// literals less are written.
    fn is_better_than(&self, other: &Self, ahead: usize) -> bool {
        if self.length < other.length {
            return false;
        }
        let longer = (self.length - other.length) as i32;
        let nearer = other.distance.ilog2() as i32 - self.distance.ilog2() as i32;
        4 * longer + nearer > if ahead == 1 { 2 } else { 6 }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    /// More than a segment.
    const LONG: usize = (1 << 20) + 70_000;

    fn packed(encoder: &mut Encoder, input: &[u8], step: usize) -> Vec<u8> {
        let mut output = Vec::new();
        encoder.begin();
        input.chunks(step).for_each(|piece| encoder.push(piece, &mut output));
        encoder.finish(&mut output);
        output
    }

    fn unpacked(packed: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        flate2::read::DeflateDecoder::new(packed).read_to_end(&mut output).unwrap();
        output
    }

    /// A linear congruential generator is random enough for deflate.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    /// Pieces of noise, runs and repetitions from any distance.
    fn content() -> impl Strategy<Value = Vec<u8>> {
        let piece = (0u8..4, any::<u64>(), 0usize..6000, 1usize..40_000);
        prop::collection::vec(piece, 0..20).prop_map(|pieces| {
            let mut content = Vec::new();
            for (kind, seed, length, distance) in pieces {
                match kind {
                    0 => content.extend(noise(seed, length)),
                    1 => content.extend(std::iter::repeat_n(seed as u8, length)),
                    2 => {
                        content.extend(noise(seed, length).into_iter().map(|byte| b'a' + byte % 8))
                    }
                    _ => {
                        for _ in 0..length {
                            let from = content.len().saturating_sub(distance);
                            content.push(content.get(from).copied().unwrap_or(7));
                        }
                    }
                }
            }
            content
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

        #[test]
        fn any_content_comes_back_at_every_level(
            content in content(),
            level in 1u32..10,
            step in 1usize..10_000,
        ) {
            let mut encoder = Encoder::new(level);
            // An earlier stream, finished or not, has no influence.
            packed(&mut encoder, &noise(1, 10_000), 1000);
            encoder.begin();
            encoder.push(&content, &mut Vec::new());
            let again = packed(&mut encoder, &content, step);
            prop_assert!(unpacked(&again) == content);
            prop_assert!(packed(&mut Encoder::new(level), &content, usize::MAX) == again);
        }
    }

    #[test]
    fn repetitions_are_found_up_to_the_reach_and_not_farther() {
        let unique = noise(5, 32_768);
        for (distance, is_found) in [(32_767, true), (32_768, false)] {
            let mut content = unique[..distance].to_vec();
            content.extend_from_slice(&unique[..200]);
            let output = packed(&mut Encoder::new(6), &content, usize::MAX);
            assert!(unpacked(&output) == content);
            assert_eq!(output.len() < content.len(), is_found, "{distance}");
        }
    }

    #[test]
    fn more_than_a_segment_comes_back_and_does_not_depend_on_the_pieces() {
        for content in [noise(9, LONG), vec![b'x'; LONG], noise(3, 1000).repeat(LONG / 1000)] {
            let output = packed(&mut Encoder::new(6), &content, usize::MAX);
            assert!(unpacked(&output) == content);
            for step in [4096, 1 << 20, (1 << 20) + 1] {
                assert!(packed(&mut Encoder::new(6), &content, step) == output, "steps of {step}");
            }
        }
        let full = vec![0; 1 << 20];
        assert!(unpacked(&packed(&mut Encoder::new(1), &full, 1 << 20)) == full);
    }

    #[test]
    fn positions_that_are_counted_from_the_start_again_do_not_show() {
        let content = noise(4, 30_000).repeat(2 * LONG / 30_000);
        let fresh = packed(&mut Encoder::new(6), &content, usize::MAX);
        for before in [10_000, 1_100_000, 2_000_000] {
            let mut encoder = Encoder::new(6);
            encoder.finder.base = finder::LAST_POSITION - before;
            assert!(
                packed(&mut encoder, &content, usize::MAX) == fresh,
                "{before} bytes before the end"
            );
            assert!(encoder.finder.base < finder::LAST_POSITION / 2);
        }
    }

    #[test]
    fn noise_is_stored_with_five_bytes_for_each_block() {
        let content = noise(2, 300_000);
        let output = packed(&mut Encoder::new(6), &content, usize::MAX);
        assert!(
            output.len() - content.len() <= 5 * 12,
            "{} bytes more",
            output.len() - content.len()
        );
    }
}
