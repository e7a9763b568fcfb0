//! Entries of an archive that wait to be stored.

use super::super::held::XATTR_BYTES;
use crate::checksum::Checksum;
use crate::object::FileHeader;

/// How much is collected: bytes of contents, names, link targets and xattrs, and the number of
/// files.
const BATCH_BYTES: usize = 32 << 20;
const BATCH_FILES: usize = 4096;

/// A file on its way into the tree.
pub(super) struct Collected {
    pub(super) path: String,
    pub(super) work: Work,
}

pub(super) enum Work {
    Stored(Checksum),
    Held(FileHeader, Vec<u8>),
}

/// Files in the order of the archive, and the bytes that they take.
#[derive(Default)]
pub(super) struct Batch {
    collected: Vec<Collected>,
    bytes: usize,
}

impl Batch {
    pub(super) fn push(&mut self, collected: Collected) {
        self.bytes += collected.bytes();
        self.collected.push(collected);
    }

    /// Whether it has to be stored before more is collected.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.collected.len() >= BATCH_FILES
    }

    pub(super) fn take(&mut self) -> Vec<Collected> {
        std::mem::take(self).collected
    }
}

impl Collected {
    /// Bytes that it takes.
    fn bytes(&self) -> usize {
        let work = match &self.work {
            Work::Stored(_) => 0,
            Work::Held(header, content) => {
                let xattrs = header
                    .xattrs
                    .iter()
                    .map(|(name, value)| XATTR_BYTES + name.len() + value.len());
                content.len() + header.symlink_target.len() + xattrs.sum::<usize>()
            }
        };
        size_of::<Self>() + self.path.len() + work
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{S_IFREG, Xattrs};

    /// A file with texts of these lengths.
    #[derive(Clone, Copy, Default)]
    struct Lengths {
        path: usize,
        content: usize,
        target: usize,
        xattr_name: usize,
        xattr_value: usize,
    }

    fn file(lengths: Lengths) -> Collected {
        let text = |length| "n".repeat(length);
        let xattr = (text(lengths.xattr_name).into_bytes(), vec![0; lengths.xattr_value]);
        let xattrs = if lengths.xattr_name == 0 { Vec::new() } else { vec![xattr] };
        let header = FileHeader {
            uid: 0,
            gid: 0,
            mode: S_IFREG | 0o644,
            symlink_target: text(lengths.target),
            xattrs: Xattrs::from_pairs(xattrs).unwrap(),
        };
        let work = Work::Held(header, vec![0; lengths.content]);
        Collected { path: text(lengths.path), work }
    }

    const LARGE: usize = 1 << 20;
    const NONE: Lengths = Lengths { path: 0, content: 0, target: 0, xattr_name: 0, xattr_value: 0 };

    /// One large part each.
    const CASES: [(&str, Lengths); 5] = [
        ("path", Lengths { path: LARGE, ..NONE }),
        ("content", Lengths { content: LARGE, ..NONE }),
        ("target", Lengths { target: LARGE, ..NONE }),
        ("name of an xattr", Lengths { xattr_name: LARGE, ..NONE }),
        ("value of an xattr", Lengths { xattr_name: 1, xattr_value: LARGE, ..NONE }),
    ];

    #[test]
    fn every_part_of_a_file_fills_a_batch_by_itself() {
        for (part, lengths) in CASES {
            assert!(file(lengths).bytes() >= LARGE, "{part}");
            let mut batch = Batch::default();
            let most = BATCH_BYTES / LARGE;
            for count in 1..=most {
                assert!(!batch.is_full(), "{part}: full with {} files", count - 1);
                batch.push(file(lengths));
            }
            assert!(batch.is_full(), "{part}: {most} files fill no batch");
            assert_eq!(batch.take().len(), most, "{part}");
            assert!(!batch.is_full() && batch.take().is_empty(), "{part}: it is empty then");
        }
    }

    #[test]
    fn files_without_anything_fill_a_batch_by_their_number() {
        let mut batch = Batch::default();
        let stored =
            || Collected { path: String::new(), work: Work::Stored(Checksum::from_bytes([0; 32])) };
        for count in 0..BATCH_FILES {
            assert!(!batch.is_full(), "{count}");
            batch.push(if count % 2 == 0 { file(NONE) } else { stored() });
        }
        assert!(batch.is_full());
    }
}
