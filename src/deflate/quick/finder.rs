//! Finds earlier occurrences of what comes next.

use super::input::Input;
use super::limits::{MAX_MATCH, REACH};
use crate::deflate::boxed;

const FOUR_BITS: u32 = 16;
const THREE_BITS: u32 = 13;
/// Where counting goes back to a low number.
pub(super) const LAST_POSITION: u32 = 1 << 31;

/// A repetition: `length` bytes are as they were `distance` bytes before. Length 0 is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Match {
    pub(super) length: usize,
    pub(super) distance: usize,
}

/// What is searched for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    /// Where the bytes stand that are to be matched.
    pub(super) at: usize,
    /// Only a longer match is of interest. Two bytes or more.
    pub(super) longer_than: usize,
    /// A match this long ends the search.
    pub(super) nice: usize,
    /// How many earlier positions are looked at.
    pub(super) depth: usize,
}

/// Where sequences of bytes were seen.
///
/// Positions are counted on from one stream to the next, with a gap that no match can reach over:
/// so nothing needs to be cleared in between, which for small files would cost more than the
/// search.
#[derive(Debug)]
pub(super) struct Finder {
    /// The latest position of four bytes, by their hash.
    fours: Box<[u32; 1 << FOUR_BITS]>,
    /// The same of three bytes.
    threes: Box<[u32; 1 << THREE_BITS]>,
    /// How far before each of the last positions the one before it with the same hash of four bytes
    /// is; no farther than 65,535.
    back: Box<[u16; REACH]>,
    /// The position of the first byte of the input.
    pub(super) base: u32,
}

impl Finder {
    pub(super) fn new() -> Self {
        Self { fours: boxed(), threes: boxed(), back: boxed(), base: REACH as u32 }
    }

    /// Begins a new input after one of `length` bytes.
    pub(super) fn forget(&mut self, length: usize) {
        self.slide(length + REACH);
    }

    /// Follows an input whose first `gone` bytes have been taken away.
    pub(super) fn slide(&mut self, gone: usize) {
        self.base += gone as u32;
        if self.base > LAST_POSITION {
            // Positions keep their places in `back`.
            let by = (self.base / REACH as u32 - 1) * REACH as u32;
            let positions = self.fours.iter_mut().chain(self.threes.iter_mut());
            positions.for_each(|position| *position = position.saturating_sub(by));
            self.base -= by;
        }
    }

    /// Puts the position into the chains and looks at those before it.
    #[inline]
    pub(super) fn insert_and_search(&mut self, input: &Input, search: Search) -> Match {
        let Search { at, longer_than, nice, depth } = search;
        let bytes = input.four(at);
        let position = self.base + at as u32;
        let three = std::mem::replace(&mut self.threes[hash_three(bytes)], position);
        let candidate = std::mem::replace(&mut self.fours[hash_four(bytes)], position);
        let mut distance = (position - candidate) as usize;
        self.back[position as usize % REACH] = distance.min(u16::MAX.into()) as u16;

        let longest = MAX_MATCH.min(input.end - at);
        let nice = nice.min(longest);
        let mut best = Match { length: longer_than, distance: 0 };
        if longer_than < 3 {
            let distance = (position - three) as usize;
            if distance < REACH && (input.four(at - distance) ^ bytes) << 8 == 0 && longest >= 3 {
                best = Match { length: 3, distance };
            }
        }
        // A longer match has the last three bytes of the best and the one behind it.
        let mut offset = best.length.max(3) - 3;
        let mut tail = input.four(at + offset);
        for _ in 0..depth {
            if distance >= REACH {
                break;
            }
            let start = at - distance;
            if input.four(start + offset) == tail && input.four(start) == bytes {
                let length = input.common(at, start, longest);
                if length > best.length {
                    best = Match { length, distance };
                    if length >= nice {
                        break;
                    }
                    offset = length - 3;
                    tail = input.four(at + offset);
                }
            }
            distance += usize::from(self.back[(position as usize).wrapping_sub(distance) % REACH]);
        }
        if best.distance == 0 { Match::default() } else { best }
    }

    /// Puts the positions from `from` to before `to` into the chains.
    #[inline]
    pub(super) fn insert_all(&mut self, input: &Input, from: usize, to: usize) {
        for at in from..to {
            let bytes = input.four(at);
            let position = self.base + at as u32;
            self.threes[hash_three(bytes)] = position;
            let before = std::mem::replace(&mut self.fours[hash_four(bytes)], position);
            self.back[position as usize % REACH] = (position - before).min(u16::MAX.into()) as u16;
        }
    }
}

#[inline]
fn hash_four(bytes: u32) -> usize {
    (bytes.wrapping_mul(0x9e37_79b1) >> (u32::BITS - FOUR_BITS)) as usize
}

#[inline]
fn hash_three(bytes: u32) -> usize {
    ((bytes << 8).wrapping_mul(0x9e37_79b1) >> (u32::BITS - THREE_BITS)) as usize
}
