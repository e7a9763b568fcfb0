//! Blocks: what a match finder has found, counted and written in the cheapest of the three forms
//! (RFC 1951, section 3.2.3): stored, with the fixed codes, or with codes of its own.

use std::sync::LazyLock;

use super::bits::Bits;
use super::huffman::{Code, MAX_BITS, Ties};
use super::{MAX_STORED, boxed};

/// Literals, the end of the block and 29 length codes.
const LITERALS: usize = 286;
/// The same with the two codes that have a place in the fixed code but no meaning.
const FIXED_LITERALS: usize = 288;
const DISTANCES: usize = 30;
/// The alphabet in which code lengths are written.
const LENGTHS: usize = 19;

const END_OF_BLOCK: usize = 256;
const FIRST_LENGTH: usize = 257;
/// The shortest match that can be written, in bytes.
const MIN_MATCH: usize = 3;

/// Room for symbols. A power of two, so that a masked index is known to be in bounds.
const MAX_SYMBOLS: usize = 1 << 16;

/// The most symbols that zlib puts into a block: one less than its buffer holds.
pub(super) const ZLIB_BLOCK_SYMBOLS: usize = (1 << 14) - 1;

/// The kinds of blocks as they are written, in two bits.
const STORED: u64 = 0;
const FIXED: u64 = 1;
const DYNAMIC: u64 = 2;

/// In which order the lengths of the length code are written (RFC 1951, section 3.2.7).
const LENGTH_ORDER: [usize; LENGTHS] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Repeat the length before 3 to 6 times, repeat zero 3 to 10 times, repeat zero 11 to 138 times.
const REPEAT: u8 = 16;
const ZEROS: u8 = 17;
const MANY_ZEROS: u8 = 18;
/// The longest code of the length code, in bits.
const MAX_LENGTH_BITS: usize = 7;

/// The code of a match length less three.
const LENGTH_CODES: [u8; 256] = length_codes();

const fn length_codes() -> [u8; 256] {
    let mut codes = [0; 256];
    let mut length = 0;
    while length < 255 {
        codes[length] = if length < 8 { length as u8 } else { grouped(length, 4) };
        length += 1;
    }
    // The longest match has a code of its own, though the one before it could write it too.
    codes[255] = 28;
    codes
}

/// The code of a number where each power of two has `per_octave` codes.
const fn grouped(number: usize, per_octave: usize) -> u8 {
    let split = per_octave.ilog2();
    let extra = number.ilog2() - split;
    (extra as usize * per_octave + (number >> extra)) as u8
}

#[inline]
fn length_extra(code: usize) -> u8 {
    if code < 8 || code == 28 { 0 } else { (code / 4 - 1) as u8 }
}

/// The code of a distance less one.
#[inline]
fn distance_code(distance: usize) -> usize {
    if distance < 2 { distance } else { grouped(distance, 2).into() }
}

#[inline]
fn distance_extra(code: usize) -> u8 {
    (code / 2).saturating_sub(1) as u8
}

/// The fixed codes (RFC 1951, section 3.2.6).
static FIXED_CODES: LazyLock<(Code<FIXED_LITERALS>, Code<DISTANCES>)> = LazyLock::new(|| {
    let mut lengths = [8; FIXED_LITERALS];
    lengths[144..256].fill(9);
    lengths[256..280].fill(7);
    (Code::with_lengths(lengths), Code::with_lengths([5; DISTANCES]))
});

/// Literals and matches on their way into a block.
#[derive(Debug)]
pub(super) struct Block {
    /// A literal is its byte; a match has its distance in the upper 16 bits, its length less three
    /// in the lower.
    symbols: Box<[u32; MAX_SYMBOLS]>,
    count: usize,
    /// The number of symbols at which it is full.
    limit: usize,
    ties: Ties,
    literals: [u16; LITERALS],
    distances: [u16; DISTANCES],
}

impl Block {
    /// An empty block for at most this many symbols, 65,535 at most.
    pub(super) fn new(limit: usize, ties: Ties) -> Self {
        Self {
            symbols: boxed(),
            count: 0,
            limit,
            ties,
            literals: [0; LITERALS],
            distances: [0; DISTANCES],
        }
    }

    /// How many symbols there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How often each byte occurs as a literal.
    pub(super) fn literals(&self) -> &[u16] {
        &self.literals[..END_OF_BLOCK]
    }

    /// How often each code of a match length occurs.
    pub(super) fn lengths(&self) -> &[u16] {
        &self.literals[FIRST_LENGTH..]
    }

    /// Forgets everything in it.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.literals = [0; LITERALS];
        self.distances = [0; DISTANCES];
    }

    /// Adds a byte. Returns whether the block is full.
    #[inline]
    pub(super) fn literal(&mut self, byte: u8) -> bool {
        self.literals[usize::from(byte)] += 1;
        self.add(byte.into())
    }

    /// Adds a match of `length` bytes, 3 to 258, `distance` bytes back, 1 to 32,768. Returns
    /// whether the block is full.
    #[inline]
    pub(super) fn reference(&mut self, distance: usize, length: usize) -> bool {
        let length = length - MIN_MATCH;
        self.literals[FIRST_LENGTH + usize::from(LENGTH_CODES[length & 0xff])] += 1;
        self.distances[distance_code(distance - 1)] += 1;
        self.add((distance << 16 | length) as u32)
    }

    #[inline]
    fn add(&mut self, symbol: u32) -> bool {
        self.symbols[self.count % MAX_SYMBOLS] = symbol;
        self.count += 1;
        self.count == self.limit
    }

    /// Writes the block in its cheapest form, and clears it. `raw` is the content if it is still
    /// there: without it the block cannot be stored.
    pub(super) fn write(
        &mut self,
        raw: Option<&[u8]>,
        last: Last,
        bits: &mut Bits,
        output: &mut Vec<u8>,
    ) {
        let last = u64::from(last == Last::Yes);
        self.literals[END_OF_BLOCK] = 1;
        let own = OwnCodes::of(&self.literals, &self.distances, self.ties);
        let (fixed_literals, fixed_distances) = &*FIXED_CODES;
        let extra = self.extra_bits();
        let fixed_bits = extra
            + (0..LITERALS)
                .map(|s| u64::from(self.literals[s]) * u64::from(fixed_literals.lengths[s]))
                .sum::<u64>()
            + fixed_distances.cost(&self.distances, |_| 0);
        // Rounded up to bytes with the three bits that open a block, which is how zlib compares.
        let bytes = |bits: u64| (bits + 3).div_ceil(8);
        let fixed = bytes(fixed_bits);
        let coded = fixed.min(bytes(own.bits(&self.literals, &self.distances) + extra));
        match raw {
            Some(raw) if raw.len() as u64 + 4 <= coded => {
                let mut parts = raw.chunks(MAX_STORED).peekable();
                loop {
                    let part = parts.next().unwrap_or_default();
                    let is_last = if parts.peek().is_none() { last } else { 0 };
                    bits.put(STORED << 1 | is_last, 3);
                    bits.align(output);
                    store(part, output);
                    if parts.peek().is_none() {
                        break;
                    }
                }
            }
            _ => {
                output.reserve(coded as usize + 16);
                if fixed == coded {
                    bits.put(FIXED << 1 | last, 3);
                    self.write_symbols(fixed_literals, fixed_distances, bits, output);
                } else {
                    bits.put(DYNAMIC << 1 | last, 3);
                    own.write_description(bits, output);
                    self.write_symbols(&own.literals, &own.distances, bits, output);
                }
            }
        }
        if last == 1 {
            bits.align(output);
        }
        self.clear();
    }

    /// The bits behind length and distance codes.
    fn extra_bits(&self) -> u64 {
        let lengths = (0..LITERALS - FIRST_LENGTH).map(|code| {
            u64::from(self.literals[FIRST_LENGTH + code]) * u64::from(length_extra(code))
        });
        let distances = (0..DISTANCES)
            .map(|code| u64::from(self.distances[code]) * u64::from(distance_extra(code)));
        lengths.chain(distances).sum()
    }

    fn write_symbols<const N: usize>(
        &self,
        literals: &Code<N>,
        distances: &Code<DISTANCES>,
        bits: &mut Bits,
        output: &mut Vec<u8>,
    ) {
        bits.flush(output);
        let match_lengths = MatchLengths::of(literals);
        for &symbol in &self.symbols[..self.count] {
            let distance = (symbol >> 16) as usize;
            let low = symbol as usize & 0xff;
            if distance == 0 {
                bits.put(literals.codes[low].into(), literals.lengths[low].into());
                // Three literals and what a match needs fit into the pending bits together.
                if bits.pending() < LITERALS_BEFORE_FLUSH {
                    continue;
                }
            } else {
                // At most 15 + 5 bits for the length, 15 + 13 for the distance.
                if bits.pending() >= 8 {
                    bits.flush(output);
                }
                let (length, count) = match_lengths.0[low];
                bits.put(length.into(), count.into());
                let distance = distance - 1;
                let code = distance_code(distance);
                bits.put(distances.codes[code].into(), distances.lengths[code].into());
                let extra = distance_extra(code);
                bits.put(low_bits(distance, extra), extra.into());
            }
            bits.flush(output);
        }
        bits.flush(output);
        bits.put(literals.codes[END_OF_BLOCK].into(), literals.lengths[END_OF_BLOCK].into());
        bits.flush(output);
    }
}

/// The number of pending bits that leaves room for one more literal.
const LITERALS_BEFORE_FLUSH: u32 = 48 - MAX_BITS as u32;

/// The code of each match length less three together with its extra bits, and how many bits that
/// is.
struct MatchLengths([(u32, u8); 256]);

impl MatchLengths {
    fn of<const N: usize>(literals: &Code<N>) -> Self {
        Self(std::array::from_fn(|length| {
            let code = usize::from(LENGTH_CODES[length]);
            let extra = length_extra(code);
            let bits = literals.lengths[FIRST_LENGTH + code];
            (
                u32::from(literals.codes[FIRST_LENGTH + code])
                    | (low_bits(length, extra) as u32) << bits,
                bits + extra,
            )
        }))
    }
}

/// Codes with extra bits begin at multiples of what these can count, so the extra bits are the
/// number's own lowest.
#[inline]
fn low_bits(number: usize, count: u8) -> u64 {
    number as u64 & ((1 << count) - 1)
}

/// Whether a block is the last of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    No,
    Yes,
}

/// Appends what follows the type of a stored block: the length, its complement, the bytes.
pub(super) fn store(raw: &[u8], output: &mut Vec<u8>) {
    let length = u16::try_from(raw.len()).expect("callers store at most 65,535 bytes at a time");
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(&(!length).to_le_bytes());
    output.extend_from_slice(raw);
}

/// The codes that a block brings along, with the code in which their lengths are written.
struct OwnCodes {
    literals: Code<LITERALS>,
    distances: Code<DISTANCES>,
    lengths: Code<LENGTHS>,
    /// The lengths of both codes, repetitions taken together: a symbol of the length code and what
    /// follows it.
    description: Vec<(u8, u8)>,
    length_frequencies: [u16; LENGTHS],
    /// How many lengths of the length code are written, 4 to 19.
    lengths_written: usize,
}

impl OwnCodes {
    fn of(
        literal_frequencies: &[u16; LITERALS],
        distance_frequencies: &[u16; DISTANCES],
        ties: Ties,
    ) -> Self {
        let literals = Code::of(literal_frequencies, MAX_BITS, ties);
        let distances = Code::of(distance_frequencies, MAX_BITS, ties);
        let mut description = Vec::with_capacity(LITERALS + DISTANCES);
        describe(&literals.lengths[..literals.used], &mut description);
        describe(&distances.lengths[..distances.used], &mut description);
        let mut length_frequencies = [0; LENGTHS];
        for (symbol, _) in &description {
            length_frequencies[usize::from(*symbol)] += 1;
        }
        let lengths = Code::of(&length_frequencies, MAX_LENGTH_BITS, ties);
        let lengths_written = LENGTH_ORDER
            .iter()
            .rposition(|symbol| lengths.lengths[*symbol] > 0)
            .map_or(4, |last| (last + 1).max(4));
        Self { literals, distances, lengths, description, length_frequencies, lengths_written }
    }

    /// How many bits the description and the symbols take, without extra bits of the latter.
    fn bits(
        &self,
        literal_frequencies: &[u16; LITERALS],
        distance_frequencies: &[u16; DISTANCES],
    ) -> u64 {
        let counts = 5 + 5 + 4;
        counts
            + 3 * self.lengths_written as u64
            + self.lengths.cost(&self.length_frequencies, |symbol| repetition_bits(symbol as u8))
            + self.literals.cost(literal_frequencies, |_| 0)
            + self.distances.cost(distance_frequencies, |_| 0)
    }

    fn write_description(&self, bits: &mut Bits, output: &mut Vec<u8>) {
        bits.put((self.literals.used - 257) as u64, 5);
        bits.put((self.distances.used - 1) as u64, 5);
        bits.put((self.lengths_written - 4) as u64, 4);
        bits.flush(output);
        for symbol in &LENGTH_ORDER[..self.lengths_written] {
            bits.put(self.lengths.lengths[*symbol].into(), 3);
            bits.flush(output);
        }
        for &(symbol, repetitions) in &self.description {
            let code = usize::from(symbol);
            bits.put(self.lengths.codes[code].into(), self.lengths.lengths[code].into());
            bits.put(repetitions.into(), repetition_bits(symbol).into());
            bits.flush(output);
        }
    }
}

fn repetition_bits(symbol: u8) -> u8 {
    match symbol {
        REPEAT => 2,
        ZEROS => 3,
        MANY_ZEROS => 7,
        _ => 0,
    }
}

/// Takes repetitions in a list of code lengths together, as zlib does: greedily, and never across
/// two codes.
fn describe(lengths: &[u8], description: &mut Vec<(u8, u8)>) {
    for run in lengths.chunk_by(|one, next| one == next) {
        let length = run[0];
        let mut left = run.len();
        if length == 0 {
            while left >= 3 {
                let taken = left.min(138);
                let symbol =
                    if taken <= 10 { (ZEROS, taken - 3) } else { (MANY_ZEROS, taken - 11) };
                description.push((symbol.0, symbol.1 as u8));
                left -= taken;
            }
        } else {
            // The first is written out, it is what the others repeat.
            description.push((length, 0));
            left -= 1;
            while left >= 3 {
                let taken = left.min(6);
                description.push((REPEAT, (taken - 3) as u8));
                left -= taken;
            }
        }
        description.extend(std::iter::repeat_n((length, 0), left));
    }
}
