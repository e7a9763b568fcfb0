//! Suffix arrays by induced sorting (SA-IS, Nong, Zhang and Chan 2009): linear time, four bytes of
//! memory for each byte of text and little more.
//!
//! Types are as in the paper: a suffix is S if it is less than the one after it, else L; an LMS
//! suffix is an S behind an L. Sorted LMS suffixes are enough to place all others by two scans.

/// An entry that has no suffix yet.
const EMPTY: u32 = u32::MAX;

/// The starts of all suffixes of a text in their order, the empty suffix first. The text must be
/// shorter than 4 GiB.
pub(super) fn suffix_array(text: &[u8]) -> Vec<u32> {
    let mut array = vec![EMPTY; text.len() + 1];
    array[0] = text.len() as u32;
    sort(text, 256, &mut array[1..]);
    array
}

/// A letter of a text.
trait Letter: Copy + Ord {
    fn index(self) -> usize;
}

impl Letter for u8 {
    fn index(self) -> usize {
        usize::from(self)
    }
}

impl Letter for u32 {
    fn index(self) -> usize {
        self as usize
    }
}

/// Which suffixes are S.
struct Types(Vec<u64>);

impl Types {
    fn of<L: Letter>(text: &[L]) -> Self {
        let mut types = Self(vec![0; text.len().div_ceil(64)]);
        // The empty suffix is the least, so the last one is L.
        let mut is_s = false;
        for index in (0..text.len().saturating_sub(1)).rev() {
            is_s = match text[index].cmp(&text[index + 1]) {
                std::cmp::Ordering::Less => true,
                std::cmp::Ordering::Greater => false,
                std::cmp::Ordering::Equal => is_s,
            };
            types.0[index / 64] |= u64::from(is_s) << (index % 64);
        }
        types
    }

    fn is_s(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn is_lms(&self, index: usize) -> bool {
        index > 0 && self.is_s(index) && !self.is_s(index - 1)
    }
}

/// Where the suffixes with each first letter begin and end.
struct Buckets {
    counts: Vec<u32>,
}

impl Buckets {
    fn of<L: Letter>(text: &[L], letters: usize) -> Self {
        let mut counts = vec![0; letters];
        text.iter().for_each(|letter| counts[letter.index()] += 1);
        Self { counts }
    }

    fn starts(&self) -> Vec<u32> {
        let mut sum = 0;
        let start = |count: &u32| {
            sum += count;
            sum - count
        };
        self.counts.iter().map(start).collect()
    }

    fn ends(&self) -> Vec<u32> {
        let mut sum = 0;
        let end = |count: &u32| {
            sum += count;
            sum
        };
        self.counts.iter().map(end).collect()
    }
}

/// Sorts the suffixes of a text whose letters are below `letters`.
fn sort<L: Letter>(text: &[L], letters: usize, array: &mut [u32]) {
    if text.len() < 2 {
        array.fill(0);
        return;
    }
    let types = Types::of(text);
    let buckets = Buckets::of(text, letters);
    // First all LMS suffixes at the ends of their buckets in any order: inducing sorts their
    // beginnings up to the next one.
    array.fill(EMPTY);
    let mut ends = buckets.ends();
    for index in (1..text.len()).rev().filter(|index| types.is_lms(*index)) {
        let end = &mut ends[text[index].index()];
        *end -= 1;
        array[*end as usize] = index as u32;
    }
    induce(text, &types, &buckets, array);
    let count = name_lms(text, &types, array);
    let (sorted, rest) = array.split_at_mut(count.lms);
    let names_start = rest.len() - count.lms;
    if count.names < count.lms {
        // Some are equal that far: the order of the LMS suffixes is that of the suffixes of the
        // text of their names.
        let names = rest[names_start..].to_vec();
        sort(&names, count.names, sorted);
    } else {
        for (index, name) in rest[names_start..].iter().enumerate() {
            sorted[*name as usize] = index as u32;
        }
    }
    let positions = &mut rest[names_start..];
    let lms = (1..text.len()).filter(|index| types.is_lms(*index));
    positions.iter_mut().zip(lms).for_each(|(place, index)| *place = index as u32);
    sorted.iter_mut().for_each(|entry| *entry = positions[*entry as usize]);
    // Now in their order.
    array[count.lms..].fill(EMPTY);
    let mut ends = buckets.ends();
    for place in (0..count.lms).rev() {
        let index = std::mem::replace(&mut array[place], EMPTY);
        let end = &mut ends[text[index as usize].index()];
        *end -= 1;
        array[*end as usize] = index;
    }
    induce(text, &types, &buckets, array);
}

/// Places the L suffixes by the LMS ones and then the S suffixes by the L ones.
fn induce<L: Letter>(text: &[L], types: &Types, buckets: &Buckets, array: &mut [u32]) {
    let mut starts = buckets.starts();
    let mut place_l = |array: &mut [u32], index: usize| {
        let start = &mut starts[text[index].index()];
        array[*start as usize] = index as u32;
        *start += 1;
    };
    // The empty suffix comes first and is preceded by the last letter.
    place_l(array, text.len() - 1);
    for place in 0..array.len() {
        let next = array[place];
        if next != EMPTY && next > 0 {
            let index = next as usize - 1;
            if !types.is_s(index) {
                place_l(array, index);
            }
        }
    }
    let mut ends = buckets.ends();
    for place in (0..array.len()).rev() {
        let next = array[place];
        if next != EMPTY && next > 0 {
            let index = next as usize - 1;
            if types.is_s(index) {
                let end = &mut ends[text[index].index()];
                *end -= 1;
                array[*end as usize] = index as u32;
            }
        }
    }
}

struct Count {
    /// LMS suffixes.
    lms: usize,
    /// Different ones up to the next LMS suffix.
    names: usize,
}

/// Gives equal names to LMS suffixes that are equal up to the next one, and puts the names, in the
/// order of the text, at the end of the array.
fn name_lms<L: Letter>(text: &[L], types: &Types, array: &mut [u32]) -> Count {
    let mut lms = 0;
    for place in 0..array.len() {
        let index = array[place];
        if index != EMPTY && types.is_lms(index as usize) {
            array[lms] = index;
            lms += 1;
        }
    }
    // No two LMS suffixes are neighbours, so half of the index is a place of its own.
    array[lms..].fill(EMPTY);
    let (sorted, places) = array.split_at_mut(lms);
    let mut names = 0;
    let mut previous = None;
    for index in sorted.iter().map(|index| *index as usize) {
        let is_new = previous.is_none_or(|previous| !equal_lms(text, types, previous, index));
        names += usize::from(is_new);
        places[index / 2] = names as u32 - 1;
        previous = Some(index);
    }
    let mut end = places.len();
    for place in (0..places.len()).rev() {
        if places[place] != EMPTY {
            end -= 1;
            places[end] = places[place];
        }
    }
    Count { lms, names }
}

/// Whether two LMS suffixes are equal up to and with the next LMS letter of each.
fn equal_lms<L: Letter>(text: &[L], types: &Types, one: usize, other: usize) -> bool {
    let mut length = 0;
    loop {
        let (at_one, at_other) = (one + length, other + length);
        if at_one == text.len() || at_other == text.len() {
            return false;
        }
        if text[at_one] != text[at_other] || types.is_s(at_one) != types.is_s(at_other) {
            return false;
        }
        if length > 0 {
            match (types.is_lms(at_one), types.is_lms(at_other)) {
                (true, true) => return true,
                (false, false) => {}
                _ => return false,
            }
        }
        length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &[u8]) -> Vec<u32> {
        let mut suffixes: Vec<u32> = (0..=text.len() as u32).collect();
        suffixes.sort_by_key(|start| &text[*start as usize..]);
        suffixes
    }

    #[test]
    fn suffixes_are_sorted() {
        for text in [
            &b""[..],
            b"a",
            b"aa",
            b"ab",
            b"ba",
            b"mississippi",
            b"abracadabra",
            b"cabbage cabbage cabbages",
            &[0; 50],
            &[255; 50],
            b"\0\xff\0\xff\0\xff\0",
        ] {
            assert_eq!(suffix_array(text), sorted(text), "{text:?}");
        }
    }

    #[test]
    fn every_text_of_few_letters_is_sorted() {
        for length in 1..=9u32 {
            for number in 0..3u32.pow(length) {
                let letter = |place| (number / 3u32.pow(place) % 3) as u8;
                let text: Vec<u8> = (0..length).map(letter).collect();
                assert_eq!(suffix_array(&text), sorted(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn noise_and_repetitions_are_sorted() {
        let mut state = 1u32;
        for letters in [2, 3, 17, 256] {
            let mut text: Vec<u8> = Vec::new();
            for _ in 0..3000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text.push((state >> 16) as u8 % letters.min(255) as u8);
            }
            let copy = text[500..1700].to_vec();
            text.extend(copy);
            assert_eq!(suffix_array(&text), sorted(&text), "{letters} letters");
        }
    }
}
