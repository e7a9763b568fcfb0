//! The objects of a delta in their order, each with how it is written; what is read, compared and
//! patched for each is independent of the others.

use std::sync::Arc;

use super::bsdiff;
use super::content;
use super::parts::Object;
use super::plan::Candidate;
use super::rollsum::Matches;
use crate::checksum::Checksum;
use crate::error::Result;
use crate::map::FileBytes;
use crate::object::{FileHeader, ObjectName};
use crate::repo::Repo;

/// How an object is written.
#[derive(Debug)]
pub(super) enum Job {
    Metadata(ObjectName),
    Rolled { candidate: Candidate, matches: Matches },
    Patched { candidate: Candidate, number: usize },
    Plain { name: Checksum, size: u64 },
    Symlink(Checksum),
}

/// What it takes to write it.
pub(super) enum Prepared {
    Metadata(FileBytes),
    File(FileHeader, FileBytes),
    Patch(FileHeader, Arc<Vec<u8>>),
}

/// About the size of a metadata object or symlink, in bytes.
const SMALL: u64 = 4 << 10;
/// A job takes long if it has more than so small a share of all work.
const LONG_SHARE: u64 = 32;

impl Job {
    /// The bytes that are held for it once it is prepared.
    pub(super) fn weight(&self) -> u64 {
        match self {
            Self::Metadata(_) | Self::Symlink(_) => SMALL,
            Self::Rolled { candidate, .. } | Self::Patched { candidate, .. } => candidate.new_size,
            Self::Plain { size, .. } => *size,
        }
    }

    /// The bytes that it counts for in the size of a part. Those of metadata are not known before.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Metadata(_) | Self::Symlink(_) => 0,
            Self::Rolled { .. } | Self::Patched { .. } | Self::Plain { .. } => self.weight(),
        }
    }

    /// The bytes of memory that it takes to prepare it, as far as they matter.
    pub(super) fn memory(&self) -> u64 {
        match self {
            Self::Patched { candidate, .. } => {
                bsdiff::memory(candidate.old_size, candidate.new_size)
            }
            _ => 0,
        }
    }

    /// Reads it, or the file that is new in a pair.
    pub(super) fn read(&self, repo: &Repo) -> Result<Prepared> {
        match self {
            Self::Metadata(name) => Ok(Prepared::Metadata(repo.load_metadata(name)?)),
            Self::Rolled { candidate, .. } | Self::Patched { candidate, .. } => {
                file(repo, &candidate.pair.new)
            }
            Self::Plain { name, .. } | Self::Symlink(name) => file(repo, name),
        }
    }

    /// The object to be written.
    pub(super) fn object<'b>(&'b self, prepared: &'b Prepared) -> Option<Object<'b>> {
        Some(match (self, prepared) {
            (Self::Metadata(name), Prepared::Metadata(bytes)) => {
                Object::Metadata { name: *name, bytes }
            }
            (Self::Plain { name, .. }, Prepared::File(header, content)) => {
                Object::Plain { name: *name, header, content }
            }
            (Self::Symlink(name), Prepared::File(header, _)) => {
                Object::Symlink { name: *name, header }
            }
            (Self::Rolled { candidate, matches }, Prepared::File(header, content)) => {
                let (name, old) = (candidate.pair.new, candidate.pair.old);
                Object::Rolled { name, header, content, old, matches }
            }
            (Self::Patched { candidate, .. }, Prepared::Patch(header, patch)) => {
                let (name, old, size) =
                    (candidate.pair.new, candidate.pair.old, candidate.new_size);
                Object::Patched { name, header, size, old, patch }
            }
            _ => return None,
        })
    }
}

/// The jobs that take longest, by their indices, the longest first: where one of them came last,
/// all but one thread would wait for it.
pub(super) fn longest(jobs: &[Job]) -> Vec<usize> {
    let total: u64 = jobs.iter().map(Job::memory).fold(0, u64::saturating_add);
    let is_long = |index: &usize| jobs[*index].memory() > total / LONG_SHARE;
    let mut longest: Vec<usize> = (0..jobs.len()).filter(is_long).collect();
    longest.sort_by_key(|index| std::cmp::Reverse(jobs[*index].memory()));
    longest
}

fn file(repo: &Repo, name: &Checksum) -> Result<Prepared> {
    let (header, content) = content::load(repo, name)?;
    Ok(Prepared::File(header, content))
}
