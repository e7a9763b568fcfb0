//! The file of the stat cache. All numbers are big-endian, so that the order of records is that of
//! their bytes.
//!
//! ```text
//! header    16  "osier stat cache"
//!            4  version, 1
//!            4  generation: how often the cache was written
//!            8  number of records
//! records  104  each, sorted by the first 32 bytes, which are unique:
//!            8  device
//!            8  inode
//!           16  recipe (the first half of a SHA-256)
//!            8  size in bytes
//!            8  mtime, seconds since 1970, signed
//!            4  mtime, nanoseconds
//!            8  ctime, seconds since 1970, signed
//!            4  ctime, nanoseconds
//!           32  checksum of the file object
//!            4  generation in which the record was last used
//!            4  zero
//! trailer   32  SHA-256 of everything before
//! ```

use crate::checksum::Checksum;
use crate::gvariant::DecodeError;
use crate::source::Metadata;

const MAGIC: &[u8; 16] = b"osier stat cache";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 32;
const TRAILER_LEN: usize = 32;
/// Bytes of a record.
const RECORD_LEN: usize = 104;
/// Device, inode and recipe.
const KEY_LEN: usize = 32;
/// The key with size and times.
const QUESTION_LEN: usize = 64;
const CHECKSUM_END: usize = QUESTION_LEN + 32;
const GENERATION_END: usize = CHECKSUM_END + 4;

/// The most records that are kept; beyond that, some files are read each time.
const MAX_RECORDS: usize = 1 << 21;
/// The longest file that is read, in bytes.
pub(super) const MAX_FILE_LEN: u64 = (HEADER_LEN + MAX_RECORDS * RECORD_LEN + TRAILER_LEN) as u64;

/// The first bytes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    bytes: [u8; QUESTION_LEN],
    ctime: (i64, u32),
}

impl Question {
    /// `None` when the nanoseconds are out of range.
    pub fn new(metadata: &Metadata, recipe: &Checksum) -> Option<Self> {
        let nanoseconds = |(_, nanoseconds): (i64, u64)| u32::try_from(nanoseconds).ok();
        let ctime = (metadata.ctime.0, nanoseconds(metadata.ctime)?);
        let mut bytes = [0; QUESTION_LEN];
        let mut rest = &mut bytes[..];
        for field in [
            &metadata.dev.to_be_bytes()[..],
            &metadata.ino.to_be_bytes(),
            &recipe.as_bytes()[..16],
            &metadata.size.to_be_bytes(),
            &metadata.mtime.0.to_be_bytes(),
            &nanoseconds(metadata.mtime)?.to_be_bytes(),
            &ctime.0.to_be_bytes(),
            &ctime.1.to_be_bytes(),
        ] {
            let (target, behind) = rest.split_at_mut(field.len());
            target.copy_from_slice(field);
            rest = behind;
        }
        Some(Self { bytes, ctime })
    }

    /// Seconds since 1970, nanoseconds.
    pub(super) fn ctime(&self) -> (i64, u32) {
        self.ctime
    }
}

/// A record as stored in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record([u8; RECORD_LEN]);

impl Record {
    /// A record that no generation has used yet.
    pub(super) fn new(question: &Question, checksum: &Checksum) -> Self {
        let mut bytes = [0; RECORD_LEN];
        bytes[..QUESTION_LEN].copy_from_slice(&question.bytes);
        bytes[QUESTION_LEN..CHECKSUM_END].copy_from_slice(checksum.as_bytes());
        Self(bytes)
    }

    fn key(&self) -> &[u8] {
        &self.0[..KEY_LEN]
    }

    fn generation(&self) -> u32 {
        generation_of(&self.0)
    }

    fn with_generation(mut self, generation: u32) -> Self {
        self.0[CHECKSUM_END..GENERATION_END].copy_from_slice(&generation.to_be_bytes());
        self
    }
}

/// The records of a file that has been verified.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    generation: u32,
}

impl Records {
    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// When they are not a complete, valid file; the message says why.
    pub fn decode(mut bytes: Vec<u8>) -> Result<Self, DecodeError> {
        let refuse = |what: &str| Err(DecodeError::new(what));
        let Some((body, trailer)) = bytes.split_last_chunk::<TRAILER_LEN>() else {
            return refuse("too short for a stat cache");
        };
        let Some((header, records)) = body.split_first_chunk::<HEADER_LEN>() else {
            return refuse("too short for a stat cache");
        };
        if !header.starts_with(MAGIC) {
            return refuse("not a stat cache");
        }
        if bytes.len() as u64 > MAX_FILE_LEN {
            return refuse("larger than a stat cache can be");
        }
        if Checksum::of(body).as_bytes() != trailer {
            return refuse("its checksum is wrong");
        }
        let version = number(&header[16..20]);
        if version != u64::from(VERSION) {
            return Err(DecodeError::new(format!("version {version} is not known")));
        }
        let generation = generation_in(&header[20..24]);
        if number(&header[24..]).checked_mul(RECORD_LEN as u64) != Some(records.len() as u64) {
            return refuse("it has another number of records than it says");
        }
        let mut keys = records.chunks_exact(RECORD_LEN).map(|record| &record[..KEY_LEN]);
        if !keys.by_ref().is_sorted_by(|one, next| one < next) {
            return refuse("its records are not sorted");
        }
        let end = bytes.len() - TRAILER_LEN;
        bytes.truncate(end);
        bytes.drain(..HEADER_LEN);
        Ok(Self { bytes, generation })
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.bytes.chunks_exact(RECORD_LEN)
    }

    fn get(&self, index: usize) -> &[u8] {
        &self.bytes[index * RECORD_LEN..][..RECORD_LEN]
    }

    /// The answer to a question, and the place of its record.
    pub fn find(&self, question: &Question) -> Option<(usize, Checksum)> {
        let key = &question.bytes[..KEY_LEN];
        let (mut low, mut high) = (0, self.bytes.len() / RECORD_LEN);
        while low < high {
            let middle = low + (high - low) / 2;
            if &self.get(middle)[..KEY_LEN] < key { low = middle + 1 } else { high = middle }
        }
        let record = self.iter().nth(low)?;
        let checksum = record[..QUESTION_LEN] == question.bytes;
        checksum.then(|| Some((low, Checksum::from_slice(&record[QUESTION_LEN..CHECKSUM_END])?)))?
    }

    /// How many times the cache was written since a record was last used.
    pub fn age(&self, record: &[u8]) -> u32 {
        self.generation.saturating_sub(generation_of(record))
    }

    /// The bytes of the next generation's file: the fresh records, and the old ones that were used
    /// or are not older than `max_age`. Of two with the same key the fresh one is kept.
    pub fn renewed(&self, used: &[bool], fresh: &mut Vec<Record>, max_age: u32) -> Vec<u8> {
        // The generation wraps around after four thousand million writes, which does no harm.
        let generation = self.generation.checked_add(1).unwrap_or(1);
        let mut all: Vec<Record> =
            fresh.drain(..).map(|record| record.with_generation(generation)).collect();
        let old = self.iter().zip(used).filter_map(|(record, used)| {
            let record = Record(record.try_into().ok()?);
            let age = generation.saturating_sub(record.generation());
            if *used {
                Some(record.with_generation(generation))
            } else {
                (age <= max_age && record.generation() <= generation).then_some(record)
            }
        });
        all.extend(old);
        if all.len() > MAX_RECORDS {
            all.sort_by_key(|record| std::cmp::Reverse(record.generation()));
            all.truncate(MAX_RECORDS);
        }
        // Stable, so that a fresh record stays before an old one with its key.
        all.sort_by(|one, other| one.key().cmp(other.key()));
        all.dedup_by(|next, one| next.key() == one.key());
        encoded(generation, all.iter().map(|record| &record.0[..]))
    }

    /// The bytes of a file with exactly these records.
    pub fn encode(&self) -> Vec<u8> {
        encoded(self.generation, self.iter())
    }
}

/// The bytes of a file with these records, which are sorted.
fn encoded<'r>(generation: u32, records: impl ExactSizeIterator<Item = &'r [u8]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_LEN + records.len() * RECORD_LEN + TRAILER_LEN);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&VERSION.to_be_bytes());
    bytes.extend_from_slice(&generation.to_be_bytes());
    bytes.extend_from_slice(&(records.len() as u64).to_be_bytes());
    records.for_each(|record| bytes.extend_from_slice(record));
    let checksum = Checksum::of(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn generation_in(bytes: &[u8]) -> u32 {
    u32::try_from(number(bytes)).unwrap_or(u32::MAX)
}

fn generation_of(record: &[u8]) -> u32 {
    generation_in(&record[CHECKSUM_END..GENERATION_END])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(ino: u64, recipe: &[u8], ctime: i64) -> Question {
        let (mtime, ctime) = ((-5, 999_999_999), (ctime, 1));
        let metadata =
            Metadata { uid: 0, gid: 0, mode: 0o100_644, size: 3, dev: 1, ino, mtime, ctime };
        Question::new(&metadata, &Checksum::of(recipe)).unwrap()
    }

    fn records(questions: &[Question]) -> Records {
        let mut fresh =
            questions.iter().map(|question| Record::new(question, &checksum(question))).collect();
        Records::decode(Records::default().renewed(&[], &mut fresh, 8)).unwrap()
    }

    fn checksum(question: &Question) -> Checksum {
        Checksum::of(&question.bytes)
    }

    #[test]
    fn only_the_whole_question_finds_its_answer() {
        let known: Vec<Question> = (0..50).map(|ino| question(ino * 7, b"r", 9)).collect();
        let records = records(&known);
        for question in &known {
            assert_eq!(records.find(question).map(|(_, found)| found), Some(checksum(question)));
        }
        for other in [
            question(1, b"r", 9),
            question(0, b"other", 9),
            question(0, b"r", 8),
            question(400, b"r", 9),
        ] {
            assert_eq!(records.find(&other), None);
        }
        assert_eq!(Records::default().find(&known[0]), None);
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let only = question(2, b"r", 9);
        let mut fresh = vec![Record::new(&only, &checksum(&only))];
        let bytes = Records::default().renewed(&[], &mut fresh, 8);
        assert_eq!(bytes.len(), 32 + 104 + 32);
        assert_eq!(&bytes[..32], b"osier stat cache\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0\x01");
        assert_eq!(&bytes[32..48], b"\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02");
        assert_eq!(bytes[48..64], Checksum::of(b"r").as_bytes()[..16]);
        assert_eq!(
            &bytes[64..84],
            b"\0\0\0\0\0\0\0\x03\xff\xff\xff\xff\xff\xff\xff\xfb\x3b\x9a\xc9\xff"
        );
        assert_eq!(&bytes[84..96], b"\0\0\0\0\0\0\0\x09\0\0\0\x01");
        assert_eq!(&bytes[96..128], checksum(&only).as_bytes());
        assert_eq!(&bytes[128..136], b"\0\0\0\x01\0\0\0\0");
        assert_eq!(&bytes[136..], Checksum::of(&bytes[..136]).as_bytes());
    }

    #[test]
    fn a_changed_file_replaces_its_record() {
        let (old, new) = (question(1, b"r", 9), question(1, b"r", 10));
        let before = records(std::slice::from_ref(&old));
        let mut fresh = vec![Record::new(&new, &checksum(&new))];
        let after = Records::decode(before.renewed(&[false], &mut fresh, 8)).unwrap();
        assert_eq!((after.iter().count(), after.find(&old)), (1, None));
        assert_eq!(after.find(&new), Some((0, checksum(&new))));
    }

    #[test]
    fn records_that_are_not_used_expire() {
        let (needed, forgotten) = (question(1, b"r", 9), question(2, b"r", 9));
        let mut current = records(&[needed.clone(), forgotten.clone()]);
        for round in 1..=9 {
            assert!(current.find(&forgotten).is_some(), "round {round}");
            current = Records::decode(current.renewed(&[true, false], &mut Vec::new(), 8)).unwrap();
        }
        assert!(current.find(&needed).is_some() && current.find(&forgotten).is_none());
    }

    #[test]
    fn what_is_whole_and_yet_no_cache_is_refused() {
        let sealed = |edit: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = records(&[question(1, b"r", 9), question(2, b"r", 9)]).renewed(
                &[true, true],
                &mut vec![],
                8,
            );
            bytes.truncate(bytes.len() - TRAILER_LEN);
            edit(&mut bytes);
            let checksum = Checksum::of(&bytes);
            bytes.extend_from_slice(checksum.as_bytes());
            Records::decode(bytes).map(drop).map_err(|error| error.what)
        };
        let refused = |what: &str| Err(what.to_owned());
        assert_eq!(sealed(&|_| {}), Ok(()));
        assert_eq!(sealed(&|bytes| bytes[0] = b'O'), refused("not a stat cache"));
        assert_eq!(sealed(&|bytes| bytes[19] = 2), refused("version 2 is not known"));
        let number = refused("it has another number of records than it says");
        assert_eq!(sealed(&|bytes| bytes[31] = 3), number);
        assert_eq!(sealed(&|bytes| bytes[24..32].fill(0xff)), number);
        assert_eq!(sealed(&|bytes| bytes.push(0)), number);
        let unsorted = refused("its records are not sorted");
        assert_eq!(sealed(&|bytes| bytes[32 + 15] = 9), unsorted);
        assert_eq!(sealed(&|bytes| bytes[32 + 15] = 2), unsorted);
    }
}
