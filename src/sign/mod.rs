//! Signatures of commits, summaries and deltas: engines, keys and how signatures are stored.
//!
//! Bytes in, verdict out: nothing here knows a repository.

pub mod detached;
