//! Tombstones, which mark commits that were deleted on purpose.

use crate::checksum::Checksum;
use crate::gvariant::{Dict, Value};

/// The tombstone of a deleted commit: its name, as hexadecimal digits in a bytestring under
/// `commit`.
pub fn tombstone(commit: &Checksum) -> Dict {
    Dict::from_iter([("commit", Value::bytestring(commit.to_hex().as_bytes()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_the_commits_name_in_a_dictionary() {
        let commit = Checksum::of(b"");
        let digits = commit.to_hex();
        let expected = [b"commit\0\0", digits.as_bytes(), b"\0\0ay\x07\x4d"].concat();
        assert_eq!((tombstone(&commit).encode(), expected.len()), (expected, 78));
    }
}
