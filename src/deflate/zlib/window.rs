//! The bytes that a stream is at, and where in them each sequence of three bytes was seen before.

use crate::deflate::{boxed, words};

/// How far back a match may reach at most (RFC 1951), in bytes.
pub(super) const REACH: usize = 1 << 15;
/// How many bytes are kept: once they are used up, the second half becomes the first.
pub(super) const SIZE: usize = 2 * REACH;
pub(super) const MIN_MATCH: usize = 3;
pub(super) const MAX_MATCH: usize = 258;
/// While the stream continues, a decision is only made with at least this many bytes ahead.
pub(super) const MIN_LOOKAHEAD: usize = MAX_MATCH + MIN_MATCH + 1;
/// How far back zlib looks for matches.
pub(super) const MAX_DISTANCE: usize = REACH - MIN_LOOKAHEAD;
/// From here on, the window slides when it needs more.
pub(super) const SLIDES_FROM: usize = REACH + MAX_DISTANCE;
/// Eight bytes are compared at a time, and may lie up to a whole match behind the end.
const PADDING: usize = MAX_MATCH + 8;

/// How many chains there are, as a power of two.
const HASH_BITS: u32 = 15;
const CHAINS: usize = 1 << HASH_BITS;

/// The last 32 to 64 KiB of the input.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Box<[u8; SIZE + PADDING]>,
    /// Where the input ends so far.
    pub(super) end: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bytes: boxed(), end: 0 }
    }

    /// Takes as much of `input` as there is room for, and returns how much that was.
    pub(super) fn fill(&mut self, input: &[u8]) -> usize {
        let taken = input.len().min(SIZE - self.end);
        self.bytes[self.end..self.end + taken].copy_from_slice(&input[..taken]);
        self.end += taken;
        taken
    }

    /// Forgets the first half.
    pub(super) fn slide(&mut self) {
        self.bytes.copy_within(REACH..SIZE, 0);
        self.end -= REACH;
    }

    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes[at & (SIZE - 1)]
    }

    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Four bytes as a number, the first lowest.
    #[inline]
    pub(super) fn four(&self, at: usize) -> u32 {
        words::four(&self.bytes, at & (SIZE - 1))
    }

    /// How many bytes from `one` and from `other` on are equal, 258 at most. Bytes behind the end
    /// count as well.
    #[inline]
    pub(super) fn common(&self, one: usize, other: usize) -> usize {
        words::common(&self.bytes, (one & (SIZE - 1), other & (SIZE - 1)), 0, MAX_MATCH)
    }
}

/// The positions of the window by the three bytes that begin there, the latest first.
///
/// A position is 16 bits. Zero stands for none, so that the very first position of the window is
/// never found: zlib's own trait, which its bytes show.
#[derive(Debug)]
pub(super) struct Chains {
    heads: Box<[u16; CHAINS]>,
    /// The position before, in the same chain, of each of the last 32 Ki positions.
    before: Box<[u16; REACH]>,
}

impl Chains {
    pub(super) fn new() -> Self {
        Self { heads: boxed(), before: boxed() }
    }

    /// Forgets every position. What is not reached through a head is never looked at.
    pub(super) fn clear(&mut self) {
        self.heads.fill(0);
    }

    /// Forgets all positions in the chain of these bytes.
    pub(super) fn remove(&mut self, four: u32) {
        self.heads[hash(four)] = 0;
    }

    /// Puts `at` in front of its chain, and returns what was in front before.
    #[inline]
    pub(super) fn insert(&mut self, four: u32, at: usize) -> u16 {
        let head = &mut self.heads[hash(four)];
        let before = *head;
        *head = at as u16;
        self.before[at & (REACH - 1)] = before;
        before
    }

    /// What comes behind `at` in its chain.
    #[inline]
    pub(super) fn before(&self, at: usize) -> usize {
        self.before[at & (REACH - 1)].into()
    }

    /// Follows the window.
    pub(super) fn slide(&mut self) {
        self.heads.iter_mut().for_each(slide);
        self.before.iter_mut().for_each(slide);
    }
}

fn slide(position: &mut u16) {
    *position = position.saturating_sub(REACH as u16);
}

/// The chain of the first three of four bytes. It is part of the outcome which of them share one:
/// they count as searched.
#[inline]
fn hash(four: u32) -> usize {
    let (first, second, third) = (four & 0xff, four >> 8 & 0xff, four >> 16 & 0xff);
    ((first << 10 ^ second << 5 ^ third) & (CHAINS as u32 - 1)) as usize
}

/// The same positions by the four bytes that begin there, for deep searches.
///
/// A chain of three bytes is what zlib searches, and how far it may go is counted in steps of that
/// chain. By the ranks of two positions in that chain, the steps between them are known without
/// taking them. So a search may run through these chains instead, which are much shorter.
#[derive(Debug)]
pub(super) struct DeepChains {
    heads: Box<[u16; DEEP_CHAINS]>,
    links: Box<[Link; REACH]>,
}

/// Of a position.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// The position before with the same four bytes, or four that happen to share their chain.
    pub(super) before: u16,
    /// The rank in the chain of three bytes, one more than that of the position before; it wraps
    /// around.
    pub(super) rank: u16,
}

const DEEP_HASH_BITS: u32 = 16;
const DEEP_CHAINS: usize = 1 << DEEP_HASH_BITS;

impl DeepChains {
    pub(super) fn new() -> Self {
        Self { heads: boxed(), links: boxed() }
    }

    /// Forgets every position.
    pub(super) fn clear(&mut self) {
        self.heads.fill(0);
    }

    /// Forgets all positions in the chain of these bytes.
    pub(super) fn remove(&mut self, four: u32) {
        self.heads[deep_hash(four)] = 0;
    }

    /// Puts `at` in front of its chain. `before` is what was in front of its chain of three bytes.
    #[inline]
    pub(super) fn insert(&mut self, four: u32, at: usize, before: u16) {
        // Where nothing was in front, any rank will do: what comes is counted from this one.
        let rank = self.link(before.into()).rank.wrapping_add(1);
        let head = &mut self.heads[deep_hash(four)];
        self.links[at & (REACH - 1)] = Link { before: *head, rank };
        *head = at as u16;
    }

    #[inline]
    pub(super) fn head(&self, four: u32) -> usize {
        self.heads[deep_hash(four)].into()
    }

    #[inline]
    pub(super) fn link(&self, at: usize) -> Link {
        self.links[at & (REACH - 1)]
    }

    /// Follows the window.
    pub(super) fn slide(&mut self) {
        self.heads.iter_mut().for_each(slide);
        self.links.iter_mut().for_each(|link| slide(&mut link.before));
    }
}

#[inline]
fn deep_hash(four: u32) -> usize {
    (four.wrapping_mul(0x9e37_79b1) >> (u32::BITS - DEEP_HASH_BITS)) as usize
}
