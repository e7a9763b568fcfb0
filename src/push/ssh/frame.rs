//! What the two ends say to each other, byte for byte.
//!
//! Each end begins with a line, `osier-receive VERSION`, that names the newest version it speaks;
//! both use the older of the two. What follows the number is for later versions. Then there are
//! frames only, in both directions:
//!
//! ```text
//! kind u8, length u32, payload      integers are big-endian, a payload has at most 512 KiB
//!
//! from the sender                                 answers, in the order of the requests
//! R  list refs                                    N* then D
//! O  list objects                                 N* then D
//! G  read: limit u64, texts                       for each: M, or S and B* of its size
//! H  keep away who deletes                        D
//! P  put: text, expected, size u64, then B*       D, or L if something else is there
//! T  begin a batch                                none
//! F  offer items                                  W: a bit for each, set if it is wanted
//! I  an item: number u32, then B* and E           K, when it is stored, in any order
//! C  end of the batch                             D, when all of it is there
//! Q  all is done                                  none
//! X  the sender gives up                          none
//!
//! text       length u16, bytes
//! object     type u8 (as in ostree, 1 is a file), checksum of 32 bytes
//! item       object, or 0 u8 and the path of a file of a delta, text
//! expected   0 u8: nothing; 1 u8 and a version, text; 2 u8: anything
//! N          objects or texts
//! S          version, text; size u64
//! B          bytes
//! E          how many bytes came, u64
//! K          number u32, bytes stored u64
//! Z          an error, text: the far end has given up
//! A          nothing, from either end: it is alive, and busy
//! ```
//!
//! Items are numbered through a batch, as they were offered, and each is sent once if it is wanted.
//! Objects come as an archive stores them. Nothing is asked for a single object, so that a long way
//! costs no time.

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::push::destination::{Expected, Item, Version};

/// The newest version of the protocol, and the only one yet.
pub(super) const VERSION: u32 = 1;
/// What the first line begins with.
pub(super) const GREETING: &str = "osier-receive ";
/// The longest payload, in bytes.
pub(super) const MAX_PAYLOAD: usize = 512 << 10;
/// The bytes before a payload.
pub(super) const HEADER: usize = 5;

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    ListRefs = b'R',
    ListObjects = b'O',
    Read = b'G',
    Hold = b'H',
    Put = b'P',
    Begin = b'T',
    Offer = b'F',
    Item = b'I',
    End = b'E',
    Commit = b'C',
    Finish = b'Q',
    Abandon = b'X',
    Names = b'N',
    Done = b'D',
    Lost = b'L',
    Missing = b'M',
    Stored = b'S',
    Bytes = b'B',
    Wanted = b'W',
    Kept = b'K',
    Refused = b'Z',
    Alive = b'A',
}

impl Kind {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        use Kind::*;
        const ALL: [Kind; 22] = [
            ListRefs,
            ListObjects,
            Read,
            Hold,
            Put,
            Begin,
            Offer,
            Item,
            End,
            Commit,
            Finish,
            Abandon,
            Names,
            Done,
            Lost,
            Missing,
            Stored,
            Bytes,
            Wanted,
            Kept,
            Refused,
            Alive,
        ];
        ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A payload that is being made.
#[derive(Clone, Debug, Default)]
pub(super) struct Payload(pub(super) Vec<u8>);

impl Payload {
    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    pub(super) fn small_number(mut self, number: u32) -> Self {
        self.0.extend_from_slice(&number.to_be_bytes());
        self
    }

    /// # Errors
    /// When it is longer than 65,535 bytes, which no name is.
    pub(super) fn text(mut self, text: &str) -> Result<Self> {
        let length = u16::try_from(text.len())
            .map_err(|_| Error::failed(format!("a name of {} bytes is too long", text.len())))?;
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(text.as_bytes());
        Ok(self)
    }

    pub(super) fn object(mut self, name: &ObjectName) -> Self {
        self.0.push(name.object_type as u8);
        self.0.extend_from_slice(name.checksum.as_bytes());
        self
    }

    pub(super) fn item(self, item: &Item) -> Result<Self> {
        match item {
            Item::Object(name) => Ok(self.object(name)),
            Item::Delta(path) => self.byte(0).text(path),
        }
    }

    pub(super) fn expected(self, expected: &Expected) -> Result<Self> {
        match expected {
            Expected::Absent => Ok(self.byte(0)),
            Expected::Version(Version(version)) => self.byte(1).text(version),
            Expected::Anything => Ok(self.byte(2)),
        }
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.push(byte);
        self
    }
}

/// What is left of a payload that came.
pub(super) struct Fields<'p>(pub(super) &'p [u8]);

impl<'p> Fields<'p> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn number(&mut self) -> Result<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(super) fn small_number(&mut self) -> Result<u32> {
        self.take().map(u32::from_be_bytes)
    }

    pub(super) fn text(&mut self) -> Result<&'p str> {
        let length = usize::from(self.take().map(u16::from_be_bytes)?);
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(short)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Error::failed("a text is no UTF-8"))
    }

    pub(super) fn object(&mut self) -> Result<ObjectName> {
        let number = self.byte()?;
        self.object_of(number)
    }

    /// Only what an archive has may be sent.
    fn object_of(&mut self, number: u8) -> Result<ObjectName> {
        use ObjectType::{Commit, CommitMeta, DirMeta, DirTree, File};
        let object_type = ObjectType::from_number(number)
            .filter(|kind| matches!(kind, File | DirTree | DirMeta | Commit | CommitMeta))
            .ok_or_else(|| Error::failed(format!("there are no objects of type {number}")))?;
        Ok(ObjectName::new(Checksum::from_bytes(self.take()?), object_type))
    }

    pub(super) fn item(&mut self) -> Result<Item> {
        match self.byte()? {
            0 => Ok(Item::Delta(self.text()?.to_owned())),
            number => self.object_of(number).map(Item::Object),
        }
    }

    pub(super) fn expected(&mut self) -> Result<Expected> {
        match self.byte()? {
            0 => Ok(Expected::Absent),
            1 => Ok(Expected::Version(Version(self.text()?.to_owned()))),
            2 => Ok(Expected::Anything),
            other => Err(Error::failed(format!("there is no condition {other}"))),
        }
    }

    /// # Errors
    /// When something is left.
    pub(super) fn end(self) -> Result<()> {
        match self.0 {
            [] => Ok(()),
            rest => Err(Error::failed(format!("a frame has {} bytes too many", rest.len()))),
        }
    }
}

fn short() -> Error {
    Error::failed("a frame is too short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encoded_is_decoded() {
        let commit = ObjectName::new(Checksum::of(b"x"), ObjectType::Commit);
        let delta = Item::Delta("deltas/ab/cd/0".to_owned());
        let version = Expected::Version(Version("v".to_owned()));
        let payload = Payload::default().number(1 << 40).small_number(7).text("é").unwrap();
        let payload = payload.item(&Item::Object(commit)).unwrap().item(&delta).unwrap();
        let payload = payload.expected(&version).unwrap().expected(&Expected::Anything).unwrap();
        let mut fields = Fields(&payload.0);
        assert_eq!((fields.number().unwrap(), fields.small_number().unwrap()), (1 << 40, 7));
        assert_eq!(fields.text().unwrap(), "é");
        assert_eq!(fields.item().unwrap(), Item::Object(commit));
        assert_eq!(fields.item().unwrap(), delta);
        assert_eq!(fields.expected().unwrap(), version);
        assert_eq!(fields.expected().unwrap(), Expected::Anything);
        fields.end().unwrap();
    }

    #[test]
    fn what_makes_no_sense_is_an_error() {
        let long = Payload::default().text(&"x".repeat(1 << 16));
        assert_eq!(long.unwrap_err().chain(), "a name of 65536 bytes is too long");
        for bytes in [&[][..], &[0; 2], &[0, 5, b'x'], &[0, 1, 0xff]] {
            assert!(Fields(bytes).text().is_err() || bytes == [0; 2], "{bytes:?}");
        }
        for number in [0, 5, 7, 9, 10, 255] {
            let bytes = [&[number][..], &[0; 32]].concat();
            let expected = format!("there are no objects of type {number}");
            assert_eq!(Fields(&bytes).object().unwrap_err().chain(), expected);
        }
        assert_eq!(Fields(&[3]).expected().unwrap_err().chain(), "there is no condition 3");
        assert_eq!(Fields(&[3]).end().unwrap_err().chain(), "a frame has 1 bytes too many");
    }

    #[test]
    fn every_kind_has_a_letter_of_its_own() {
        let known: Vec<Kind> = (0..=255).filter_map(Kind::from_byte).collect();
        assert_eq!(known.len(), 22);
        assert_eq!(Kind::from_byte(b'A'), Some(Kind::Alive));
        assert_eq!(Kind::from_byte(b'z'), None);
    }
}
