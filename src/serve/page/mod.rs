//! The views as HTML. No I/O.

mod commit;
mod diff;
mod entry;
mod parts;
mod refs;
mod search;

pub(super) use commit::commit;
pub(super) use diff::diff;
pub(super) use entry::{file, tree};
pub(super) use parts::failure;
pub(super) use refs::refs;
pub(super) use search::search;
