//! Writes transactions, files of a repository that are replaced as a whole, and detached metadata.

pub(in crate::repo) mod adopt;
pub(in crate::repo) mod bare;
pub(in crate::repo) mod content;
mod detached;
mod encoders;
pub(in crate::repo) mod expected;
mod flush;
#[cfg(feature = "pull")]
mod kept;
mod mark;
mod pool;
mod ref_updates;
pub(in crate::repo) mod replace;
mod sizes;
pub(in crate::repo) mod space;
mod staged;
mod staging;
mod temporary;
pub(in crate::repo) mod transaction;
mod view;
