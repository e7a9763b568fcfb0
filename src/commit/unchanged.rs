//! Uses the stat cache: files that need not be read because nothing about them has changed.

use super::context::{Ingest, ownership};
use super::stat_cache::{Question, StatCache, Trust, XattrSource};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::Xattrs;
use crate::source::{Directory, EntryKind, Metadata, Ownership};

/// The result of looking up an entry by its name.
pub(super) enum Look {
    /// Nothing is known: the cache does not apply to it.
    Nothing,
    /// The filter leaves it out.
    Skipped,
    /// It is this object, with its size in bytes; neither content nor xattrs were read.
    Unchanged(Checksum, u64),
    /// It has to be read. The filter has been applied already, and must not be applied twice.
    Changed(Recorded),
}

/// The metadata to record for an entry with this status.
pub(super) struct Recorded {
    seen: Metadata,
    recorded: Ownership,
}

impl Recorded {
    /// The metadata to record for the entry, which has been opened meanwhile.
    pub(super) fn of(
        self,
        opened: &Metadata,
        shown_path: impl FnOnce() -> String,
    ) -> Result<Ownership> {
        if ownership(&self.seen) == ownership(opened) {
            return Ok(self.recorded);
        }
        Err(Error::SourceChanged { path: shown_path().into() })
    }
}

impl Ingest<'_, '_> {
    /// Looks at a regular file or symbolic link without opening it.
    pub(super) fn look(&self, directory: &Directory, name: &str, kind: EntryKind) -> Result<Look> {
        let Some(cache) = self.stat_cache else { return Ok(Look::Nothing) };
        let metadata = directory.metadata_of(name)?;
        if metadata.kind() != Some(kind)
            || self.known_object(&metadata).is_some()
            || cache.trust(directory, name, metadata.dev, self.progress) != Trust::Everything
        {
            return Ok(Look::Nothing);
        }
        let Some(recorded) = self.filtered(directory, name, ownership(&metadata))? else {
            return Ok(Look::Skipped);
        };
        let label = self.label(directory, name, recorded.mode)?;
        let question = cache.question(&metadata, recorded, self.xattr_source(None), label);
        let known = match &question {
            Some(question) => self.answer(cache, question, metadata.size)?,
            None => None,
        };
        Ok(match known {
            Some(checksum) => Look::Unchanged(checksum, metadata.size),
            None => Look::Changed(Recorded { seen: metadata, recorded }),
        })
    }

    /// The question for an open file whose xattrs have been read; `None` if nothing can answer it.
    pub(super) fn question_of_opened(
        &self,
        directory: &Directory,
        name: &str,
        metadata: &Metadata,
        recorded: Ownership,
        xattrs: &Xattrs,
    ) -> Result<Option<Question>> {
        let Some(cache) = self.stat_cache else { return Ok(None) };
        let xattrs = match cache.trust(directory, name, metadata.dev, self.progress) {
            Trust::Nothing => return Ok(None),
            Trust::Content => self.xattr_source(Some(xattrs)),
            Trust::Everything => self.xattr_source(None),
        };
        Ok(cache.question(metadata, recorded, xattrs, self.label(directory, name, recorded.mode)?))
    }

    /// The object that answers a question, if it is in the repository.
    pub(super) fn answer(
        &self,
        cache: &StatCache,
        question: &Question,
        size: u64,
    ) -> Result<Option<Checksum>> {
        let Some(checksum) = cache.find(question) else { return Ok(None) };
        if !self.transaction.reuse_file(&checksum, size)? {
            return Ok(None);
        }
        cache.count_hit();
        Ok(Some(checksum))
    }

    fn xattr_source(&self, read: Option<&Xattrs>) -> XattrSource {
        match read {
            _ if !self.records_xattrs() => XattrSource::None,
            None => XattrSource::Inode,
            Some(xattrs) => XattrSource::Read(Checksum::of(&xattrs.encode())),
        }
    }

    /// The label that the object gets, regardless of the inode's.
    fn label(&self, directory: &Directory, name: &str, mode: u32) -> Result<Option<&str>> {
        match self.policy {
            None => Ok(None),
            Some(policy) => policy.label(&directory.child_path(name), mode),
        }
    }
}
