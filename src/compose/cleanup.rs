//! What a program leaves when it is killed, and how it goes: processes, mounts, scratch directories, marks of commits
//! that never came.
//!
//! rpm-ostree gets `TMPDIR=RUN/tmp`. Its `rofiles-fuse` daemons have sessions of their own, so a signal to its process
//! group misses them, and mounts below `RUN/tmp`. Whatever has that variable in its environment belongs to the run.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use crate::error::{During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{CommitState, LockKind, Repo};

use super::call::Call;
use super::locks::processes;
use super::program::{Interrupt, ask};

/// What rpm-ostree calls its work directories in the cache.
const SCRATCH_PREFIX: &str = "rpm-ostree-compose.";
/// How long a killed process may take to go.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// Ends what a run has left running, unmounts what it has left mounted, and removes its temporary directory and its
/// work directories in the cache: those that are not in `before`. Returns what the user has to do himself.
pub fn clean(temporary: &Path, cache: &Path, before: &[String], environment: &[(OsString, OsString)]) -> Vec<String> {
    kill_leftovers(temporary);
    let new = scratch_directories(cache).unwrap_or_default();
    let scratch = new.into_iter().filter(|name| !before.contains(name)).map(|name| cache.join(name));
    let mut left = Vec::new();
    for directory in scratch.chain([temporary.to_owned()]) {
        left.extend(clean_directory(&directory, environment));
    }
    left
}

/// Unmounts what is below a directory and removes it. What is mounted must go first: files seen through it may be those
/// of the cache.
fn clean_directory(directory: &Path, environment: &[(OsString, OsString)]) -> Option<String> {
    for mount in mounts_below(directory) {
        if unmount(&mount, UnmountFlags::DETACH).is_err() {
            // A user's own FUSE mounts can be unmounted with the help of this program only.
            let program = ["fusermount3".to_owned(), "-u".to_owned(), "-z".to_owned()];
            let call = Call::new(&program, environment).map(|call| call.arg(&mount));
            drop(call.and_then(|call| ask(&call, KILL_TIMEOUT, &Interrupt::default())));
        }
    }
    let name = directory.display();
    if let Some(mount) = mounts_below(directory).first() {
        return Some(format!("{} is still mounted; as root: umount -l {0} && rm -rf {name}", mount.display()));
    }
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Some(format!("{name}: {error}; as root: rm -rf {name}")),
        _ => None,
    }
}

/// The work directories of rpm-ostree in its cache, sorted.
///
/// # Errors
/// When the cache cannot be listed.
pub fn scratch_directories(cache: &Path) -> Result<Vec<String>> {
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

/// Kills the processes that have `TMPDIR` set to the directory, and waits until they are gone.
fn kill_leftovers(temporary: &Path) {
    // The run may have been started by another name of the same directory.
    let Ok(temporary) = temporary.canonicalize() else { return };
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let belongs = |directory: &Path| {
        // A zombie has no environment any more.
        let environment = fs::read(directory.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|&byte| byte == 0);
        let value = variables.find_map(|variable| variable.strip_prefix(b"TMPDIR="));
        value
            .is_some_and(|value| Path::new(OsStr::from_bytes(value)).canonicalize().is_ok_and(|path| path == temporary))
    };
    let started = Instant::now();
    loop {
        let left: Vec<i32> = processes()
            .into_iter()
            .filter(|(process, directory)| *process != own && belongs(directory))
            .map(|(process, _)| process)
            .collect();
        if left.is_empty() || started.elapsed() >= KILL_TIMEOUT {
            return;
        }
        for process in left.into_iter().filter_map(Pid::from_raw) {
            // One that has just gone needs no signal.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// What is mounted at or below a directory, the innermost first.
fn mounts_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(directory) = directory.canonicalize() else { return Vec::new() };
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mut mounts = mount_points(&table);
    mounts.retain(|mount| mount.starts_with(&directory));
    mounts.reverse();
    mounts
}

/// The mount points in a table of the kernel's (proc(5), the fifth field of each line), in its order.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|&byte| byte == b'\n');
    lines.filter_map(|line| line.split(|&byte| byte == b' ').nth(4)).map(unescaped).collect()
}

/// Undoes `\040` and its like.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| byte == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
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

/// Removes the marks of partial commits whose commit object never came, unless somebody else may be about to write it.
/// Returns how many there were.
///
/// # Errors
/// When the marks cannot be listed or removed.
pub fn remove_orphaned_marks(repo: &Repo) -> Result<usize> {
    // Whoever writes holds the lock, shared; nobody does if we can have it alone.
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
        let table = b"36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n\
                      37 36 0:50 / /run/a\\040b\\134\\011c rw - fuse.rofiles-fuse rofiles-fuse ro\n";
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
        let mut daemon = Command::new("setsid").args(["sleep", "1000"]).env("TMPDIR", &temporary).spawn().unwrap();
        let mut other = Command::new("sleep").arg("1000").env("TMPDIR", temporary.join("deep")).spawn().unwrap();
        let started = Instant::now();
        while !fs::read(format!("/proc/{}/environ", daemon.id()))
            .is_ok_and(|bytes| bytes.starts_with(b"TMPDIR") || bytes.windows(8).any(|window| window == b"\0TMPDIR="))
            && started.elapsed() < KILL_TIMEOUT
        {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(clean(&temporary, &cache, &["rpm-ostree-compose.old".to_owned()], &[]), [""; 0]);
        assert!(!daemon.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(!temporary.exists());
        let mut left: Vec<_> = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().file_name()).collect();
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
