//! Objects: bytes to values and back, no I/O.

use std::fmt;

use crate::checksum::Checksum;

/// The kinds of object, with the numbers that upstream gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ObjectType {
    /// A regular file or symlink.
    File = 1,
    /// Names and checksums of one directory's content.
    DirTree = 2,
    /// Owner, mode and xattrs of a directory.
    DirMeta = 3,
    /// A commit.
    Commit = 4,
    /// Marks a commit that was deleted on purpose.
    TombstoneCommit = 5,
    /// Detached metadata of a commit.
    CommitMeta = 6,
    /// A symlink from the checksum of a payload to the file that has it.
    PayloadLink = 7,
    /// The xattrs of files, in bare-split-xattrs repositories.
    FileXattrs = 8,
    /// A hard link from a file's checksum to its xattrs.
    FileXattrsLink = 9,
}

impl ObjectType {
    /// The extension of loose objects of this type (without the `z` that archives append to `file`).
    pub fn extension(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::DirTree => "dirtree",
            Self::DirMeta => "dirmeta",
            Self::Commit => "commit",
            Self::TombstoneCommit => "tombstone-commit",
            Self::CommitMeta => "commitmeta",
            Self::PayloadLink => "payload-link",
            Self::FileXattrs => "file-xattrs",
            Self::FileXattrsLink => "file-xattrs-link",
        }
    }
}

impl fmt::Display for ObjectType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}

/// A checksum with its type; `Display` is upstream's `HEX.TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// The object's checksum.
    pub checksum: Checksum,
    /// The object's type.
    pub object_type: ObjectType,
}

impl ObjectName {
    /// Puts a checksum and a type together.
    pub const fn new(checksum: Checksum, object_type: ObjectType) -> Self {
        Self { checksum, object_type }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.checksum, self.object_type)
    }
}
