//! Objects: bytes to values and back, no I/O.
//!
//! A content object is a [`FileHeader`] and the file's bytes; metadata objects are GVariants:
//! [`Commit`], [`DirTree`], [`DirMeta`], and the dictionaries of tombstones and detached metadata.
//! Numbers in them are big-endian. `decode` accepts only normal form and checks what upstream
//! checks, in upstream's words (docs/format.md, sections 6 to 11 and 18).

mod commit;
pub mod detached;
mod dirmeta;
mod dirtree;
mod file;
pub mod key;
mod mode;
mod sizes;
mod tombstone;
mod xattrs;

use std::fmt;

use crate::checksum::Checksum;
use crate::gvariant::{DecodeError, Variant};

pub use commit::Commit;
pub use dirmeta::DirMeta;
pub use dirtree::{DirEntry, DirRef, DirTree, DirTreeReader, FileRef, validate_file_name};
pub use file::FileHeader;
pub use mode::{
    PERMISSION_BITS, S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK,
};
pub use sizes::{SizeEntry, put_varint, take_varint};
pub use tombstone::tombstone;
pub use xattrs::Xattrs;

/// The GVariant type of a commit: metadata, parent, related objects, subject, body, time, root
/// dirtree and dirmeta.
pub const COMMIT_TYPE: &str = "(a{sv}aya(say)sstayay)";
/// The GVariant type of a dirtree: files and directories.
pub const DIRTREE_TYPE: &str = "(a(say)a(sayay))";
/// The GVariant type of a dirmeta: uid, gid, mode, xattrs.
pub const DIRMETA_TYPE: &str = "(uuua(ayay))";
/// The GVariant type of a summary: refs and metadata.
pub const SUMMARY_TYPE: &str = "(a(s(taya{sv}))a{sv})";

/// The checksum that an `ay` holds.
fn checksum_in(member: Option<Variant<'_>>) -> Result<Checksum, DecodeError> {
    let bytes = member.and_then(|member| member.as_bytes()).unwrap_or_default();
    Checksum::from_slice(bytes).ok_or_else(|| {
        DecodeError::new(format!("Invalid checksum of length {} expected 32", bytes.len()))
    })
}

/// The number that a `u` holds in big-endian order.
fn number_in(member: Option<Variant<'_>>) -> u32 {
    u32::from_be(member.and_then(|member| member.as_u32()).unwrap_or_default())
}

/// Refuses modes with other bits than type and permissions.
fn check_mode_bits(mode: u32) -> Result<(), DecodeError> {
    if mode & !(S_IFMT | PERMISSION_BITS) != 0 {
        return Err(DecodeError::new(format!("Invalid mode {mode}; invalid bits in mode")));
    }
    Ok(())
}

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
    /// The type with that number.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::File,
            2 => Self::DirTree,
            3 => Self::DirMeta,
            4 => Self::Commit,
            5 => Self::TombstoneCommit,
            6 => Self::CommitMeta,
            7 => Self::PayloadLink,
            8 => Self::FileXattrs,
            9 => Self::FileXattrsLink,
            _ => return None,
        })
    }

    /// The extension of loose objects of this type (without the `z` that archives append to
    /// `file`).
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
