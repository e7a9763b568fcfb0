//! Filling parts with objects, in upstream's order: how objects become operations, and where one
//! part ends and the next begins.

use super::rollsum::Matches;
use crate::checksum::Checksum;
use crate::delta_format::{Mode, Operation, PayloadWriter, Slice};
use crate::error::Result;
use crate::object::{FileHeader, ObjectName, ObjectType};

/// An object that is to be put into a part, with everything that this takes.
pub(super) enum Object<'b> {
    Metadata {
        name: ObjectName,
        bytes: &'b [u8],
    },
    /// A whole file.
    Plain {
        name: Checksum,
        header: &'b FileHeader,
        content: &'b [u8],
    },
    Symlink {
        name: Checksum,
        header: &'b FileHeader,
    },
    /// A file of which blocks are in an old one.
    Rolled {
        name: Checksum,
        header: &'b FileHeader,
        content: &'b [u8],
        old: Checksum,
        matches: &'b Matches,
    },
    /// A file as a patch of an old one.
    Patched {
        name: Checksum,
        header: &'b FileHeader,
        size: u64,
        old: Checksum,
        patch: &'b [u8],
    },
}

/// A part that is complete.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) payload: PayloadWriter,
    pub(super) objects: Vec<ObjectName>,
    /// Bytes of the objects, without symlinks.
    pub(super) content_size: u64,
}

/// Fills one part after the other.
pub(super) struct Parts<F> {
    max_size: u64,
    current: Part,
    /// Takes the parts that are full.
    finished: F,
}

impl<F: FnMut(Part) -> Result<()>> Parts<F> {
    pub(super) fn new(max_size: u64, finished: F) -> Self {
        Self { max_size, current: Part::default(), finished }
    }

    /// Adds an object to the current part, or to a new one if it does not fit.
    pub(super) fn add(&mut self, object: &Object<'_>) -> Result<()> {
        let next = match object {
            Object::Metadata { bytes, .. } => bytes.len() as u64,
            Object::Plain { content, .. } => content.len() as u64,
            // Upstream does not know their size yet.
            Object::Symlink { .. } | Object::Rolled { .. } | Object::Patched { .. } => 0,
        };
        let estimate = self.current.payload.estimated_size().saturating_add(next);
        if !self.current.objects.is_empty() && estimate > self.max_size {
            (self.finished)(std::mem::take(&mut self.current))?;
        }
        self.current.put(object);
        Ok(())
    }

    /// Ends the last part, which may be empty.
    pub(super) fn finish(mut self) -> Result<()> {
        (self.finished)(self.current)
    }
}

impl Part {
    fn put(&mut self, object: &Object<'_>) {
        let file = |name: &Checksum| ObjectName::new(*name, ObjectType::File);
        let (name, size) = match object {
            Object::Metadata { name, bytes } => {
                let slice = self.payload.append(bytes);
                self.payload.push(Operation::Metadata(slice));
                (*name, bytes.len() as u64)
            }
            Object::Plain { name, header, content } => {
                self.put_whole(header, content);
                (file(name), content.len() as u64)
            }
            Object::Symlink { name, header } => {
                self.put_whole(header, header.symlink_target.as_bytes());
                (file(name), 0)
            }
            Object::Rolled { name, header, content, old, matches } => {
                self.put_rolled(header, content, old, matches);
                (file(name), content.len() as u64)
            }
            Object::Patched { name, header, size, old, patch } => {
                let (mode, xattrs) = self.tables(header);
                let offset = self.payload.append(old.as_bytes()).offset;
                let patch = self.payload.append(patch);
                self.payload.push(Operation::SetReadSource { offset });
                self.payload.push(Operation::Open { mode, xattrs, size: *size });
                self.payload.push(Operation::Patch(patch));
                self.payload.push(Operation::Close);
                self.payload.push(Operation::UnsetReadSource);
                (file(name), *size)
            }
        };
        self.objects.push(name);
        self.content_size = self.content_size.saturating_add(size);
    }

    fn tables(&mut self, header: &FileHeader) -> (u64, u64) {
        let FileHeader { uid, gid, mode, .. } = *header;
        (self.payload.mode(Mode { uid, gid, mode }), self.payload.xattrs(&header.xattrs))
    }

    fn put_whole(&mut self, header: &FileHeader, content: &[u8]) {
        let (mode, xattrs) = self.tables(header);
        let content = self.payload.append(content);
        self.payload.push(Operation::File { mode, xattrs, content });
    }

    fn put_rolled(
        &mut self,
        header: &FileHeader,
        content: &[u8],
        old: &Checksum,
        matches: &Matches,
    ) {
        let (mode, xattrs) = self.tables(header);
        let name = self.payload.append(old.as_bytes()).offset;
        self.payload.push(Operation::Open { mode, xattrs, size: content.len() as u64 });
        let mut is_reading = false;
        let mut done = 0;
        for found in &matches.matches {
            let (start, length) = (found.new_offset as usize, found.length as usize);
            if start > done {
                self.put_gap(&content[done..start], &mut is_reading);
            }
            if !is_reading {
                self.payload.push(Operation::SetReadSource { offset: name });
                is_reading = true;
            }
            let slice = Slice { offset: found.old_offset, length: found.length };
            self.payload.push(Operation::Write(slice));
            done = start + length;
        }
        self.put_gap(&content[done..], &mut is_reading);
        self.payload.push(Operation::Close);
    }

    /// Writes what is not in the old file.
    fn put_gap(&mut self, bytes: &[u8], is_reading: &mut bool) {
        if std::mem::take(is_reading) {
            self.payload.push(Operation::UnsetReadSource);
        }
        if !bytes.is_empty() {
            let slice = self.payload.append(bytes);
            self.payload.push(Operation::Write(slice));
        }
    }
}
