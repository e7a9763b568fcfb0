//! Limits the memory that the names of an archive may take.
//!
//! The tree that an archive becomes is held in memory until it is written, and so are hard links,
//! whose targets may come after them. Both grow with the number of entries, and a compressed
//! archive has any number of entries for a few bytes. So what is held is counted, and limited by
//! the size of the archive as it was read.

use crate::error::{Error, Result};
use crate::source::archive::Archive;

/// The memory that any archive may take, in bytes: over a million files.
const BASE_BYTES: u64 = 256 << 20;

/// The additional memory for each stored byte of the archive. An entry of a compressed archive
/// takes at least about ten bytes, and a file in the tree about two hundred.
const BYTES_PER_BYTE: u64 = 64;

/// The memory of a file besides its name, in bytes.
const FILE_BYTES: u64 = 128;

/// The memory of a directory besides its name, in bytes: one that holds a single entry has room for
/// eleven.
const DIRECTORY_BYTES: u64 = 2048;

/// The memory of a hard link besides its names, in bytes.
const LINK_BYTES: u64 = 256;

/// The memory of an extended attribute besides name and value, in bytes.
pub(super) const XATTR_BYTES: usize = 64;

/// Bytes held for the entries so far.
#[derive(Debug, Default)]
pub(super) struct Held(u64);

impl Held {
    /// Counts a new file of the tree.
    pub(super) fn file(&mut self, name: &str) {
        self.0 += FILE_BYTES + name.len() as u64;
    }

    /// Counts a new directory of the tree.
    pub(super) fn directory(&mut self, name: &str) {
        self.0 += DIRECTORY_BYTES + name.len() as u64;
    }

    /// Counts a hard link.
    pub(super) fn link(&mut self, path: &str, target: &str) {
        // The target is held up to three times.
        self.0 += LINK_BYTES + path.len() as u64 + 3 * target.len() as u64;
    }

    /// Refuses an archive that takes too much for its size.
    pub(super) fn check(&self, archive: &Archive) -> Result<()> {
        let held = self.0 + archive.held_bytes();
        let limit = BASE_BYTES + BYTES_PER_BYTE.saturating_mul(archive.bytes_read());
        if held > limit {
            let size = archive.bytes_read();
            return Err(Error::failed(format!(
                "the names in the archive take over {limit} bytes of memory, too much for one of {size} bytes"
            )));
        }
        Ok(())
    }
}
