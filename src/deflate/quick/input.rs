//! The bytes that are searched: a segment of the input, and before it what matches may reach.

use super::limits::{MAX_MATCH, REACH};
use crate::deflate::{boxed, words};

/// How many bytes are kept. A power of two, so that a masked position is known to be in bounds.
const SIZE: usize = 1 << 20;
/// Eight bytes are compared at a time, and may lie up to a whole match behind the end, whatever
/// they are.
const PADDING: usize = MAX_MATCH + 8;

/// The last 32 KiB of the segment before, if there was one, and a segment.
#[derive(Debug)]
pub(super) struct Input {
    bytes: Box<[u8; SIZE + PADDING]>,
    /// Where the segment begins.
    pub(super) start: usize,
    /// Where it ends so far.
    pub(super) end: usize,
}

impl Input {
    pub(super) fn new() -> Self {
        Self { bytes: boxed(), start: 0, end: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    pub(super) fn is_full(&self) -> bool {
        self.end == SIZE
    }

    /// Takes as much of `input` as there is room for, and returns how much that was.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(SIZE - self.end);
        self.bytes[self.end..self.end + taken].copy_from_slice(&input[..taken]);
        self.end += taken;
        taken
    }

    /// Makes what is read behind the end the same whatever was there before.
    pub(super) fn seal(&mut self) {
        self.bytes[self.end..self.end + 4].fill(0);
    }

    /// Begins the next segment. Returns how many bytes nearer to the beginning everything is now.
    pub(super) fn slide(&mut self) -> usize {
        let gone = self.end - REACH;
        self.bytes.copy_within(gone..self.end, 0);
        self.start = REACH;
        self.end = REACH;
        gone
    }

    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes[at & (SIZE - 1)]
    }

    /// Four bytes as a number, the first lowest.
    #[inline]
    pub(super) fn four(&self, at: usize) -> u32 {
        words::four(&self.bytes, at & (SIZE - 1))
    }

    /// How many bytes from `one` and from `other` on are equal, `longest` at most. The first four
    /// are.
    #[inline]
    pub(super) fn common(&self, one: usize, other: usize, longest: usize) -> usize {
        words::common(
            &self.bytes,
            (one & (SIZE - 1), other & (SIZE - 1)),
            4,
            longest.min(MAX_MATCH),
        )
    }
}
