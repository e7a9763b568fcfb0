//! Patches by bsdiff: what is like something in the old file becomes a difference to it, which
//! compresses well; the rest stays as it is.
//!
//! The same files give the same patch as with upstream's bsdiff.

use std::collections::VecDeque;

use crate::delta_format::put_difference;

/// How many more bytes than the current alignment a match must have to become the next one.
const GAIN: usize = 8;

/// What sorting takes besides the suffix array, in bytes: a number for each two letters.
const BUCKETS: u64 = 1 << 19;

/// The longest files that can be compared, in bytes: a patch cannot express longer pieces.
pub(super) const MAX_SIZE: u64 = i32::MAX as u64;

/// The bytes of memory that [`diff`] takes for files of these sizes, with the files themselves.
pub(super) fn memory(old: u64, new: u64) -> u64 {
    // The file and its suffix array, and the buckets of sorting; the file and its patch.
    old.saturating_mul(5).saturating_add(new.saturating_mul(2)).saturating_add(BUCKETS)
}

/// The patch from an old file to a new one, both of at most [`MAX_SIZE`] bytes.
pub(super) fn diff(old: &[u8], new: &[u8]) -> Vec<u8> {
    let suffixes = suffix_array(old);
    let index = Index::new(old, &suffixes);
    let last = Aligned { new: 0, old: 0 };
    let mut scan = Scan { old, new, position: 0, found: Match::default(), last };
    let mut patch = Vec::new();
    while scan.position < new.len() {
        if let Some(next) = scan.next_alignment(&index) {
            scan.last = scan.put_record(next, &mut patch);
        }
    }
    patch
}

/// The starts of all suffixes of a text in their order, the empty suffix first. The text must have
/// at most [`MAX_SIZE`] bytes.
fn suffix_array(text: &[u8]) -> Vec<i32> {
    let mut array = vec![0; text.len() + 1];
    array[0] = text.len() as i32;
    divsufsort::sort_in_place(text, &mut array[1..]);
    array
}

/// A position in the new file, and the one in the old file that belongs to it.
#[derive(Clone, Copy, Debug)]
struct Aligned {
    new: usize,
    old: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Match {
    old: usize,
    length: usize,
}

struct Scan<'b> {
    old: &'b [u8],
    new: &'b [u8],
    /// How far the new file has been looked at.
    position: usize,
    /// The last match, which begins there.
    found: Match,
    /// The current alignment, from where on nothing has been written.
    last: Aligned,
}

impl Scan<'_> {
    /// Whether the byte at `position` is the one that the current alignment has.
    fn agrees(&self, position: usize) -> bool {
        self.old.get(position - self.last.new + self.last.old) == Some(&self.new[position])
    }

    /// Goes on to a match that is better than the current alignment, or to the end of the file, and
    /// returns it; `None` when it was a match that the alignment has as well.
    fn next_alignment(&mut self, index: &Index<'_>) -> Option<Aligned> {
        self.position += self.found.length;
        let mut counted = self.position;
        // Bytes of the match that the current alignment has too.
        let mut agreeing = 0;
        let mut found = self.found;
        while self.position < self.new.len() {
            found = index.longest_match(&self.new[self.position..]);
            while counted < self.position + found.length {
                agreeing += usize::from(self.agrees(counted));
                counted += 1;
            }
            let is_same = found.length == agreeing && found.length > 0;
            if is_same || found.length > agreeing + GAIN {
                break;
            }
            agreeing -= usize::from(self.agrees(self.position));
            self.position += 1;
        }
        self.found = found;
        let is_next = found.length != agreeing || self.position >= self.new.len();
        is_next.then_some(Aligned { new: self.position, old: found.old })
    }

    /// Writes what lies between the current alignment and the next one, and returns where the next
    /// one begins.
    fn put_record(&self, next: Aligned, patch: &mut Vec<u8>) -> Aligned {
        let Self { old, new, last, .. } = *self;
        let mut forward = extent((last.new..next.new).zip(last.old..old.len()), old, new);
        let mut backward = 0;
        if next.new < new.len() {
            let places = (last.new..next.new).rev().zip((0..next.old).rev());
            backward = extent(places, old, new);
        }
        // Where both would reach, the better one counts.
        let overlap = (last.new + forward).saturating_sub(next.new - backward);
        if overlap > 0 {
            let first =
                Aligned { new: last.new + forward - overlap, old: last.old + forward - overlap };
            let second = next.old - backward;
            let (mut score, mut best, mut kept) = (0i64, 0, 0);
            for index in 0..overlap {
                let byte = new[first.new + index];
                score += i64::from(byte == old[first.old + index]);
                score -= i64::from(byte == old[second + index]);
                if score > best {
                    (best, kept) = (score, index + 1);
                }
            }
            forward = forward - overlap + kept;
            backward -= kept;
        }
        let start = Aligned { new: next.new - backward, old: next.old - backward };
        let (old_end, new_end) = (last.old + forward, last.new + forward);
        put_difference(
            patch,
            &new[last.new..new_end],
            &old[last.old..old_end],
            &new[new_end..start.new],
            start.old as i64 - old_end as i64,
        );
        start
    }
}

/// How many of these pairs of places are worth being in one piece: where the number of equal bytes
/// exceeds that of others most.
fn extent(places: impl Iterator<Item = (usize, usize)>, old: &[u8], new: &[u8]) -> usize {
    let (mut equal, mut best, mut length) = (0i64, 0, 0);
    for (index, (at_new, at_old)) in places.enumerate() {
        equal += i64::from(old[at_old] == new[at_new]);
        let score = equal * 2 - (index as i64 + 1);
        if score > best {
            (best, length) = (score, index + 1);
        }
    }
    length
}

/// Finds bytes in the old file.
struct Index<'b> {
    old: &'b [u8],
    suffixes: &'b [i32],
    /// How the suffixes begin that a binary search looks at in its first steps: that in the middle,
    /// the two of the next step, the four after them, and so on. The suffixes themselves are all
    /// over the memory.
    beginnings: Vec<u64>,
}

/// How many bytes of a suffix are a beginning.
const BEGINNING: usize = 8;
/// Stands for the beginning of a suffix that is too short. One of zeros is looked at, too.
const UNKNOWN: u64 = 0;
/// How many steps have beginnings: as many as stay in the cache of a processor.
const MAX_STEPS: u32 = 16;

/// The first bytes as a number, in the order of bytes; `None` if there are too few.
fn beginning(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk::<BEGINNING>().map(|first| u64::from_be_bytes(*first))
}

impl<'b> Index<'b> {
    fn new(old: &'b [u8], suffixes: &'b [i32]) -> Self {
        // The last steps are near to each other.
        let steps = suffixes.len().ilog2().saturating_sub(4).min(MAX_STEPS);
        let mut index = Self { old, suffixes, beginnings: vec![0; (1 << steps) - 1] };
        let mut ranges = VecDeque::from([(0, suffixes.len() - 1)]);
        for number in 0..index.beginnings.len() {
            let Some((low, high)) = ranges.pop_front() else { break };
            let middle = low + (high - low) / 2;
            index.beginnings[number] = beginning(index.suffix(middle)).unwrap_or(UNKNOWN);
            ranges.extend([(low, middle), (middle, high)]);
        }
        index
    }

    /// The longest beginning of `wanted` in the old file, as far as a binary search finds it.
    ///
    /// A suffix that is itself a beginning of `wanted` counts as greater, though it is less: such
    /// a match may be missed, as it is upstream.
    fn longest_match(&self, wanted: &[u8]) -> Match {
        let (mut low, mut high) = (0, self.suffixes.len() - 1);
        // What the suffixes at both ends have in common with `wanted`, as far as that is known. All
        // suffixes between them have the lesser of the two.
        let (mut low_common, mut high_common) = (0, 0);
        let first = beginning(wanted);
        let mut step = 0;
        while high - low >= 2 {
            let middle = low + (high - low) / 2;
            let (common, is_less) = match (first, self.beginnings.get(step)) {
                (Some(first), Some(found)) if *found != UNKNOWN && first != *found => {
                    ((first ^ found).leading_zeros() as usize / 8, *found < first)
                }
                _ => self.compare(middle, wanted, low_common.min(high_common)),
            };
            step = step * 2 + 1 + usize::from(is_less);
            match is_less {
                true => (low, low_common) = (middle, common),
                false => (high, high_common) = (middle, common),
            }
        }
        let (at_low, at_high) = (self.suffix(low), self.suffix(high));
        let low_length = common_length(at_low, wanted);
        let high_length = common_length(at_high, wanted);
        match low_length > high_length {
            true => Match { old: self.old.len() - at_low.len(), length: low_length },
            false => Match { old: self.old.len() - at_high.len(), length: high_length },
        }
    }

    /// How many bytes a suffix and `wanted` have in common (some are known), and whether the
    /// suffix is less.
    fn compare(&self, place: usize, wanted: &[u8], known: usize) -> (usize, bool) {
        let suffix = self.suffix(place);
        let common = known + common_length(&suffix[known..], &wanted[known..]);
        let is_less = common < suffix.len().min(wanted.len()) && suffix[common] < wanted[common];
        (common, is_less)
    }

    fn suffix(&self, place: usize) -> &[u8] {
        &self.old[self.suffixes[place] as usize..]
    }
}

/// How many bytes two texts begin with that are the same.
fn common_length(one: &[u8], other: &[u8]) -> usize {
    const WORD: usize = 8;
    let (words, others) = (one.chunks_exact(WORD), other.chunks_exact(WORD));
    let equal = words.zip(others).take_while(|(word, other)| word == other).count() * WORD;
    let rest = one[equal..].iter().zip(&other[equal..]);
    equal + rest.take_while(|(byte, other)| byte == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delta_format::{Patch, PatchRecord};

    fn applied(old: &[u8], patch: &[u8], size: usize) -> Vec<u8> {
        let mut new = Vec::new();
        for record in Patch::new(patch, size as u64) {
            let PatchRecord { old_position, diff, extra } = record.unwrap();
            for (index, byte) in diff.iter().enumerate() {
                let at = usize::try_from(old_position + index as i64).ok();
                let old = at.and_then(|at| old.get(at)).copied().unwrap_or_default();
                new.push(byte.wrapping_add(old));
            }
            new.extend_from_slice(extra);
        }
        new
    }

    /// Numbers of a linear congruential generator.
    fn dice(seed: u32) -> impl FnMut(usize) -> usize {
        let mut state = seed;
        move |sides| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % sides
        }
    }

    /// Pairs of files, the new one made of pieces of the old one with changes.
    fn pairs() -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut pairs = vec![
            (Vec::new(), b"new".to_vec()),
            (b"old".to_vec(), Vec::new()),
            (b"same".to_vec(), b"same".to_vec()),
            (vec![0; 5000], vec![0; 6000]),
            (b"abcabcabcabd".repeat(40), b"abcabd".repeat(70)),
        ];
        for seed in 0..60 {
            let mut roll = dice(seed);
            let letters = [2, 4, 30, 256][roll(4)];
            let length = 1 + roll(3000);
            let old: Vec<u8> = (0..length).map(|_| roll(letters) as u8).collect();
            let mut new = Vec::new();
            for _ in 0..1 + roll(12) {
                let start = roll(old.len());
                let end = start + roll(old.len() - start + 1);
                new.extend_from_slice(&old[start..end]);
                for _ in 0..roll(20) {
                    let at = roll(new.len() + 1);
                    match new.get_mut(at) {
                        Some(byte) => *byte = roll(256) as u8,
                        None => new.push(roll(256) as u8),
                    }
                }
            }
            pairs.push((old, new));
        }
        pairs
    }

    #[test]
    fn suffixes_are_sorted() {
        let texts = ["", "a", "aa", "ba", "mississippi", "abracadabra", "\0\u{7f}\0\u{7f}\0"];
        let mut texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        texts.extend([vec![0; 3000], vec![255; 3000], b"abcabcabd".repeat(300)]);
        texts.extend(pairs().into_iter().map(|(old, _)| old));
        for text in texts {
            let mut sorted: Vec<i32> = (0..=text.len() as i32).collect();
            sorted.sort_by_key(|start| &text[*start as usize..]);
            assert!(suffix_array(&text) == sorted, "{} bytes", text.len());
        }
    }

    #[test]
    fn patches_give_the_new_file() {
        for (old, new) in pairs() {
            let patch = diff(&old, &new);
            assert!(applied(&old, &patch, new.len()) == new, "{} to {}", old.len(), new.len());
        }
    }

    #[test]
    fn patches_are_those_of_the_bsdiff_that_upstream_has() {
        for (old, new) in pairs() {
            let mut expected = Vec::new();
            bsdiff::diff(&old, &new, &mut expected).unwrap();
            let patch = diff(&old, &new);
            assert!(patch == expected, "{} to {}", old.len(), new.len());
        }
    }

    #[test]
    fn few_changes_make_a_small_difference() {
        let mut roll = dice(1);
        let old: Vec<u8> = (0..100_000).map(|_| roll(256) as u8).collect();
        let mut new = old.clone();
        (0..50).for_each(|_| new[roll(100_000)] ^= 0x55);
        let patch = diff(&old, &new);
        let changed = patch.iter().filter(|byte| **byte != 0).count();
        assert!(changed < 120, "{changed} bytes are not zero");
    }
}
