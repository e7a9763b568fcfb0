//! Transactions: objects are staged, made durable and moved into place together, then refs are
//! moved.
//!
//! Between [`Transaction::begin`] and [`Transaction::commit`] nothing in `objects/` or `refs/`
//! changes, except for tombstones, which are removed when their commit is written again (with
//! `core.fsync=false` or `core.per-object-fsync=true` each object appears as soon as it is written,
//! refs still last). A kill at any moment therefore leaves a repository in which every ref points
//! to a complete commit.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{RenameFlags, Stat};
use rustix::io::Errno;

use super::encoders::Encoders;
use super::flush::Flusher;
use super::mark::{self, UNFINISHED_PREFIX};
use super::pool::Pool;
use super::ref_updates::RefUpdates;
use super::sizes::Sizes;
use super::space::SpaceBudget;
use super::staging::{self, Staging};
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Error, Result};
use crate::gvariant::Dict;
use crate::object::{ObjectName, ObjectType, SizeEntry};
use crate::refspec::{CollectionRef, Refspec};
use crate::repo::lock::{LockKind, RepoLock};
use crate::repo::read::objects::{file_name, loose_path};
use crate::repo::read::presence::Presence;
use crate::repo::{Repo, RepoMode};

/// A set of objects and refs on their way into the repository. All methods that write objects may
/// be called from many threads at once.
#[derive(Debug)]
pub struct Transaction<'r> {
    pub(in crate::repo) repo: &'r Repo,
    staging: Staging<'r>,
    /// Whether finished objects stay in the staging directory until the end; else only unfinished
    /// ones are there.
    stages: bool,
    flusher: Option<Flusher>,
    pub(in crate::repo) space: Option<SpaceBudget>,
    /// The objects in the repository before the transaction.
    presence: Presence,
    /// The objects in each of its parents, the nearest first.
    presence_of_parents: Vec<Presence>,
    /// Objects that are damaged: they count as missing, and what is written takes their place.
    damaged: HashSet<ObjectName>,
    /// Objects that a thread of this transaction has written, is writing, or has found.
    claimed: Mutex<HashSet<ObjectName>>,
    sizes: Sizes,
    refs: RefUpdates,
    pub(in crate::repo) encoders: Encoders,
    /// Buffers that files are read into.
    pub(in crate::repo) read_buffers: Pool<Vec<u8>>,
    pub(in crate::repo) counters: Counters,
    temporary_number: AtomicU64,
    _lock: RepoLock<'r>,
}

/// Counts of what a transaction has written, as `commit --table-output` prints them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionStats {
    /// Metadata objects that were to be written.
    pub metadata_objects_total: u64,
    /// Metadata objects that were not there before.
    pub metadata_objects_written: u64,
    /// File objects that were to be written.
    pub content_objects_total: u64,
    /// File objects that were not there before.
    pub content_objects_written: u64,
    /// Bytes of content in the file objects that were not there before, uncompressed.
    pub content_bytes_written: u64,
    /// Files whose checksum was known from their device and inode.
    pub devino_cache_hits: u64,
}

#[derive(Debug, Default)]
pub(in crate::repo) struct Counters {
    pub(in crate::repo) metadata_total: AtomicU64,
    pub(in crate::repo) metadata_written: AtomicU64,
    pub(in crate::repo) content_total: AtomicU64,
    pub(in crate::repo) content_written: AtomicU64,
    pub(in crate::repo) content_bytes: AtomicU64,
    devino_hits: AtomicU64,
}

/// Whether an object has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repo) enum Claim {
    /// The caller is the one to write it.
    Write,
    /// It exists, or another thread of the transaction writes it.
    Done,
}

impl<'r> Transaction<'r> {
    /// Locks the repository against deletion and prepares to write.
    ///
    /// # Errors
    /// [`Error::LockTimeout`], or when the repository cannot be written to.
    pub fn begin(repo: &'r Repo) -> Result<Self> {
        Self::begin_to_replace(repo, HashSet::new())
    }

    /// The same for a transaction in which these objects count as missing, whatever is in their
    /// places. They stay there until what was written instead replaces them, each in one step and
    /// as another file: other links to a damaged one do not change.
    ///
    /// # Errors
    /// As [`Transaction::begin`].
    pub(crate) fn begin_to_replace(repo: &'r Repo, damaged: HashSet<ObjectName>) -> Result<Self> {
        repo.check_writable()?;
        repo.refuse_links()?;
        if repo.mode() == RepoMode::BareSplitXattrs && !repo.options().write_bare_split_xattrs {
            return Err(Error::failed("Not allowed due to repo mode"));
        }
        let lock = repo.lock(LockKind::Shared)?;
        let space = SpaceBudget::of(repo)?;
        log::debug!("Preparing transaction in repository {}", repo.path().display());
        let stages = repo.config().fsync && !repo.config().per_object_fsync;
        let staging = Staging::acquire(repo)?;
        let flusher = if stages { Some(Flusher::start(repo)?) } else { None };
        let parents = std::iter::successors(repo.parent(), |parent| parent.parent());
        Ok(Self {
            repo,
            staging,
            stages,
            flusher,
            space,
            presence: Presence::default(),
            presence_of_parents: parents.map(|_| Presence::default()).collect(),
            damaged,
            claimed: Mutex::default(),
            sizes: Sizes::default(),
            refs: RefUpdates::default(),
            encoders: Encoders::default(),
            read_buffers: Pool::default(),
            counters: Counters::default(),
            temporary_number: AtomicU64::new(0),
            _lock: lock,
        })
    }

    /// Of the damaged objects only these are replaced; what an earlier transaction has staged
    /// instead of the others has not been verified.
    pub(crate) fn replace_only(&mut self, written: &BTreeSet<ObjectName>) {
        self.damaged.retain(|name| written.contains(name));
    }

    /// The repository that is being written to.
    pub fn repo(&self) -> &'r Repo {
        self.repo
    }

    /// Starts recording the sizes of all objects for `ostree.sizes`; only archives have them.
    pub fn record_sizes(&mut self) {
        if self.repo.mode() == RepoMode::Archive {
            self.sizes.start();
        }
    }

    /// Forgets the sizes recorded so far.
    pub fn restart_sizes(&self) {
        self.sizes.forget();
    }

    /// The sizes recorded so far, sorted by checksum; `None` unless they are recorded.
    pub fn recorded_sizes(&self) -> Option<Vec<SizeEntry>> {
        self.sizes.recorded()
    }

    /// Whether sizes are recorded.
    pub fn records_sizes(&self) -> bool {
        self.sizes.are_recorded()
    }

    pub(in crate::repo) fn record_size(&self, name: ObjectName, stored: u64, unpacked: u64) {
        self.sizes.record(SizeEntry { name, stored, unpacked });
    }

    /// Counts a file that was recognised without being read.
    pub fn count_devino_hit(&self) {
        self.counters.devino_hits.fetch_add(1, Ordering::Relaxed);
    }

    /// Stores a metadata object and returns its checksum.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_metadata(&self, object_type: ObjectType, bytes: &[u8]) -> Result<Checksum> {
        let name = ObjectName::new(Checksum::of(bytes), object_type);
        self.counters.metadata_total.fetch_add(1, Ordering::Relaxed);
        self.record_size_of_metadata(name, bytes);
        if self.claim(&name)? == Claim::Write {
            self.write_loose(&name, bytes)?;
            self.counters.metadata_written.fetch_add(1, Ordering::Relaxed);
        }
        if object_type == ObjectType::Commit {
            self.remove_tombstone(&name.checksum)?;
        }
        Ok(name.checksum)
    }

    /// Stores the detached metadata of a commit, replacing what it had. An empty dictionary leaves
    /// an empty file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_detached_metadata(&self, commit: &Checksum, metadata: &Dict) -> Result<()> {
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        self.write_loose(&name, &metadata.encode())
    }

    /// The commit object goes into the sizes of no commit; dirtrees and dirmetas do.
    fn record_size_of_metadata(&self, name: ObjectName, bytes: &[u8]) {
        if matches!(name.object_type, ObjectType::DirTree | ObjectType::DirMeta) {
            self.record_size(name, bytes.len() as u64, bytes.len() as u64);
        }
    }

    pub(super) fn write_loose(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let mut temporary = self.create_object(name)?;
        temporary.write(bytes)?;
        temporary.place_readable(name)
    }

    /// Removes the tombstone of a commit that is about to be restored.
    pub(in crate::repo) fn remove_tombstone(&self, commit: &Checksum) -> Result<()> {
        self.repo.delete_object(&ObjectName::new(*commit, ObjectType::TombstoneCommit)).map(drop)
    }

    /// Determines whether the object must be written; if so, claims it for the caller.
    pub(in crate::repo) fn claim(&self, name: &ObjectName) -> Result<Claim> {
        if self.presence.has_listed(name) && !self.damaged.contains(name)
            || !self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(*name)
        {
            return Ok(Claim::Done);
        }
        Ok(if self.is_stored(name)? { Claim::Done } else { Claim::Write })
    }

    /// Whether the object exists or is being written, which is equivalent: if that fails, the
    /// transaction fails.
    pub(in crate::repo) fn is_claimed_or_stored(&self, name: &ObjectName) -> Result<bool> {
        if self.claimed.lock().unwrap_or_else(PoisonError::into_inner).contains(name) {
            return Ok(true);
        }
        let stored = self.is_stored(name)?;
        if stored {
            self.claimed.lock().unwrap_or_else(PoisonError::into_inner).insert(*name);
        }
        Ok(stored)
    }

    /// Whether the object was in the repository, in a parent of it or among what an earlier
    /// transaction had staged, before this one wrote it.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub(crate) fn was_present(&self, name: &ObjectName) -> Result<bool> {
        if self.is_stored(name)? {
            return Ok(true);
        }
        let mut repo = self.repo.parent();
        for presence in &self.presence_of_parents {
            let Some(parent) = repo else { break };
            if presence.has(parent, name)? {
                return Ok(true);
            }
            repo = parent.parent();
        }
        Ok(false)
    }

    /// Whether the object is there, also if this transaction has written it.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub(crate) fn is_present(&self, name: &ObjectName) -> Result<bool> {
        let is_file = name.object_type == ObjectType::File;
        match self.stat_staged(name) {
            Ok(stat) if mark::is_unfinished(self.repo.mode(), is_file, &stat) => Ok(false),
            Ok(_) => Ok(true),
            Err(_) => self.was_present(name),
        }
    }

    /// Whether the repository itself or its staging directory has the object.
    pub(super) fn is_stored(&self, name: &ObjectName) -> Result<bool> {
        // What an earlier transaction has staged may be damaged, too.
        if self.damaged.contains(name) {
            return Ok(false);
        }
        if self.staging.resumed && self.stat_staged(name).is_ok() {
            return Ok(true);
        }
        self.presence.has(self.repo, name)
    }

    /// The number of bytes that an object of this transaction takes.
    pub(in crate::repo) fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        let is_file = name.object_type == ObjectType::File;
        match self.stat_staged(name) {
            Ok(stat) if mark::is_unfinished(self.repo.mode(), is_file, &stat) => {
                Err(Error::missing(*name))
            }
            Ok(stat) => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
            Err(_) => self.repo.stored_size(name),
        }
    }

    fn stat_staged(&self, name: &ObjectName) -> Result<Stat, Errno> {
        let path = loose_path(name, self.repo.mode());
        let first = name.checksum.as_bytes()[0];
        self.staging.fan_outs.within(self.work_dir(), first, |dir| dir::stat(dir, file_name(&path)))
    }

    /// Sets a ref when the transaction is committed; `None` deletes it.
    pub fn set_ref(&mut self, refspec: Refspec, commit: Option<Checksum>) {
        self.refs.set(refspec, commit);
    }

    /// Sets a ref of a collection when the transaction is committed; `None` deletes it.
    pub fn set_collection_ref(&mut self, name: CollectionRef, commit: Option<Checksum>) {
        self.refs.set_in_collection(name, commit);
    }

    /// Makes everything durable and moves it into place: objects, then refs.
    ///
    /// # Errors
    /// When anything cannot be written; refs have not moved unless all objects are in place.
    pub fn commit(mut self) -> Result<TransactionStats> {
        if self.repo.options().fail_before_commit {
            return Err(Error::failed("OSTREE_REPO_TEST_ERROR_PRE_COMMIT specified"));
        }
        log::debug!("Committing transaction in repository {}", self.repo.path().display());
        self.flusher = None;
        if self.repo.config().fsync {
            let synced = rustix::fs::syncfs(self.repo.dir()).during("syncing", self.repo.path());
            // The kernel reports lost data only once, so the next transaction must not find these
            // objects.
            synced.inspect_err(|_| self.staging.discard())?;
        }
        self.staging.move_into_place(&self.damaged)?;
        staging::clean_tmp(self.repo)?;
        self.refs.write(self.repo)?;
        Ok(self.stats())
    }

    /// Aborts. What was staged is left for the next transaction to take over, unless space ran out.
    pub fn abort(self, reason: Option<&Error>) {
        use std::io::ErrorKind::{QuotaExceeded, StorageFull};
        let is_full = |error: &Error| {
            matches!(error, Error::MinFreeSpace { .. })
                || matches!(error.io_kind(), Some(StorageFull | QuotaExceeded))
        };
        if reason.is_some_and(is_full) {
            self.staging.discard();
        }
    }

    /// Counts of what has been written so far.
    pub fn stats(&self) -> TransactionStats {
        let Counters {
            metadata_total,
            metadata_written,
            content_total,
            content_written,
            content_bytes,
            devino_hits,
        } = &self.counters;
        TransactionStats {
            metadata_objects_total: metadata_total.load(Ordering::Relaxed),
            metadata_objects_written: metadata_written.load(Ordering::Relaxed),
            content_objects_total: content_total.load(Ordering::Relaxed),
            content_objects_written: content_written.load(Ordering::Relaxed),
            content_bytes_written: content_bytes.load(Ordering::Relaxed),
            devino_cache_hits: devino_hits.load(Ordering::Relaxed),
        }
    }

    /// The directory of unfinished files. `tmp/` itself is unsuitable: there others remove files by
    /// age, and a file object of a bare repository has a modification time of 1970 before it gets
    /// its name.
    pub(in crate::repo) fn work_dir(&self) -> BorrowedFd<'_> {
        self.staging.dir.as_fd()
    }

    /// Its path, for messages.
    pub(in crate::repo) fn work_path(&self) -> PathBuf {
        self.staging.own_path()
    }

    /// Whether objects, files or others, may be written under their names. They must not be visible
    /// before the end, and their mode has to mark them as unfinished.
    pub(in crate::repo) fn writes_in_place(&self, is_file: bool) -> bool {
        self.stages && mark::has_mark(self.repo.mode(), is_file) && self.staging.keeps_marks()
    }

    /// Whether source files may become objects: not where objects appear at once, long before the
    /// sources are removed.
    pub(in crate::repo) fn adopts(&self) -> bool {
        self.stages
    }

    /// The directory of the finished objects, if they are staged.
    pub(in crate::repo) fn staging_dir(&self) -> &File {
        &self.staging.dir
    }

    pub(in crate::repo) fn note_written(&self, bytes: usize) {
        if let Some(flusher) = &self.flusher {
            flusher.wrote(bytes);
        }
    }

    pub(in crate::repo) fn temporary_name(&self) -> String {
        let number = self.temporary_number.fetch_add(1, Ordering::Relaxed);
        format!("{UNFINISHED_PREFIX}{number}")
    }

    /// Calls `act` with the directory in which a finished object gets its name, and that name.
    pub(in crate::repo) fn at_target<T>(
        &self,
        name: &ObjectName,
        act: impl Fn(BorrowedFd<'_>, &str) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let (target, fan_outs) = match self.stages {
            true => (self.work_dir(), &self.staging.fan_outs),
            false => (self.repo.objects_dir(), &self.repo.fan_outs),
        };
        let path = loose_path(name, self.repo.mode());
        fan_outs.within_made(target, name.checksum.as_bytes()[0], |dir| act(dir, file_name(&path)))
    }

    /// Renames a finished file in the work directory to its object name. Losing the race to an
    /// equal object is success.
    pub(in crate::repo) fn place(&self, temporary: &str, name: &ObjectName) -> Result<()> {
        let loose = loose_path(name, self.repo.mode());
        let path = || {
            if self.stages { self.work_path() } else { self.repo.path().join("objects") }
                .join(&loose)
        };
        let work_dir = self.work_dir();
        let replaces = self.stages
            || name.object_type == ObjectType::CommitMeta
            || self.damaged.contains(name);
        if !self.stages && replaces {
            staging::make_way(self.repo, name)?;
        }
        let flags = if replaces { RenameFlags::empty() } else { RenameFlags::NOREPLACE };
        let renamed = self.at_target(name, |dir, file_name| {
            match dir::rename((work_dir, temporary), (dir, file_name), flags) {
                // The file system cannot rename without replacing: an equal object is replaced.
                Err(Errno::INVAL | Errno::NOSYS) if !flags.is_empty() => {
                    dir::rename((work_dir, temporary), (dir, file_name), RenameFlags::empty())
                }
                renamed => renamed,
            }
        });
        match renamed {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => dir::remove_file(work_dir, temporary).during("removing", path()),
            Err(error) => Err(error).during("moving to", path()),
        }
    }
}
