//! Where a block ends: when what comes is distributed in another way than what is in the block.

/// Literals are told apart by their two highest bits and the lowest one; matches by whether they are long.
const KINDS: usize = 10;
const SHORT_MATCH: usize = 8;
const LONG_MATCH: usize = 9;
/// From this length on a match is long, in bytes.
const LONG: usize = 9;
/// So many symbols are compared at a time with those before.
const STEP: u32 = 512;
/// The least length of a block, in bytes.
const MIN_BLOCK: usize = 4000;
/// How different two distributions must be, 0 being equal and 2 having nothing in common.
const THRESHOLD: f32 = 0.3;
/// A young block is not ended as easily: up to so many symbols.
const YOUNG: f32 = 4096.0;
/// A block of so many bytes is ended anyway; before, the difference that is asked for shrinks as it grows.
const LONGEST: f32 = (1 << 19) as f32;

/// What is known of a block: how often which kinds of symbols occurred in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Split {
    old: [u32; KINDS],
    new: [u32; KINDS],
    old_count: u32,
    new_count: u32,
}

impl Split {
    #[inline]
    pub(super) fn literal(&mut self, byte: u8) {
        self.new[usize::from(byte >> 5 & 6 | byte & 1)] += 1;
        self.new_count += 1;
    }

    #[inline]
    pub(super) fn reference(&mut self, length: usize) {
        self.new[if length >= LONG { LONG_MATCH } else { SHORT_MATCH }] += 1;
        self.new_count += 1;
    }

    /// Whether enough has come together to ask.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        self.new_count >= STEP
    }

    /// Whether the block of `length` bytes should end here, with `rest` bytes still to come.
    pub(super) fn ends_block(&mut self, length: usize, rest: usize) -> bool {
        if self.old_count > 0 && length >= MIN_BLOCK && rest >= MIN_BLOCK {
            let (old_count, new_count) = (self.old_count as f32, self.new_count as f32);
            let pairs = self.old.iter().zip(&self.new);
            let difference: f32 =
                pairs.map(|(old, new)| (*old as f32 / old_count - *new as f32 / new_count).abs()).sum();
            let youth = (1.0 - (old_count + new_count) / YOUNG).max(0.0);
            if difference >= THRESHOLD * (1.0 + youth) * (1.0 - length as f32 / LONGEST) {
                return true;
            }
        }
        for (old, new) in self.old.iter_mut().zip(&mut self.new) {
            *old += std::mem::take(new);
        }
        self.old_count += std::mem::take(&mut self.new_count);
        false
    }
}
