//! The number, the order and the checksum of a stat cache's records.

use osier::Checksum;

use super::Random;

const HEADER_LEN: usize = 32;
const RECORD_LEN: usize = 104;
const KEY_LEN: usize = 32;
/// Bytes of the checksum behind the records.
pub const CHECKSUM_LEN: usize = 32;
/// Where the number of records stands.
const NUMBER: std::ops::Range<usize> = 24..32;

/// Takes the checksum away; what is left can be changed.
pub fn body(cache: &[u8]) -> Vec<u8> {
    cache[..cache.len().saturating_sub(CHECKSUM_LEN)].to_vec()
}

/// Adds, moves or takes away a record now and then, and puts them in order again, mostly.
pub fn put_right(body: &mut Vec<u8>, most: usize, random: &mut Random) {
    let Some(records) = body.get(HEADER_LEN..) else { return };
    let mut records: Vec<Vec<u8>> = records.chunks_exact(RECORD_LEN).map(<[u8]>::to_vec).collect();
    let place = random.below(records.len());
    match random.below(6) {
        0 if place < records.len() => drop(records.remove(place)),
        1 if place < records.len() => {
            let mut twin = records[place].clone();
            // Its neighbour in the order: the next inode, or another recipe.
            let byte = if random.one_in(2) { 15 } else { 16 + random.below(16) };
            twin[byte] = twin[byte].wrapping_add(1);
            records.push(twin);
        }
        2 => records.push((0..RECORD_LEN).map(|_| random.below(256) as u8).collect()),
        _ => {}
    }
    if !random.one_in(8) {
        records.sort();
        records.dedup_by(|next, one| next[..KEY_LEN] == one[..KEY_LEN]);
    }
    records.truncate(most.saturating_sub(HEADER_LEN + CHECKSUM_LEN) / RECORD_LEN);
    body.truncate(HEADER_LEN);
    body[NUMBER].copy_from_slice(&(records.len() as u64).to_be_bytes());
    records.iter().for_each(|record| body.extend_from_slice(record));
}

/// Writes the checksum behind it.
pub fn seal(body: &mut Vec<u8>) {
    let checksum = Checksum::of(body);
    body.extend_from_slice(checksum.as_bytes());
}
