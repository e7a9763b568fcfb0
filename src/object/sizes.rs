//! The entries of a commit's `ostree.sizes`: an `aay` with one entry per object.
//!
//! An entry is the checksum, the size in the repository and the size of the content as varints, and
//! the type's number. A varint has 7 bits per byte, low ones first; the high bit says that more
//! follow.

use super::{ObjectName, ObjectType};
use crate::checksum::Checksum;
use crate::gvariant::DecodeError;

/// The sizes of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeEntry {
    /// The object that has these sizes.
    pub name: ObjectName,
    /// Bytes of the object in an archive repository.
    pub stored: u64,
    /// Bytes of the content, or of a symlink's target; for metadata the same as `stored`.
    pub unpacked: u64,
}

impl SizeEntry {
    /// Serialises the entry.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = self.name.checksum.as_bytes().to_vec();
        put_varint(&mut bytes, self.stored);
        put_varint(&mut bytes, self.unpacked);
        bytes.push(self.name.object_type as u8);
        bytes
    }

    /// Reads an entry. Old ones lack the type, which stands for a file.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let invalid = || DecodeError::new(format!("Invalid sizes entry of length {}", bytes.len()));
        let (checksum, mut rest) = bytes.split_first_chunk().ok_or_else(invalid)?;
        let stored = take_varint(&mut rest)?;
        let unpacked = take_varint(&mut rest)?;
        let object_type = match rest {
            [] => ObjectType::File,
            [number, ..] => ObjectType::from_number(*number)
                .ok_or_else(|| DecodeError::new(format!("Invalid object type {number}")))?,
        };
        Ok(Self {
            name: ObjectName::new(Checksum::from_bytes(*checksum), object_type),
            stored,
            unpacked,
        })
    }
}

/// Appends a number as varint.
pub fn put_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        // Only the low 7 bits are wanted.
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a varint from the front of `bytes`. One that does not end or does not fit 64 bits is an
/// error.
pub fn take_varint(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut number: u64 = 0;
    for shift in (0..u64::BITS).step_by(7) {
        let Some((&byte, rest)) = bytes.split_first() else { break };
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if (part << shift) >> shift != part {
            break;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(DecodeError::new("Invalid varint"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_those_of_the_formats_document() {
        let table: [(u64, &[u8]); 6] = [
            (0, &[0]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (300, &[0xac, 2]),
            (16384, &[0x80, 0x80, 1]),
            (u64::MAX, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (number, expected) in table {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, number);
            assert_eq!(bytes, expected);
            assert_eq!(take_varint(&mut &bytes[..]), Ok(number));
        }
    }

    #[test]
    fn endless_and_too_large_varints_are_refused() {
        for bytes in [
            &[][..],
            &[0x80],
            &[0xff; 20],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert_eq!(
                take_varint(&mut &bytes[..]).unwrap_err().what,
                "Invalid varint",
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn an_entry_is_that_of_the_formats_document_and_may_lack_its_type() {
        let checksum = Checksum::of(b"x");
        let entry = SizeEntry {
            name: ObjectName::new(checksum, ObjectType::File),
            stored: 0x23,
            unpacked: 1,
        };
        let bytes = [&checksum.as_bytes()[..], &[0x23, 1, 1]].concat();
        assert_eq!(entry.encode(), bytes);
        assert_eq!(SizeEntry::decode(&bytes), Ok(entry));
        assert_eq!(SizeEntry::decode(&bytes[..34]), Ok(entry));
        assert_eq!(
            SizeEntry::decode(&bytes[..31]).unwrap_err().what,
            "Invalid sizes entry of length 31"
        );
        let unknown = [&bytes[..34], &[10]].concat();
        assert_eq!(SizeEntry::decode(&unknown).unwrap_err().what, "Invalid object type 10");
    }
}
