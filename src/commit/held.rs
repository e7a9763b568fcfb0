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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn everything_that_is_held_counts_with_its_names() {
        let bytes = |count: &dyn Fn(&mut Held)| {
            let mut held = Held::default();
            count(&mut held);
            held.0
        };
        assert_eq!(bytes(&|held| held.file("name")), FILE_BYTES + 4);
        assert_eq!(bytes(&|held| held.directory("name")), DIRECTORY_BYTES + 4);
        assert_eq!(bytes(&|held| held.link("path", "target")), LINK_BYTES + 4 + 3 * 6);
        assert_eq!(bytes(&|held| (0..3).for_each(|_| held.file("n"))), 3 * (FILE_BYTES + 1));
    }

    #[test]
    fn an_archive_is_refused_by_what_it_takes_for_its_size() {
        // Nothing but the end of an archive.
        let mut archive = Archive::open(Box::new(Cursor::new(vec![0; 1024]))).unwrap();
        assert!(archive.next_entry().unwrap().is_none());
        let size = archive.bytes_read();
        assert_eq!(size, 1024);
        let limit = BASE_BYTES + BYTES_PER_BYTE * size;
        assert!(Held(limit).check(&archive).is_ok());
        let refused = Held(limit + 1).check(&archive).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "the names in the archive take over {limit} bytes of memory, too much for one of 1024 bytes"
            )
        );
    }

    #[test]
    fn names_that_cpio_waits_for_count() {
        let mut entry = b"070701".to_vec();
        // A file of two names, by its inode, mode, owner, links, time, size, devices and name.
        for number in [7, 0o100_644, 0, 0, 2, 1, 0, 8, 1, 0, 0, 6, 0] {
            entry.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        entry.extend_from_slice(b"first\0");
        entry.resize(entry.len().next_multiple_of(4), 0);
        let mut archive = Archive::open(Box::new(Cursor::new(entry.repeat(2)))).unwrap();
        archive.next_entry().unwrap().unwrap();
        let waiting = archive.held_bytes();
        assert!(waiting > 5, "{waiting}");
        let limit = BASE_BYTES + BYTES_PER_BYTE * archive.bytes_read();
        assert!(Held(limit - waiting).check(&archive).is_ok());
        assert!(Held(limit - waiting + 1).check(&archive).is_err());
        archive.next_entry().unwrap().unwrap();
        assert_eq!(archive.held_bytes(), 0);
    }
}
