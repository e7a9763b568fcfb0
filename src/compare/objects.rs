//! Compares objects of the same name in both repositories.

use std::fs::File;
use std::io::{self, ErrorKind, Read};

use rayon::prelude::*;

use super::fields::{self, FieldDifference};
use super::{Comparison, Place, Side, Subject, Verdict, both, merged};
use crate::checksum::{Checksum, Hasher};
use crate::error::{During, Error, OfObject, Result};
use crate::gvariant::Dict;
use crate::object::{Commit, DirMeta, DirTree, FileHeader, ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::{CommitState, FileObject, FileReader, Repo, RepoMode};
use crate::trial::check_interrupt;

/// How many of the 256 directories of `objects` are compared at a time: enough for all processors,
/// and few enough that the names of their objects take little memory.
const DIRECTORIES_AT_A_TIME: u16 = 16;
/// Stored files are read in pieces of this many bytes.
const BUFFER_LEN: usize = 128 << 10;

pub(super) fn compare(comparison: &mut Comparison<'_, '_>, progress: &dyn Progress) -> Result<()> {
    let (first, second) = (comparison.first, comparison.second);
    for start in (0..=255u8).step_by(usize::from(DIRECTORIES_AT_A_TIME)) {
        let directories = u16::from(start)..u16::from(start) + DIRECTORIES_AT_A_TIME;
        let directories: Vec<u8> =
            directories.filter_map(|directory| u8::try_from(directory).ok()).collect();
        let listed: Vec<(u8, Listing)> = directories
            .into_par_iter()
            .map(|directory| (directory, list(first, second, directory)))
            .collect();
        let mut names = Vec::new();
        for (directory, listed) in listed {
            match listed {
                Ok(places) => names.extend(places),
                Err(verdict) => {
                    comparison.found(Subject::Objects(format!("{directory:02x}")), verdict)?
                }
            }
        }
        let found: Vec<(ObjectName, Option<Verdict>)> = names
            .into_par_iter()
            .map(|place| {
                let found = match place {
                    Place::One(side, name) => (name, Some(Verdict::OnlyIn(side))),
                    // An interrupted comparison needs no result.
                    Place::Both(name, _) if progress.is_interrupted() => (name, None),
                    Place::Both(name, _) => (name, object(first, second, &name)),
                };
                progress.event(Event::Advanced { steps: 1, bytes: 0 });
                found
            })
            .collect();
        check_interrupt(progress)?;
        comparison.report.objects += found.len() as u64;
        for (name, verdict) in found {
            if let Some(verdict) = verdict {
                comparison.found(Subject::Object(name), verdict)?;
            }
        }
    }
    Ok(())
}

/// The objects of both repositories in one directory, or why they cannot be listed.
type Listing = Result<Vec<Place<ObjectName>>, Verdict>;

fn list(first: &Repo, second: &Repo, directory: u8) -> Listing {
    let list = |repo: &Repo| repo.list_comparable_objects_starting_with(directory);
    let (one, other) = both(list(first), list(second))?;
    Ok(merged(one, other, |name| *name))
}

/// Compares an object that both have; `None` if it is the same.
fn object(first: &Repo, second: &Repo, name: &ObjectName) -> Option<Verdict> {
    let result = match name.object_type {
        ObjectType::File => file(first, second, name),
        ObjectType::CommitMeta | ObjectType::TombstoneCommit => dictionary(first, second, name),
        ObjectType::Commit => match metadata(first, second, name) {
            Ok(None) => state(first, second, &name.checksum),
            result => result,
        },
        _ => metadata(first, second, name),
    };
    result.unwrap_or_else(Some)
}

/// Compares objects named by their bytes: if two differ, they are not both intact.
fn metadata(first: &Repo, second: &Repo, name: &ObjectName) -> Result<Option<Verdict>, Verdict> {
    let (one, other) = both(first.load_metadata(name), second.load_metadata(name))?;
    if one[..] == other[..] {
        return Ok(None);
    }
    let field = match name.object_type {
        ObjectType::Commit => decoded(Commit::decode(&one), Commit::decode(&other), fields::commit),
        ObjectType::DirTree => {
            decoded(DirTree::decode(&one), DirTree::decode(&other), fields::dirtree)
        }
        ObjectType::DirMeta => {
            decoded(DirMeta::decode(&one), DirMeta::decode(&other), fields::dirmeta)
        }
        _ => None,
    };
    let check = |bytes: &[u8]| check(name, Checksum::of(bytes));
    Err(damaged(check(&one), check(&other), field))
}

fn decoded<T, E>(
    first: Result<T, E>,
    second: Result<T, E>,
    compare: fn(&T, &T) -> Option<FieldDifference>,
) -> Option<FieldDifference> {
    compare(&first.ok()?, &second.ok()?)
}

fn check(name: &ObjectName, actual: Checksum) -> Result<()> {
    if actual == name.checksum {
        Ok(())
    } else {
        Err(Error::CorruptedObject { object: *name, actual })
    }
}

/// The verdict on two objects that are not both intact.
fn damaged(first: Result<()>, second: Result<()>, field: Option<FieldDifference>) -> Verdict {
    match (first, second) {
        (Err(one), Err(other)) => {
            let reason = format!("{}; so is the other's: {}", one.chain(), other.chain());
            Verdict::Unknown { side: Side::First, reason, field }
        }
        (Err(error), Ok(())) => {
            Verdict::Unknown { side: Side::First, reason: error.chain(), field }
        }
        (Ok(()), Err(error)) => {
            Verdict::Unknown { side: Side::Second, reason: error.chain(), field }
        }
        (Ok(()), Ok(())) => Verdict::Different(field.into_iter().collect()),
    }
}

/// Compares objects named by their commit, which may differ.
fn dictionary(first: &Repo, second: &Repo, name: &ObjectName) -> Result<Option<Verdict>, Verdict> {
    let (one, other) = both(first.load_metadata(name), second.load_metadata(name))?;
    if one[..] == other[..] {
        return Ok(None);
    }
    let decode = |bytes: &[u8]| Dict::decode(bytes).of_object(*name);
    let (one, other) = both(decode(&one), decode(&other))?;
    Ok(Some(Verdict::Different(fields::dict("metadata", &one, &other).into_iter().collect())))
}

/// Whether objects of the commit may be missing.
fn state(first: &Repo, second: &Repo, commit: &Checksum) -> Result<Option<Verdict>, Verdict> {
    let (one, other) = both(first.commit_state(commit), second.commit_state(commit))?;
    let shown = |state| match state {
        CommitState::Complete => "complete",
        CommitState::Partial => "partial",
        CommitState::PartialFsck => "damaged",
    };
    let field = || FieldDifference::new("state", shown(one), shown(other));
    Ok((one != other).then(|| Verdict::Different(vec![field()])))
}

fn file(first: &Repo, second: &Repo, name: &ObjectName) -> Result<Option<Verdict>, Verdict> {
    let are_archives = first.mode() == RepoMode::Archive && second.mode() == RepoMode::Archive;
    if are_archives && same_bytes(first, second, name)? {
        return Ok(None);
    }
    let load = |repo: &Repo| repo.load_file(&name.checksum);
    let (one, other) = both(load(first), load(second))?;
    let (one_header, other_header) = (one.header.clone(), other.header.clone());
    let verified = (
        verify(one, name, &as_kept(first, &one_header, &other_header)),
        verify(other, name, &as_kept(second, &other_header, &one_header)),
    );
    if let (Ok(()), Ok(())) = verified {
        return Ok(if are_archives {
            stored_otherwise(first, second, name, [&one_header, &other_header])?
        } else {
            None
        });
    }
    let field = first_difference(first, second, [&one_header, &other_header], name);
    // Such a repository does not keep everything that enters the name; what it keeps is equal.
    let excused = |repo: &Repo, result: &Result<()>| match result {
        Ok(()) => true,
        Err(Error::CorruptedObject { .. }) => !keeps_all(repo),
        Err(_) => false,
    };
    if field.is_none() && excused(first, &verified.0) && excused(second, &verified.1) {
        return Ok(None);
    }
    Err(damaged(verified.0, verified.1, field))
}

/// Whether the repository keeps owners and xattrs of files.
fn keeps_all(repo: &Repo) -> bool {
    repo.mode() != RepoMode::BareUserOnly && !repo.config().disable_xattrs
}

/// A header in which the fields that the repository does not keep come from the other's.
fn as_kept(repo: &Repo, own: &FileHeader, other: &FileHeader) -> FileHeader {
    let mut header = own.clone();
    if repo.mode() == RepoMode::BareUserOnly {
        (header.uid, header.gid) = (other.uid, other.gid);
    }
    if !keeps_all(repo) {
        header.xattrs = other.xattrs.clone();
    }
    header
}

/// Whether the content with this header, or with the object's own, matches the name.
fn verify(object: FileObject, name: &ObjectName, header: &FileHeader) -> Result<()> {
    let mut own = Hasher::new();
    own.update(&object.header.content_header());
    let mut lent = (header != &object.header).then(Hasher::new);
    if let Some(lent) = &mut lent {
        lent.update(&header.content_header());
    }
    object.read_chunks(&mut |chunk| {
        own.update(chunk);
        if let Some(lent) = &mut lent {
            lent.update(chunk);
        }
        Ok(())
    })?;
    match lent.map(Hasher::finish) {
        Some(lent) if lent == name.checksum => Ok(()),
        _ => check(name, own.finish()),
    }
}

/// The first differing field among those that both keep, or the position in the content.
fn first_difference(
    first: &Repo,
    second: &Repo,
    [one, other]: [&FileHeader; 2],
    name: &ObjectName,
) -> Option<FieldDifference> {
    let (one, other) = (as_kept(first, one, other), as_kept(second, other, one));
    fields::header(&one, &other).or_else(|| {
        let load = |repo: &Repo| repo.load_file(&name.checksum);
        content(load(first).ok()?, load(second).ok()?)
    })
}

/// The first position at which the content of two files differs.
pub(super) fn content(first: FileObject, second: FileObject) -> Option<FieldDifference> {
    let sizes = (first.size, second.size);
    let mut readers = [FileReader::new(first), FileReader::new(second)];
    let mut buffers = [vec![0; BUFFER_LEN], vec![0; BUFFER_LEN]];
    let mut offset = 0;
    let shown = |bytes: &[u8], at: usize| {
        bytes.get(at).map_or_else(|| "the end".to_owned(), |byte| format!("0x{byte:02x}"))
    };
    loop {
        // Content that cannot be inflated any further ends there; a read error of the system shows
        // no difference.
        let lengths = [
            fill(&mut readers[0], &mut buffers[0]).ok()?,
            fill(&mut readers[1], &mut buffers[1]).ok()?,
        ];
        let (one, other) = (&buffers[0][..lengths[0]], &buffers[1][..lengths[1]]);
        let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
        if common < one.len().max(other.len()) {
            let field = format!("content[{}]", offset + common as u64);
            return Some(FieldDifference::new(field, shown(one, common), shown(other, common)));
        }
        if common == 0 {
            break;
        }
        offset += common as u64;
    }
    (sizes.0 != sizes.1).then(|| FieldDifference::new("size", sizes.0, sizes.1))
}

/// Reads until the buffer is full or the content ends; returns the number of bytes.
fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.raw_os_error().is_some() => return Err(error),
            Err(_) => break,
        }
    }
    Ok(filled)
}

/// Compares two intact `.filez` of the same name: the compressed bytes, or the order of xattrs, may
/// differ.
fn stored_otherwise(
    first: &Repo,
    second: &Repo,
    name: &ObjectName,
    [one_header, other_header]: [&FileHeader; 2],
) -> Result<Option<Verdict>, Verdict> {
    let (one, other) = both(first.stored_size(name), second.stored_size(name))?;
    let shown = |size: u64| format!("{size} bytes");
    let field = if one_header == other_header {
        "compressed"
    } else {
        "compressed, the xattrs in another order"
    };
    Ok(Some(Verdict::Note(FieldDifference::new(field, shown(one), shown(other)))))
}

/// Whether the stored files are equal.
fn same_bytes(first: &Repo, second: &Repo, name: &ObjectName) -> Result<bool, Verdict> {
    let open = |repo: &Repo| repo.open_own_object(name)?.ok_or_else(|| Error::missing(*name));
    let (mut one, mut other) = both(open(first), open(second))?;
    let length = |file: &File| {
        let metadata = file.metadata().during("reading", name.to_string())?;
        // Loading it gives a better message for something that is not a file.
        Ok(metadata.is_file().then_some(metadata.len()))
    };
    let (one_length, other_length) = both(length(&one), length(&other))?;
    if one_length.is_none() || one_length != other_length {
        return Ok(false);
    }
    let mut buffers = [vec![0; BUFFER_LEN], vec![0; BUFFER_LEN]];
    loop {
        let [left, right] = &mut buffers;
        let read = |file: &mut File, buffer: &mut [u8]| {
            fill(file, buffer).during("reading", name.to_string())
        };
        let (left, right) = both(read(&mut one, left), read(&mut other, right))?;
        let lengths = [left, right];
        if buffers[0][..lengths[0]] != buffers[1][..lengths[1]] {
            return Ok(false);
        }
        if lengths[0] < BUFFER_LEN {
            return Ok(true);
        }
    }
}
