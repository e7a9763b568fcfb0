//! The directory in which a transaction writes its objects, and keeps finished ones until they are
//! moved into place together.
//!
//! `tmp/staging-BOOTID-XXXXXX` belongs to the holder of the exclusive lock on
//! `tmp/staging-BOOTID-XXXXXX-lock` next to it. One left behind by an aborted or killed transaction
//! of the same boot is taken over with its objects, except commits, their detached metadata, and
//! files that are or were linked to a source; those of other boots may hold objects that never
//! reached the disk, so they are only removed.
//!
//! osier's objects are in `osier/` in it. After a kill there may be unfinished files under the
//! names of objects, which osier recognises; `ostree`, which takes over such directories too, would
//! not. It ignores `osier/`, and removes it with the rest when it is done.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rayon::prelude::*;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use super::mark::{self, UNFINISHED_PREFIX};
use super::replace::{REPLACEMENT_PREFIX, random_letters};
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::object::ObjectName;
use crate::repo::Repo;
use crate::repo::fan_out::FanOuts;
use crate::repo::lock::{LockKind, try_lock, try_lock_removable};
use crate::repo::read::objects::loose_path;
use crate::threads;

/// A locked staging directory. Dropping it removes it if it is empty, else it is left for the next
/// transaction.
#[derive(Debug)]
pub(in crate::repo) struct Staging<'r> {
    repo: &'r Repo,
    /// The directory `tmp/`, which stays the same even if its name is reused.
    tmp: BorrowedFd<'r>,
    /// The name in `tmp/`.
    name: String,
    /// The directory of the objects, finished and unfinished.
    pub(in crate::repo) dir: File,
    pub(in crate::repo) fan_outs: FanOuts,
    /// Whether objects of an earlier transaction may be in it.
    pub(in crate::repo) resumed: bool,
    /// Whether unfinished files may have the names of objects: the file system keeps their mark.
    keeps_marks: OnceLock<bool>,
    _lock: File,
}

/// Which objects are moved.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    AllButCommits,
    Commits,
}

const PREFIX: &str = "staging-";
/// The name of the directory of osier's objects in a staging directory.
pub(super) const OWN: &str = "osier";
const LOCK_SUFFIX: &str = "-lock";
const COMMIT_SUFFIX: &str = ".commit";
/// The extension of detached metadata, the only objects that are ever replaced by a new version.
const DETACHED_SUFFIX: &str = ".commitmeta";
/// The extension of files in the bare modes, one of which allows any permissions.
const FILE_SUFFIX: &str = ".file";
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

impl<'r> Staging<'r> {
    fn new(repo: &'r Repo, tmp: BorrowedFd<'r>, name: String, dir: File, lock: File) -> Self {
        let (fan_outs, keeps_marks) = (FanOuts::default(), OnceLock::new());
        Self { repo, tmp, name, dir, fan_outs, resumed: false, keeps_marks, _lock: lock }
    }

    /// Whether unfinished files may have the names of objects here.
    pub(in crate::repo) fn keeps_marks(&self) -> bool {
        *self.keeps_marks.get_or_init(|| mark::is_mark_kept(self.dir.as_fd()).unwrap_or(false))
    }

    /// Takes over an unlocked staging directory of this boot, or creates one.
    pub(in crate::repo) fn acquire(repo: &'r Repo) -> Result<Self> {
        let prefix = format!("{PREFIX}{}-", boot_id(repo)?);
        let tmp = repo.tmp()?;
        for name in staging_names(repo)? {
            if !name.starts_with(&prefix) {
                continue;
            }
            if let Some(mut staging) = Self::lock_and_open(repo, tmp, &name)? {
                log::debug!("Reusing tmpdir {name}");
                staging.take_in_others()?;
                staging.remove_unfinished()?;
                staging.resumed = true;
                return Ok(staging);
            }
        }
        loop {
            let name = format!("{prefix}{}", random_letters()?);
            let path = repo.path().join("tmp").join(&name);
            // The lock comes first, so that no other process takes over the directory in between.
            let Some(lock) = try_lock_removable(tmp, &lock_name(&name)).during("locking", &path)?
            else {
                continue;
            };
            match rustix::fs::mkdirat(tmp, &name, Mode::from_raw_mode(0o775)) {
                Ok(()) => {}
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error).during("creating", path),
            }
            log::debug!("Using new tmpdir {name}");
            let dir = open_own(tmp, &name).during("opening", path)?;
            return Ok(Self::new(repo, tmp, name, dir, lock));
        }
    }

    fn lock_and_open(repo: &'r Repo, tmp: BorrowedFd<'r>, name: &str) -> Result<Option<Self>> {
        let path = repo.path().join("tmp").join(name);
        let Some(lock) = try_lock_removable(tmp, &lock_name(name)).during("locking", &path)? else {
            return Ok(None);
        };
        match open_own(tmp, name) {
            Ok(dir) => Ok(Some(Self::new(repo, tmp, name.to_owned(), dir, lock))),
            Err(Errno::NOENT) => {
                // Its owner has just finished.
                let _ = dir::remove_file(tmp, lock_name(name));
                Ok(None)
            }
            // Another process has created it.
            Err(Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(error) => Err(error).during("opening", path),
        }
    }

    /// Takes over the objects that `ostree` has staged. Its unfinished files have no names, or
    /// names that are not those of objects.
    fn take_in_others(&self) -> Result<()> {
        let outer = rustix::fs::openat(self.tmp, &self.name, DIRECTORY, Mode::empty());
        let outer = outer.during("opening", self.path())?;
        for entry in names_in(&outer).during("listing", self.path())? {
            if is_fan_out(&entry) {
                self.take_in(&outer, &entry)?;
            } else if entry != OWN {
                // What cannot be removed stays, and so does the directory.
                let _ = rustix::fs::unlinkat(&outer, &entry, AtFlags::empty());
            }
        }
        Ok(())
    }

    fn take_in(&self, outer: &OwnedFd, prefix: &str) -> Result<()> {
        let path = || self.path().join(prefix);
        let from = rustix::fs::openat(outer, prefix, DIRECTORY, Mode::empty())
            .during("opening", path())?;
        let to = dir::make_dirs(&self.dir, prefix, 0o777)
            .during("creating", self.own_path().join(prefix))?;
        for name in names_in(&from).during("listing", path())? {
            rustix::fs::renameat(&from, &name, &to, &name).during("moving", path().join(&name))?;
        }
        rustix::fs::unlinkat(outer, prefix, AtFlags::REMOVEDIR).during("removing", path())
    }

    /// Removes what its owner had not finished when it was killed. What may be outdated is removed
    /// too, and written again if it is needed: commits, because what they need may have been
    /// pruned; their detached metadata, because there may be a newer version; and files with other
    /// links, because their owner may have changed them.
    fn remove_unfinished(&self) -> Result<()> {
        let remove = |dir: &File, name: &str| {
            rustix::fs::unlinkat(dir, name, AtFlags::empty())
                .during("removing", self.own_path().join(name))
        };
        for name in names_in(&self.dir).during("listing", self.own_path())? {
            if name.starts_with(UNFINISHED_PREFIX) {
                remove(&self.dir, &name)?;
            } else if is_fan_out(&name) {
                let path = || self.own_path().join(&name);
                let dir = rustix::fs::openat(&self.dir, &name, DIRECTORY, Mode::empty())
                    .during("opening", path())?;
                let dir = File::from(dir);
                for name in names_in(&dir).during("listing", path())? {
                    if belongs_to_commit(&name)
                        || self.is_unreliable(&dir, &name).during("reading", path())?
                    {
                        remove(&dir, &name)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an object was not finished, or may be a source that was about to be consumed: it has
    /// another name, or lacks the modification time of objects, which shows that it was edited
    /// under its old name before that was removed.
    fn is_unreliable(&self, dir: &File, name: &str) -> Result<bool, Errno> {
        let stat = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_file = name.ends_with(FILE_SUFFIX);
        let is_regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let is_source = is_file
            && (stat.st_nlink > 1 || is_regular && (stat.st_mtime, stat.st_mtime_nsec) != (0, 0));
        Ok(is_source || mark::is_unfinished(self.repo.mode(), is_file, &stat))
    }

    fn path(&self) -> PathBuf {
        self.repo.path().join("tmp").join(&self.name)
    }

    /// The path of the directory of osier's objects.
    pub(in crate::repo) fn own_path(&self) -> PathBuf {
        self.path().join(OWN)
    }

    /// Moves every object into `objects/`, commits last. One that is there already stays, except
    /// detached metadata, which the new version replaces, and what is known to be damaged. The
    /// directories are synced: after this the objects survive a power loss, and a commit is never
    /// there without what it needs.
    pub(in crate::repo) fn move_into_place(&self, damaged: &HashSet<ObjectName>) -> Result<()> {
        let damaged: BTreeSet<String> =
            damaged.iter().map(|name| loose_path(name, self.repo.mode())).collect();
        let mut directories = names_in(&self.dir).during("listing", self.own_path())?;
        directories.retain(|name| is_fan_out(name));
        if directories.is_empty() {
            return Ok(());
        }
        let move_all = |directories: &[String], part| {
            let with_rest = directories.par_iter().filter_map(|prefix| {
                let rest = self.move_fan_out(prefix, part, &damaged);
                rest.map(|rest| rest.then(|| prefix.clone())).transpose()
            });
            threads::run(|| with_rest.collect::<Result<Vec<_>>>())
        };
        let with_commits = move_all(&directories, Part::AllButCommits)?;
        self.repo.objects.sync_all().during("syncing", self.repo.path().join("objects"))?;
        move_all(&with_commits, Part::Commits)?;
        self.remove_empty();
        Ok(())
    }

    /// Moves one part of an object directory and returns whether something is left for another
    /// part.
    fn move_fan_out(&self, prefix: &str, part: Part, damaged: &BTreeSet<String>) -> Result<bool> {
        let staged_path = || self.own_path().join(prefix);
        let staged = rustix::fs::openat(&self.dir, prefix, DIRECTORY, Mode::empty())
            .during("opening", staged_path())?;
        let target_path = || self.repo.path().join("objects").join(prefix);
        let names = names_in(&staged).during("listing", staged_path())?;
        let (mut now, later): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| part == Part::Commits || !belongs_to_commit(name));
        // The detached metadata of a commit that was never written would stay for ever.
        now.sort_by_key(|name| name.ends_with(DETACHED_SUFFIX));
        if later.is_empty() {
            // Where `objects/` has no such directory yet the staged one takes its place, with one
            // rename for all objects.
            match rustix::fs::renameat_with(
                &self.dir,
                prefix,
                self.repo.objects_dir(),
                prefix,
                RenameFlags::NOREPLACE,
            ) {
                Ok(()) => {
                    let moved = dir::stat(self.repo.objects_dir(), prefix)
                        .during("reading", target_path())?;
                    let stat = rustix::fs::fstat(&staged).during("reading", target_path())?;
                    if dir::identity(&moved) != dir::identity(&stat) {
                        return Err(Error::failed(format!(
                            "{} was swapped",
                            staged_path().display()
                        )));
                    }
                    File::from(staged).sync_all().during("syncing", target_path())?;
                    return Ok(false);
                }
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::INVAL | Errno::NOSYS) => {}
                Err(error) => return Err(error).during("moving to", target_path()),
            }
        }
        let target = dir::make_dirs(self.repo.objects_dir(), prefix, 0o777);
        let target = File::from(target.during("opening", target_path())?);
        for name in now {
            let is_damaged = damaged.contains(&format!("{prefix}/{name}"));
            if is_damaged || name.ends_with(DETACHED_SUFFIX) {
                set_directory_aside(self.repo, &target, &name)
                    .during("moving aside", target_path().join(&name))?;
            }
            let flags = match is_damaged || name.ends_with(DETACHED_SUFFIX) {
                true => RenameFlags::empty(),
                false => RenameFlags::NOREPLACE,
            };
            match rename(&staged, &target, &name, flags) {
                Ok(()) => {}
                Err(Errno::EXIST) => {
                    let removed = rustix::fs::unlinkat(&staged, &name, AtFlags::empty());
                    removed.during("removing", staged_path().join(name))?;
                }
                Err(error) => return Err(error).during("moving to", target_path().join(name)),
            }
        }
        target.sync_all().during("syncing", target_path())?;
        if later.is_empty() {
            rustix::fs::unlinkat(&self.dir, prefix, AtFlags::REMOVEDIR)
                .during("removing", staged_path())?;
        }
        Ok(!later.is_empty())
    }

    /// Discards what was staged.
    pub(in crate::repo) fn discard(&self) {
        let _ = dir::remove_all(self.tmp, &self.name);
    }

    fn remove_empty(&self) {
        // `rmdir` fails if it is not empty, and then it should stay.
        for name in names_in(&self.dir).unwrap_or_default() {
            let _ = rustix::fs::unlinkat(&self.dir, &name, AtFlags::REMOVEDIR);
        }
        let _ = dir::remove_dir(self.tmp, Path::new(&self.name).join(OWN));
        let _ = dir::remove_dir(self.tmp, &self.name);
    }
}

impl Drop for Staging<'_> {
    fn drop(&mut self) {
        self.remove_empty();
        // Removed while it is still locked, so that no other process can be holding it.
        let _ = dir::remove_file(self.tmp, lock_name(&self.name));
    }
}

/// Removes leftovers from `tmp/`: unlocked staging directories of other boots, and unknown entries
/// older than `core.tmp-expiry-secs`.
pub(in crate::repo) fn clean_tmp(repo: &Repo) -> Result<()> {
    let (tmp, path) = (repo.tmp()?, repo.path().join("tmp"));
    let this_boot = format!("{PREFIX}{}-", boot_id(repo)?);
    let expiry = Duration::from_secs(repo.config().tmp_expiry_secs);
    for name in names_in(tmp).during("listing", &path)? {
        let is_lock = name.starts_with(PREFIX) && name.ends_with(LOCK_SUFFIX);
        if is_lock {
            remove_stale_lock(tmp, &name).during("locking", path.join(&name))?;
            continue;
        }
        if name == "cache" || name.starts_with(&this_boot) {
            continue;
        }
        if name.starts_with(REPLACEMENT_PREFIX)
            && remove_unlocked(tmp, &name).during("removing", path.join(&name))?
        {
            continue;
        }
        if name.starts_with(PREFIX) {
            remove_abandoned(tmp, &name).during("locking", path.join(&name))?;
            continue;
        }
        // An entry that disappears meanwhile was removed by another process.
        let Ok(stat) = dir::stat(tmp, &name) else { continue };
        let modified = u64::try_from(stat.st_mtime)
            .ok()
            .and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let age = SystemTime::now().duration_since(modified.unwrap_or(UNIX_EPOCH)).ok();
        if age.is_some_and(|age| age > expiry) {
            dir::remove_all(tmp, &name).during("removing", path.join(&name))?;
        }
    }
    Ok(())
}

/// Removes an unlocked staging directory.
fn remove_abandoned(tmp: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    if let Some(_lock) = try_lock_removable(tmp, &lock_name(name))? {
        let _ = dir::remove_all(tmp, name);
        // Removed while it is still locked, as when a held one is dropped.
        let _ = dir::remove_file(tmp, lock_name(name));
    }
    Ok(())
}

/// Removes the lock file of a staging directory whose owner was killed after it had removed the
/// directory.
fn remove_stale_lock(tmp: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let Some(staging) = name.strip_suffix(LOCK_SUFFIX) else { return Ok(()) };
    if dir::stat(tmp, staging).is_ok() {
        return Ok(());
    }
    // A process that is about to create the directory already holds the lock.
    if let Some(_lock) = try_lock_removable(tmp, name)? {
        let _ = dir::remove_file(tmp, name);
    }
    Ok(())
}

/// Removes a replacement file if its writer was killed. `false` when that cannot be determined.
fn remove_unlocked(tmp: BorrowedFd<'_>, name: &str) -> Result<bool, Errno> {
    let file =
        match dir::open(tmp, name, OFlags::RDWR | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
        {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(true),
            Err(_) => return Ok(false),
        };
    let Ok(locked) = try_lock(&file, LockKind::Exclusive) else { return Ok(false) };
    if locked {
        // It may have been moved into place meanwhile, and its name in `tmp/` be gone.
        match dir::remove_file(tmp, name) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Renames without replacing where the file system can; otherwise checks first, which is sufficient
/// because all writers write equal objects.
pub(in crate::repo) fn rename(
    from: impl std::os::fd::AsFd,
    to: &File,
    name: &str,
    flags: RenameFlags,
) -> Result<(), Errno> {
    match rustix::fs::renameat_with(&from, name, to, name, flags) {
        Err(Errno::INVAL | Errno::NOSYS) if !flags.is_empty() => {
            match rustix::fs::statat(to, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(_) => Err(Errno::EXIST),
                Err(Errno::NOENT) => rustix::fs::renameat(&from, name, to, name),
                Err(error) => Err(error),
            }
        }
        result => result,
    }
}

/// Makes sure that a file can take the place of an object.
pub(super) fn make_way(repo: &Repo, name: &ObjectName) -> Result<()> {
    let moved = repo.at_object(name, |dir, file_name| set_directory_aside(repo, dir, file_name));
    match moved {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("moving aside", repo.object_path(name)),
    }
}

/// Moves a directory, which no rename replaces by a file, out of the place of an object. It expires
/// in `tmp/` like other leftovers.
fn set_directory_aside(repo: &Repo, dir: impl AsFd, name: &str) -> Result<(), Errno> {
    match dir::stat(&dir, name) {
        Ok(stat) if dir::is_directory(&stat) => {}
        Ok(_) | Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error),
    }
    let tmp = repo.tmp().map_err(|_| Errno::NOTDIR)?;
    let aside = || Ok(format!("damaged-{}", random_letters().map_err(|_| Errno::IO)?));
    let rename = |aside: &String| dir::rename((&dir, name), (tmp, aside), RenameFlags::NOREPLACE);
    dir::at_free_name(aside, rename, |error, _| Err(error)).map(drop)
}

/// Whether a name belongs to a commit or its detached metadata.
fn belongs_to_commit(name: &str) -> bool {
    name.ends_with(COMMIT_SUFFIX) || name.ends_with(DETACHED_SUFFIX)
}

/// Whether a name belongs to one of the 256 object directories.
pub(super) fn is_fan_out(name: &str) -> bool {
    name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn staging_names(repo: &Repo) -> Result<Vec<String>> {
    let mut names = names_in(repo.tmp()?).during("listing", repo.path().join("tmp"))?;
    names.retain(|name| name.starts_with(PREFIX) && !name.ends_with(LOCK_SUFFIX));
    names.sort_unstable();
    Ok(names)
}

/// The names in a directory, without `.` and `..`; names that are not UTF-8 are ignored.
pub(super) fn names_in(dir: impl std::os::fd::AsFd) -> Result<Vec<String>, Errno> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

pub(super) fn lock_name(name: &str) -> String {
    format!("{name}{LOCK_SUFFIX}")
}

/// Opens the directory of osier's objects in a staging directory, creating it if missing.
fn open_own(tmp: BorrowedFd<'_>, name: &str) -> Result<File, Errno> {
    let outer = Dir::beneath(tmp, name)?;
    dir::make_dirs(&outer, OWN, 0o775).map(File::from)
}

fn boot_id(repo: &Repo) -> Result<String> {
    const KERNEL_BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
    match &repo.options().boot_id {
        Some(id) => Ok(id.clone()),
        None => Ok(fs::read_to_string(KERNEL_BOOT_ID)
            .during("reading", KERNEL_BOOT_ID)?
            .trim()
            .to_owned()),
    }
}
