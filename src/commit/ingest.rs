//! What every source needs for an entry: known objects, filter, xattrs, label.

use super::context::Ingest;
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::Xattrs;
use crate::progress::Event;
use crate::source::{Directory, Metadata, Ownership};

impl Ingest<'_, '_> {
    pub(super) fn known_object(&self, metadata: &Metadata) -> Option<Checksum> {
        self.devino.get(metadata.dev, metadata.ino).copied()
    }

    pub(super) fn reuse(&self, checksum: Checksum, bytes: u64) -> Checksum {
        self.transaction.count_devino_hit();
        self.done(checksum, bytes)
    }

    /// Reports that one more entry is done, without its `bytes` of content having to be read.
    pub(super) fn done(&self, checksum: Checksum, bytes: u64) -> Checksum {
        self.progress.event(Event::Advanced { steps: 1, bytes });
        checksum
    }

    pub(super) fn filtered(
        &self,
        directory: &Directory,
        name: &str,
        found: Ownership,
    ) -> Result<Option<Ownership>> {
        if self.filter.needs_paths() {
            self.filter.apply(&directory.child_path(name), found)
        } else {
            self.filter.apply("", found)
        }
    }

    pub(super) fn xattrs(&self, read: impl FnOnce() -> Result<Xattrs>) -> Result<Xattrs> {
        if self.records_xattrs() { read() } else { Ok(Xattrs::new()) }
    }

    pub(super) fn records_xattrs(&self) -> bool {
        self.filter.records_xattrs() && !self.transaction.repo().config().disable_xattrs
    }

    /// With the label that the policy has for the path.
    pub(super) fn labelled(&self, path: &str, mode: u32, xattrs: Xattrs) -> Result<Xattrs> {
        match self.policy {
            None => Ok(xattrs),
            Some(policy) => policy.labelled(path, mode, xattrs),
        }
    }

    pub(super) fn labelled_child(
        &self,
        directory: &Directory,
        name: &str,
        mode: u32,
        xattrs: Xattrs,
    ) -> Result<Xattrs> {
        match self.policy {
            None => Ok(xattrs),
            Some(_) => self.labelled(&directory.child_path(name), mode, xattrs),
        }
    }
}
