//! Compression of parts: xz with the settings of liblzma's preset 8.
//!
//! A large payload is cut into segments, which are compressed in parallel and are one block of the
//! stream. A segment may refer to the end of the one before, so hardly anything is lost; only what
//! has been learnt about the content is. Where it is cut depends on its length alone, so the file
//! is the same whatever the number of threads is.

use std::io::Write;

use lzma_rust2::{CheckType, Lzma2Options, Lzma2Writer, LzmaOptions, XzOptions, XzWriter};
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
/// What the compressor takes for each byte of its dictionary.
const MEMORY_FACTOR: u64 = 12;
/// Payloads of twice as many bytes are cut. Tests have no time for as many.
const MIN_SEGMENT: usize = if cfg!(test) { 96 << 10 } else { 24 << 20 };
/// How many bytes before a segment it may refer to. All of the dictionary would take as long as
/// half of a segment.
const HISTORY: usize = MIN_SEGMENT / 3 * 2;
/// To learn the history takes as long as to compress so many bytes.
const HISTORY_COST: usize = HISTORY / 5 * 2;
/// Segments begin at multiples of this, as contexts depend on the position.
const ALIGNMENT: usize = 4 << 10;

/// The bytes of memory that compressing a payload takes for each thread that does so, with the
/// payload and the result.
pub(super) fn memory(payload: u64) -> u64 {
    // The result is rarely larger than the payload.
    u64::from(dictionary(payload)) * MEMORY_FACTOR + payload.saturating_mul(2)
}

/// A dictionary that is larger than the payload is of no use.
fn dictionary(payload: u64) -> u32 {
    let wanted = u32::try_from(payload).unwrap_or(MAX_DICTIONARY).min(MAX_DICTIONARY);
    wanted.next_power_of_two().max(MIN_DICTIONARY)
}

/// Where segments begin. The first one is longer, as it has no history to learn.
fn segments(payload: usize) -> Vec<usize> {
    let count = (payload / MIN_SEGMENT).max(1);
    let cost = (payload + (count - 1) * HISTORY_COST) / count;
    let start = |number: usize| number * (cost - HISTORY_COST) + HISTORY_COST;
    let later = (1..count).map(|number| start(number) / ALIGNMENT * ALIGNMENT);
    std::iter::once(0).chain(later).collect()
}

/// The file of a part with this payload.
pub(super) fn compress(payload: &[u8], budget: &Budget) -> Result<Vec<u8>> {
    let starts = segments(payload.len());
    let mut options = LzmaOptions::with_preset(PRESET);
    options.dict_size = dictionary(payload.len() as u64);
    let mut file = vec![Compression::Xz.byte()];
    if starts.len() == 1 {
        let _taken = budget.take_working(memory(payload.len() as u64));
        return in_one(payload, options, file).during("compressing", "a part");
    }
    let dictionary = options.dict_size;
    let ends = starts.iter().skip(1).copied().chain([payload.len()]);
    let ranges: Vec<(usize, usize)> = starts.iter().copied().zip(ends).collect();
    let compressed = ranges.par_iter().map(|(start, end)| {
        let _taken = budget.take_working(memory((end - start) as u64));
        let history = &payload[start.saturating_sub(HISTORY)..*start];
        segment(&payload[*start..*end], history, options.clone()).during("compressing", "a part")
    });
    let compressed: Vec<Vec<u8>> = compressed.collect::<Result<_>>()?;
    xz::write(&mut file, payload, dictionary, compressed);
    Ok(file)
}

fn in_one(payload: &[u8], lzma: LzmaOptions, file: Vec<u8>) -> std::io::Result<Vec<u8>> {
    let mut options = XzOptions::with_preset(PRESET);
    options.set_check_sum_type(CheckType::Crc64);
    options.lzma_options = lzma;
    let mut writer = XzWriter::new(file, options)?;
    writer.write_all(payload)?;
    writer.finish()
}

/// The LZMA2 chunks of a segment, and behind them the end mark.
fn segment(bytes: &[u8], history: &[u8], mut lzma: LzmaOptions) -> std::io::Result<Vec<u8>> {
    lzma.preset_dict = (!history.is_empty()).then(|| history.to_vec());
    let options = Lzma2Options { lzma_options: lzma, ..Lzma2Options::default() };
    let mut writer = Lzma2Writer::new(Vec::new(), options);
    writer.write_all(bytes)?;
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let byte = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 28) as u8
        };
        (0..length).map(byte).collect()
    }

    fn read(file: &[u8]) -> Vec<u8> {
        let mut payload = Vec::new();
        let mut reader = lzma_rust2::XzReader::new(&file[1..], false);
        std::io::Read::read_to_end(&mut reader, &mut payload).unwrap();
        payload
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
        let file = compress(&content, &Budget::new(1 << 30)).unwrap();
        assert_eq!(file[..9], *b"x\xfd7zXZ\0\0\x04");
        assert_eq!(read(&file), content);
        assert_eq!(read(&compress(b"", &Budget::new(1)).unwrap()), b"");
    }

    #[test]
    fn segments_cost_the_same_and_are_never_short() {
        for length in [0, 1, 2 * MIN_SEGMENT - 1] {
            assert_eq!(segments(length), [0]);
        }
        for length in [2 * MIN_SEGMENT, 3 * MIN_SEGMENT + 5, 9 * MIN_SEGMENT] {
            let mut starts = segments(length);
            assert_eq!(starts.len(), length / MIN_SEGMENT);
            starts.push(length);
            let lengths: Vec<usize> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(starts[1] >= HISTORY, "{lengths:?}");
            for length in &lengths[1..] {
                assert!(lengths[0].abs_diff(length + HISTORY_COST) <= 2 * ALIGNMENT, "{lengths:?}");
            }
        }
    }

    #[test]
    fn several_segments_are_one_stream_that_does_not_depend_on_threads() {
        for length in [2 * MIN_SEGMENT, 3 * MIN_SEGMENT + 1] {
            let payload = payload(length);
            let file = compress(&payload, &Budget::new(1 << 30)).unwrap();
            assert!(read(&file) == payload, "{length}");
            let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
            let alone = pool.install(|| compress(&payload, &Budget::new(1)).unwrap());
            assert!(alone == file, "{length}");
        }
    }

    #[test]
    fn a_segment_refers_to_the_one_before() {
        let piece = payload(HISTORY / 2);
        let mut repeated = payload(segments(2 * MIN_SEGMENT)[1] - piece.len());
        repeated.extend_from_slice(&piece);
        repeated.extend_from_slice(&piece);
        repeated.resize(2 * MIN_SEGMENT, 0);
        let file = compress(&repeated, &Budget::new(1 << 30)).unwrap();
        assert!(read(&file) == repeated);
        let alone = segment(&piece, &[], LzmaOptions::with_preset(PRESET)).unwrap();
        let first = &repeated[..repeated.len() - piece.len()];
        let first = first[..segments(2 * MIN_SEGMENT)[1]].to_vec();
        let first = segment(&first, &[], LzmaOptions::with_preset(PRESET)).unwrap();
        assert!(file.len() < first.len() + alone.len() / 4, "{} {}", file.len(), first.len());
    }
}
