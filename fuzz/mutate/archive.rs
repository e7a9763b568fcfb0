//! Checksums of tar's and xz's headers; what is put before the entries of a tar.

use super::Random;

const BLOCK: usize = 512;

/// Puts right what a changed archive has as checksums, as far as its headers can be found.
pub fn put_right(archive: &mut [u8]) {
    if archive.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]) {
        put_xz_right(archive);
    } else if archive.get(257..262) == Some(b"ustar") {
        put_tar_right(archive);
    }
}

/// Puts before the first entry of a tar what its header has no room for: an xattr, a target or a
/// deep path.
pub fn extend(archive: &mut Vec<u8>, most: usize, random: &mut Random) {
    if archive.get(257..262) != Some(b"ustar") {
        return;
    }
    let (flag, content) = match random.below(4) {
        0 => (b'x', record(random)),
        1 => (b'K', vec![b't'; 1 + random.below(600)]),
        2 => (b'L', b"d/".repeat(1 + random.below(600))),
        _ => (b'x', (0..2 + random.below(9)).flat_map(|_| record(random)).collect()),
    };
    let mut entry = archive[..BLOCK].to_vec();
    entry[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    entry[156] = flag;
    entry.extend_from_slice(&content);
    entry.resize(entry.len().next_multiple_of(BLOCK), 0);
    if entry.len() + archive.len() <= most {
        archive.splice(..0, entry);
    }
}

/// A record of PAX with an xattr in one of its spellings, or with a path.
pub fn record(random: &mut Random) -> Vec<u8> {
    let keywords = [
        "SCHILY.xattr.user.",
        "LIBARCHIVE.xattr.user.%0",
        "LIBARCHIVE.xattr.%",
        "RHT.security.selinux",
        "path",
        "linkpath",
    ];
    let mut keyword = keywords[random.below(keywords.len())].as_bytes().to_vec();
    keyword.extend((0..random.below(3)).map(|_| b"ab0%\0"[random.below(5)]));
    let most = if random.one_in(4) { 400 } else { 8 };
    let length = random.below(most);
    let value: Vec<u8> = (0..length).map(|_| b"d/=\n\0MQ"[random.below(7)]).collect();
    let body = [b" ", &keyword[..], b"=", &value, b"\n"].concat();
    let mut size = body.len();
    while size.to_string().len() + body.len() != size {
        size = size.to_string().len() + body.len();
    }
    [size.to_string().as_bytes(), &body].concat()
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
    let digits = field
        .iter()
        .skip_while(|&&byte| byte == b' ')
        .take_while(|byte| (b'0'..b'8').contains(byte));
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
