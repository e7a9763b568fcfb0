//! Which old file a new file is compared with: one of similar size that has, somewhere in its tree,
//! the same name, or the same name up to the first dot.

use std::collections::HashMap;

use crate::checksum::Checksum;

/// A regular file with all of its names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NamedFile {
    /// Bytes of its content.
    pub(super) size: u64,
    /// Its names in the tree, without directories.
    pub(super) names: Vec<String>,
}

/// A file that has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) old: Checksum,
    pub(super) new: Checksum,
}

/// The extensions of files that differ all over when a little of what they hold does.
const COMPRESSED: [&str; 2] = ["xz", "bz2"];
/// How much smaller and larger an old file may be.
const RANGE: [f64; 2] = [0.7, 1.3];

impl NamedFile {
    fn is_candidate(&self) -> bool {
        let is_compressed = |name: &String| {
            name.rsplit_once('.').is_some_and(|(_, extension)| COMPRESSED.contains(&extension))
        };
        self.size > 0 && !self.names.iter().any(is_compressed)
    }
}

/// The part of a name that other versions of the file have too.
fn stem(name: &str) -> Option<&str> {
    name.split_once('.').map(|(stem, _)| stem).filter(|stem| !stem.is_empty())
}

/// Finds an old file for as many new files as have one, the smallest first. Both lists are in the
/// order of upstream's tables.
pub(super) fn pairs(old: &[(Checksum, NamedFile)], new: &[(Checksum, NamedFile)]) -> Vec<Pair> {
    let sorted = |files: &[(Checksum, NamedFile)]| {
        let mut order: Vec<usize> = (0..files.len()).collect();
        order.sort_by_key(|index| files[*index].1.size);
        order.retain(|index| files[*index].1.is_candidate());
        order
    };
    let old_order = sorted(old);
    let sizes: Vec<u64> = old_order.iter().map(|index| old[*index].1.size).collect();
    // The places in that order of the files with a name, or stem, ascending.
    let mut by_name = HashMap::<&str, Vec<usize>>::new();
    let mut by_stem = HashMap::<&str, Vec<usize>>::new();
    for (place, index) in old_order.iter().enumerate() {
        for name in &old[*index].1.names {
            push(by_name.entry(name).or_default(), place);
            if let Some(stem) = stem(name) {
                push(by_stem.entry(stem).or_default(), place);
            }
        }
    }
    let mut pairs = Vec::new();
    for index in sorted(new) {
        let (checksum, file) = &new[index];
        let [least, most] = RANGE.map(|factor| (file.size as f64 * factor) as u64);
        let first = sizes.partition_point(|size| *size < least);
        let end = sizes.partition_point(|size| *size <= most);
        let within = |places: &Vec<usize>| {
            let place = places.partition_point(|place| *place < first);
            places.get(place).copied().filter(|place| *place < end)
        };
        let names = file.names.iter();
        let same = names.clone().filter_map(|name| by_name.get(name.as_str()).and_then(within));
        let alike = names.filter_map(|name| by_stem.get(stem(name)?).and_then(within));
        if let Some(place) = same.min().or_else(|| alike.min()) {
            pairs.push(Pair { old: old[old_order[place]].0, new: *checksum });
        }
    }
    pairs
}

/// A file may have a name many times.
fn push(places: &mut Vec<usize>, place: usize) {
    if places.last() != Some(&place) {
        places.push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files with sizes and names; their checksums are those of their number.
    fn files(first: u8, all: &[(u64, &[&str])]) -> Vec<(Checksum, NamedFile)> {
        let file = |(number, (size, names)): (u8, &(u64, &[&str]))| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            (Checksum::of(&[number]), NamedFile { size: *size, names })
        };
        (first..).zip(all).map(file).collect()
    }

    fn paired(old: &[(u64, &[&str])], new: &[(u64, &[&str])]) -> Vec<(usize, usize)> {
        let (old, new) = (files(0, old), files(100, new));
        let place = |files: &[(Checksum, NamedFile)], checksum| {
            files.iter().position(|(other, _)| *other == checksum).unwrap()
        };
        pairs(&old, &new)
            .into_iter()
            .map(|pair| (place(&new, pair.new), place(&old, pair.old)))
            .collect()
    }

    #[test]
    fn sizes_may_differ_by_three_tenths() {
        let old: &[(u64, &[&str])] =
            &[(699, &["a"]), (700, &["a"]), (1300, &["b"]), (1301, &["c"])];
        let new: &[(u64, &[&str])] = &[(1000, &["a"]), (1000, &["b"]), (1000, &["c"])];
        assert_eq!(paired(old, new), [(0, 1), (1, 2)]);
        assert_eq!(paired(&[(2, &["a"])], &[(3, &["a"])]), [(0, 0)]);
        assert_eq!(paired(&[(4, &["a"])], &[(3, &["a"])]), []);
    }

    #[test]
    fn equal_names_come_before_equal_stems() {
        let old: &[(u64, &[&str])] = &[(90, &["libx.so.1"]), (110, &["libx.so.2"])];
        assert_eq!(paired(old, &[(100, &["libx.so.2"])]), [(0, 1)]);
        assert_eq!(paired(old, &[(100, &["libx.so.3"])]), [(0, 0)]);
        assert_eq!(paired(old, &[(100, &["libx"]), (100, &["liby.so.1"])]), []);
        assert_eq!(paired(&[(100, &[".a"])], &[(100, &[".b"]), (100, &[".a"])]), [(1, 0)]);
        assert_eq!(paired(&[(100, &["other", "b.1"])], &[(100, &["x", "b.2"])]), [(0, 0)]);
    }

    #[test]
    fn empty_and_compressed_files_are_not_compared() {
        let old: &[(u64, &[&str])] = &[(0, &["a"]), (100, &["b.xz"]), (100, &["c.gz"])];
        let new: &[(u64, &[&str])] =
            &[(0, &["a"]), (100, &["b.xz"]), (100, &["c.gz"]), (100, &["c", "c.x.bz2"])];
        assert_eq!(paired(old, new), [(2, 2)]);
        assert_eq!(paired(&[(9, &["a.XZ"])], &[(9, &["a.XZ"])]), [(0, 0)]);
    }

    #[test]
    fn the_smallest_come_first_and_equal_ones_keep_their_order() {
        let old: &[(u64, &[&str])] = &[(12, &["a"]), (11, &["a"]), (11, &["a"])];
        let new: &[(u64, &[&str])] = &[(12, &["a"]), (10, &["a"]), (12, &["a"])];
        assert_eq!(paired(old, new), [(1, 1), (0, 1), (2, 1)]);
    }
}
