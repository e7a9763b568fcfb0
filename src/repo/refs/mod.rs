//! Refs: listing, writing, and resolving what users type for a commit.

pub(in crate::repo) mod list;
pub(in crate::repo) mod revs;
mod write;
