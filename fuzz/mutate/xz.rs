//! An xz stream: changed blindly, then with the checksums of its headers put right.
//!
//! ```text
//! stream header   6 bytes of magic, 2 of flags, their CRC32
//! block header    its size in words of 4 bytes less one, fields, the CRC32 of all that
//! block           compressed bytes; what they are has a checksum behind it, which stays as it is
//! index           0, numbers, the CRC32 of all that
//! footer          a CRC32, the size of the index in words less one, the flags, "YZ"
//! ```

use super::{Plain, Random, blindly};

const HEADER: usize = 12;
const FOOTER: usize = 12;
const CRC: usize = 4;

/// A stream.
pub fn xz(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    let mut mutated = blindly(bytes, most, plain);
    if !random.one_in(8) {
        put_right(&mut mutated);
    }
    mutated
}

fn put_right(bytes: &mut [u8]) {
    seal(bytes, 6, 8);
    if let Some(words) =
        bytes.get(HEADER).map(|words| usize::from(*words)).filter(|words| *words > 0)
    {
        seal(bytes, HEADER, HEADER + words * 4);
    }
    let Some(footer) = bytes.len().checked_sub(FOOTER) else { return };
    let crc = crc32(&bytes[footer + CRC..footer + 10]);
    bytes[footer..footer + CRC].copy_from_slice(&crc.to_le_bytes());
    let words = bytes[footer + CRC..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let index = (words as usize).checked_mul(4).and_then(|size| footer.checked_sub(size + CRC));
    if let Some(index) = index {
        seal(bytes, index, footer - CRC);
    }
}

/// Writes the checksum of a range behind it.
fn seal(bytes: &mut [u8], start: usize, end: usize) {
    if let Some(crc) = bytes.get(start..end).map(crc32)
        && let Some(place) = bytes.get_mut(end..end + CRC)
    {
        place.copy_from_slice(&crc.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    })
}
