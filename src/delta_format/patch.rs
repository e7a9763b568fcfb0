//! Patches as bsdiff writes them, without header and compression.
//!
//! ```text
//! diff length, extra length, seek    8 bytes each: little-endian, the highest bit is the sign
//! diff                               added to the old bytes, modulo 256
//! extra                              as it is
//! ```
//!
//! The position in the old file moves by the length of the diff and the seek. Positions outside of
//! the old file count as 0. There are records until the new file is complete.

use crate::gvariant::DecodeError;

const SIGN: u64 = 1 << 63;
/// Longer diffs and extras are refused, as upstream does.
const MAX_LENGTH: i64 = i32::MAX as i64;

/// One record of a patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PatchRecord<'a> {
    /// Where in the old file the bytes are that the diff is added to; it may lie outside.
    pub old_position: i64,
    /// The difference between old and new bytes.
    pub diff: &'a [u8],
    /// New bytes.
    pub extra: &'a [u8],
}

/// Reads a patch record by record.
#[derive(Clone, Copy, Debug)]
pub struct Patch<'a> {
    rest: &'a [u8],
    left: u64,
    old_position: i64,
}

impl<'a> Patch<'a> {
    /// A patch that makes a file of `new_size` bytes.
    pub fn new(bytes: &'a [u8], new_size: u64) -> Self {
        Self { rest: bytes, left: new_size, old_position: 0 }
    }

    fn record(&mut self) -> Option<PatchRecord<'a>> {
        let [diff, extra, seek] = [self.number()?, self.number()?, self.number()?];
        let diff = self.take(diff)?;
        let extra = self.take(extra)?;
        let record = PatchRecord { old_position: self.old_position, diff, extra };
        let moved = self.old_position.checked_add(i64::try_from(diff.len()).ok()?);
        self.old_position = moved?.checked_add(seek)?;
        Some(record)
    }

    fn number(&mut self) -> Option<i64> {
        let (bytes, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        let number = u64::from_le_bytes(*bytes);
        let magnitude = (number & !SIGN).cast_signed();
        Some(if number & SIGN == 0 { magnitude } else { -magnitude })
    }

    /// Takes bytes that become as many of the new file.
    fn take(&mut self, length: i64) -> Option<&'a [u8]> {
        let length = u64::try_from(length).ok().filter(|_| length <= MAX_LENGTH)?;
        self.left = self.left.checked_sub(length)?;
        let (bytes, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(bytes)
    }
}

impl<'a> Iterator for Patch<'a> {
    type Item = Result<PatchRecord<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        let record = self.record().ok_or_else(|| DecodeError::new("bsdiff patch failed"));
        if record.is_err() {
            self.left = 0;
        }
        Some(record)
    }
}

impl PatchRecord<'_> {
    /// Appends a record to a patch; the position in the old file then moves by `seek` more.
    ///
    /// # Panics
    /// When `seek` is `i64::MIN`, which the format cannot express.
    pub fn encode_into(&self, seek: i64, patch: &mut Vec<u8>) {
        put_lengths(self.diff.len(), self.extra.len(), seek, patch);
        patch.extend_from_slice(self.diff);
        patch.extend_from_slice(self.extra);
    }
}

/// Appends the record that makes `new` of as many bytes `old`, and then `extra`, to a patch. The
/// difference is in the patch alone: it may be as large as a file.
///
/// # Panics
/// When `seek` is `i64::MIN`, which the format cannot express.
pub fn put_difference(patch: &mut Vec<u8>, new: &[u8], old: &[u8], extra: &[u8], seek: i64) {
    put_lengths(new.len().min(old.len()), extra.len(), seek, patch);
    patch.extend(new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)));
    patch.extend_from_slice(extra);
}

fn put_lengths(diff: usize, extra: usize, seek: i64, patch: &mut Vec<u8>) {
    assert!(seek != i64::MIN, "a seek has 63 bits and a sign");
    let sign = if seek < 0 { SIGN } else { 0 };
    for number in [diff as u64, extra as u64, seek.unsigned_abs() | sign] {
        patch.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record<'a>(old_position: i64, diff: &'a [u8], extra: &'a [u8]) -> PatchRecord<'a> {
        PatchRecord { old_position, diff, extra }
    }

    fn patch(records: &[(&[u8], &[u8], i64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (diff, extra, seek) in records {
            record(0, diff, extra).encode_into(*seek, &mut bytes);
        }
        bytes
    }

    #[test]
    fn records_move_through_the_old_file() {
        let bytes = patch(&[(b"ab", b"", 7), (b"", b"xyz", -20), (b"c", b"d", 0)]);
        let read: Vec<_> = Patch::new(&bytes, 7).collect();
        let records = [record(0, b"ab", b""), record(9, b"", b"xyz"), record(-11, b"c", b"d")];
        assert_eq!(read, records.map(Ok));
        // A file of no bytes needs no record, and what follows the last is not looked at.
        assert_eq!(Patch::new(b"anything", 0).count(), 0);
        assert_eq!(Patch::new(&bytes, 2).count(), 1);
        assert_eq!(bytes[16..24], 7u64.to_le_bytes());
        assert_eq!(bytes[42..50], (20 | SIGN).to_le_bytes());
    }

    #[test]
    fn a_difference_is_a_record() {
        let mut bytes = Vec::new();
        put_difference(&mut bytes, b"bcd", b"aac", b"xy", -4);
        assert_eq!(bytes, patch(&[(&[1, 2, 1], b"xy", -4)]));
    }

    #[test]
    fn broken_patches_are_refused() {
        let fails = |bytes: &[u8], size| {
            let last = Patch::new(bytes, size).last();
            last.is_some_and(|last| last.unwrap_err().what == "bsdiff patch failed")
        };
        assert!(fails(b"", 1), "empty");
        assert!(fails(&patch(&[(b"ab", b"", 0)]), 1), "a diff that is too long");
        assert!(fails(&patch(&[(b"a", b"b", 0)]), 1), "an extra that is too long");
        assert!(fails(&patch(&[(b"a", b"b", 0)]), 3), "too few records");
        assert!(fails(&patch(&[(b"ab", b"", 0)])[..25], 2), "cut");
        let numbers = |numbers: [u64; 3]| numbers.map(u64::to_le_bytes).concat();
        assert!(fails(&numbers([1 | SIGN, 0, 0]), 9), "a negative diff");
        assert!(fails(&numbers([0, 1 | SIGN, 0]), 9), "a negative extra");
        assert!(fails(&numbers([1 << 31, 0, 0]), u64::MAX), "more than 2^31 - 1");
        let far = [numbers([0, 0, i64::MAX as u64]), numbers([0, 0, 1])].concat();
        assert!(fails(&far, 9), "a position that does not fit");
    }
}
