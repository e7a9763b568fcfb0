//! Checksums of tar's and xz's headers.

const BLOCK: usize = 512;

/// Puts right what a changed archive has as checksums, as far as its headers can be found.
pub fn put_right(archive: &mut [u8]) {
    if archive.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        put_xz_right(archive);
    } else if archive.get(257..262) == Some(b"ustar") {
        put_tar_right(archive);
    }
}

/// Goes from header to header by the sizes that they state.
fn put_tar_right(archive: &mut [u8]) {
    let mut at = 0;
    while let Some(block) = archive.get_mut(at..at + BLOCK) {
        if block.iter().all(|&byte| byte == 0) {
            at += BLOCK;
            continue;
        }
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        let size = size_in(&block[124..136]).min(archive.len());
        at += BLOCK + size.next_multiple_of(BLOCK);
    }
}

/// A number of octal digits, or of base 256 behind a byte with the highest bit set.
fn size_in(field: &[u8]) -> usize {
    let number = |base: usize, digits: &mut dyn Iterator<Item = u8>| {
        digits.fold(0, |size: usize, digit| size.saturating_mul(base).saturating_add(digit.into()))
    };
    if field[0] & 0x80 != 0 {
        return number(256, &mut field[1..].iter().copied());
    }
    let digits = field.iter().skip_while(|&&byte| byte == b' ').take_while(|byte| (b'0'..b'8').contains(byte));
    number(8, &mut digits.map(|digit| digit - b'0'))
}

/// The flags of the stream, and the header of its first block.
fn put_xz_right(archive: &mut [u8]) {
    put_sum(archive, 6, 8);
    if let Some(&length) = archive.get(12) {
        put_sum(archive, 12, 12 + usize::from(length) * 4);
    }
}

/// Writes the CRC of a range behind it.
fn put_sum(archive: &mut [u8], start: usize, end: usize) {
    if let Some(sum) = archive.get(start..end).map(crc32)
        && let Some(place) = archive.get_mut(end..end + 4)
    {
        place.copy_from_slice(&sum.to_le_bytes());
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { sum >> 1 ^ 0xedb8_8320 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum, &byte| (0..8).fold(sum ^ u32::from(byte), |sum, _| step(sum)))
}
