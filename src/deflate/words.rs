//! Reading and comparing several bytes at a time. Of an array, and at a position that is masked to
//! lie in it, the compiler sees that nothing is out of bounds.

/// Four bytes as a number, the first lowest.
#[inline]
pub(super) fn four<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("the range holds four"))
}

#[inline]
fn eight<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("the range holds eight"))
}

/// How many bytes from `one` and from `other` on are equal, `longest` at most; `known` of them are
/// known to be. Up to seven bytes more are read.
#[inline]
pub(super) fn common<const N: usize>(
    bytes: &[u8; N],
    (one, other): (usize, usize),
    known: usize,
    longest: usize,
) -> usize {
    let mut length = known;
    while length < longest {
        let difference = eight(bytes, one + length) ^ eight(bytes, other + length);
        if difference != 0 {
            return (length + difference.trailing_zeros() as usize / 8).min(longest);
        }
        length += 8;
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_are_counted_up_to_the_limit() {
        let mut bytes = [7; 64];
        bytes[41] = 8;
        assert_eq!(four(&bytes, 39), 0x0708_0707);
        for (longest, expected) in [(3, 3), (8, 8), (20, 11)] {
            assert_eq!(common(&bytes, (0, 30), 0, longest), expected);
        }
        assert_eq!(common(&bytes, (0, 30), 4, 20), 11);
        assert_eq!(common(&bytes, (0, 41), 0, 8), 0);
    }
}
