//! Cleans up what a killed program leaves: processes, mounts, scratch directories, and marks of
//! commits that were never written.
//!
//! rpm-ostree gets `TMPDIR=RUN/tmp`. Its `rofiles-fuse` daemons have sessions of their own, so a
//! signal to its process group misses them, and mounts below `RUN/tmp`. Every process with that
//! variable in its environment belongs to the run.
//!
//! A program can replace its `RUN/tmp` by a link, a mount or another directory. So the directory is
//! identified by device and inode, and everything is reached from the descriptor of the run without
//! following links.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

use crate::dir::{self, Dir};
use crate::error::{During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::process::{Call, Interrupt, ask};
use crate::repo::{CommitState, LockKind, Repo};

use super::locks::processes;

/// The prefix of rpm-ostree's work directories in the cache.
const SCRATCH_PREFIX: &str = "rpm-ostree-compose.";
/// How long a killed process may take to exit.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The temporary directory of a run.
#[derive(Debug)]
pub(super) struct Temporary<'r> {
    /// The directory of the run.
    pub(super) run: &'r Dir,
    /// The value of `TMPDIR` in its programs.
    pub(super) path: PathBuf,
    /// Its name in the run.
    pub(super) name: &'static str,
    /// Device and inode of the directory when it was created, if known: a program may have replaced
    /// it.
    pub(super) known: Option<(u64, u64)>,
}

/// Kills leftover processes of a run, unmounts its leftover mounts, and removes its temporary
/// directory and its work directories in the cache (a path and the work directories that were in it
/// before). Returns what is left for the user to do.
pub(super) fn clean(
    temporary: &Temporary<'_>,
    cache: Option<(&Path, &[String])>,
    environment: &[(OsString, OsString)],
) -> Vec<String> {
    let Temporary { run, path, name, .. } = temporary;
    // A mount over the directory itself hides its identity.
    unmount_at(run, path.parent().unwrap_or(path), Path::new(name), environment);
    kill_leftovers(temporary);
    let mut left = Vec::new();
    if let Some((cache, before)) = cache
        && let Ok(directory) = Dir::open(cache)
    {
        let new = scratch_directories(cache).unwrap_or_default();
        for name in new.iter().filter(|name| !before.contains(name)) {
            left.extend(clean_directory(&directory, cache, name, environment));
        }
    }
    left.extend(clean_directory(run, path.parent().unwrap_or(path), name, environment));
    left
}

/// Unmounts everything at and below a directory and removes it. Mounts must be removed first: files
/// seen through them may belong to the cache.
fn clean_directory(
    parent: &Dir,
    path: &Path,
    name: &str,
    environment: &[(OsString, OsString)],
) -> Option<String> {
    for mount in mounts_below(parent, name) {
        unmount_at(parent, path, &mount, environment);
    }
    let shown = path.join(name);
    let name_shown = shown.display();
    if let Some(mount) = mounts_below(parent, name).first() {
        let mount = path.join(mount);
        return Some(format!(
            "{} is still mounted; as root: umount -l {0} && rm -rf {name_shown}",
            mount.display()
        ));
    }
    match dir::remove_all(parent, name) {
        Ok(()) => None,
        Err(error) => Some(format!("{name_shown}: {error}; as root: rm -rf {name_shown}")),
    }
}

/// Unmounts a path below a directory, reached without following links.
fn unmount_at(base: &Dir, path: &Path, mount: &Path, environment: &[(OsString, OsString)]) {
    let Some(name) = mount.file_name() else { return };
    let above =
        mount.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(above) = dir::open(base, above, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()) else {
        return;
    };
    // The kernel takes no descriptor here, but a path that starts at one.
    let mut place = OsString::from(format!("/proc/self/fd/{}/", above.as_raw_fd()));
    place.push(name);
    let flags = UnmountFlags::DETACH | UnmountFlags::NOFOLLOW;
    let is_mounted = || mounts_below(base, "").iter().any(|other| other == mount);
    if unmount(&place, flags).is_err() && is_mounted() {
        // A user's own FUSE mounts can only be unmounted with this program.
        let program = ["fusermount3".to_owned(), "-u".to_owned(), "-z".to_owned()];
        let call = Call::new(&program, environment).map(|call| call.arg(path.join(mount)));
        drop(call.and_then(|call| ask(&call, KILL_TIMEOUT, &Interrupt::default())));
    }
}

/// The work directories of rpm-ostree in its cache, sorted.
///
/// # Errors
/// When the cache cannot be listed.
pub(crate) fn scratch_directories(cache: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(cache) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).during("listing", cache),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.during("listing", cache)?.file_name().into_string();
        names.extend(name.ok().filter(|name| name.starts_with(SCRATCH_PREFIX)));
    }
    names.sort_unstable();
    Ok(names)
}

/// Kills the processes that have `TMPDIR` set to the directory, by its original name or by another
/// name of the same directory, and waits until they have exited. The directory there now only
/// counts if it is the one that was created.
fn kill_leftovers(temporary: &Temporary<'_>) {
    let there = dir::stat(temporary.run, temporary.name)
        .ok()
        .filter(dir::is_directory)
        .map(|stat| dir::identity(&stat));
    let identity = there.filter(|there| temporary.known.is_none_or(|known| known == *there));
    let run = temporary.path.parent().and_then(Path::file_name).unwrap_or_default();
    let ending = Path::new(run).join(temporary.name);
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let belongs = |directory: &Path| {
        // A zombie no longer has an environment.
        let environment = fs::read(directory.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|&byte| byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(b"TMPDIR="));
        let Some(value) = value.map(|value| Path::new(OsStr::from_bytes(value))) else {
            return false;
        };
        // Another name of the directory has the same ending; other paths are not looked up, because
        // they may lead anywhere.
        let is_other_name = || value.is_absolute() && value.ends_with(&ending);
        let is_same =
            || value.metadata().is_ok_and(|found| Some((found.dev(), found.ino())) == identity);
        value == temporary.path || is_other_name() && is_same()
    };
    let started = Instant::now();
    loop {
        let mut left = 0;
        for (process, directory) in processes().into_iter().filter(|(process, _)| *process != own) {
            // The number may be reused by another process meanwhile; the descriptor may not.
            let Some(process) = Pid::from_raw(process) else { continue };
            let handle = pidfd_open(process, PidfdFlags::empty());
            if !belongs(&directory) {
                continue;
            }
            left += 1;
            // One that has just exited needs no signal.
            let _ = match handle {
                Ok(handle) => pidfd_send_signal(handle, Signal::KILL),
                Err(Errno::NOSYS | Errno::PERM) => kill_process(process, Signal::KILL),
                Err(_) => Ok(()),
            };
        }
        if left == 0 || started.elapsed() >= KILL_TIMEOUT {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The mounts at or below a name in a directory, relative to that, innermost first.
fn mounts_below(parent: &Dir, name: &str) -> Vec<PathBuf> {
    let link = format!("/proc/self/fd/{}", parent.as_fd().as_raw_fd());
    let Ok(parent) = fs::read_link(link) else { return Vec::new() };
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mounts = mount_points(&table).into_iter().rev();
    let below = mounts.filter_map(|mount| Some(mount.strip_prefix(&parent).ok()?.to_owned()));
    below.filter(|mount| mount.starts_with(name) && !mount.as_os_str().is_empty()).collect()
}

/// The mount points in a table of the kernel's (proc(5), the fifth field of each line), in its
/// order.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|&byte| byte == b'\n');
    lines.filter_map(|line| line.split(|&byte| byte == b' ').nth(4)).map(unescaped).collect()
}

/// Decodes `\040` and similar escapes.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Removes the marks of partial commits whose commit object was never written, unless another
/// process may be about to write it. Returns their number.
///
/// # Errors
/// When the marks cannot be listed or removed.
pub(crate) fn remove_orphaned_marks(repo: &Repo) -> Result<usize> {
    // Writers hold a shared lock; there are none if the exclusive lock is free.
    let Some(_lock) = repo.try_lock(LockKind::Exclusive)? else { return Ok(0) };
    let mut removed = 0;
    for commit in repo.marked_commits()? {
        if !repo.has_own_object(&ObjectName::new(commit, ObjectType::Commit))? {
            repo.mark_commit(&commit, CommitState::Complete)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::Checksum;
    use crate::repo::RepoMode;

    #[test]
    fn mount_points_are_read_as_the_kernel_writes_them() {
        let table =
            b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n37 36 0:50 / \
            /run/a\\040b\\134\\011c rw - fuse.rofiles-fuse rofiles-fuse ro\n";
        assert_eq!(mount_points(table), [PathBuf::from("/mnt2"), PathBuf::from("/run/a b\\\tc")]);
        assert_eq!(unescaped(b"a\\9zz\\04"), Path::new("a\\9zz\\04"));
    }

    #[test]
    fn what_a_killed_run_leaves_goes_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (temporary, cache) = (directory.path().join("tmp"), directory.path().join("cache"));
        for name in ["rpm-ostree-compose.old", "rpm-ostree-compose.new", "pkgcache-repo"] {
            fs::create_dir_all(cache.join(name)).unwrap();
        }
        fs::create_dir_all(temporary.join("deep")).unwrap();
        // A session of its own, as a daemon has.
        let mut daemon = Command::new("setsid")
            .args(["sleep", "1000"])
            .env("TMPDIR", &temporary)
            .spawn()
            .unwrap();
        let mut other = Command::new("sleep")
            .arg("1000")
            .env("TMPDIR", temporary.join("deep"))
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !fs::read(format!("/proc/{}/environ", daemon.id())).is_ok_and(|bytes| {
            bytes.starts_with(b"TMPDIR") || bytes.windows(8).any(|window| window == b"\0TMPDIR=")
        }) && started.elapsed() < KILL_TIMEOUT
        {
            thread::sleep(Duration::from_millis(5));
        }
        let run = Dir::open(directory.path()).unwrap();
        let before = ["rpm-ostree-compose.old".to_owned()];
        let made = Temporary { run: &run, path: temporary.clone(), name: "tmp", known: None };
        assert_eq!(clean(&made, Some((&cache, &before)), &[]), [""; 0]);
        assert!(!daemon.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!temporary.exists());
        let mut left: Vec<_> =
            fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["pkgcache-repo", "rpm-ostree-compose.old"]);
        assert_eq!(scratch_directories(&cache).unwrap(), ["rpm-ostree-compose.old"]);
    }

    #[test]
    fn a_mark_without_commit_is_removed_unless_somebody_writes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo");
        let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
        let (lost, there) = (Checksum::of(b"lost"), Checksum::of(b"there"));
        let object = path.join(format!(
            "objects/{}",
            crate::repo::loose_path(&ObjectName::new(there, ObjectType::Commit), RepoMode::Archive)
        ));
        fs::create_dir_all(object.parent().unwrap()).unwrap();
        fs::write(object, b"").unwrap();
        for commit in [lost, there] {
            repo.mark_commit(&commit, CommitState::Partial).unwrap();
        }
        let writer = Repo::open(&path).unwrap();
        let lock = writer.lock(LockKind::Shared).unwrap();
        assert_eq!(remove_orphaned_marks(&repo).unwrap(), 0);
        drop(lock);
        assert_eq!(remove_orphaned_marks(&repo).unwrap(), 1);
        assert_eq!(repo.marked_commits().unwrap(), [there]);
    }
}
