//! Compression of parts: xz that is no larger than that of liblzma's preset 8.
//!
//! A large payload is cut into segments, which are compressed in parallel and are one block of the
//! stream. A segment may refer to the end of the one before, so hardly anything is lost; only what
//! has been learnt about the content is. Where it is cut depends on the payload alone, so the file
//! is the same whatever the number of threads is.
//!
//! Where a payload is patches, nearly all bytes are zero, and what is worth a reference is near.
//! Chains of hashes find that in less time than the binary tree of the preset, which sorts long
//! runs of zeros at every byte; the time that they save is spent on longer matches, so the result
//! is smaller, too. A small dictionary suffices.

use std::io::Write;
use std::ops::Range;

use lzma_rust2::{CheckType, Lzma2Options, Lzma2Writer, LzmaOptions, MfType, XzOptions, XzWriter};
use rayon::prelude::*;

use super::order::Budget;
use super::xz;
use crate::delta_format::Compression;
use crate::error::{During, Result};

const PRESET: u32 = 8;
/// The dictionary of that preset, in bytes.
const MAX_DICTIONARY: u32 = 32 << 20;
/// The smallest that the format allows.
const MIN_DICTIONARY: u32 = 4 << 10;
/// The sizes of what follows are divided by that: tests have no time for as many bytes.
const SCALE: usize = if cfg!(test) { 256 } else { 1 };
/// Payloads are looked at in pieces of so many bytes.
const PIECE: usize = (2 << 20) / SCALE;
/// Content of twice as many bytes is cut.
const MIN_SEGMENT: usize = (24 << 20) / SCALE;
/// How many bytes before a segment it may refer to. All of the dictionary would take as long as
/// half of a segment.
const HISTORY: usize = MIN_SEGMENT / 3 * 2;
/// To learn the history takes as long as to compress so many bytes.
const HISTORY_COST: usize = HISTORY / 5 * 2;
/// The same for patches, of which the history costs next to nothing.
const MIN_PATCHES: usize = (4 << 20) / SCALE;
const PATCHES_HISTORY: usize = MIN_PATCHES / 4;
/// Segments begin at multiples of this, as contexts depend on the position.
const ALIGNMENT: usize = 4 << 10;
/// For patches: matches as long as that are taken without looking for better ones, and so many
/// places are looked at for one.
const PATCHES_NICE_LENGTH: u32 = 96;
const PATCHES_DEPTH: i32 = 8;

/// What a stretch of a payload holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Content,
    /// Zeros for the most part.
    Patches,
}

/// A stretch that is compressed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    kind: Kind,
    bytes: Range<usize>,
    /// How many bytes before it may be referred to.
    history: usize,
}

impl Kind {
    fn of(piece: &[u8]) -> Self {
        let zeros = piece.iter().filter(|byte| **byte == 0).count();
        if zeros >= piece.len() / 4 * 3 && zeros > 0 { Self::Patches } else { Self::Content }
    }

    /// Where segments begin in a stretch of so many bytes.
    fn starts(self, length: usize) -> impl Iterator<Item = usize> {
        let (least, history_cost) = match self {
            Self::Content => (MIN_SEGMENT, HISTORY_COST),
            Self::Patches => (MIN_PATCHES, 0),
        };
        // The first one is longer, as it has no history to learn.
        let count = (length / least).max(1);
        let cost = (length + (count - 1) * history_cost) / count;
        let start = move |number: usize| number * (cost - history_cost) + history_cost;
        let later = (1..count).map(move |number| start(number) / ALIGNMENT * ALIGNMENT);
        std::iter::once(0).chain(later)
    }
}

impl Segment {
    fn new(kind: Kind, bytes: Range<usize>, run: &Range<usize>) -> Self {
        let history = match kind {
            // Other bytes before it are patches, from which there is nothing to be learnt.
            Kind::Content => HISTORY.min(bytes.start - run.start),
            Kind::Patches => PATCHES_HISTORY.min(bytes.start),
        };
        Self { kind, bytes, history }
    }

    /// A dictionary that is larger than what it could hold is of no use.
    fn dictionary(&self) -> u32 {
        dictionary((self.bytes.len() + self.history) as u64)
    }

    /// The bytes of memory that compressing it takes, with its history and the result.
    fn memory(&self) -> u64 {
        // The compressor has a window of one and a half dictionaries, a table of hashes of half of
        // it to four bytes each, and for each byte one number or two.
        let dictionary = u64::from(self.dictionary());
        let compressor = match self.kind {
            Kind::Content => dictionary * 12,
            Kind::Patches => dictionary * 8,
        };
        // The result is rarely larger than the payload.
        compressor + (self.bytes.len() + self.history) as u64
    }

    fn options(&self, payload: &[u8]) -> LzmaOptions {
        let mut options = LzmaOptions::with_preset(PRESET);
        options.dict_size = self.dictionary();
        if self.kind == Kind::Patches {
            options.mf = MfType::Hc4;
            options.nice_len = PATCHES_NICE_LENGTH;
            options.depth_limit = PATCHES_DEPTH;
        }
        let history = &payload[self.bytes.start - self.history..self.bytes.start];
        options.preset_dict = (!history.is_empty()).then(|| history.to_vec());
        options
    }

    /// The LZMA2 chunks, and behind them the end mark.
    fn compress(&self, payload: &[u8], budget: &Budget) -> std::io::Result<Vec<u8>> {
        let _taken = budget.take_working(self.memory());
        let lzma_options = self.options(payload);
        let options = Lzma2Options { lzma_options, ..Lzma2Options::default() };
        let mut writer = Lzma2Writer::new(Vec::new(), options);
        writer.write_all(&payload[self.bytes.clone()])?;
        writer.finish()
    }
}

fn dictionary(bytes: u64) -> u32 {
    let wanted = u32::try_from(bytes).unwrap_or(MAX_DICTIONARY).min(MAX_DICTIONARY);
    wanted.next_power_of_two().max(MIN_DICTIONARY)
}

/// The stretches of one kind, and how these are cut.
fn segments(payload: &[u8]) -> Vec<Segment> {
    let mut runs: Vec<(Kind, Range<usize>)> = Vec::new();
    for (number, piece) in payload.chunks(PIECE).enumerate() {
        let (kind, start) = (Kind::of(piece), number * PIECE);
        match runs.last_mut() {
            Some((last, run)) if *last == kind => run.end = start + piece.len(),
            _ => runs.push((kind, start..start + piece.len())),
        }
    }
    let patches = runs.iter().filter(|(kind, _)| *kind == Kind::Patches);
    let patches: usize = patches.map(|(_, run)| run.len()).sum();
    // A few zeros in a part of content are not worth cutting it.
    if patches < payload.len() / 4 {
        runs = vec![(Kind::Content, 0..payload.len())];
    }
    let cut = |(kind, run): &(Kind, Range<usize>)| {
        let (kind, run) = (*kind, run.clone());
        let starts: Vec<usize> = kind.starts(run.len()).map(|start| run.start + start).collect();
        let ends: Vec<usize> = starts.iter().skip(1).copied().chain([run.end]).collect();
        let ranges = starts.into_iter().zip(ends);
        ranges.map(move |(start, end)| Segment::new(kind, start..end, &run))
    };
    runs.iter().flat_map(cut).collect()
}

/// The file of a part with this payload.
pub(super) fn compress(payload: &[u8], budget: &Budget) -> Result<Vec<u8>> {
    let segments = segments(payload);
    let mut file = vec![Compression::Xz.byte()];
    if let [segment] = segments.as_slice() {
        let _taken = budget.take_working(segment.memory());
        return in_one(payload, segment, file).during("compressing", "a part");
    }
    let dictionary = segments.iter().map(Segment::dictionary).max().unwrap_or(MIN_DICTIONARY);
    let compressed = segments.par_iter().map(|segment| segment.compress(payload, budget));
    let compressed: std::io::Result<Vec<Vec<u8>>> = compressed.collect();
    xz::write(&mut file, payload, dictionary, compressed.during("compressing", "a part")?);
    Ok(file)
}

fn in_one(payload: &[u8], segment: &Segment, file: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut options = XzOptions::with_preset(PRESET);
    options.set_check_sum_type(CheckType::Crc64);
    options.lzma_options = segment.options(payload);
    let mut writer = XzWriter::new(file, options)?;
    writer.write_all(payload)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8 + 1
        };
        (0..length).map(byte).collect()
    }

    /// Every tenth byte is not zero.
    fn patches(length: usize) -> Vec<u8> {
        let mut bytes = payload(length);
        bytes.iter_mut().enumerate().filter(|(at, _)| at % 10 > 0).for_each(|(_, byte)| *byte = 0);
        bytes
    }

    fn read(file: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let mut reader = lzma_rust2::XzReader::new(&file[1..], false);
        std::io::Read::read_to_end(&mut reader, &mut payload).unwrap();
        payload
    }

    fn budget() -> Budget {
        Budget::new(1 << 30)
    }

    #[test]
    fn dictionaries_are_no_larger_than_they_need_to_be() {
        let sizes = [0, 4096, 4097, 1 << 20, 32 << 20, u64::MAX];
        let expected = [4096, 4096, 8192, 1 << 20, 32 << 20, 32 << 20];
        assert_eq!(sizes.map(dictionary), expected);
    }

    #[test]
    fn parts_are_xz_streams_with_a_crc_of_64_bits() {
        let content = b"content".repeat(100);
        let file = compress(&content, &budget()).unwrap();
        assert_eq!(file[..9], *b"x\xfd7zXZ\0\0\x04");
        assert_eq!(read(&file), content);
        for few in [&b""[..], &[0], &[0; 5]] {
            assert_eq!(read(&compress(few, &Budget::new(1)).unwrap()), few);
        }
    }

    #[test]
    fn segments_cost_the_same_and_are_never_short() {
        let starts = |kind: Kind, length| kind.starts(length).collect::<Vec<_>>();
        for length in [0, 1, 2 * MIN_SEGMENT - 1] {
            assert_eq!(starts(Kind::Content, length), [0]);
        }
        for length in [2 * MIN_SEGMENT, 3 * MIN_SEGMENT + 5, 9 * MIN_SEGMENT] {
            let mut starts = starts(Kind::Content, length);
            assert_eq!(starts.len(), length / MIN_SEGMENT);
            starts.push(length);
            let lengths: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(starts[1] >= HISTORY, "{lengths:?}");
            for length in &lengths[1..] {
                assert!(lengths[0].abs_diff(length + HISTORY_COST) <= 2 * ALIGNMENT, "{lengths:?}");
            }
        }
        assert_eq!(starts(Kind::Patches, 2 * MIN_PATCHES + 1), [0, MIN_PATCHES]);
    }

    #[test]
    fn patches_are_told_from_content() {
        let mut mixed = payload(PIECE);
        mixed.extend(patches(MIN_PATCHES * 2));
        mixed.extend(payload(100));
        let (first, second) = (PIECE + MIN_PATCHES, PIECE + MIN_PATCHES * 2);
        let segment = |kind, bytes, history| Segment { kind, bytes, history };
        let expected = [
            segment(Kind::Content, 0..PIECE, 0),
            segment(Kind::Patches, PIECE..first, PATCHES_HISTORY),
            segment(Kind::Patches, first..second, PATCHES_HISTORY),
            segment(Kind::Content, second..second + 100, 0),
        ];
        assert_eq!(segments(&mixed), expected);
        assert!(read(&compress(&mixed, &budget()).unwrap()) == mixed);
        let mut content = payload(PIECE * 3);
        content.extend(patches(PIECE - 10));
        assert_eq!(segments(&content), [segment(Kind::Content, 0..content.len(), 0)]);
    }

    #[test]
    fn several_segments_are_one_stream_that_does_not_depend_on_threads() {
        let contents = [2 * MIN_SEGMENT, 3 * MIN_SEGMENT + 1].map(payload);
        for payload in contents.into_iter().chain([patches(3 * MIN_PATCHES)]) {
            let file = compress(&payload, &budget()).unwrap();
            assert!(read(&file) == payload, "{}", payload.len());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let alone = pool.install(|| compress(&payload, &Budget::new(1)).unwrap());
            assert!(alone == file, "{}", payload.len());
        }
    }

    #[test]
    fn a_segment_refers_to_the_one_before() {
        let piece = payload(HISTORY / 2);
        let start = Kind::Content.starts(2 * MIN_SEGMENT).last().unwrap();
        let mut repeated = payload(start - piece.len());
        repeated.extend_from_slice(&piece);
        repeated.extend_from_slice(&piece);
        repeated.resize(2 * MIN_SEGMENT, 1);
        let file = compress(&repeated, &budget()).unwrap();
        assert!(read(&file) == repeated);
        let alone = |bytes: &[u8]| {
            let range = 0..bytes.len();
            let segment = Segment::new(Kind::Content, range.clone(), &range);
            segment.compress(bytes, &budget()).unwrap().len()
        };
        let (first, piece) = (alone(&repeated[..start]), alone(&piece));
        assert!(file.len() < first + piece / 4, "{} {first} {piece}", file.len());
    }
}
