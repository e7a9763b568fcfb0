//! OSTree repository tooling in pure Rust.
//!
//! The layers, each using only what stands before it: [`checksum`], [`gvariant`], [`keyfile`], [`refspec`], [`date`],
//! [`deflate`], `map`; [`object`] (bytes to values, no I/O); [`error`], [`progress`]; [`repo`], the repository on disk;
//! [`source`], a directory tree as entries; [`labels`], SELinux labels; [`composefs`], images of trees; then the
//! operations, free functions that take a [`repo::Repo`]: [`summary`], [`remote`], [`commit`], [`checkout`], [`diff`],
//! [`export`], [`fsck`], [`prune`], [`pull`] and [`mod@bench`].

pub mod bench;
pub mod checkout;
pub mod checksum;
pub mod commit;
pub mod composefs;
pub mod date;
pub mod deflate;
pub mod diff;
pub mod error;
pub mod export;
pub mod fsck;
pub mod gvariant;
pub mod keyfile;
pub mod labels;
mod map;
pub mod object;
pub mod progress;
pub mod prune;
pub mod pull;
pub mod refspec;
pub mod remote;
pub mod repo;
pub mod source;
pub mod summary;
pub mod units;

pub use checksum::Checksum;
pub use error::{Error, Result};
