//! Hashes several messages, two at a time on one processor.
//!
//! Each round of SHA-256 waits for the one before it, so a processor that hashes one message leaves
//! part of its hashing unit idle. Interleaving the blocks of two messages uses it; `cargo bench
//! --bench hashing` shows by how much.

use std::cmp::Reverse;
use std::ops::Range;

use sha2::block_api::compress256;

use super::Checksum;

/// The length of a block of SHA-256, in bytes.
const BLOCK_LEN: usize = 64;
/// The length of a message in bits, a big-endian `u64`, ends its last block.
const LENGTH_LEN: usize = 8;
/// The byte that follows a message.
const END_MARK: u8 = 0x80;

type Block = [u8; BLOCK_LEN];

/// The state before the first block (FIPS 180-4, section 5.3.3).
const INITIAL_STATE: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Messages held in one buffer, to be hashed together.
///
/// [`push`](Self::push) and [`grow`](Self::grow) add to the open message, [`end`](Self::end) closes
/// it.
#[derive(Debug, Default)]
pub struct Messages {
    /// The messages, each with its padding. Bytes from `filled` on are unused.
    buffer: Vec<u8>,
    filled: usize,
    /// Where the open message starts.
    open: usize,
    /// The ranges of the closed messages, without their padding.
    closed: Vec<Range<usize>>,
}

impl Messages {
    /// No messages, and no buffer yet.
    pub const fn new() -> Self {
        Self { buffer: Vec::new(), filled: 0, open: 0, closed: Vec::new() }
    }

    /// Drops all messages but keeps the buffer.
    pub fn clear(&mut self) {
        (self.filled, self.open) = (0, 0);
        self.closed.clear();
    }

    /// Drops the open message.
    pub fn cancel(&mut self) {
        self.filled = self.open;
    }

    /// The number of bytes held, padding included.
    pub fn held(&self) -> usize {
        self.filled
    }

    /// Adds to the open message.
    pub fn push(&mut self, bytes: &[u8]) {
        self.room(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.grow(bytes.len());
    }

    /// At least `length` bytes of buffer after the open message, with unspecified content.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        let needed = self.filled + length;
        if self.buffer.len() < needed {
            self.buffer.resize(needed, 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Adds the first `length` bytes of [`Messages::room`] to the open message.
    pub fn grow(&mut self, length: usize) {
        self.filled += length;
    }

    /// Closes the open message.
    pub fn end(&mut self) {
        let length = self.filled - self.open;
        self.closed.push(self.open..self.filled);
        let padded = (length + 1 + LENGTH_LEN).next_multiple_of(BLOCK_LEN);
        let padding = &mut self.room(padded - length)[..padded - length];
        padding.fill(0);
        padding[0] = END_MARK;
        let (_, bits) = padding.split_at_mut(padding.len() - LENGTH_LEN);
        bits.copy_from_slice(&(length as u64 * 8).to_be_bytes());
        self.grow(padded - length);
        self.open = self.filled;
    }

    /// The bytes of each closed message, in the order of closing.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.closed.iter().map(|range| &self.buffer[range.clone()])
    }

    /// Hashes the closed messages; the checksums come in the order of closing.
    pub fn checksums(&self) -> Vec<Checksum> {
        let mut checksums = vec![Checksum([0; 32]); self.closed.len()];
        let ends = self.closed.iter().skip(1).map(|next| next.start).chain([self.open]);
        let padded =
            self.closed.iter().zip(ends).map(|(range, end)| &self.buffer[range.start..end]);
        let mut lanes: Vec<Lane<'_>> =
            padded.enumerate().map(|(index, bytes)| Lane::new(index, bytes)).collect();
        // The longest come first, so that few blocks are left for the last one to hash alone.
        lanes.sort_unstable_by_key(|lane| Reverse(lane.blocks.len()));
        let mut waiting = lanes.into_iter();
        let (mut one, mut other) = (waiting.next(), waiting.next());
        while let (Some(first), Some(second)) = (&mut one, &mut other) {
            Lane::advance(first, second);
            for slot in [&mut one, &mut other] {
                if let Some(done) = slot.take_if(|lane| lane.blocks.is_empty()) {
                    checksums[done.index] = done.checksum();
                    *slot = waiting.next();
                }
            }
        }
        if let Some(mut last) = one.or(other) {
            compress256(&mut last.state, last.blocks);
            checksums[last.index] = last.checksum();
        }
        checksums
    }
}

/// A message that is being hashed.
struct Lane<'m> {
    index: usize,
    state: [u32; 8],
    /// The blocks that are still to hash.
    blocks: &'m [Block],
}

impl<'m> Lane<'m> {
    fn new(index: usize, padded: &'m [u8]) -> Self {
        let (blocks, rest) = padded.as_chunks();
        debug_assert!(rest.is_empty(), "a message is padded to whole blocks");
        Self { index, state: INITIAL_STATE, blocks }
    }

    /// Hashes two messages in alternation, to the end of the shorter one.
    fn advance(first: &mut Self, second: &mut Self) {
        let common = first.blocks.len().min(second.blocks.len());
        for (one, other) in first.blocks.iter().zip(second.blocks) {
            compress256(&mut first.state, std::slice::from_ref(one));
            compress256(&mut second.state, std::slice::from_ref(other));
        }
        first.blocks = &first.blocks[common..];
        second.blocks = &second.blocks[common..];
    }

    fn checksum(&self) -> Checksum {
        let mut bytes = [0; 32];
        for (four, word) in bytes.as_chunks_mut().0.iter_mut().zip(self.state) {
            *four = word.to_be_bytes();
        }
        Checksum(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lengths around the borders of blocks and of the padding.
    const LENGTHS: [usize; 16] =
        [0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 129, 1000, 70_000];

    fn bytes(length: usize, seed: usize) -> Vec<u8> {
        (0..length).map(|at| ((at * at + seed * 97) >> 3) as u8).collect()
    }

    #[test]
    fn messages_of_any_two_lengths_get_the_checksums_that_they_have_alone() {
        for first in LENGTHS {
            for second in LENGTHS {
                let contents = [bytes(first, 1), bytes(second, 2)];
                let mut messages = Messages::new();
                for content in &contents {
                    messages.push(content);
                    messages.end();
                }
                assert_eq!(
                    messages.checksums(),
                    contents.each_ref().map(|content| Checksum::of(content))
                );
            }
        }
    }

    #[test]
    fn any_number_of_messages_keeps_its_order() {
        let mut messages = Messages::new();
        for number in 0..LENGTHS.len() {
            messages.clear();
            let contents: Vec<_> =
                LENGTHS[..number].iter().map(|&length| bytes(length, number)).collect();
            for content in &contents {
                // In pieces, with what was begun before left out.
                messages.push(b"begun and given up");
                messages.cancel();
                let (start, rest) = content.split_at(content.len() / 3);
                messages.push(start);
                messages.room(rest.len() + 5)[..rest.len()].copy_from_slice(rest);
                messages.grow(rest.len());
                messages.end();
            }
            assert!(messages.iter().eq(contents.iter().map(Vec::as_slice)));
            let expected: Vec<_> = contents.iter().map(|content| Checksum::of(content)).collect();
            assert_eq!(messages.checksums(), expected);
        }
    }
}
