//! What a client fetches of a delta.

use std::io::ErrorKind;

use super::envelope::DeltaFile;
use crate::delta_format::{DeltaName, Superblock};
use crate::error::Result;
use crate::repo::Repo;

/// How much a client fetches of a delta, as its superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaCost {
    /// Which delta.
    pub name: DeltaName,
    /// Bytes of the superblock's file, with the parts in it.
    pub superblock_bytes: u64,
    /// The number of parts.
    pub parts: u64,
    /// The number of parts that have a file of their own.
    pub part_files: u64,
    /// Bytes of those files.
    pub part_bytes: u64,
    /// The number of objects that are fetched by themselves.
    pub fallbacks: u64,
    /// Bytes of those, as in the repository that made the delta.
    pub fallback_bytes: u64,
}

impl DeltaCost {
    /// The cost of a superblock whose file has that many bytes.
    pub fn of(superblock: &Superblock<'_>, file_bytes: u64) -> Self {
        let (parts, inlined) = (superblock.parts.iter().enumerate(), superblock.inlined_parts());
        let files = parts.filter(|(number, _)| inlined.part(*number).is_none());
        let sizes: Vec<u64> = files.map(|(_, part)| part.size).collect();
        Self {
            name: superblock.name(),
            superblock_bytes: file_bytes,
            parts: superblock.parts.len() as u64,
            part_files: sizes.len() as u64,
            part_bytes: sizes.into_iter().fold(0, u64::saturating_add),
            fallbacks: superblock.fallbacks.len() as u64,
            fallback_bytes: (superblock.fallbacks.iter())
                .fold(0, |sum, fallback| sum.saturating_add(fallback.size)),
        }
    }

    /// All bytes that are fetched.
    pub fn bytes(&self) -> u64 {
        self.superblock_bytes.saturating_add(self.part_bytes).saturating_add(self.fallback_bytes)
    }

    /// The number of files that are fetched.
    pub fn requests(&self) -> u64 {
        1 + self.part_files + self.fallbacks
    }
}

/// What a client fetches of a delta of the repository; `None` if there is no such delta.
///
/// # Errors
/// When the superblock cannot be read or is wrong.
pub fn cost(repo: &Repo, name: &DeltaName) -> Result<Option<DeltaCost>> {
    let file = match DeltaFile::of_repo(repo, name) {
        Err(error) if error.io_kind() == Some(ErrorKind::NotFound) => return Ok(None),
        file => file?,
    };
    let superblock = file.envelope()?.superblock()?;
    Ok(Some(DeltaCost::of(&superblock, file.bytes().len() as u64)))
}
