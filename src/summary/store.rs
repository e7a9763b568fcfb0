//! The files `summary` and `summary.sig` of a repository: read, placed and removed only here.
//!
//! ```text
//! 1. under the lock, the summary is made from the refs as they are then
//! 2. it is written into REPO/tmp and synced, with its signature         a failure so far changes nothing public
//! 3. a ref that moves with it is renamed into place, then the summary, then the signature; the directory is synced
//! 4. a failure between the two: the ref goes back
//! ```
//!
//! A kill in the third step leaves a stale summary, or a new one beside the old signature. The next
//! update repairs that; until then a client that checks signatures rejects the pair.

use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;

use super::format::Summary;
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Error, Result};
use crate::input;
use crate::refspec::RefName;
use crate::repo::{Replacement, Repo, UpdateLock};

/// The largest summary that is read, in bytes: the limit for all metadata.
pub const MAX_SUMMARY_SIZE: u64 = 128 << 20;

const SUMMARY: &str = "summary";
const SIGNATURE: &str = "summary.sig";
/// The lock file, in `tmp/`.
const LOCK: &str = "staging-summary-lock";
/// How often a failing rename is tried.
const ATTEMPTS: u32 = 3;
/// The delay between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

/// A ref that moves together with the summary.
#[derive(Clone, Copy, Debug)]
pub struct Move<'m> {
    /// The ref, one of `refs/heads`.
    pub name: &'m RefName,
    /// The commit that it points to now; `None` if it does not exist.
    pub old: Option<Checksum>,
    /// The commit that it will point to.
    pub new: Checksum,
}

/// The bytes of the summary.
///
/// # Errors
/// When there is none, it is not a regular file, has more than [`MAX_SUMMARY_SIZE`] bytes, or
/// cannot be read.
pub fn load_bytes(repo: &Repo) -> Result<Vec<u8>> {
    input::read_stored(repo.dir(), SUMMARY, MAX_SUMMARY_SIZE).calling("openat", SUMMARY)
}

/// The bytes of the summary; `None` when there is none.
///
/// # Errors
/// As [`load_bytes`].
pub fn load_bytes_if_present(repo: &Repo) -> Result<Option<Vec<u8>>> {
    if_present(load_bytes(repo))
}

/// Reads and decodes the summary.
///
/// # Errors
/// As [`load_bytes`], and when it is malformed.
pub fn load(repo: &Repo) -> Result<Summary> {
    let malformed = |source| Error::Malformed { what: SUMMARY.to_owned(), source };
    Summary::decode(&load_bytes(repo)?).map_err(malformed)
}

/// The signatures of the summary; `None` when there are none.
///
/// # Errors
/// As [`load_bytes`].
pub fn load_signature(repo: &Repo) -> Result<Option<Vec<u8>>> {
    if_present(
        input::read_stored(repo.dir(), SIGNATURE, MAX_SUMMARY_SIZE).calling("openat", SIGNATURE),
    )
}

/// Whether the summary has a signature.
///
/// # Errors
/// When the operating system cannot determine it.
pub fn is_signed(repo: &Repo) -> Result<bool> {
    let path = repo.path().join(SIGNATURE);
    path.try_exists().during("looking for", path)
}

/// Removes summary and signature.
///
/// # Errors
/// When one cannot be removed.
pub fn remove(repo: &Repo) -> Result<()> {
    let _lock = lock(repo)?;
    remove_file(repo, SIGNATURE)?;
    remove_file(repo, SUMMARY)
}

/// Locks out other updates of the summary, from reading the refs until the summary is in place.
///
/// # Errors
/// [`Error::LockTimeout`] when another process holds the lock for too long.
pub fn lock(repo: &Repo) -> Result<UpdateLock<'_>> {
    repo.lock_update(LOCK)
}

/// A summary that is written but not in place yet.
#[derive(Debug)]
pub struct Prepared<'r> {
    repo: &'r Repo,
    summary: Replacement<'r>,
    signature: Option<Replacement<'r>>,
    _lock: &'r UpdateLock<'r>,
}

/// Writes a summary, and its signature if any, without moving them into place. The lock must come
/// from [`lock`].
///
/// # Errors
/// When it cannot be written; nothing is left behind.
pub fn prepare<'r>(
    repo: &'r Repo,
    lock: &'r UpdateLock<'r>,
    summary: &[u8],
    signature: Option<&[u8]>,
) -> Result<Prepared<'r>> {
    let signature = signature.map(|bytes| repo.prepare_replacement(bytes)).transpose()?;
    Ok(Prepared { repo, summary: repo.prepare_replacement(summary)?, signature, _lock: lock })
}

impl Prepared<'_> {
    /// Moves summary and signature into place. Without a new signature, the old one is removed.
    ///
    /// # Errors
    /// When the summary cannot be replaced; the old one is then still intact.
    pub fn place(mut self) -> Result<()> {
        self.place_summary()?;
        self.finish()
    }

    /// Moves a ref and the summary into place: both, or neither.
    ///
    /// # Errors
    /// When either fails. The error says what is public then, if that differs from before.
    pub fn place_with(mut self, moved: &Move<'_>) -> Result<()> {
        let Move { name, new, .. } = *moved;
        if let Err(error) = again(|| self.repo.set_ref_immediate(None, name, Some(&new))) {
            // It may have been renamed without its directory being synced.
            put_back(self.repo, moved)?;
            return Err(error);
        }
        if let Err(error) = again(|| self.place_summary()) {
            put_back(self.repo, moved)?;
            let reason = error.chain();
            return Err(Error::failed(format!(
                "the summary cannot be replaced, so {name} names what it did before: {reason}"
            )));
        }
        self.finish()
    }

    fn place_summary(&mut self) -> Result<()> {
        self.summary.place(Path::new(SUMMARY)).calling("openat", SUMMARY)
    }

    /// Places or removes the signature, and makes the renames durable.
    fn finish(&mut self) -> Result<()> {
        match &mut self.signature {
            Some(signature) => {
                signature.place(Path::new(SIGNATURE)).calling("openat", SIGNATURE)?
            }
            None => remove_file(self.repo, SIGNATURE)?,
        }
        match self.repo.config().fsync {
            true => rustix::fs::fsync(self.repo.dir()).during("syncing", self.repo.path()),
            false => Ok(()),
        }
    }
}

/// Undoes the move of a ref.
fn put_back(repo: &Repo, moved: &Move<'_>) -> Result<()> {
    let Move { name, old, new } = *moved;
    if repo.read_local_ref(name)? == old {
        return Ok(());
    }
    again(|| repo.set_ref_immediate(None, name, old.as_ref())).map_err(|error| {
        let reason = error.chain();
        Error::failed(format!(
            "{name} names {new} and cannot be put back: {reason}; repair with `osier summary -u`"
        ))
    })
}

fn again(mut attempt: impl FnMut() -> Result<()>) -> Result<()> {
    for _ in 1..ATTEMPTS {
        if attempt().is_ok() {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    attempt()
}

fn if_present(read: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.io_kind() == Some(ErrorKind::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove_file(repo: &Repo, name: &str) -> Result<()> {
    match dir::remove_file(repo.dir(), name) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("removing", repo.path().join(name)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::repo::RepoMode;

    fn new_repo(directory: &Path) -> Repo {
        Repo::create(&directory.join("repo"), RepoMode::Archive, None).unwrap()
    }

    fn place(repo: &Repo, summary: &[u8], signature: Option<&[u8]>) {
        let lock = lock(repo).unwrap();
        prepare(repo, &lock, summary, signature).unwrap().place().unwrap();
    }

    #[test]
    fn summary_and_signature_are_placed_read_and_removed_as_a_pair() {
        let directory = tempfile::tempdir().unwrap();
        let repo = &new_repo(directory.path());
        let pair = || (load_bytes_if_present(repo).unwrap(), load_signature(repo).unwrap());
        assert_eq!(
            load_bytes(repo).unwrap_err().chain(),
            "openat(summary): No such file or directory"
        );
        assert_eq!(pair(), (None, None));
        place(repo, b"one", Some(b"signature"));
        assert_eq!(pair(), (Some(b"one".to_vec()), Some(b"signature".to_vec())));
        assert!(is_signed(repo).unwrap());
        place(repo, b"two", None);
        assert_eq!(pair(), (Some(b"two".to_vec()), None));
        place(repo, b"three", Some(b"signature"));
        remove(repo).unwrap();
        assert_eq!(pair(), (None, None));
        assert_eq!(fs::read_dir(repo.path().join("tmp")).unwrap().count(), 1, "only the cache");
    }

    #[test]
    fn a_pipe_and_an_endless_file_are_no_summary() {
        let directory = tempfile::tempdir().unwrap();
        let repo = &new_repo(directory.path());
        let path = repo.path().join(SUMMARY);
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, rustix::fs::Mode::RWXU, 0).unwrap();
        assert_eq!(load(repo).unwrap_err().chain(), "openat(summary): not a regular file");
        fs::remove_file(&path).unwrap();
        fs::File::create(&path).unwrap().set_len(MAX_SUMMARY_SIZE + 1).unwrap();
        let expected = format!("openat(summary): larger than {MAX_SUMMARY_SIZE} bytes");
        assert_eq!(load(repo).unwrap_err().chain(), expected);
        fs::write(&path, "junk").unwrap();
        assert_eq!(load(repo).unwrap_err().chain(), "summary: Not normal form");
    }

    #[test]
    fn a_prepared_summary_that_gets_no_place_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let repo = &new_repo(directory.path());
        place(repo, b"one", Some(b"signature"));
        let lock = lock(repo).unwrap();
        drop(prepare(repo, &lock, b"two", Some(b"other")).unwrap());
        drop(lock);
        assert_eq!(load_bytes(repo).unwrap(), b"one");
        assert_eq!(load_signature(repo).unwrap().as_deref(), Some(&b"signature"[..]));
        assert_eq!(fs::read_dir(repo.path().join("tmp")).unwrap().count(), 1, "only the cache");
    }

    #[test]
    fn a_ref_goes_back_when_the_summary_cannot_be_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let repo = &new_repo(directory.path());
        let name = &RefName::parse("os/host").unwrap();
        let [first, second] = [b"1", b"2"].map(|bytes| Checksum::of(bytes));
        // A file cannot be renamed over a directory.
        fs::create_dir_all(repo.path().join(SUMMARY).join("full")).unwrap();
        let lock = lock(repo).unwrap();
        for (old, new) in [(None, first), (Some(first), second)] {
            repo.set_ref_immediate(None, name, old.as_ref()).unwrap();
            let prepared = prepare(repo, &lock, b"summary", None).unwrap();
            let error = prepared.place_with(&Move { name, old, new }).unwrap_err().chain();
            let expected = "the summary cannot be replaced, so os/host names what it did before: openat(summary): ";
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(repo.read_local_ref(name).unwrap(), old);
        }
        fs::remove_dir_all(repo.path().join(SUMMARY)).unwrap();
        let prepared = prepare(repo, &lock, b"summary", None).unwrap();
        prepared.place_with(&Move { name, old: Some(first), new: second }).unwrap();
        assert_eq!(repo.read_local_ref(name).unwrap(), Some(second));
        assert_eq!(load_bytes(repo).unwrap(), b"summary");
    }
}
