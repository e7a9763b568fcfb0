//! The 256 directories `00` to `ff` that hold the objects, each opened without following links.
//!
//! `objects/XX` may be replaced by a link while osier runs. So nothing is written, linked, renamed
//! or removed under a path `XX/REST`: the directory is opened first, and everything else goes
//! through its descriptor. Descriptors are cached as long as the process has enough of them;
//! otherwise the directory is opened for each use.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Once, OnceLock};

use rustix::io::{Errno, Result};
use rustix::process::{Resource, getrlimit};

use crate::dir::{self, Dir};

/// At most one in this many of the descriptors that the process may have is used for object
/// directories.
const SHARE_OF_DESCRIPTORS: u64 = 4;

/// The number of directories that a repository has for its objects.
const DIRECTORIES: u64 = 256;

/// The descriptors that an operation has besides, with room to spare.
const OTHER_DESCRIPTORS: u64 = 64;

/// The number of cached descriptors in the whole process.
static HELD: AtomicU64 = AtomicU64::new(0);

/// The object directories in one parent directory, which has to be the same each time.
#[derive(Debug)]
pub(super) struct FanOuts([OnceLock<Dir>; 256]);

impl Default for FanOuts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl FanOuts {
    /// Calls `act` with the directory of the objects whose names start with `first`; `ENOENT` if
    /// there is none, `ENOTDIR` if its name is taken by something else.
    pub(super) fn within<T>(
        &self,
        parent: BorrowedFd<'_>,
        first: u8,
        act: impl Fn(BorrowedFd<'_>) -> Result<T>,
    ) -> Result<T> {
        let slot = &self.0[usize::from(first)];
        if let Some(held) = slot.get() {
            match act(held.as_fd()) {
                // It has been removed since, and possibly recreated.
                Err(Errno::NOENT) if is_removed(held) => {}
                result => return result,
            }
            return act(open(parent, first)?.as_fd());
        }
        let dir = open(parent, first)?;
        if !reserve() {
            return act(dir.as_fd());
        }
        if slot.set(dir).is_err() {
            // Another thread was faster.
            HELD.fetch_sub(1, Ordering::Relaxed);
        }
        self.within(parent, first, act)
    }

    /// Like [`Self::within`], but creates the directory if there is none.
    pub(super) fn within_made<T>(
        &self,
        parent: BorrowedFd<'_>,
        first: u8,
        act: impl Fn(BorrowedFd<'_>) -> Result<T>,
    ) -> Result<T> {
        match self.within(parent, first, &act) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        match dir::make_dir(parent, format!("{first:02x}"), 0o777) {
            Ok(()) | Err(Errno::EXIST) => self.within(parent, first, act),
            Err(error) => Err(error),
        }
    }
}

/// Makes the kernel's table of descriptors large enough for the directories of one repository.
///
/// The table doubles when it is full. In a process with several threads each of these times takes
/// milliseconds, for which any thread that opens a file waits; before that it costs nothing.
pub(super) fn make_room(any: BorrowedFd<'_>) {
    static MADE: Once = Once::new();
    MADE.call_once(|| {
        let last = most().min(DIRECTORIES) + OTHER_DESCRIPTORS;
        // Where that is not allowed, the table grows as it is used.
        let _ = i32::try_from(last).map(|last| rustix::io::fcntl_dupfd_cloexec(any, last));
    });
}

impl Drop for FanOuts {
    fn drop(&mut self) {
        let held = self.0.iter().filter(|slot| slot.get().is_some()).count();
        HELD.fetch_sub(held as u64, Ordering::Relaxed);
    }
}

fn open(parent: BorrowedFd<'_>, first: u8) -> Result<Dir> {
    Dir::on_the_way(parent, format!("{first:02x}"))
}

fn is_removed(dir: &Dir) -> bool {
    rustix::fs::fstat(dir).is_ok_and(|stat| stat.st_nlink == 0)
}

/// Whether one more descriptor may be cached; if so, it is counted.
fn reserve() -> bool {
    let most = most();
    HELD.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
        (held < most).then_some(held.saturating_add(1))
    })
    .is_ok()
}

/// The most descriptors that may be cached.
fn most() -> u64 {
    static MOST: OnceLock<u64> = OnceLock::new();
    *MOST.get_or_init(|| {
        getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / SHARE_OF_DESCRIPTORS
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_directory_is_refused_and_one_that_is_held_stays_the_same() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        for name in ["victim", "ab"] {
            fs::create_dir(path(name)).unwrap();
            fs::write(path(name).join("file"), name).unwrap();
        }
        symlink("victim", path("cd")).unwrap();
        let parent = Dir::open(scratch.path()).unwrap();
        let fan_outs = FanOuts::default();
        let remove =
            |first| fan_outs.within(parent.as_fd(), first, |dir| dir::remove_file(dir, "file"));
        assert_eq!(remove(0xcd), Err(Errno::NOTDIR));
        assert_eq!(
            fan_outs.within_made(parent.as_fd(), 0xcd, |dir| dir::remove_file(dir, "file")),
            Err(Errno::NOTDIR)
        );
        assert_eq!(remove(0xef), Err(Errno::NOENT));
        fan_outs.within(parent.as_fd(), 0xab, |dir| dir::stat(dir, "file")).unwrap();
        fs::rename(path("ab"), path("away")).unwrap();
        symlink("victim", path("ab")).unwrap();
        assert_eq!(remove(0xab), Ok(()));
        assert!(path("victim/file").exists() && !path("away/file").exists());
    }

    #[test]
    fn a_directory_that_was_removed_and_made_again_is_found() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = Dir::open(scratch.path()).unwrap();
        let fan_outs = FanOuts::default();
        let make =
            || fan_outs.within_made(parent.as_fd(), 0xab, |dir| dir::make_dir(dir, "inner", 0o755));
        make().unwrap();
        fs::remove_dir_all(scratch.path().join("ab")).unwrap();
        make().unwrap();
        assert!(scratch.path().join("ab/inner").is_dir());
    }
}
