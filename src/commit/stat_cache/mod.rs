//! The stat cache: which object an unchanged file became when it was last committed, so that it
//! need not be read again.
//!
//! # What is trusted, and why
//!
//! An object's name depends on the content of a file, on its xattrs, and on the owner and mode that
//! are *recorded* for it, which options change. So a record answers one complete question (see
//! [`Question`]): an inode, its size, mtime and ctime, and a **recipe**, a digest of everything
//! else that enters the object:
//!
//! - owner, group and mode after all filters, exactly as they go into the header;
//! - where the xattrs come from: there are none, they are the inode's, or they are these (by their
//!   digest);
//! - the SELinux label that takes the place of the inode's;
//! - if xattrs are the inode's, who reads them: capabilities and user namespace decide which ones
//!   are shown, and how.
//!
//! Other options ask another question, which has no answer yet: an answer can be stale, but it
//! cannot belong to something else. What keeps it from being stale:
//!
//! - Whatever changes content, xattrs, owner or mode of a file gives the inode a new ctime, which
//!   no program can choose. That holds for the file systems in [`trust`] and is relied on only
//!   there.
//! - A clock ticks. A file that changes twice within one tick has one ctime, so a file is
//!   remembered only if it had been left alone for [`StatCacheOptions::settling`] when the commit
//!   began.
//! - The answer is an object that is in the repository, else the file is read.
//!
//! What cannot be detected: a program that goes on writing through a shared memory mapping that was
//! dirty before (the kernel stamps the first write only), and a clock that is set back so that a
//! later change gets the very nanosecond of an earlier one. Trees that are written to while they
//! are committed have no definite content with or without a cache.
//!
//! # Upkeep
//!
//! The file is read as a whole, and written as a whole next to the old one and renamed over it, so
//! a reader sees one or the other, and of two simultaneous commits the last one's is kept. Nothing
//! is locked. It is only written when there is something new, or when records in use have grown
//! old. Those unused in [`MAX_AGE`] consecutive writes are left out. The format is in
//! [`mod@format`]; a file that is damaged in any way is dropped with a warning.

mod format;
mod trust;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{Mode, OFlags, RenameFlags};

use crate::checksum::{Checksum, Hasher};
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::input;
use crate::progress::{Event, Progress};
use crate::repo::Repo;
use crate::source::{Directory, Metadata, Ownership};

use format::{MAX_FILE_LEN, Record};
pub use format::{Question as RecordQuestion, Records};
pub(super) use trust::Trust;
use trust::{Devices, Reader};

/// Where the stat cache is and how careful it has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatCacheOptions {
    /// The file; by default `tmp/cache/stat-cache` in the repository, where neither osier nor
    /// ostree cleans up.
    pub file: Option<PathBuf>,
    /// A file that was changed less than this before the commit began is not remembered. It must be
    /// longer than the time in which a file system may give two changes the same time stamp, a
    /// second on old ones; 2 seconds by default.
    pub settling: Duration,
}

impl Default for StatCacheOptions {
    fn default() -> Self {
        Self { file: None, settling: Duration::from_secs(2) }
    }
}

/// How useful the stat cache was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatCacheStats {
    /// Files and symbolic links that were not read.
    pub hits: u64,
    /// Files and symbolic links that were read and are remembered now.
    pub remembered: u64,
}

/// The default place, relative to the repository.
const DEFAULT_FILE: &str = "tmp/cache/stat-cache";
const DEFAULT_NAME: &str = "stat-cache";
/// Records unused in this many writes of the cache are left out of the next one. So this many trees
/// or sets of options can share one file, and trees that are made anew each time leave no more
/// behind than this.
const MAX_AGE: u32 = 16;

/// A stat cache during one commit. Any thread may ask it.
#[derive(Debug)]
pub(super) struct StatCache {
    records: Records,
    /// For each record, whether it was an answer.
    used: Vec<AtomicBool>,
    fresh: Mutex<Vec<Record>>,
    hits: AtomicU64,
    devices: Devices,
    reader: Reader,
    /// Files with a later ctime (seconds since 1970, nanoseconds) are not recorded.
    settled_before: (i64, u32),
}

/// What a record answers: which object is the file with this inode, these times and this recipe?
#[derive(Clone, Debug)]
pub(super) struct Question(format::Question);

/// Where the xattrs of an object come from.
#[derive(Clone, Copy)]
pub(super) enum XattrSource {
    /// There are none.
    None,
    /// They are the inode's, which the ctime vouches for.
    Inode,
    /// They were read; this is the digest of all of them.
    Read(Checksum),
}

impl StatCache {
    /// Reads the cache. `None`, with a warning, when it cannot be relied on or that cannot be
    /// determined; an empty cache when only the file is unusable.
    pub(super) fn open(
        repo: &Repo,
        options: &StatCacheOptions,
        progress: &dyn Progress,
    ) -> Option<Self> {
        let path = path_of(repo, options);
        let warn = |what: String| progress.event(Event::Warning(&what));
        let unusable = |what: &str| warn(format!("stat cache not used: {what}"));
        let reader = Reader::of_this_process().map_err(|error| unusable(&error.chain())).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        let Some(settled) = now.checked_sub(options.settling) else {
            unusable("the clock is not set");
            return None;
        };
        let records = match read(&path) {
            Ok(records) => records,
            Err(error) => {
                warn(format!("stat cache dropped: {}", error.chain()));
                Records::default()
            }
        };
        Some(Self {
            used: records.iter().map(|_| AtomicBool::new(false)).collect(),
            records,
            fresh: Mutex::default(),
            hits: AtomicU64::new(0),
            devices: Devices::new(),
            reader,
            settled_before: (i64::try_from(settled.as_secs()).ok()?, settled.subsec_nanos()),
        })
    }

    /// How far the times of the file `name` in `directory`, on the device `device`, can be relied
    /// on.
    pub(super) fn trust(
        &self,
        directory: &Directory,
        name: &str,
        device: u64,
        progress: &dyn Progress,
    ) -> Trust {
        self.devices.trust(directory, name, device, progress)
    }

    /// The question for a file or symbolic link; `None` if its inode holds impossible times.
    pub(super) fn question(
        &self,
        metadata: &Metadata,
        recorded: Ownership,
        xattrs: XattrSource,
        label: Option<&str>,
    ) -> Option<Question> {
        let mut recipe = Hasher::new();
        for number in [recorded.uid, recorded.gid, recorded.mode] {
            recipe.update(&number.to_be_bytes());
        }
        match xattrs {
            XattrSource::None => recipe.update(b"none"),
            XattrSource::Inode => {
                recipe.update(b"from");
                recipe.update(self.reader.digest().as_bytes());
            }
            XattrSource::Read(digest) => {
                recipe.update(b"read");
                recipe.update(digest.as_bytes());
            }
        }
        if let Some(label) = label {
            recipe.update(label.as_bytes());
        }
        format::Question::new(metadata, &recipe.finish()).map(Question)
    }

    /// The object that the file is, as far as the cache knows.
    pub(super) fn find(&self, question: &Question) -> Option<Checksum> {
        let (index, checksum) = self.records.find(&question.0)?;
        // Skipping the write when the flag is set already avoids contention between threads.
        if let Some(used) = self.used.get(index).filter(|used| !used.load(Ordering::Relaxed)) {
            used.store(true, Ordering::Relaxed);
        }
        Some(checksum)
    }

    /// Counts an answer that was used.
    pub(super) fn count_hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Records the object of a file that was read, unless it may still change undetected. The
    /// question must be for the state of the inode *before* it was read.
    pub(super) fn remember(&self, question: Question, checksum: Checksum) {
        if question.0.ctime() < self.settled_before {
            let record = Record::new(&question.0, &checksum);
            self.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(record);
        }
    }

    /// Writes what is new. Failure is a warning, because the commit exists already.
    pub(super) fn finish(
        self,
        repo: &Repo,
        options: &StatCacheOptions,
        progress: &dyn Progress,
    ) -> StatCacheStats {
        let mut fresh = self.fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stats = StatCacheStats { hits: self.hits.into_inner(), remembered: fresh.len() as u64 };
        let used: Vec<bool> = self.used.into_iter().map(AtomicBool::into_inner).collect();
        // Records in use must not age only because of commits of other trees.
        let aging = self
            .records
            .iter()
            .zip(&used)
            .any(|(record, used)| *used && self.records.age(record) >= MAX_AGE / 2);
        if fresh.is_empty() && !aging {
            return stats;
        }
        let bytes = self.records.renewed(&used, &mut fresh, MAX_AGE);
        if let Err(error) = write(repo, options, &bytes) {
            let what = format!("stat cache not written: {}", error.chain());
            progress.event(Event::Warning(&what));
        }
        stats
    }
}

fn path_of(repo: &Repo, options: &StatCacheOptions) -> PathBuf {
    options.file.clone().unwrap_or_else(|| repo.path().join(DEFAULT_FILE))
}

/// Reads the file; no file is no records.
fn read(path: &Path) -> Result<Records> {
    let bytes = match input::read_stored(rustix::fs::CWD, path, MAX_FILE_LEN) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Records::default()),
        Err(error) => return Err(error).during("reading", path),
    };
    Records::decode(bytes)
        .map_err(|source| Error::Malformed { what: path.display().to_string(), source })
}

/// Replaces the file. It is not synced: after a power loss its checksum shows whether it is whole.
fn write(repo: &Repo, options: &StatCacheOptions, bytes: &[u8]) -> Result<()> {
    let path = path_of(repo, options);
    match &options.file {
        // What a killed process leaves in `tmp` expires.
        None => {
            let cache = dir::make_dirs(repo.tmp()?, "cache", 0o777)
                .during("creating", path.parent().unwrap_or(&path))?;
            let (name, file) = repo.create_temporary("stat-cache")?;
            let from = Dir::beneath(repo.tmp()?, ".").during("opening", &path)?;
            place(file, bytes, from, name.into(), (&cache, DEFAULT_NAME.as_ref()))
                .during("replacing", &path)
        }
        Some(path) => {
            let (directory, last) = Dir::open_parent(path).during("opening", path)?;
            let mut name = last.clone();
            name.push(format!(".{}.new", rustix::process::getpid().as_raw_nonzero()));
            // Only a killed process with the same number can have left one.
            let _ = dir::remove_file(&directory, &name);
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
            let file = dir::open(&directory, &name, flags, Mode::from_raw_mode(0o600))
                .during("creating", path)?;
            let from = Dir::beneath(&directory, ".").during("opening", path)?;
            place(file, bytes, from, name, (&directory, &last)).during("replacing", path)
        }
    }
}

/// Writes a new file and gives it its name; it is removed if that fails.
fn place(
    mut file: File,
    bytes: &[u8],
    from: Dir,
    name: OsString,
    to: (&Dir, &OsStr),
) -> std::io::Result<()> {
    let placed = file.write_all(bytes).and_then(|()| {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?;
        Ok(dir::rename((&from, &name), to, RenameFlags::empty())?)
    });
    if placed.is_err() {
        let _ = dir::remove_file(&from, &name);
    }
    placed
}
