//! zlib's own bytes: what `deflateInit2(level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY)` and one
//! `Z_FINISH` after the whole input give, for levels 1 to 9.
//!
//! A deflate stream can be right in many ways; this is the one that every ostree has ever written,
//! as long as its zlib was the classic one (1.2.x and 1.3 agree). It follows from a few decisions,
//! each in a file of its own:
//!
//! - [`window`]: what lies in the window when, and which sequences share a chain;
//! - [`matcher`]: which match a search finds, and when it gives up; [`deep`] finds the same in less
//!   time;
//! - [`fast`] and [`lazy`]: which matches are taken, and what is put into the chains;
//! - [`super::block`] and [`super::huffman`]: where blocks end, their form and their codes.
//!
//! The result does not depend on the pieces in which the input comes. zlib's does, in one corner:
//! when a piece ends one byte before the window is full, zlib slides the window one position
//! earlier. Here input is always taken as it is from pieces of 32 KiB, or of 8 KiB, which is what
//! ostree feeds.

mod deep;
mod fast;
mod lazy;
mod matcher;
mod window;

use super::bits::Bits;
use super::block::{Block, Last, ZLIB_BLOCK_SYMBOLS};
use super::huffman::Ties;
use window::{Chains, DeepChains, MIN_LOOKAHEAD, REACH, SIZE, SLIDES_FROM, Window};

/// How a level searches.
#[derive(Clone, Copy, Debug)]
struct Tuning {
    way: Way,
    /// From this length on, a match found is good enough to search for a better one with a quarter
    /// of the effort.
    good: usize,
    /// A match this long is taken without looking for a better one. In the fast way, of a longer
    /// one only the first position is put into the chains.
    lazy: usize,
    /// A match this long ends a search.
    nice: usize,
    /// How many positions a search looks at.
    chain: usize,
}

#[derive(Clone, Copy, Debug)]
enum Way {
    /// Takes the first match.
    Fast,
    /// Takes a match unless the next position has a better one.
    Lazy,
}

const fn tuning(way: Way, good: usize, lazy: usize, nice: usize, chain: usize) -> Tuning {
    Tuning { way, good, lazy, nice, chain }
}

/// The levels from 1 on: zlib's table.
const LEVELS: [Tuning; 9] = [
    tuning(Way::Fast, 4, 4, 8, 4),
    tuning(Way::Fast, 4, 5, 16, 8),
    tuning(Way::Fast, 4, 6, 32, 32),
    tuning(Way::Lazy, 4, 4, 16, 16),
    tuning(Way::Lazy, 8, 16, 32, 32),
    tuning(Way::Lazy, 8, 16, 128, 128),
    tuning(Way::Lazy, 8, 32, 128, 256),
    tuning(Way::Lazy, 32, 128, 258, 1024),
    tuning(Way::Lazy, 32, 258, 258, 4096),
];

/// After a stream up to this size, in bytes, the chains are cleared one by one. (Once a window has
/// slid, its end is far behind this.)
const SMALL: usize = 8 << 10;

/// Compresses one stream after another.
#[derive(Debug)]
pub(super) struct Encoder {
    tuning: Tuning,
    window: Window,
    chains: Chains,
    /// Of the lazy way only.
    deep: DeepChains,
    /// What is decided about next, as a position in the window.
    at: usize,
    /// Where the block began; negative once that has left the window.
    block_start: isize,
    /// What the lazy way has found at the position before.
    held: lazy::Held,
    block: Block,
    bits: Bits,
}

/// Whether there will be more input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    GoesOn,
    Ends,
}

impl Encoder {
    /// An encoder of level 1 to 9; what lies outside is taken for the nearest.
    pub(super) fn new(level: u32) -> Self {
        Self {
            tuning: LEVELS[level.clamp(1, 9) as usize - 1],
            window: Window::new(),
            chains: Chains::new(),
            deep: DeepChains::new(),
            at: 0,
            block_start: 0,
            held: lazy::Held::default(),
            block: Block::new(ZLIB_BLOCK_SYMBOLS, Ties::AsZlib),
            bits: Bits::default(),
        }
    }

    /// Begins a new stream, discarding an unfinished one.
    pub(super) fn begin(&mut self) {
        if self.window.end > SMALL {
            self.chains.clear();
            self.deep.clear();
        } else {
            for at in 0..self.window.end {
                let four = self.window.four(at);
                self.chains.remove(four);
                self.deep.remove(four);
            }
        }
        self.window.end = 0;
        self.at = 0;
        self.block_start = 0;
        self.held = lazy::Held::default();
        self.block.clear();
        self.bits = Bits::default();
    }

    /// Takes all of `input`, and appends what is decided to `output`.
    pub(super) fn push(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            input = &input[self.window.fill(input)..];
            // Deciding only once the window is full is what makes the result independent of the
            // pieces.
            if self.window.end == SIZE {
                self.run(Input::GoesOn, output);
            }
        }
    }

    /// Ends the stream.
    pub(super) fn finish(&mut self, output: &mut Vec<u8>) {
        self.run(Input::Ends, output);
        self.end_block(Last::Yes, output);
    }

    fn run(&mut self, input: Input, output: &mut Vec<u8>) {
        match self.tuning.way {
            Way::Fast => self.run_fast(input, output),
            Way::Lazy => self.run_lazy(input, output),
        }
    }

    fn lookahead(&self) -> usize {
        self.window.end - self.at
    }

    /// To be called before each decision: slides the window when it is time, and says whether there
    /// is something to be decided.
    #[inline]
    fn is_ready(&mut self, input: Input) -> bool {
        if self.lookahead() >= MIN_LOOKAHEAD {
            return true;
        }
        if self.at >= SLIDES_FROM {
            self.slide();
        }
        input == Input::Ends && self.lookahead() > 0
    }

    fn slide(&mut self) {
        self.window.slide();
        self.chains.slide();
        self.deep.slide();
        self.at -= REACH;
        self.block_start -= REACH as isize;
        self.held.slide();
    }

    /// Writes the block that ends before the current position.
    #[inline(never)]
    fn end_block(&mut self, last: Last, output: &mut Vec<u8>) {
        let raw =
            usize::try_from(self.block_start).ok().map(|start| self.window.slice(start..self.at));
        self.block.write(raw, last, &mut self.bits, output);
        self.block_start = self.at as isize;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflate(level: u32, content: &[u8]) -> Vec<u8> {
        let (mut encoder, mut output) = (Encoder::new(level), Vec::new());
        encoder.begin();
        encoder.push(content, &mut output);
        encoder.finish(&mut output);
        output
    }

    /// As in RFC 1950.
    fn adler32(bytes: &[u8]) -> u32 {
        let step = |(a, b): (u32, u32), byte: &u8| {
            ((a + u32::from(*byte)) % 65_521, (b + a + u32::from(*byte)) % 65_521)
        };
        let (a, b) = bytes.iter().fold((1, 0), step);
        b << 16 | a
    }

    /// Length and checksum of what zlib 1.2.13 gives, from level 1 on; the comparison with the
    /// machine's zlib, on much more, is in the suite.
    #[test]
    fn each_level_gives_what_zlib_gave() {
        let mixed = |n: u64| {
            format!("{} {:x}\n", ((n * n * 2_654_435_761) as u32) >> 18, (n / 3 * 7919) & 0xffff)
        };
        let content: String = (0..20_000).map(mixed).collect();
        let packed = (1..).map(|level| deflate(level, content.as_bytes()));
        let found: Vec<(usize, u32)> =
            packed.take(7).map(|packed| (packed.len(), adler32(&packed))).collect();
        let zlibs = [
            (96_624, 0xc969_d740),
            (94_855, 0x77fc_6c2d),
            (94_248, 0xc8c0_a4d8),
            (88_233, 0x841e_5af7),
            (85_948, 0x0745_e81a),
            (85_819, 0xacc6_d22a),
            (85_776, 0x8169_e035),
        ];
        assert_eq!(found, zlibs);
    }

    #[test]
    fn a_new_stream_knows_nothing_of_the_one_before() {
        let (mut encoder, mut output) = (Encoder::new(6), Vec::new());
        let content = b"ostree-ostree_ostree.ostree";
        for length in [10, SMALL, SMALL + 1, SIZE, 3 * SIZE] {
            encoder.begin();
            encoder.push(&content.repeat(length / content.len() + 1)[..length], &mut Vec::new());
            encoder.begin();
            output.clear();
            encoder.push(content, &mut output);
            encoder.finish(&mut output);
            let zlibs = [
                0xcb, 0x2f, 0x2e, 0x29, 0x4a, 0x4d, 0xd5, 0xcd, 0x07, 0x53, 0xf1, 0x10, 0x4a, 0x0f,
                0x42, 0x01, 0,
            ];
            assert_eq!(output, zlibs, "after {length} bytes");
        }
    }
}
