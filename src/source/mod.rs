//! A directory tree as entries: what commit, checksum and diff read from a file system.
//!
//! Everything is relative to directory descriptors and follows no symbolic link, so a tree that
//! changes under the walk cannot lead it elsewhere. [`Directory`] lists and opens, one system call
//! per question; walking it, in parallel or not, is the caller's part. [`Filter`] says what is
//! recorded for an entry: owner, permissions, or nothing at all.

#[cfg(feature = "archives")]
pub mod archive;
mod checksum;
#[cfg(feature = "archives")]
mod compressed;
mod filter;
mod memory;
mod statoverride;
mod walk;
mod xattrs;

pub use checksum::{XattrPolicy, checksum};
#[cfg(feature = "archives")]
pub use compressed::Stream;
pub use filter::{Filter, Modifier, Ownership};
pub(crate) use memory::MemoryEntry;
pub use memory::{Attributes, MemoryTree};
pub use statoverride::{SkipList, StatOverride};
pub use walk::{Directory, Entry, EntryKind, Metadata, OpenFile};
