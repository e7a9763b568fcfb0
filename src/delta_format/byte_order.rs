//! The byte order of the numbers in the headers of parts and fallbacks.
//!
//! It is the order of the machine that has made the delta. Newer deltas are marked; for others
//! upstream guesses from sizes that would be implausible in its own order.

use std::fmt;

/// A byte order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    #[default]
    Little,
    /// Most significant byte first.
    Big,
}

impl ByteOrder {
    /// The byte that marks it in a superblock: `l` or `B`.
    pub fn mark(self) -> u8 {
        match self {
            Self::Little => b'l',
            Self::Big => b'B',
        }
    }

    /// The order with that mark.
    pub fn of_mark(mark: u8) -> Option<Self> {
        [Self::Little, Self::Big].into_iter().find(|order| order.mark() == mark)
    }

    pub(super) fn u32(self, number: u32) -> u32 {
        match self {
            Self::Little => number,
            Self::Big => number.swap_bytes(),
        }
    }

    pub(super) fn u64(self, number: u64) -> u64 {
        match self {
            Self::Little => number,
            Self::Big => number.swap_bytes(),
        }
    }
}

/// How the byte order of a superblock is known. `Display` is what `static-delta show` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endianness {
    /// The superblock is marked.
    Marked(ByteOrder),
    /// It is not, and its sizes make sense only as big-endian numbers.
    Guessed,
    /// It is not, or its mark means nothing, and little-endian sizes make sense.
    Unknown,
}

impl Endianness {
    /// The order that numbers are read in.
    pub fn order(self) -> ByteOrder {
        match self {
            Self::Marked(order) => order,
            Self::Guessed => ByteOrder::Big,
            Self::Unknown => ByteOrder::Little,
        }
    }
}

impl fmt::Display for Endianness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Marked(ByteOrder::Little) => "little",
            Self::Marked(ByteOrder::Big) => "big",
            Self::Guessed => "big (heuristic)",
            Self::Unknown => "invalid",
        })
    }
}

/// No object is larger than this on average.
const MAX_MEAN_SIZE: u64 = 4 << 30;

/// Whether the sizes of parts are implausible as little-endian numbers: compressed, of the objects,
/// and how many objects there are.
pub(super) fn looks_swapped(parts: impl Iterator<Item = (u64, u64, usize)>) -> bool {
    let (mut total, mut objects) = (0u64, 0u64);
    for (compressed, content, count) in parts {
        // Compressing does not add a fifth, and bytes in the wrong order do not stay in proportion.
        if compressed as f64 > content as f64 * 1.2 {
            return true;
        }
        total = total.saturating_add(compressed);
        objects = objects.saturating_add(count as u64);
    }
    objects > 0 && total / objects > MAX_MEAN_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_letters() {
        assert_eq!(ByteOrder::of_mark(b'l'), Some(ByteOrder::Little));
        assert_eq!(ByteOrder::of_mark(b'B'), Some(ByteOrder::Big));
        assert_eq!(ByteOrder::of_mark(b'b'), None);
        assert_eq!(ByteOrder::Big.u32(1), 0x0100_0000);
        assert_eq!(ByteOrder::Big.u64(1), 1 << 56);
        assert_eq!(ByteOrder::Little.u64(1), 1);
    }

    #[test]
    fn sizes_out_of_proportion_are_swapped() {
        let looks = |parts: &[(u64, u64, usize)]| looks_swapped(parts.iter().copied());
        assert!(!looks(&[]));
        assert!(!looks(&[(10_209, 76_341, 10)]));
        assert!(looks(&[(10_209u64.swap_bytes(), 76_341u64.swap_bytes(), 10)]));
        assert!(!looks(&[(120, 100, 1)]));
        assert!(looks(&[(121, 100, 1)]));
        assert!(looks(&[(61, 0, 0)]));
        assert!(!looks(&[(4 << 30, 4 << 30, 1)]));
        assert!(looks(&[((4 << 30) + 1, 5 << 30, 1)]));
    }
}
