//! Commits of which objects may be missing: `state/HEX.commitpartial` (docs/format.md, section 11).

use std::path::PathBuf;

use rustix::io::Errno;

use super::Repo;
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Result};
use crate::input;

/// Whether everything that a commit reaches should be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitState {
    /// Yes.
    Complete,
    /// Objects may be missing on purpose: a pull was interrupted or asked for less.
    Partial,
    /// `fsck` found objects missing or damaged.
    PartialFsck,
}

/// What `fsck` writes into the marker.
const FSCK_MARK: &[u8] = b"f";
/// Nothing longer is read of a marker, in bytes.
const MAX_MARK: u64 = 4096;

impl Repo {
    /// Reads the marker of a commit.
    ///
    /// # Errors
    /// When a marker is there but cannot be read.
    pub fn commit_state(&self, commit: &Checksum) -> Result<CommitState> {
        let path = self.path().join(marker(commit));
        match input::read_stored(self.dir(), marker(commit), MAX_MARK) {
            Ok(content) if content.starts_with(FSCK_MARK) => Ok(CommitState::PartialFsck),
            Ok(_) => Ok(CommitState::Partial),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => match self.parent() {
                Some(parent) if !self.has_own_object(&commit_name(commit))? => {
                    parent.commit_state(commit)
                }
                _ => Ok(CommitState::Complete),
            },
            Err(error) => Err(error).during("reading", path),
        }
    }

    /// Writes or removes the marker of a commit.
    ///
    /// # Errors
    /// When it cannot be written or removed.
    pub fn mark_commit(&self, commit: &Checksum, state: CommitState) -> Result<()> {
        let name = marker(commit);
        match state {
            CommitState::Complete => match dir::remove_file(self.dir(), &name) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error).during("removing", self.path().join(name)),
            },
            CommitState::Partial => self.replace_file(&name, b""),
            CommitState::PartialFsck => self.replace_file(&name, FSCK_MARK),
        }
    }
}

impl Repo {
    /// The commits of this repository that have a marker, sorted, whether or not they are there.
    ///
    /// # Errors
    /// When `state` cannot be listed.
    pub fn marked_commits(&self) -> Result<Vec<Checksum>> {
        let directory = self.path().join("state");
        let mut commits = Vec::new();
        for entry in std::fs::read_dir(&directory).during("listing", &directory)? {
            let name = entry.during("listing", &directory)?.file_name();
            let commit = name.to_str().and_then(|name| name.strip_suffix(".commitpartial"));
            commits.extend(commit.and_then(|hex| Checksum::from_hex(hex).ok()));
        }
        commits.sort_unstable();
        Ok(commits)
    }
}

fn marker(commit: &Checksum) -> PathBuf {
    PathBuf::from(format!("state/{commit}.commitpartial"))
}

fn commit_name(commit: &Checksum) -> crate::object::ObjectName {
    crate::object::ObjectName::new(*commit, crate::object::ObjectType::Commit)
}
