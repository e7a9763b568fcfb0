//! The summary: the refs that a repository offers, with the metadata that clients read first.
//!
//! ```text
//! format  bytes <-> values
//! build   from the refs of a repository to its summary
//! store   the files `summary` and `summary.sig`: read, placed as a pair, removed; nothing else touches them
//! verify  the signatures that a remote's configuration demands
//! cache   summaries of remotes, as they were last
//! fetch   the summary of a remote
//! ```

mod build;
#[cfg(all(feature = "gpg", feature = "http"))]
pub mod cache;
#[cfg(all(feature = "gpg", feature = "http"))]
pub mod fetch;
mod format;
pub mod store;
#[cfg(feature = "gpg")]
pub mod verify;

pub use build::{
    METADATA_REF, UpdateOptions, auto_update, prospective, regenerate, signature_of, update,
};
pub use format::{SUMMARY_TYPE, Summary, SummaryRef, key, ref_key};
