//! Parts: what their files begin with, and their payload.
//!
//! ```text
//! (a(uuu)          aa(ayay)        ay    ay        )
//!  uid, gid, mode  sets of xattrs  blob  operations
//! ```
//!
//! The numbers of modes are big-endian. Operations refer to modes and sets by their index.

use std::collections::HashMap;

use super::{Operation, Operations, Slice, bytes_in};
use crate::gvariant::{DecodeError, Encoder, Type, Variant, offset_width};
use crate::object::Xattrs;

const PAYLOAD_TYPE: &str = "(a(uuu)aa(ayay)ayay)";

/// The first byte of a part's file: what the rest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// The payload as it is. Read, never written.
    None,
    /// An xz stream.
    Xz,
}

impl Compression {
    /// The compression with that byte.
    ///
    /// # Errors
    /// `Invalid compression type 'N'`
    pub fn of_byte(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Self::None),
            b'x' => Ok(Self::Xz),
            _ => Err(DecodeError::new(format!("Invalid compression type '{byte}'"))),
        }
    }

    /// Its byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Xz => b'x',
        }
    }
}

/// Owner, group and mode of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The mode, with the bits of the type.
    pub mode: u32,
}

/// The payload of a part.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    modes: Variant<'a>,
    xattrs: Variant<'a>,
    /// What operations take contents, patches and names of files from.
    pub blob: &'a [u8],
    operations: &'a [u8],
}

impl<'a> Payload<'a> {
    /// Looks at a payload. Nothing is copied.
    pub fn new(bytes: &'a [u8]) -> Self {
        // The type is a constant; were it wrong, a payload would be empty.
        let ty = Type::parse(PAYLOAD_TYPE).unwrap_or(Type::UNIT);
        let view = Variant::new(ty, bytes);
        let mut members = view.children();
        Self {
            modes: members.next().unwrap_or(view),
            xattrs: members.next().unwrap_or(view),
            blob: bytes_in(members.next()),
            operations: bytes_in(members.next()),
        }
    }

    /// The number of modes.
    pub fn modes(&self) -> usize {
        self.modes.len()
    }

    /// The number of sets of xattrs.
    pub fn xattr_sets(&self) -> usize {
        self.xattrs.len()
    }

    /// The bytes of all operations.
    pub fn operation_bytes(&self) -> &'a [u8] {
        self.operations
    }

    /// The operations.
    pub fn operations(&self) -> Operations<'a> {
        Operations::new(self.operations)
    }

    /// A mode.
    ///
    /// # Errors
    /// `Invalid mode index N`
    pub fn mode(&self, index: u64) -> Result<Mode, DecodeError> {
        let mode = usize::try_from(index).ok().and_then(|index| self.modes.child(index));
        let mode = mode.ok_or_else(|| DecodeError::new(format!("Invalid mode index {index}")))?;
        let mut members = mode.children();
        let mut number =
            || u32::from_be(members.next().and_then(|number| number.as_u32()).unwrap_or_default());
        Ok(Mode { uid: number(), gid: number(), mode: number() })
    }

    /// A set of xattrs.
    ///
    /// # Errors
    /// `Invalid xattr index N`; for names that are none.
    pub fn xattrs(&self, index: u64) -> Result<Xattrs, DecodeError> {
        let set = usize::try_from(index).ok().and_then(|index| self.xattrs.child(index));
        let set = set.ok_or_else(|| DecodeError::new(format!("Invalid xattr index {index}")))?;
        Xattrs::decode(set.bytes())
    }
}

/// Puts a payload together.
///
/// ```
/// # use osier::delta_format::{Mode, Operation, Payload, PayloadWriter};
/// # use osier::object::Xattrs;
/// let mut part = PayloadWriter::default();
/// let mode = part.mode(Mode { uid: 0, gid: 0, mode: 0o100_644 });
/// let xattrs = part.xattrs(&Xattrs::new());
/// let content = part.append(b"content");
/// part.push(Operation::File { mode, xattrs, content });
/// let bytes = part.encode();
/// assert_eq!(Payload::new(&bytes).blob, b"content");
/// ```
#[derive(Clone, Debug, Default)]
pub struct PayloadWriter {
    modes: Vec<Mode>,
    mode_indices: HashMap<Mode, u64>,
    xattrs: Vec<Vec<u8>>,
    xattr_indices: HashMap<Vec<u8>, u64>,
    xattr_bytes: u64,
    blob: Vec<u8>,
    operations: Vec<u8>,
}

/// Bytes of a mode.
const MODE_BYTES: u64 = 12;

impl PayloadWriter {
    /// The index of a mode, which is added unless it is there already.
    pub fn mode(&mut self, mode: Mode) -> u64 {
        let next = self.modes.len() as u64;
        let index = *self.mode_indices.entry(mode).or_insert(next);
        if index == next {
            self.modes.push(mode);
        }
        index
    }

    /// The index of a set of xattrs, which is added unless it is there already in the same order.
    pub fn xattrs(&mut self, xattrs: &Xattrs) -> u64 {
        let bytes = xattrs.encode();
        let next = self.xattrs.len() as u64;
        if let Some(index) = self.xattr_indices.get(&bytes) {
            return *index;
        }
        self.xattr_bytes += bytes.len() as u64;
        self.xattrs.push(bytes.clone());
        self.xattr_indices.insert(bytes, next);
        next
    }

    /// Adds bytes to the blob.
    pub fn append(&mut self, bytes: &[u8]) -> Slice {
        let offset = self.blob.len() as u64;
        self.blob.extend_from_slice(bytes);
        Slice { offset, length: bytes.len() as u64 }
    }

    /// Adds an operation.
    pub fn push(&mut self, operation: Operation) {
        operation.encode_into(&mut self.operations);
    }

    /// What upstream takes for the size of the payload when it decides whether another object goes
    /// into the part, in bytes.
    pub fn estimated_size(&self) -> u64 {
        (self.blob.len() + self.operations.len()) as u64
            + self.modes.len() as u64 * MODE_BYTES
            + self.xattr_bytes
    }

    /// Serialises the payload. The blob is most of it, and is moved rather than copied.
    pub fn encode(self) -> Vec<u8> {
        let Self { modes, xattrs, blob: mut bytes, operations, .. } = self;
        let mut head = Encoder::new();
        for mode in &modes {
            for number in [mode.uid, mode.gid, mode.mode] {
                head.put(&number.to_be_bytes());
            }
        }
        let modes_end = head.len();
        let mut array = head.begin(1);
        for set in &xattrs {
            head.put(set);
            array.end_child(&head);
        }
        head.end_array(array);
        let head = head.finish();
        let ends = [bytes.len() + head.len(), head.len(), modes_end];
        bytes.splice(0..0, head);
        bytes.extend_from_slice(&operations);
        let width = offset_width(bytes.len(), ends.len());
        for end in ends {
            bytes.extend(end.to_le_bytes().into_iter().take(width));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_is_there_twice() {
        let xattrs =
            |name: &[u8]| Xattrs::from_pairs(vec![(name.to_vec(), b"v".to_vec())]).unwrap();
        let mode = |mode| Mode { uid: 1, gid: 2, mode };
        let mut part = PayloadWriter::default();
        let modes = [0o100_644, 0o100_755, 0o100_644].map(|number| part.mode(mode(number)));
        assert_eq!(modes, [0, 1, 0]);
        let sets = [&b"a"[..], b"b", b"a"].map(|name| part.xattrs(&xattrs(name)));
        assert_eq!(sets, [0, 1, 0]);
        assert_eq!(part.append(b"abc"), Slice { offset: 0, length: 3 });
        assert_eq!(part.append(b"de"), Slice { offset: 3, length: 2 });
        part.push(Operation::Close);
        // Each set is a name with its NUL, a value and two offsets.
        assert_eq!(part.estimated_size(), 5 + 1 + 2 * 12 + 2 * 5);
        let bytes = part.encode();
        let payload = Payload::new(&bytes);
        assert_eq!((payload.modes(), payload.xattr_sets()), (2, 2));
        assert_eq!(payload.mode(1), Ok(mode(0o100_755)));
        assert_eq!(payload.xattrs(1), Ok(xattrs(b"b")));
        assert_eq!((payload.blob, payload.operation_bytes()), (&b"abcde"[..], &b"c"[..]));
        assert_eq!(payload.operations().next(None), Some(Ok(Operation::Close)));
        assert_eq!(payload.mode(2).unwrap_err().what, "Invalid mode index 2");
        assert_eq!(
            payload.xattrs(u64::MAX).unwrap_err().what,
            format!("Invalid xattr index {}", u64::MAX)
        );
    }

    #[test]
    fn a_broken_payload_is_empty() {
        for bytes in [&[][..], &[0xff; 40], b"no payload"] {
            let payload = Payload::new(bytes);
            assert!(payload.mode(u64::MAX).is_err() && payload.xattrs(u64::MAX).is_err());
            assert!(payload.blob.len() <= bytes.len());
        }
        assert_eq!(Payload::new(&[]).operation_bytes(), b"");
    }

    #[test]
    fn compressions_are_bytes() {
        for compression in [Compression::None, Compression::Xz] {
            assert_eq!(Compression::of_byte(compression.byte()), Ok(compression));
        }
        let error = Compression::of_byte(b'g').unwrap_err();
        assert_eq!(error.what, "Invalid compression type '103'");
    }
}
