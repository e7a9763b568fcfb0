//! Whether what is missing fits on the file system, as far as that is known before it comes.
//!
//! Archives may list the sizes of what a commit reaches in its metadata (`ostree.sizes`), and
//! deltas have those of their parts. What they sum up to is held against the free space at the
//! beginning of the pull, less what `min-free-space` reserves.

use super::names::Names;
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{Commit, ObjectName, ObjectType, SizeEntry, key};
use crate::repo::{Repo, RepoMode, Room};
use crate::units::format_size;

/// What is missing of what a commit or a delta brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// Dirtrees and dirmetas.
    pub(super) metadata_objects: u64,
    /// Files.
    pub(super) content_objects: u64,
    /// Bytes of all of them as an archive has them.
    pub(super) stored: u64,
    /// Bytes of content, uncompressed.
    pub(super) content_bytes: u64,
    /// Files that are listed, whether or not they are missing.
    pub(super) listed_files: u64,
}

impl Missing {
    fn add(&mut self, entry: &SizeEntry) {
        match entry.name.object_type {
            ObjectType::File => {
                self.content_objects += 1;
                self.content_bytes = self.content_bytes.saturating_add(entry.unpacked);
            }
            _ => self.metadata_objects += 1,
        }
        self.stored = self.stored.saturating_add(entry.stored);
    }
}

/// Sums up what a pull needs.
#[derive(Debug)]
pub(super) struct Space {
    room: Room,
    mode: RepoMode,
    /// In bytes.
    needed: u64,
    /// What was counted, where commits may have objects in common.
    counted: Option<Names>,
}

/// Of how many commits a pull consists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commits {
    /// Of one, so that nothing can be counted twice.
    #[cfg(feature = "pull")]
    One,
    /// Perhaps of more.
    More,
}

impl Space {
    /// Looks how much there is.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub(super) fn new(repo: &Repo, commits: Commits) -> Result<Self> {
        let counted = (commits == Commits::More).then(Names::default);
        Ok(Self { room: repo.room()?, mode: repo.mode(), needed: 0, counted })
    }

    /// Counts what a commit lists and `is_missing`; `None` if it lists nothing.
    ///
    /// # Errors
    /// When everything counted so far does not fit.
    pub(super) fn add_commit(
        &mut self,
        name: &Checksum,
        commit: &Commit,
        is_missing: impl Fn(&ObjectName) -> Result<bool>,
    ) -> Result<Option<Missing>> {
        let list = commit.metadata.get(key::SIZES).filter(|list| list.type_string() == "aay");
        let Some(list) = list else { return Ok(None) };
        let mut missing = Missing::default();
        for entry in list.view().children() {
            // It is only a forecast, so a list that cannot be read is no error.
            let Ok(entry) = SizeEntry::decode(entry.as_bytes().unwrap_or_default()) else {
                log::debug!("the sizes in commit {name} are malformed");
                return Ok(None);
            };
            missing.listed_files += u64::from(entry.name.object_type == ObjectType::File);
            if !is_missing(&entry.name)? {
                continue;
            }
            if let Some(counted) = &mut self.counted
                && counted.insert(entry.name)?.is_none()
            {
                continue;
            }
            missing.add(&entry);
            let is_packed = self.mode == RepoMode::Archive;
            let size = if is_packed { entry.stored } else { entry.unpacked };
            self.count(self.room.taken_by(size));
        }
        self.check(&format!("Commit {name}"))?;
        Ok(Some(missing))
    }

    /// Counts the content of a delta.
    ///
    /// # Errors
    /// When everything counted so far does not fit.
    #[cfg(feature = "pull")]
    pub(super) fn add_delta(&mut self, content_bytes: u64) -> Result<()> {
        self.count(content_bytes);
        // Upstream's words.
        self.check("Delta")
    }

    fn count(&mut self, bytes: u64) {
        self.needed = self.needed.saturating_add(bytes);
    }

    fn check(&self, what: &str) -> Result<()> {
        let (needed, available) = (self.needed, self.room.bytes());
        if needed <= available {
            return Ok(());
        }
        let reserved = match self.room.reserved() {
            None => String::new(),
            Some(limit) => format!(" with {limit}"),
        };
        Err(Error::failed(format!(
            "{what} requires {} free space, but only {} available{reserved} \
             ({needed} bytes, {available} bytes)",
            format_size(needed),
            format_size(available)
        )))
    }
}
