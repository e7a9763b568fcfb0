//! The state shared by all code that turns sources into objects.

use super::consume::Consumed;
use super::devino::DevInoCache;
use super::large::LargeFiles;
use super::options::HardLinks;
use super::stat_cache::StatCache;
use crate::labels::Policy;
use crate::object::{FileHeader, Xattrs};
use crate::progress::Progress;
use crate::repo::Transaction;
use crate::source::{Filter, Metadata, Ownership};

/// The state all threads share while reading sources.
pub(super) struct Ingest<'i, 'r> {
    pub(super) transaction: &'i Transaction<'r>,
    pub(super) filter: &'i Filter<'i>,
    /// Labels what the filter lets through.
    pub(super) policy: Option<&'i Policy>,
    pub(super) hard_links: HardLinks,
    /// Records what is removed after the commit; such files may become objects.
    pub(super) consumed: Option<&'i Consumed>,
    pub(super) devino: DevInoCache,
    /// The stat cache: the objects of files that have not changed since.
    pub(super) stat_cache: Option<&'i StatCache>,
    pub(super) large_files: LargeFiles,
    /// Device and inode of the `tmp` directory of the repository that is written to.
    pub(super) own_tmp: (u64, u64),
    pub(super) progress: &'i dyn Progress,
}

pub(super) fn ownership(metadata: &Metadata) -> Ownership {
    Ownership { uid: metadata.uid, gid: metadata.gid, mode: metadata.mode }
}

pub(super) fn ownership_of_header(header: &FileHeader) -> Ownership {
    Ownership { uid: header.uid, gid: header.gid, mode: header.mode }
}

pub(super) fn header(
    Ownership { uid, gid, mode }: Ownership,
    xattrs: Xattrs,
    symlink_target: String,
) -> FileHeader {
    FileHeader { uid, gid, mode, symlink_target, xattrs }
}
