//! Rollsum: finds the blocks that two files share. Chunk boundaries follow from the content, so
//! they move with it.
//!
//! Upstream labels a chunk with a CRC not of its own bytes but of as many bytes at the beginning of
//! the file. So chunks can only be equal if both files begin with the same bytes; which files are
//! taken depends on it, so it is kept.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};

/// The window of the rolling sum, in bytes.
const WINDOW: usize = 64;
/// What the sums gain from each byte that is in the window.
const BYTE_OFFSET: u32 = 31;
const FIRST_S1: u32 = WINDOW as u32 * BYTE_OFFSET;
const FIRST_S2: u32 = FIRST_S1 * (WINDOW as u32 - 1);
/// The low bits of the second sum that are all set where a chunk ends.
const BOUNDARY: u32 = (1 << 13) - 1;
/// The longest chunk, in bytes.
const MAX_CHUNK: usize = 32 << 10;
/// How far a boundary is looked for, in bytes.
const MAX_SEARCH: usize = i32::MAX as usize;
/// The part of the new chunks that must be in the old file, in percent.
const MIN_PERCENT: usize = 50;

/// A block of the new file that is in the old file too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) new_offset: u64,
    pub(super) old_offset: u64,
    pub(super) length: u64,
}

/// What two files share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Matches {
    /// In the order of the new file.
    pub(super) matches: Vec<Match>,
    /// Different labels in the new file that are in the old file too.
    pub(super) shared_labels: usize,
    /// Chunks of the new file.
    pub(super) chunks: usize,
}

impl Matches {
    /// Whether they are worth a delta, which is a decision of upstream's.
    pub(super) fn suffice(&self) -> bool {
        let percent = (self.matches.len() * 100).checked_div(self.chunks);
        percent.is_some_and(|percent| percent >= MIN_PERCENT)
    }

    /// The bytes of the new file that are in the old one.
    pub(super) fn bytes(&self) -> u64 {
        self.matches.iter().map(|found| found.length).sum()
    }
}

/// Compares two files.
pub(super) fn matches(old: &[u8], new: &[u8]) -> Matches {
    let (old_chunks, new_chunks) = (chunk_lengths(old), chunk_lengths(new));
    let old_labels = labels(old, &old_chunks);
    let new_labels = labels(new, &new_chunks);
    // The first of equal chunks counts.
    let mut known = HashMap::<(u32, usize, u64), Vec<usize>>::new();
    let mut offset = 0;
    for (label, length) in old_labels.iter().zip(&old_chunks) {
        let bytes = &old[offset..offset + length];
        let same = known.entry((*label, *length, hash(bytes))).or_default();
        if !same.iter().any(|start| old[*start..*start + length] == *bytes) {
            same.push(offset);
        }
        offset += length;
    }
    let in_old: HashSet<u32> = old_labels.into_iter().collect();
    let shared: HashSet<u32> =
        new_labels.iter().copied().filter(|label| in_old.contains(label)).collect();
    let mut matches = Vec::new();
    let mut offset = 0;
    for (label, length) in new_labels.iter().zip(&new_chunks) {
        let bytes = &new[offset..offset + length];
        if shared.contains(label)
            && let Some(same) = known.get(&(*label, *length, hash(bytes)))
            && let Some(start) = same.iter().find(|start| old[**start..**start + length] == *bytes)
        {
            let (new_offset, old_offset) = (offset as u64, *start as u64);
            matches.push(Match { new_offset, old_offset, length: *length as u64 });
        }
        offset += length;
    }
    Matches { matches, shared_labels: shared.len(), chunks: new_chunks.len() }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The CRC-32 of the first bytes of the file, for each length of a chunk.
fn labels(bytes: &[u8], lengths: &[usize]) -> Vec<u32> {
    let mut sorted: Vec<usize> = lengths.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let mut crc = flate2::Crc::new();
    let mut of_length = HashMap::with_capacity(sorted.len());
    let mut done = 0;
    for length in sorted {
        crc.update(&bytes[done..length]);
        done = length;
        of_length.insert(length, crc.sum());
    }
    lengths.iter().map(|length| of_length.get(length).copied().unwrap_or_default()).collect()
}

/// The two sums over a window.
#[derive(Clone, Copy)]
struct Sums {
    s1: u32,
    s2: u32,
}

impl Sums {
    /// Those of a window of zeros.
    const START: Self = Self { s1: FIRST_S1, s2: FIRST_S2 };

    fn roll(&mut self, added: u8, dropped: u8) {
        let (added, dropped) = (u32::from(added), u32::from(dropped));
        self.s1 = self.s1.wrapping_add(added).wrapping_sub(dropped);
        let lost = (dropped + BYTE_OFFSET).wrapping_mul(WINDOW as u32);
        self.s2 = self.s2.wrapping_add(self.s1).wrapping_sub(lost);
    }

    fn is_boundary(self) -> bool {
        self.s2 & BOUNDARY == BOUNDARY
    }
}

/// The lengths of the chunks of a file.
///
/// From the 64th byte of a chunk on, whether it ends does not depend on where it began. So those
/// ends are looked for once, by one scan, and only the first bytes of each chunk are summed again.
fn chunk_lengths(bytes: &[u8]) -> Vec<usize> {
    let mut lengths = Vec::new();
    let mut scan = Scan { bytes, position: 0, sums: Sums::START, found: None };
    let mut start = 0;
    while start < bytes.len() {
        let end = bytes.len().min(start + MAX_SEARCH);
        let boundary = early_boundary(&bytes[start..end])
            .map(|length| start + length)
            .or_else(|| scan.next_from(start + WINDOW, end));
        match boundary {
            Some(boundary) => {
                let length = (boundary - start).min(MAX_CHUNK);
                lengths.push(length);
                start += length;
            }
            None => {
                while start < bytes.len() {
                    let length = (bytes.len() - start).min(MAX_CHUNK);
                    lengths.push(length);
                    start += length;
                }
            }
        }
    }
    lengths
}

/// Where a chunk ends, if it is shorter than the window.
fn early_boundary(bytes: &[u8]) -> Option<usize> {
    let mut sums = Sums::START;
    let early = bytes.iter().take(WINDOW - 1);
    early.enumerate().find_map(|(index, byte)| {
        sums.roll(*byte, 0);
        sums.is_boundary().then_some(index + 1)
    })
}

/// Finds all boundaries whose window lies in the file, in one go.
struct Scan<'b> {
    bytes: &'b [u8],
    /// The end of the window.
    position: usize,
    sums: Sums,
    /// The last boundary that was found, if it has not been passed.
    found: Option<usize>,
}

impl Scan<'_> {
    /// The first boundary at or after `from`, not after `end`. Positions only grow.
    fn next_from(&mut self, from: usize, end: usize) -> Option<usize> {
        if let Some(found) = self.found.filter(|found| *found >= from) {
            return (found <= end).then_some(found);
        }
        self.found = None;
        while self.position < self.bytes.len() {
            let added = self.bytes[self.position];
            let dropped = self.position.checked_sub(WINDOW).map_or(0, |at| self.bytes[at]);
            self.sums.roll(added, dropped);
            self.position += 1;
            if self.position >= from && self.sums.is_boundary() {
                self.found = Some(self.position);
                break;
            }
        }
        self.found.filter(|found| *found <= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition as it is written, which takes quadratic time.
    fn defined(bytes: &[u8]) -> Vec<usize> {
        let mut lengths = Vec::new();
        let mut start = 0;
        while start < bytes.len() {
            let (mut s1, mut s2) = (1984u32, 124_992u32);
            let mut window = [0u8; 64];
            let boundary = bytes[start..].iter().enumerate().position(|(index, byte)| {
                let dropped = std::mem::replace(&mut window[index % 64], *byte);
                s1 = s1.wrapping_add(u32::from(*byte)).wrapping_sub(u32::from(dropped));
                s2 = s2.wrapping_add(s1).wrapping_sub(64 * (u32::from(dropped) + 31));
                s2 & 8191 == 8191
            });
            match boundary {
                Some(index) => {
                    lengths.push((index + 1).min(32_768));
                    start += (index + 1).min(32_768);
                }
                None => {
                    lengths.extend(bytes[start..].chunks(32_768).map(<[u8]>::len));
                    break;
                }
            }
        }
        lengths
    }

    /// Bytes of a linear congruential generator.
    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn chunks_are_those_of_the_definition() {
        let mixed = [noise(1, 70_000), vec![0; 200_000], noise(2, 50_000), vec![7; 90_000]];
        let periodic: Vec<u8> = (0..300_000u32).map(|index| (index % 97) as u8).collect();
        let cases = [
            Vec::new(),
            vec![1],
            noise(3, 63),
            noise(4, 65),
            noise(5, 400_000),
            vec![0; 100_000],
            vec![255; 100_000],
            periodic,
            mixed.concat(),
            [vec![0; 100_000], noise(6, 20_000)].concat(),
        ];
        for bytes in cases {
            let lengths = chunk_lengths(&bytes);
            assert_eq!(lengths, defined(&bytes), "{} bytes", bytes.len());
            assert_eq!(lengths.iter().sum::<usize>(), bytes.len());
        }
    }

    #[test]
    fn files_share_chunks_only_if_they_begin_with_the_same_bytes() {
        let old = noise(7, 200_000);
        let mut new = old.clone();
        new[100_000] ^= 1;
        let found = matches(&old, &new);
        assert!(found.suffice());
        assert_eq!(found.matches.len(), found.chunks - 1);
        assert_eq!(found.shared_labels, found.chunks);
        let first = Match { new_offset: 0, old_offset: 0, length: chunk_lengths(&old)[0] as u64 };
        assert_eq!(found.matches[0], first);
        assert!(found.bytes() < 200_000 && found.bytes() > 160_000);
        new[0] ^= 1;
        let found = matches(&old, &new);
        assert_eq!((found.matches.len(), found.shared_labels), (0, 0));
        assert!(!found.suffice());
    }

    #[test]
    fn the_first_of_equal_chunks_is_taken() {
        let old = vec![0; 100_000];
        let found = matches(&old, &vec![0; 70_000]);
        let offsets: Vec<_> =
            found.matches.iter().map(|one| (one.new_offset, one.old_offset, one.length)).collect();
        assert_eq!(offsets, [(0, 0, 32_768), (32_768, 0, 32_768)]);
        assert_eq!((found.shared_labels, found.chunks), (1, 3));
    }

    #[test]
    fn half_of_the_chunks_suffice() {
        let with = |count: usize, chunks| Matches {
            matches: vec![Match { new_offset: 0, old_offset: 0, length: 1 }; count],
            shared_labels: 0,
            chunks,
        };
        assert!(with(1, 2).suffice() && with(1, 1).suffice() && with(50, 100).suffice());
        assert!(!with(49, 100).suffice() && !with(1, 3).suffice() && !with(0, 0).suffice());
    }
}
