//! The bodies of large files as far as they have come, for a pull that goes on after this one was
//! killed.
//!
//! Each is a file in the staging directory, which is locked by the pull that writes there and taken
//! over by the next one of the same boot:
//!
//! ```text
//! CHECKSUM.filez, CHECKSUM.part   its name: the object, or the part of a delta
//! "osier partial 1\n"             then, as the server gave them:
//! ETag "\n" Last-Modified "\n"    empty if there was none
//! bytes                           of the body, from its beginning
//! ```
//!
//! Nothing in it is trusted. The server is asked for the rest of the version that the validators
//! name, and what comes of both parts is verified as a whole; if that fails the file is fetched
//! anew.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;

use rustix::fs::{FileType, Mode, OFlags};

use crate::dir::{self, Dir};
use crate::http::Validators;
use crate::repo::Transaction;

/// Smaller bodies are not kept.
const SMALLEST: u64 = 1 << 20;
/// A body is kept only while there is so many times its size of free space: what it becomes is
/// written at the same time.
const ROOM: u64 = 4;

const MAGIC: &str = "osier partial 1";
/// The most that the lines before the body may take.
const LONGEST_HEAD: usize = 4096;

/// The partial bodies of a pull.
pub(super) struct Partials<'t, 'r> {
    transaction: &'t Transaction<'r>,
    /// Where they are; `None` if it cannot be made.
    dir: OnceLock<Option<Dir>>,
    /// Those of earlier pulls.
    found: HashSet<String>,
}

/// A body that is being kept.
#[derive(Debug)]
pub(super) struct Partial {
    file: File,
    pub(super) validators: Validators,
    /// Bytes before the body.
    head: u64,
    /// Bytes of the body.
    pub(super) length: u64,
}

impl<'t, 'r> Partials<'t, 'r> {
    /// Looks for what earlier pulls have left.
    pub(super) fn new(transaction: &'t Transaction<'r>) -> Self {
        let dir = transaction.find_kept();
        let names = dir.as_ref().and_then(|dir| dir::names(dir).ok()).unwrap_or_default();
        let found = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
        Self { transaction, dir: dir.map_or_else(OnceLock::new, |dir| Some(dir).into()), found }
    }

    /// Whether there is nothing of an earlier pull.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// What an earlier pull has left of a body.
    pub(super) fn find(&self, name: &str) -> Option<Partial> {
        if !self.found.contains(name) {
            return None;
        }
        let flags = OFlags::RDWR | OFlags::NONBLOCK;
        let file = dir::open(self.dir()?, name, flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&file).ok()?;
        let is_own = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && stat.st_uid == rustix::process::geteuid().as_raw()
            && stat.st_nlink == 1
            && stat.st_mode & 0o077 == 0;
        let partial = Partial::read(file, u64::try_from(stat.st_size).unwrap_or(0));
        partial.ok().flatten().filter(|partial| is_own && partial.length > 0)
    }

    /// Begins to keep a body of that length. `None` where there is no room, or it cannot be
    /// written: the pull goes on without.
    pub(super) fn begin(
        &self,
        name: &str,
        validators: &Validators,
        length: u64,
    ) -> Option<Partial> {
        let fits = |room: u64| length.saturating_mul(ROOM) <= room;
        if length < SMALLEST || !fits(self.transaction.repo().room().ok()?.bytes()) {
            return None;
        }
        let dir = self.dir()?;
        let _ = dir::remove_file(dir, name);
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        let file = dir::open(dir, name, flags, Mode::from_raw_mode(0o600)).ok()?;
        let mut partial = Partial { file, validators: validators.clone(), head: 0, length: 0 };
        partial.write_head().ok()?;
        Some(partial)
    }

    /// Removes what is kept of a body.
    pub(super) fn remove(&self, name: &str) {
        if let Some(dir) = self.dir() {
            let _ = dir::remove_file(dir, name);
        }
    }

    fn dir(&self) -> Option<&Dir> {
        self.dir.get_or_init(|| self.transaction.make_kept().ok()).as_ref()
    }
}

impl Partial {
    /// `None` if it is not what this module writes.
    fn read(file: File, size: u64) -> io::Result<Option<Self>> {
        let mut bytes = vec![0; LONGEST_HEAD];
        let count = file.read_at(&mut bytes, 0)?;
        let mut lines = bytes[..count].splitn(4, |byte| *byte == b'\n');
        let mut line = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
        let (Some(MAGIC), Some(etag), Some(last_modified)) = (line(), line(), line()) else {
            return Ok(None);
        };
        // Without a fourth piece the third line does not end.
        if lines.next().is_none() {
            return Ok(None);
        }
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let validators = Validators { etag: some(etag), last_modified: some(last_modified) };
        let head = head_of(&validators).len() as u64;
        Ok(Some(Self { file, validators, head, length: size.saturating_sub(head) }))
    }

    fn write_head(&mut self) -> io::Result<()> {
        let head = head_of(&self.validators);
        if head.len() > LONGEST_HEAD {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.file.write_all_at(head.as_bytes(), 0)?;
        self.head = head.len() as u64;
        Ok(())
    }

    /// Adds bytes of the body.
    pub(super) fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.head + self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Reads what there is of the body from that byte on.
    pub(super) fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buffer, self.head + at)
    }
}

fn head_of(Validators { etag, last_modified }: &Validators) -> String {
    let line = |text: &Option<String>| text.clone().unwrap_or_default();
    format!("{MAGIC}\n{}\n{}\n", line(etag), line(last_modified))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::repo::{Repo, RepoMode};

    fn validators(etag: Option<&str>) -> Validators {
        Validators { etag: etag.map(str::to_owned), last_modified: Some("yesterday".to_owned()) }
    }

    fn repo(directory: &Path) -> Repo {
        Repo::create(&directory.join("repo"), RepoMode::BareUser, None).unwrap()
    }

    #[test]
    fn what_is_kept_is_there_for_the_next_transaction_until_it_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(directory.path());
        for etag in [None, Some("\"tag\"")] {
            let transaction = Transaction::begin(&repo).unwrap();
            let partials = Partials::new(&transaction);
            assert!(partials.is_empty() && partials.find("x.filez").is_none());
            assert!(partials.begin("small", &validators(etag), SMALLEST - 1).is_none());
            assert!(partials.begin("vast", &validators(etag), u64::MAX / 8).is_none());
            let mut partial = partials.begin("x.filez", &validators(etag), SMALLEST).unwrap();
            partial.push(b"first\n").unwrap();
            partial.push(b"second").unwrap();
            drop(partial);
            transaction.abort(None);

            let transaction = Transaction::begin(&repo).unwrap();
            let partials = Partials::new(&transaction);
            let mut partial = partials.find("x.filez").unwrap();
            assert_eq!((&partial.validators, partial.length), (&validators(etag), 12));
            partial.push(b" third").unwrap();
            let mut bytes = [0; 32];
            let count = partial.read_at(&mut bytes, 6).unwrap();
            assert_eq!(&bytes[..count], b"second third");
            partials.remove("x.filez");
            assert!(partials.find("x.filez").is_none());
            transaction.remove_kept();
            transaction.commit().unwrap();
            assert_eq!(std::fs::read_dir(repo.path().join("tmp")).unwrap().count(), 1, "cache");
        }
    }

    #[test]
    fn what_others_may_have_put_there_is_not_used() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(directory.path());
        let transaction = Transaction::begin(&repo).unwrap();
        transaction.make_kept().unwrap();
        let staging = std::fs::read_dir(repo.path().join("tmp")).unwrap().map(Result::unwrap);
        let staging = staging.map(|entry| entry.path().join("osier/partial"));
        let place = staging.into_iter().find(|path| path.exists()).unwrap();
        let good = head_of(&validators(None)) + "body";
        let write = |name: &str, text: &str, mode: u32| {
            std::fs::write(place.join(name), text).unwrap();
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(place.join(name), mode).unwrap();
        };
        write("good", &good, 0o600);
        write("shared", &good, 0o660);
        write("other", "osier partial 2\n\n\nbody", 0o600);
        write("cut", "osier partial 1\n\"tag\"", 0o600);
        write("cut-too", "osier partial 1\n\"tag\"\nyesterday", 0o600);
        write("empty", "", 0o600);
        write("no-body", &head_of(&validators(None)), 0o600);
        write("linked", &good, 0o600);
        std::fs::hard_link(place.join("linked"), place.join("link")).unwrap();
        std::os::unix::fs::symlink("good", place.join("symlink")).unwrap();
        std::fs::create_dir(place.join("directory")).unwrap();
        let partials = Partials::new(&transaction);
        assert_eq!(partials.find("good").unwrap().length, 4);
        for name in [
            "shared",
            "other",
            "cut",
            "cut-too",
            "empty",
            "no-body",
            "linked",
            "symlink",
            "directory",
            "absent",
        ] {
            assert!(partials.find(name).is_none(), "{name}");
        }
    }
}
