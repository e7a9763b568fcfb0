//! The summary: the refs that a repository offers, with the metadata that clients read first.
//!
//! ```text
//! format    bytes <-> values
//! build     from the refs of a repository to its summary
//! store     the files `summary` and `summary.sig`: read, placed as a pair, removed; nothing else touches them
//! prepared  one that is signed elsewhere: written beside the repository, then published with its signature
//! verify    the signatures that a remote's configuration demands
//! cache     summaries of remotes, as they were last
//! fetch     the summary of a remote
//! ```

mod build;
#[cfg(feature = "pull")]
pub mod cache;
#[cfg(feature = "pull")]
pub mod fetch;
mod format;
mod prepared;
pub mod store;
#[cfg(feature = "gpg")]
pub mod verify;

pub(crate) use build::{Facts, describe_commit as describe, metadata};
pub use build::{
    METADATA_REF, UpdateOptions, auto_update, prospective, regenerate, signature_of, update,
};
pub use format::{SUMMARY_TYPE, Summary, SummaryRef, key, ref_key};
pub use prepared::{prepare_in, publish};
