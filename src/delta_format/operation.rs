//! Operations: a letter and varints each.
//!
//! ```text
//! S length offset                 metadata object: a slice of the blob
//! S mode xattrs length offset     file: its content, or the target of a symlink
//! o mode xattrs size              begins a regular file
//! w length offset                 appends, from the read source if there is one, else from the blob
//! r offset                        the 32 bytes there name the file that is the read source from now on
//! R                               no read source
//! B offset length                 appends the read source as changed by that patch
//! c                               ends the file
//! ```
//!
//! A cursor walks through the objects of the part: `S` and `o` begin the next one, `S` and `c` end
//! it. What `S` has behind it depends on the type of that object.

use crate::gvariant::DecodeError;
use crate::object::{ObjectType, put_varint, take_varint};

/// A part of the blob. Nothing is known about the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where it begins, in bytes.
    pub offset: u64,
    /// How long it is, in bytes.
    pub length: u64,
}

impl Slice {
    /// These bytes of `blob`.
    ///
    /// # Errors
    /// `Invalid offset/length O/L`, when there are none.
    pub fn of<'b>(&self, blob: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        let start = usize::try_from(self.offset).ok();
        let end = self.offset.checked_add(self.length).and_then(|end| usize::try_from(end).ok());
        let slice = start.zip(end).and_then(|(start, end)| blob.get(start..end));
        slice.ok_or_else(|| {
            let Self { offset, length } = self;
            DecodeError::new(format!("Invalid offset/length {offset}/{length}"))
        })
    }
}

/// One operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `S`: a metadata object.
    Metadata(Slice),
    /// `S`: a whole file or symlink.
    File {
        /// Which of the part's modes.
        mode: u64,
        /// Which of the part's sets of xattrs.
        xattrs: u64,
        /// The content, or the target.
        content: Slice,
    },
    /// `o`
    Open {
        /// Which of the part's modes.
        mode: u64,
        /// Which of the part's sets of xattrs.
        xattrs: u64,
        /// Bytes of the content.
        size: u64,
    },
    /// `w`: of the read source or of the blob.
    Write(Slice),
    /// `r`
    SetReadSource {
        /// Where in the blob the name of the file is.
        offset: u64,
    },
    /// `R`
    UnsetReadSource,
    /// `c`
    Close,
    /// `B`
    Patch(Slice),
}

impl Operation {
    /// The operation's name in messages, as in `opcode write`; none for [`Operation::Patch`].
    pub fn opcode(&self) -> Option<&'static str> {
        match self {
            Self::Metadata(_) | Self::File { .. } => opcode(b'S'),
            Self::Open { .. } => opcode(b'o'),
            Self::Write(_) => opcode(b'w'),
            Self::SetReadSource { .. } => opcode(b'r'),
            Self::UnsetReadSource => opcode(b'R'),
            Self::Close => opcode(b'c'),
            Self::Patch(_) => opcode(b'B'),
        }
    }

    /// Appends the operation to those of a part.
    pub fn encode_into(&self, operations: &mut Vec<u8>) {
        let (letter, numbers): (u8, &[u64]) = match *self {
            Self::Metadata(Slice { offset, length }) => (b'S', &[length, offset]),
            Self::File { mode, xattrs, content: Slice { offset, length } } => {
                (b'S', &[mode, xattrs, length, offset])
            }
            Self::Open { mode, xattrs, size } => (b'o', &[mode, xattrs, size]),
            Self::Write(Slice { offset, length }) => (b'w', &[length, offset]),
            Self::SetReadSource { offset } => (b'r', &[offset]),
            Self::UnsetReadSource => (b'R', &[]),
            Self::Close => (b'c', &[]),
            Self::Patch(Slice { offset, length }) => (b'B', &[offset, length]),
        };
        operations.push(letter);
        numbers.iter().for_each(|number| put_varint(operations, *number));
    }
}

fn opcode(letter: u8) -> Option<&'static str> {
    Some(match letter {
        b'S' => "opcode open-splice-and-close",
        b'o' => "opcode open",
        b'w' => "opcode write",
        b'r' => "opcode set-read-source",
        b'R' => "opcode unset-read-source",
        b'c' => "opcode close",
        _ => return None,
    })
}

/// Reads operations one by one.
#[derive(Clone, Copy, Debug)]
pub struct Operations<'a> {
    rest: &'a [u8],
    read: u64,
}

impl<'a> Operations<'a> {
    /// The operations of a part.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, read: 0 }
    }

    /// The next operation; `None` after the last. `object` is the type of the object at the cursor,
    /// `None` behind the last object.
    ///
    /// # Errors
    /// `Unknown opcode N at offset K`, where K is the number of operations before it; `Unexpected
    /// EOF reading varint`; `Object list exhausted`. The last two with the opcode's name before.
    /// There is no operation behind an error.
    pub fn next(&mut self, object: Option<ObjectType>) -> Option<Result<Operation, DecodeError>> {
        let (&letter, arguments) = self.rest.split_first()?;
        self.rest = arguments;
        let operation = self.decode(letter, object).map_err(|error| match opcode(letter) {
            Some(name) => DecodeError::new(format!("{name}: {error}")),
            None => error,
        });
        self.read += 1;
        if operation.is_err() {
            self.rest = &[];
        }
        Some(operation)
    }

    fn decode(&mut self, letter: u8, object: Option<ObjectType>) -> Result<Operation, DecodeError> {
        let mut number = || {
            let number = take_varint(&mut self.rest);
            number.map_err(|_| DecodeError::new("Unexpected EOF reading varint"))
        };
        Ok(match letter {
            b'S' => match object {
                None => return Err(DecodeError::new("Object list exhausted")),
                Some(ObjectType::File) => {
                    let (mode, xattrs, length) = (number()?, number()?, number()?);
                    Operation::File { mode, xattrs, content: Slice { length, offset: number()? } }
                }
                Some(_) => {
                    let length = number()?;
                    Operation::Metadata(Slice { length, offset: number()? })
                }
            },
            b'o' => Operation::Open { mode: number()?, xattrs: number()?, size: number()? },
            b'w' => {
                let length = number()?;
                Operation::Write(Slice { length, offset: number()? })
            }
            b'r' => Operation::SetReadSource { offset: number()? },
            b'R' => Operation::UnsetReadSource,
            b'c' => Operation::Close,
            b'B' => Operation::Patch(Slice { offset: number()?, length: number()? }),
            _ => {
                let what = format!("Unknown opcode {letter} at offset {}", self.read);
                return Err(DecodeError::new(what));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Option<ObjectType> = Some(ObjectType::File);
    const DIRTREE: Option<ObjectType> = Some(ObjectType::DirTree);

    fn all(bytes: &[u8], object: Option<ObjectType>) -> Vec<Result<Operation, String>> {
        let mut operations = Operations::new(bytes);
        let next = || operations.next(object).map(|read| read.map_err(|error| error.what));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn operations_are_letters_and_varints_in_this_order() {
        let slice = Slice { offset: 300, length: 5 };
        let table: [(Operation, Option<ObjectType>, &[u8]); 8] = [
            (Operation::Metadata(slice), DIRTREE, b"S\x05\xac\x02"),
            (
                Operation::File { mode: 1, xattrs: 2, content: slice },
                FILE,
                b"S\x01\x02\x05\xac\x02",
            ),
            (Operation::Open { mode: 1, xattrs: 2, size: 300 }, FILE, b"o\x01\x02\xac\x02"),
            (Operation::Write(slice), FILE, b"w\x05\xac\x02"),
            (Operation::SetReadSource { offset: 300 }, None, b"r\xac\x02"),
            (Operation::UnsetReadSource, None, b"R"),
            (Operation::Close, None, b"c"),
            (Operation::Patch(slice), None, b"B\xac\x02\x05"),
        ];
        for (operation, object, bytes) in table {
            let mut encoded = Vec::new();
            operation.encode_into(&mut encoded);
            assert_eq!(encoded, bytes);
            assert_eq!(all(bytes, object), [Ok(operation)]);
        }
    }

    #[test]
    fn broken_operations_are_refused_in_upstreams_words() {
        let last = |bytes, object| all(bytes, object).pop().unwrap().unwrap_err();
        assert_eq!(last(b"RcRx", None), "Unknown opcode 120 at offset 3");
        assert_eq!(
            last(b"S\x01", DIRTREE),
            "opcode open-splice-and-close: Unexpected EOF reading varint"
        );
        assert_eq!(last(b"B\x80", None), "Unexpected EOF reading varint");
        let endless = [b"w".as_slice(), &[0xff; 11]].concat();
        assert_eq!(
            Operations::new(&endless).next(None).unwrap().unwrap_err().what,
            "opcode write: Unexpected EOF reading varint"
        );
        assert_eq!(last(b"S\x01\x01", None), "opcode open-splice-and-close: Object list exhausted");
    }

    #[test]
    fn a_slice_lies_in_the_blob() {
        let of = |offset, length| Slice { offset, length }.of(b"abcd").map_err(|error| error.what);
        assert_eq!(of(1, 2), Ok(&b"bc"[..]));
        assert_eq!(of(4, 0), Ok(&b""[..]));
        for (offset, length) in [(4, 1), (5, 0), (0, 5), (u64::MAX, 1), (1, u64::MAX)] {
            let message = format!("Invalid offset/length {offset}/{length}");
            assert_eq!(of(offset, length), Err(message));
        }
    }
}
