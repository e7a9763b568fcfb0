//! The file that a table is kept in, `tmp/cache/reachability`, where neither osier nor `ostree`
//! cleans up. Numbers are little-endian.
//!
//! ```text
//! magic      "osier reachability 1\n"
//! commits    u32 number, then 32 bytes each
//! classes    u32 number, then for each u32 number of runs, and the first and the last commit of each, u32
//! objects    256 times, by the first byte: u32 number, then for each 32 bytes, u8 type, u32 class
//! check      SHA-256 of the SHA-256 of each MiB before
//! ```
//!
//! A file that is missing, damaged or of another version is as good as an empty one. It is replaced
//! as a whole; of two writers the last one wins. What it says of a commit is what the checksum of
//! the commit stands for, so it is never out of date.

use std::io::ErrorKind;
use std::path::Path;

use rayon::prelude::*;

use super::Table;
use super::classes::Runs;
use crate::checksum::Checksum;
use crate::error::Result;
use crate::input;
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;

const PLACE: &str = "tmp/cache/reachability";
const MAGIC: &[u8] = b"osier reachability 1\n";
const PIECE: usize = 1 << 20;
const OBJECT: usize = 32 + 1 + 4;
/// The largest file that is read: 200 million objects.
const MAX_LEN: u64 = 8 << 30;

/// The table that the last prune has left; an empty one if there is none that can be used.
pub(in crate::prune) fn load(repo: &Repo) -> Table {
    let bytes = match input::read_stored(repo.dir(), PLACE, MAX_LEN) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != ErrorKind::NotFound {
                log::debug!("Reading {PLACE}: {error}");
            }
            return Table::default();
        }
    };
    decode(&bytes).unwrap_or_else(|| {
        log::debug!("{PLACE} is damaged or of another version");
        Table::default()
    })
}

/// Leaves a table for the next prune.
///
/// # Errors
/// When it cannot be written.
pub(in crate::prune) fn save(repo: &Repo, table: &Table) -> Result<()> {
    repo.replace_file(Path::new(PLACE), &encode(table))
}

fn encode(table: &Table) -> Vec<u8> {
    let objects: usize = table.objects.iter().map(Vec::len).sum();
    let mut bytes = Vec::with_capacity(objects * OBJECT + (1 << 16));
    let put = |bytes: &mut Vec<u8>, number: usize| {
        // There are fewer than 4 billion of anything.
        bytes.extend_from_slice(&(number as u32).to_le_bytes());
    };
    bytes.extend_from_slice(MAGIC);
    put(&mut bytes, table.commits.len());
    table.commits.iter().for_each(|commit| bytes.extend_from_slice(commit.as_bytes()));
    put(&mut bytes, table.classes.len());
    for runs in &table.classes {
        put(&mut bytes, runs.len());
        for (first, last) in runs {
            bytes.extend_from_slice(&first.to_le_bytes());
            bytes.extend_from_slice(&last.to_le_bytes());
        }
    }
    for objects in &table.objects {
        put(&mut bytes, objects.len());
        for (name, class) in objects {
            bytes.extend_from_slice(name.checksum.as_bytes());
            bytes.push(name.object_type as u8);
            bytes.extend_from_slice(&class.to_le_bytes());
        }
    }
    bytes.extend_from_slice(check(&bytes).as_bytes());
    bytes
}

fn check(bytes: &[u8]) -> Checksum {
    let pieces: Vec<Checksum> = bytes.par_chunks(PIECE).map(Checksum::of).collect();
    let pieces: Vec<u8> = pieces.iter().flat_map(|piece| *piece.as_bytes()).collect();
    Checksum::of(&pieces)
}

fn decode(bytes: &[u8]) -> Option<Table> {
    let (content, checksum) = bytes.split_last_chunk::<32>()?;
    let mut rest = content.strip_prefix(MAGIC)?;
    if check(content).as_bytes() != checksum {
        return None;
    }
    let number = take_number(&mut rest)? as usize;
    let commits = take(&mut rest, number.checked_mul(32)?)?;
    let commits: Vec<Checksum> =
        commits.chunks_exact(32).filter_map(Checksum::from_slice).collect();
    let mut classes = Vec::new();
    for _ in 0..take_number(&mut rest)? {
        classes.push(take_class(&mut rest, commits.len())?);
    }
    let mut parts = Vec::with_capacity(256);
    for _ in 0..256 {
        let number = take_number(&mut rest)? as usize;
        parts.push(take(&mut rest, number.checked_mul(OBJECT)?)?);
    }
    if !rest.is_empty() {
        return None;
    }
    let of_part = |(first, part): (usize, &&[u8])| {
        let objects = part.chunks_exact(OBJECT).map(object).collect::<Option<Vec<_>>>()?;
        let is_sorted = objects.is_sorted_by(|(one, _), (other, _)| one < other);
        let belongs = objects.iter().all(|(name, class)| {
            usize::from(name.checksum.as_bytes()[0]) == first && (*class as usize) < classes.len()
        });
        (is_sorted && belongs).then_some(objects)
    };
    let objects = parts.par_iter().enumerate().map(of_part).collect::<Option<Vec<_>>>()?;
    Some(Table { commits, classes, objects })
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

fn take_class(rest: &mut &[u8], commits: usize) -> Option<Runs> {
    let number = take_number(rest)?;
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for _ in 0..number {
        let (first, last) = (take_number(rest)?, take_number(rest)?);
        let follows = runs.last().is_none_or(|(_, before)| *before < first);
        if !follows || last < first || last as usize >= commits {
            return None;
        }
        runs.push((first, last));
    }
    Some(runs.into())
}

fn object(bytes: &[u8]) -> Option<(ObjectName, u32)> {
    let (checksum, rest) = bytes.split_first_chunk::<32>()?;
    let (object_type, class) = rest.split_first()?;
    let name =
        ObjectName::new(Checksum::from_bytes(*checksum), ObjectType::from_number(*object_type)?);
    Some((name, u32::from_le_bytes(class.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let name = |text: &str| ObjectName::new(Checksum::of(text.as_bytes()), ObjectType::File);
        let mut table = Table {
            commits: vec![Checksum::of(b"1"), Checksum::of(b"2")],
            classes: vec![Runs::from([(0, 1)]), Runs::from([(1, 1)])],
            ..Table::default()
        };
        for (text, class) in [("a", 0), ("b", 1), ("c", 0)] {
            let name = name(text);
            table.objects[usize::from(name.checksum.as_bytes()[0])].push((name, class));
        }
        table
    }

    #[test]
    fn what_was_written_is_read() {
        let (table, read) = (table(), decode(&encode(&table())).unwrap());
        assert_eq!(
            (read.commits, read.classes, read.objects),
            (table.commits, table.classes, table.objects)
        );
    }

    #[test]
    fn what_is_damaged_or_does_not_fit_is_no_table() {
        let bytes = encode(&table());
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "{length}");
        }
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert!(decode(&other).is_none(), "{place}");
        }
        // With a right check, but numbers that do not fit together.
        let misfits: [fn(&mut Table); 4] = [
            |table| table.classes.truncate(1),
            |table| table.commits.truncate(1),
            |table| {
                let moved = table.objects[0x2e].pop();
                table.objects[0].extend(moved);
            },
            |table| table.classes[0] = Runs::from([(1, 1), (0, 0)]),
        ];
        for misfit in misfits {
            let mut table = table();
            misfit(&mut table);
            assert!(decode(&encode(&table)).is_none());
        }
    }
}
