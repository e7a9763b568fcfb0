//! The file of the stat cache.

use osier::Checksum;
use osier::commit::{StatCacheQuestion, StatCacheRecords};
use osier::source::Metadata;

/// Bytes before the records and behind them; bytes of a record, of its key, and of its question.
const HEADER_LEN: usize = 32;
const TRAILER_LEN: usize = 32;
const RECORD_LEN: usize = 104;
const QUESTION_LEN: usize = 64;

/// What is no whole cache is dropped with a reason. A whole one has the same bytes when it is
/// encoded, answers the question of each of its records and no other, and its next generation is
/// whole, too.
pub fn stat_cache(data: &[u8]) {
    let records = match StatCacheRecords::decode(data.to_vec()) {
        Ok(records) => records,
        Err(error) => return assert!(!error.what.is_empty()),
    };
    assert!(records.encode() == data);
    let stored: Vec<&[u8]> =
        data[HEADER_LEN..data.len() - TRAILER_LEN].chunks(RECORD_LEN).collect();
    assert!(records.iter().eq(stored.iter().copied()));
    for (place, record) in stored.iter().enumerate() {
        let answer = Checksum::from_slice(&record[QUESTION_LEN..][..32]);
        assert_eq!(records.find(&question(record)), answer.map(|answer| (place, answer)));
        // Every bit of a question counts, also those that make it the question of no record or of
        // another one.
        for byte in (0..QUESTION_LEN).step_by(7) {
            let mut other = record.to_vec();
            other[byte] ^= 1 << (place % 8);
            let expected =
                stored.iter().position(|stored| stored[..QUESTION_LEN] == other[..QUESTION_LEN]);
            assert_eq!(records.find(&question(&other)).map(|(place, _)| place), expected);
        }
        let _ = records.age(record);
    }
    // In the next generation stays what was of use, and of the rest what is not old; nothing
    // changes but the generation.
    for used in [true, false] {
        let bytes = records.renewed(&vec![used; stored.len()], &mut Vec::new(), 8);
        let next = StatCacheRecords::decode(bytes).expect("what was written can be read");
        assert!(next.iter().all(|record| next.find(&question(record)).map(|(_, found)| found)
            == records.find(&question(record)).map(|(_, found)| found)));
        assert!(if used {
            next.iter().len() == stored.len()
        } else {
            next.iter().len() <= stored.len()
        });
    }
}

/// The question that a record answers.
fn question(record: &[u8]) -> StatCacheQuestion {
    let number =
        |at: usize| u64::from_be_bytes(*record[at..].first_chunk().expect("as long as a record"));
    let nanoseconds =
        |at: usize| u64::from(u32::from_be_bytes(*record[at..].first_chunk().expect("the same")));
    let time = |at: usize| (number(at).cast_signed(), nanoseconds(at + 8));
    let mut recipe = [0; 32];
    recipe[..16].copy_from_slice(&record[16..32]);
    let (dev, ino, size) = (number(0), number(8), number(32));
    let metadata =
        Metadata { uid: 0, gid: 0, mode: 0, size, dev, ino, mtime: time(40), ctime: time(52) };
    StatCacheQuestion::new(&metadata, &Checksum::from_bytes(recipe))
        .expect("32 bits of nanoseconds")
}
