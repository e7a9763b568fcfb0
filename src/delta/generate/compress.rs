//! Compression of parts: xz with the settings of liblzma's preset 8.

use std::io::Write;

use lzma_rust2::{CheckType, XzOptions, XzWriter};

use crate::delta_format::Compression;
use crate::error::{During, Result};

const PRESET: u32 = 8;
/// The dictionary of that preset, in bytes.
const MAX_DICTIONARY: u32 = 32 << 20;
/// The smallest that the format allows.
const MIN_DICTIONARY: u32 = 4 << 10;
/// What the compressor takes for each byte of its dictionary.
const MEMORY_FACTOR: u64 = 12;

/// The bytes of memory that [`compress`] takes for a payload, with the payload.
pub(super) fn memory(payload: u64) -> u64 {
    // The result is rarely larger than the payload.
    u64::from(dictionary(payload)) * MEMORY_FACTOR + payload.saturating_mul(2)
}

/// A dictionary that is larger than the payload is of no use.
fn dictionary(payload: u64) -> u32 {
    let wanted = u32::try_from(payload).unwrap_or(MAX_DICTIONARY).min(MAX_DICTIONARY);
    wanted.next_power_of_two().max(MIN_DICTIONARY)
}

/// The file of a part with this payload.
pub(super) fn compress(payload: &[u8]) -> Result<Vec<u8>> {
    let mut options = XzOptions::with_preset(PRESET);
    options.set_check_sum_type(CheckType::Crc64);
    options.lzma_options.dict_size = dictionary(payload.len() as u64);
    let file = vec![Compression::Xz.byte()];
    let compressed = XzWriter::new(file, options).and_then(|mut writer| {
        writer.write_all(payload)?;
        writer.finish()
    });
    compressed.during("compressing", "a part")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries_are_no_larger_than_they_need_to_be() {
        let sizes = [0, 4096, 4097, 1 << 20, 32 << 20, u64::MAX];
        let expected = [4096, 4096, 8192, 1 << 20, 32 << 20, 32 << 20];
        assert_eq!(sizes.map(dictionary), expected);
    }

    #[test]
    fn parts_are_xz_streams_with_a_crc_of_64_bits() {
        let file = compress(&b"content".repeat(100)).unwrap();
        assert_eq!(file[..9], *b"x\xfd7zXZ\0\0\x04");
        let mut payload = Vec::new();
        let mut reader = lzma_rust2::XzReader::new(&file[1..], false);
        std::io::Read::read_to_end(&mut reader, &mut payload).unwrap();
        assert_eq!(payload, b"content".repeat(100));
    }
}
