//! A summary that is signed elsewhere, in two steps, so that no client ever sees it without its
//! signature: first it is written into a directory, then it is published with the signature.
//!
//! Refs may move in between. What is published is what was signed, so it must still say what a
//! summary of the refs says now.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::build::{prospective, signature_of};
use super::format::Summary;
use super::store::{self, MAX_SUMMARY_SIZE};
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::gvariant::Dict;
use crate::input;
use crate::repo::{LockKind, Repo, deltas};
use crate::signer::Signer;

/// The name in the directory.
const SUMMARY: &str = "summary";

/// Writes the file `summary` of the refs as they are into a directory, which is made if need be,
/// with `additional` metadata and `now` (seconds since 1970) as its time. The repository stays as
/// it is.
///
/// # Errors
/// When a ref points to a commit that is missing or malformed, when the directory is the repository
/// itself, and when the repository has a collection id: then a commit with the metadata belongs to
/// each summary, which would need a signature, too.
pub fn prepare_in(repo: &Repo, directory: &Path, additional: &Dict, now: u64) -> Result<()> {
    if repo.collection_id().is_some() {
        return Err(Error::failed(
            "a repository with a collection id signs a commit with each summary, so its summary \
             cannot be prepared; have a program sign with --exec",
        ));
    }
    match fs::create_dir(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            return Err(error).during("making", directory);
        }
        _ => {}
    }
    let opened = open(directory)?;
    let identity = |dir| rustix::fs::fstat(dir).map(|stat| dir::identity(&stat));
    let [own, other] = [identity(repo.dir()), identity(rustix::fd::AsFd::as_fd(&opened))];
    if own.during("reading", repo.path())? == other.during("reading", directory)? {
        let message = format!("{} is the repository itself", directory.display());
        return Err(Error::failed(message));
    }
    let _lock = repo.lock(LockKind::Shared)?;
    let summary = prospective(repo, &[], additional, now)?;
    input::replace_in(&opened, OsStr::new(SUMMARY), &summary.encode())
        .during("writing", directory.join(SUMMARY))
}

/// Publishes the summary in a directory, with signatures.
///
/// # Errors
/// When it is not what a summary of the refs says now, when a signer fails, and when something
/// cannot be written. What is public has not changed then, unless only the signature cannot be
/// replaced.
pub fn publish(repo: &Repo, directory: &Path, signers: &[Arc<dyn Signer>]) -> Result<()> {
    let path = directory.join(SUMMARY);
    let bytes = input::read_stored(open(directory)?, SUMMARY, MAX_SUMMARY_SIZE);
    let bytes = bytes.during("reading", &path)?;
    let malformed = |source| Error::Malformed { what: path.display().to_string(), source };
    let prepared = Summary::decode(&bytes).map_err(malformed)?;
    let _lock = repo.lock(LockKind::Shared)?;
    let lock = store::lock(repo)?;
    let current = prospective(repo, &[], &prepared.added_metadata(), 0)?;
    if !prepared.says_the_same_as(&current) {
        let change = change(&prepared, &current);
        let path = path.display();
        return Err(Error::failed(format!("{change} since {path} was prepared: prepare it again")));
    }
    let signature = signature_of(&bytes, signers)?;
    deltas::reindex(repo)?;
    store::prepare(repo, &lock, &bytes, signature.as_deref())?.place()
}

fn open(directory: &Path) -> Result<Dir> {
    Dir::open(directory).during("opening", directory)
}

/// What makes them different.
fn change(prepared: &Summary, current: &Summary) -> String {
    let is_in = |summary: &Summary, name: &str, entry| {
        summary.refs.iter().any(|other| other.name == name && Some(other) == entry)
    };
    let moved = prepared.refs.iter().find(|it| !is_in(current, &it.name, Some(*it)));
    let new = current.refs.iter().find(|it| !is_in(prepared, &it.name, Some(*it)));
    match moved.or(new) {
        Some(entry) => format!("{} has moved", entry.name),
        None => "the repository has changed".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::RepoMode;

    fn scene() -> (tempfile::TempDir, Repo) {
        let scratch = tempfile::tempdir().unwrap();
        let repo = Repo::create(&scratch.path().join("repo"), RepoMode::Archive, None).unwrap();
        fs::create_dir(scratch.path().join("out")).unwrap();
        (scratch, repo)
    }

    #[test]
    fn what_is_prepared_is_published_as_it_is() {
        let (scratch, repo) = scene();
        let out = &scratch.path().join("out");
        prepare_in(&repo, out, &Dict::new(), 1_700_000_000).unwrap();
        assert_eq!(store::load_bytes_if_present(&repo).unwrap(), None);
        publish(&repo, out, &[]).unwrap();
        assert_eq!(store::load_bytes(&repo).unwrap(), fs::read(out.join(SUMMARY)).unwrap());
    }

    #[test]
    fn what_is_in_the_directory_is_no_more_than_a_file_from_outside() {
        let (scratch, repo) = scene();
        let out = &scratch.path().join("out");
        let path = out.join(SUMMARY);
        let refused = || {
            let error = publish(&repo, out, &[]).unwrap_err().chain();
            error.replace(&path.display().to_string(), "PATH")
        };
        assert_eq!(refused(), "reading PATH: No such file or directory");
        fs::write(&path, "junk").unwrap();
        assert_eq!(refused(), "PATH: Not normal form");
        fs::File::create(&path).unwrap().set_len(MAX_SUMMARY_SIZE + 1).unwrap();
        assert_eq!(refused(), format!("reading PATH: larger than {MAX_SUMMARY_SIZE} bytes"));
        fs::remove_file(&path).unwrap();
        let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).unwrap();
        assert_eq!(refused(), "reading PATH: not a regular file");
        fs::remove_file(&path).unwrap();
        // What stands there is replaced, and a link is not written through.
        let victim = scratch.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        prepare_in(&repo, out, &Dict::new(), 0).unwrap();
        assert_eq!(fs::read(&victim).unwrap(), b"precious");
        assert!(path.symlink_metadata().unwrap().is_file());
        // An unsigned summary in the repository is what this is there to avoid.
        for same in [repo.path().to_owned(), out.join("../repo")] {
            let error = prepare_in(&repo, &same, &Dict::new(), 0).unwrap_err().chain();
            assert_eq!(error, format!("{} is the repository itself", same.display()));
        }
    }
}
