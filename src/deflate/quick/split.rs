//! Where a block ends: when what comes is distributed in another way than what is in the block.

use crate::deflate::block::Block;

/// Literals are distinguished by their two highest bits and the lowest one; matches by whether they
/// are long.
const KINDS: usize = 10;
const SHORT_MATCH: usize = 8;
const LONG_MATCH: usize = 9;
/// From this length code on, that of nine bytes, a match is long.
const LONG_CODE: usize = 6;
/// How many symbols are compared at a time with the previous ones.
const STEP: u32 = 512;
/// The least length of a block, in bytes.
const MIN_BLOCK: usize = 4000;
/// How different two distributions must be, 0 being equal and 2 having nothing in common.
const THRESHOLD: f32 = 0.3;
/// A young block, of up to this many symbols, is not ended as easily.
const YOUNG: f32 = 4096.0;
/// A block of this many bytes is always ended; before, the difference that is asked for shrinks as
/// it grows.
const LONGEST: f32 = (1 << 19) as f32;

/// What is known of a block: how often which kinds of symbols occurred in it until it was last
/// looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Split {
    old: [u32; KINDS],
    old_count: u32,
}

impl Split {
    /// Whether enough has come together to ask.
    #[inline]
    pub(super) fn is_due(&self, block: &Block) -> bool {
        block.len() >= (self.old_count + STEP) as usize
    }

    /// Whether the block of `length` bytes should end here, with `rest` bytes still to come.
    pub(super) fn ends_block(&mut self, block: &Block, length: usize, rest: usize) -> bool {
        let (all, count) = (kinds(block), block.len() as u32);
        if self.old_count > 0 && length >= MIN_BLOCK && rest >= MIN_BLOCK {
            let (old_count, new_count) = (self.old_count as f32, (count - self.old_count) as f32);
            let pairs = self.old.iter().zip(&all);
            let difference: f32 = pairs
                .map(|(old, all)| (*old as f32 / old_count - (all - old) as f32 / new_count).abs())
                .sum();
            let youth = (1.0 - (old_count + new_count) / YOUNG).max(0.0);
            if difference >= THRESHOLD * (1.0 + youth) * (1.0 - length as f32 / LONGEST) {
                return true;
            }
        }
        *self = Self { old: all, old_count: count };
        false
    }
}

fn kinds(block: &Block) -> [u32; KINDS] {
    let mut kinds = [0; KINDS];
    for (byte, count) in block.literals().iter().enumerate() {
        kinds[byte >> 5 & 6 | byte & 1] += u32::from(*count);
    }
    let sum = |counts: &[u16]| counts.iter().map(|count| u32::from(*count)).sum();
    let (short, long) = block.lengths().split_at(LONG_CODE);
    kinds[SHORT_MATCH] = sum(short);
    kinds[LONG_MATCH] = sum(long);
    kinds
}
