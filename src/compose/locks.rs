//! The locks of a run. Waiting for each is limited, and its holder is reported meanwhile.
//!
//! ```text
//! REPO/.lock                  shared, for the run: no prune, but other writers
//! CACHE/.osier-compose.lock   exclusive, for the run: rpm-ostree does not lock its cache
//! REPO/.osier-publish.lock    exclusive, while refs and summary move; in the repository, where several hosts meet
//! ```
//!
//! All are open-file-description locks, which are released when their holder dies. The files stay;
//! ours name the holder. A lock file must be a regular file: nothing is opened or written through a
//! link in its place.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use crate::error::{During, Error, Result};
use crate::process::Interrupt;
use crate::process::log::printable;
use crate::progress::{Event, Progress};
use crate::repo::{LockKind, Repo, RepoLock, try_lock};

/// The lock of rpm-ostree's cache.
pub(crate) const CACHE_LOCK: &str = ".osier-compose.lock";
/// The lock of refs and summary.
pub(crate) const PUBLISH_LOCK: &str = ".osier-publish.lock";

/// How often a busy lock is tried again.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How a lock is waited for.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'w> {
    /// The time limit.
    pub(crate) timeout: Duration,
    /// The user's interrupt.
    pub(crate) interrupt: &'w Interrupt,
    /// Receives a message about the holder.
    pub(crate) progress: &'w dyn Progress,
}

impl Wait<'_> {
    /// Tries until `attempt` succeeds.
    fn until<T>(
        &self,
        what: &Path,
        holder: impl Fn() -> String,
        mut attempt: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let started = Instant::now();
        let mut reported = false;
        loop {
            if let Some(lock) = attempt()? {
                return Ok(lock);
            }
            self.interrupt.check()?;
            if started.elapsed() >= self.timeout {
                let (path, seconds) = (what.display(), self.timeout.as_secs());
                return Err(Error::failed(format!(
                    "{path} is locked by {} for more than {seconds} s",
                    holder()
                )));
            }
            if !reported {
                reported = true;
                let message = format!("waiting for {}, locked by {}", what.display(), holder());
                self.progress.event(Event::Warning(&message));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// A lock file that is locked until this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub(crate) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Locks a file, which is made if needed, and writes `holder` (host, process and run) into it.
    ///
    /// # Errors
    /// When the path is not a regular file, another process holds the lock for too long, or it
    /// cannot be written.
    pub(crate) fn acquire(path: &Path, holder: &str, wait: &Wait<'_>) -> Result<Self> {
        let file = open(path)?;
        let try_once =
            || Ok(try_lock(&file, LockKind::Exclusive).during("locking", path)?.then_some(()));
        wait.until(path, || holder_of(&file), try_once)?;
        // A file with another link may belong to anyone: it is locked but not written to.
        if file.metadata().during("looking at", path)?.nlink() == 1 {
            let text = format!("{holder}\n");
            file.set_len(0)
                .and_then(|()| file.write_all_at(text.as_bytes(), 0))
                .during("writing", path)?;
        }
        Ok(Self { _file: file })
    }
}

/// Opens a lock file, which is made if needed, without following a link and without waiting for the
/// other end of a FIFO.
fn open(path: &Path) -> Result<File> {
    let odd = || {
        let path = path.display();
        Error::failed(format!(
            "{path} should be a lock file and is no regular file; see who put it there and remove \
             it"
        ))
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.is_file() => return Err(odd()),
        _ => {}
    }
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).custom_flags(flags.bits() as i32);
    let file = options.open(path).during("opening", path)?;
    match file.metadata().during("looking at", path)?.is_file() {
        true => Ok(file),
        false => Err(odd()),
    }
}

/// The holder named in a lock file.
fn holder_of(file: &File) -> String {
    let mut bytes = [0; 1024];
    let length = file.read_at(&mut bytes, 0).unwrap_or(0);
    let text = String::from_utf8_lossy(&bytes[..length]);
    let name: String = printable(text.trim()).chars().take(200).collect();
    if name.is_empty() { "an unnamed process".to_owned() } else { name }
}

/// Takes the shared lock of a repository.
///
/// # Errors
/// When another process holds it exclusively for too long.
pub(crate) fn lock_repo<'r>(repo: &'r Repo, wait: &Wait<'_>) -> Result<RepoLock<'r>> {
    let path = repo.path().join(".lock");
    wait.until(&path, || processes_with(&path), || repo.try_lock(LockKind::Shared))
}

/// Describes which processes have a lock file open, for locks whose files do not name them: those
/// of this host that we can see.
pub(crate) fn processes_with(path: &Path) -> String {
    let Ok(wanted) = path.canonicalize() else { return "no process".to_owned() };
    let mut names = Vec::new();
    for (process, directory) in processes() {
        let is_own = process == rustix::process::getpid().as_raw_nonzero().get();
        let files = fs::read_dir(directory.join("fd")).into_iter().flatten().flatten();
        let has_it = !is_own
            && files
                .into_iter()
                .any(|file| fs::read_link(file.path()).is_ok_and(|to| to == wanted));
        if has_it {
            let name = fs::read_to_string(directory.join("comm")).unwrap_or_default();
            names.push(format!("{} (process {process})", name.trim()));
        }
    }
    if names.is_empty() {
        "a process that cannot be seen from here".to_owned()
    } else {
        names.join(", ")
    }
}

/// The processes of this host with their directories in `/proc`.
pub(super) fn processes() -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect()
}

/// Names this process and its run for a lock file.
pub(crate) fn holder(run: &str) -> String {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().into_owned();
    format!("{host}, process {}, run {run}", rustix::process::getpid().as_raw_nonzero())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::progress::Silent;
    use crate::repo::RepoMode;

    #[test]
    fn a_busy_lock_is_waited_for_and_its_holder_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let interrupt = Interrupt::default();
        let messages = Mutex::new(Vec::new());
        let note = |event: Event<'_>| {
            if let Event::Warning(text) = event {
                messages.lock().unwrap().push(text.to_owned());
            }
        };
        let wait =
            Wait { timeout: Duration::from_millis(250), interrupt: &interrupt, progress: &note };
        let first = FileLock::acquire(&path, "alpha, process 1, run r", &wait).unwrap();
        let message = FileLock::acquire(&path, "beta", &wait).unwrap_err().to_string();
        assert_eq!(
            message,
            format!("{} is locked by alpha, process 1, run r for more than 0 s", path.display())
        );
        let expected = format!("waiting for {}, locked by alpha, process 1, run r", path.display());
        assert_eq!(*messages.lock().unwrap(), [expected]);
        drop(first);
        let _second = FileLock::acquire(&path, "beta", &wait).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "beta\n");
        interrupt.raise();
        assert_eq!(
            FileLock::acquire(&path, "gamma", &wait).unwrap_err().to_string(),
            "interrupted"
        );
    }

    #[test]
    fn only_a_regular_file_is_a_lock_file() {
        use std::os::unix::fs::symlink;

        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let directory = tempfile::tempdir().unwrap();
        let (lock, victim) = (directory.path().join("lock"), directory.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        let interrupt = Interrupt::default();
        let wait =
            Wait { timeout: Duration::from_millis(10), interrupt: &interrupt, progress: &Silent };
        let places: [&dyn Fn(); 4] = [
            &|| symlink(&victim, &lock).unwrap(),
            &|| symlink(directory.path().join("none"), &lock).unwrap(),
            &|| mknodat(CWD, &lock, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            &|| fs::create_dir(&lock).unwrap(),
        ];
        for place in places {
            place();
            let message = FileLock::acquire(&lock, "holder", &wait).unwrap_err().chain();
            let expected =
                "should be a lock file and is no regular file; see who put it there and remove it";
            assert_eq!(message, format!("{} {expected}", lock.display()));
            let _ = fs::remove_file(&lock).or_else(|_| fs::remove_dir(&lock));
        }
        // A file with another link is locked and keeps its content.
        fs::hard_link(&victim, &lock).unwrap();
        let _held = FileLock::acquire(&lock, "holder", &wait).unwrap();
        let message = FileLock::acquire(&lock, "other", &wait).unwrap_err().chain();
        assert!(message.contains("locked by precious"), "{message}");
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(!directory.path().join("none").exists());
    }

    #[test]
    fn a_repository_locked_for_deletion_is_not_composed_into() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo");
        let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
        let other = Repo::open(&path).unwrap();
        let interrupt = Interrupt::default();
        let wait =
            Wait { timeout: Duration::from_millis(10), interrupt: &interrupt, progress: &Silent };
        let lock = other.lock(LockKind::Exclusive).unwrap();
        let message = lock_repo(&repo, &wait).unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("{}/.lock is locked by ", path.display())),
            "{message}"
        );
        drop(lock);
        let _shared = lock_repo(&repo, &wait).unwrap();
        assert!(other.try_lock(LockKind::Exclusive).unwrap().is_none());
        assert!(other.try_lock(LockKind::Shared).unwrap().is_some());
    }
}
