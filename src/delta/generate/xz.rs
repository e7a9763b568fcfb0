//! The frame of an xz stream with one block.
//!
//! ```text
//! stream header  FD "7zXZ" 00  flags(2)  crc32 of the flags
//! block header   size  00  filter 21, 1 byte: dictionary  000000  crc32 of all before
//! block          LZMA2 chunks  end mark 00  padding to 4 bytes  crc64 of the content
//! index          00  1 record: size of the block with header and crc64, size of the content
//!                padding to 4 bytes  crc32 of all before
//! footer         crc32 of the next two  size of the index by 4, less 1  flags  "YZ"
//! ```
//!
//! Numbers are little-endian; those of the index are varints.

use crate::object::put_varint;

const MAGIC: [u8; 6] = *b"\xfd7zXZ\0";
const FOOTER_MAGIC: [u8; 2] = *b"YZ";
/// A CRC-64 stands behind the content.
const FLAGS: [u8; 2] = [0, 4];
const LZMA2: u8 = 0x21;
/// The exponent of the smallest dictionary.
const MIN_EXPONENT: u32 = 12;
const UNIT: usize = 4;

/// Appends the stream of `content`, of which pieces have been compressed to `segments`, each LZMA2
/// chunks with an end mark. The dictionary is a power of two.
pub(super) fn write(file: &mut Vec<u8>, content: &[u8], dictionary: u32, segments: Vec<Vec<u8>>) {
    file.extend_from_slice(&MAGIC);
    file.extend_from_slice(&FLAGS);
    file.extend_from_slice(&crc32(&FLAGS));
    let block = file.len();
    let exponent = dictionary.ilog2().saturating_sub(MIN_EXPONENT);
    // There is an even and an odd code for each exponent.
    let header = [2, 0, LZMA2, 1, (exponent * 2) as u8, 0, 0, 0];
    file.extend_from_slice(&header);
    file.extend_from_slice(&crc32(&header));
    for segment in segments {
        file.extend_from_slice(segment.strip_suffix(&[0]).unwrap_or(&segment));
    }
    file.push(0);
    let length = file.len() - block;
    file.resize(block + length.next_multiple_of(UNIT), 0);
    let check = crc64(content).to_le_bytes();
    file.extend_from_slice(&check);
    let mut index = vec![0];
    for number in [1, length + check.len(), content.len()] {
        put_varint(&mut index, number as u64);
    }
    index.resize(index.len().next_multiple_of(UNIT), 0);
    let sum = crc32(&index);
    index.extend_from_slice(&sum);
    let mut footer = ((index.len() / UNIT - 1) as u32).to_le_bytes().to_vec();
    footer.extend_from_slice(&FLAGS);
    file.extend_from_slice(&index);
    file.extend_from_slice(&crc32(&footer));
    file.extend_from_slice(&footer);
    file.extend_from_slice(&FOOTER_MAGIC);
}

fn crc32(bytes: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum().to_le_bytes()
}

/// That of ECMA-182, reflected.
fn crc64(bytes: &[u8]) -> u64 {
    const TABLE: [u64; 256] = table();
    !bytes.iter().fold(u64::MAX, |crc, byte| TABLE[usize::from(crc as u8 ^ *byte)] ^ (crc >> 8))
}

const fn table() -> [u64; 256] {
    const POLYNOMIAL: u64 = 0xc96c_5795_d787_0f42;
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_definition() {
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926_u32.to_le_bytes());
    }
}
