//! Superblocks, parts and patches.

use osier::delta_format::SUPERBLOCK_TYPE;

use super::{Plain, Random, blindly, of_type};

const PAYLOAD_TYPE: &str = "(a(uuu)aa(ayay)ayay)";
const OBJECT: usize = 33;
/// The size of the new file, and the three numbers of a record.
const NUMBER: usize = 8;
/// What is the last, the first or the middle of something.
const LIMITS: [u64; 14] = [
    0,
    1,
    8,
    25,
    26,
    27,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 62,
    i64::MAX as u64,
    1 << 63,
    1 << 63 | 1,
    u64::MAX,
];

/// A superblock as a value, or a signed one blindly.
pub fn delta_superblock(
    bytes: &[u8],
    most: usize,
    random: &mut Random,
    plain: Plain<'_>,
) -> Vec<u8> {
    of_type(SUPERBLOCK_TYPE, bytes, most, random, plain)
}

/// What the target `delta_part` takes: the payload as a value, if it is not compressed.
pub fn delta_part(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    let head = bytes.first().map_or(0, |count| 1 + OBJECT * usize::from(*count));
    match bytes.split_at_checked(head) {
        Some((head, [0, payload @ ..])) if !random.one_in(4) => {
            let most = most.saturating_sub(head.len() + 1);
            let payload = of_type(PAYLOAD_TYPE, payload, most, random, plain);
            [head, &[0], &payload].concat()
        }
        _ => blindly(bytes, most, plain),
    }
}

/// A patch: one of its numbers, or the size of the new file put right, or blindly.
pub fn bspatch(bytes: &[u8], most: usize, random: &mut Random, plain: Plain<'_>) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    let places = numbers(bytes);
    match random.below(4) {
        0 => {
            let limit = LIMITS[random.below(LIMITS.len())].wrapping_add(random.below(3) as u64);
            put(&mut mutated, places[random.below(places.len())], limit);
        }
        1 => {
            let place = places[random.below(places.len())];
            put(&mut mutated, place, random.below(64) as u64);
        }
        _ => mutated = blindly(bytes, most, plain),
    }
    if random.one_in(2) {
        let made = made(&mutated);
        put(&mut mutated, 0, made);
    }
    mutated.truncate(most);
    mutated
}

fn put(bytes: &mut [u8], place: usize, number: u64) {
    if let Some(bytes) = bytes.get_mut(place..place + NUMBER) {
        bytes.copy_from_slice(&number.to_le_bytes());
    }
}

fn number(bytes: &[u8], place: usize) -> Option<u64> {
    let bytes = bytes.get(place..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}

/// Where the numbers of a patch are, with the size of the new file before it.
fn numbers(bytes: &[u8]) -> Vec<usize> {
    let mut places = vec![0];
    each_record(bytes, |place, _| places.extend([place, place + NUMBER, place + 2 * NUMBER]));
    places
}

/// How many bytes the records of a patch make.
fn made(bytes: &[u8]) -> u64 {
    let mut made = 0;
    each_record(bytes, |_, length| made += length);
    made
}

fn each_record(bytes: &[u8], mut record: impl FnMut(usize, u64)) {
    let mut place = NUMBER;
    while let (Some(diff), Some(extra)) = (number(bytes, place), number(bytes, place + NUMBER)) {
        let Some(length) = diff.checked_add(extra).filter(|length| *length < 1 << 31) else {
            return;
        };
        record(place, length);
        place += 3 * NUMBER + length as usize;
    }
}
