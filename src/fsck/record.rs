//! How far a check has come, for one that goes on where another was interrupted.
//!
//! Objects are verified in the order of their names, so one name says which are done. The record is
//! a text in `tmp/cache`, which other programs leave alone:
//!
//! ```text
//! osier fsck 1
//! DEVICE INODE            of the repository's directory: a copy is another repository
//! SECONDS                 when the first of these checks began
//! HEX.TYPE                the last object that is done
//! HEX.TYPE                an object before it that is missing or damaged; any number of them
//! SHA256                  of all before
//! ```
//!
//! What was changed since then has a younger change time, which nobody can set back, and is
//! verified again. A record that is lost or damaged only costs time.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::checksum::Checksum;
use crate::dir;
use crate::input;
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;

const FILE: &str = "tmp/cache/fsck-progress";
const MAGIC: &str = "osier fsck 1";
/// The largest record that is read, in bytes.
const MAX_SIZE: u64 = 64 << 20;
/// Objects between two looks at the clock.
const PIECE: usize = 512;
/// The time between two records.
const INTERVAL: Duration = Duration::from_secs(2);
/// File systems may round times, and clocks are set; objects that young when the first check began
/// are verified again.
const MARGIN: i64 = 2;

/// The record of a running check.
#[derive(Debug)]
pub(crate) struct Record<'r> {
    repo: &'r Repo,
    /// When the first check began, in seconds since 1970.
    began: i64,
    /// What an earlier check has done.
    earlier: Option<Done>,
    /// What is not sound, from this check and earlier ones.
    faulty: BTreeSet<ObjectName>,
    written: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Done {
    began: i64,
    last: ObjectName,
    faulty: BTreeSet<ObjectName>,
}

impl<'r> Record<'r> {
    /// Reads the record of an earlier check, or begins one.
    pub(crate) fn open(repo: &'r Repo) -> Self {
        let now = now();
        let earlier = input::read_stored(repo.dir(), Path::new(FILE), MAX_SIZE).ok();
        let earlier = earlier.and_then(|bytes| parse(&bytes, &identity(repo)?));
        // A clock that was set back says nothing about what is younger.
        let earlier = earlier.filter(|done| done.began <= now);
        let began = earlier.as_ref().map_or(now, |done| done.began);
        let faulty = earlier.as_ref().map(|done| done.faulty.clone()).unwrap_or_default();
        Self { repo, began, earlier, faulty, written: None }
    }

    /// Whether an earlier check has found the object sound, and nobody has touched it since.
    pub(crate) fn has(&self, name: &ObjectName) -> bool {
        let Some(done) = &self.earlier else { return false };
        *name <= done.last
            && !done.faulty.contains(name)
            && self.repo.stat_object(name).is_ok_and(|stat| stat.st_ctime < self.began - MARGIN)
    }

    /// Verifies sorted objects with `verify`, which gets some at a time and returns what is wrong
    /// with them, and whether to go on; what is known to be sound is only counted by `skip`.
    pub(crate) fn verify<T>(
        &mut self,
        objects: &[ObjectName],
        skip: impl Fn(u64),
        mut verify: impl FnMut(&[ObjectName]) -> (Vec<(ObjectName, T)>, bool),
    ) -> Vec<(ObjectName, T)> {
        let mut problems = Vec::new();
        for piece in objects.chunks(PIECE) {
            let (known, rest): (Vec<_>, Vec<_>) = piece.iter().partition(|name| self.has(name));
            skip(known.len() as u64);
            let (found, goes_on) = verify(&rest);
            for name in rest {
                self.faulty.remove(&name);
            }
            self.faulty.extend(found.iter().map(|(name, _)| *name));
            problems.extend(found);
            if !goes_on {
                // What comes before the end is done all the same.
                break;
            }
            if let Some(last) = piece.last() {
                self.note(*last);
            }
        }
        problems
    }

    /// Writes the record, now and then.
    fn note(&mut self, last: ObjectName) {
        if self.written.is_some_and(|written| written.elapsed() < INTERVAL) {
            return;
        }
        // An earlier check may have come further.
        let last = self.earlier.as_ref().map_or(last, |done| done.last.max(last));
        let Some(identity) = identity(self.repo) else { return };
        let done = Done { began: self.began, last, faulty: self.faulty.clone() };
        let written = self.repo.replace_file(Path::new(FILE), text(&done, &identity).as_bytes());
        if let Err(error) = written {
            log::debug!("the check cannot be resumed: {}", error.chain());
        }
        self.written = Some(Instant::now());
    }

    /// Ends the check: the next one begins anew.
    pub(crate) fn finish(self) {
        let _ = dir::remove_file(self.repo.dir(), FILE);
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

fn identity(repo: &Repo) -> Option<String> {
    let stat = rustix::fs::fstat(repo.dir()).ok()?;
    let (device, inode) = dir::identity(&stat);
    Some(format!("{device} {inode}"))
}

fn text(done: &Done, identity: &str) -> String {
    let Done { began, last, faulty } = done;
    let mut text = format!("{MAGIC}\n{identity}\n{began}\n{last}\n");
    for name in faulty {
        text.push_str(&format!("{name}\n"));
    }
    let checksum = Checksum::of(text.as_bytes());
    text.push_str(&format!("{checksum}\n"));
    text
}

fn parse(bytes: &[u8], identity: &str) -> Option<Done> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?;
    let (_, checksum) = text.rsplit_once('\n')?;
    let before = text.strip_suffix(checksum)?;
    if Checksum::from_hex(checksum).ok()? != Checksum::of(before.as_bytes()) {
        return None;
    }
    let mut lines = before.lines();
    if lines.next()? != MAGIC || lines.next()? != identity {
        return None;
    }
    let began = lines.next()?.parse().ok()?;
    let last = parse_name(lines.next()?)?;
    let faulty = lines.map(parse_name).collect::<Option<_>>()?;
    Some(Done { began, last, faulty })
}

fn parse_name(text: &str) -> Option<ObjectName> {
    let (hex, extension) = text.split_once('.')?;
    let object_type =
        (1..=9).filter_map(ObjectType::from_number).find(|ty| ty.extension() == extension)?;
    Some(ObjectName::new(Checksum::from_hex(hex).ok()?, object_type))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::{RepoMode, Transaction};

    fn name(byte: u8, object_type: ObjectType) -> ObjectName {
        ObjectName::new(Checksum::from_bytes([byte; 32]), object_type)
    }

    #[test]
    fn a_record_comes_back_unless_anything_in_it_is_changed() {
        let faulty = [name(1, ObjectType::File), name(2, ObjectType::Commit)].into();
        let done = Done { began: 1_700_000_000, last: name(9, ObjectType::DirTree), faulty };
        let bytes = text(&done, "1 2").into_bytes();
        assert_eq!(parse(&bytes, "1 2"), Some(done));
        assert_eq!(parse(&bytes, "1 3"), None);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(parse(&damaged, "1 2"), None, "byte {at}");
            assert_eq!(parse(&bytes[..at], "1 2"), None, "first {at} bytes");
        }
    }

    /// A repository with three dirmetas, and their names in order.
    fn repo(directory: &Path) -> (Repo, Vec<ObjectName>) {
        let repo = Repo::create(&directory.join("repo"), RepoMode::Archive, None).unwrap();
        let transaction = Transaction::begin(&repo).unwrap();
        let write = |bytes: &[u8]| transaction.write_metadata(ObjectType::DirMeta, bytes).unwrap();
        let mut names: Vec<ObjectName> = [b"a", b"b", b"c"]
            .iter()
            .map(|bytes| ObjectName::new(write(*bytes), ObjectType::DirMeta))
            .collect();
        transaction.commit().unwrap();
        names.sort_unstable();
        (repo, names)
    }

    /// What a check verifies; `ends_with` is the last object that it comes to.
    fn verified(
        record: &mut Record<'_>,
        names: &[ObjectName],
        bad: &ObjectName,
    ) -> Vec<ObjectName> {
        let mut verified = Vec::new();
        record.verify(
            names,
            |_| {},
            |piece| {
                verified.extend_from_slice(piece);
                let bad = piece.iter().filter(|name| *name == bad);
                (bad.map(|name| (*name, ())).collect(), true)
            },
        );
        verified
    }

    #[test]
    fn the_next_check_verifies_what_is_new_damaged_or_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (repo, names) = repo(directory.path());
        let mut first = Record::open(&repo);
        // As if all objects were old.
        first.began += 2 * MARGIN;
        let began = first.began;
        assert_eq!(verified(&mut first, &names[..2], &names[0]), names[..2]);
        // It is killed: the record stays. The clock has gone on.
        let text = std::fs::read(repo.path().join(FILE)).unwrap();
        let done = parse(&text, &identity(&repo).unwrap()).unwrap();
        assert_eq!((done.began, done.last), (began, names[1]));
        assert_eq!(done.faulty, [names[0]].into());
        let again = |began| {
            let earlier = Some(done.clone());
            Record { repo: &repo, began, earlier, faulty: BTreeSet::new(), written: None }
        };
        let later = verified(&mut again(began), &names, &names[0]);
        assert_eq!(later, [names[0], names[2]], "the sound one is known");
        // All were changed after the check began.
        assert_eq!(verified(&mut again(now() - 10), &names, &names[0]), names);
        // A check in the future proves nothing.
        std::fs::write(repo.path().join(FILE), &text).unwrap();
        assert!(Record::open(&repo).earlier.is_none());
        again(began).finish();
        assert!(!repo.path().join(FILE).exists());
    }
}
