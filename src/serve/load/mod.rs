//! Reads from the repository what the pages say.

mod commit;
mod diff;
mod entry;
mod refs;
mod rev;
mod search;
mod signatures;

pub(super) use commit::commit;
pub(super) use diff::{Comparisons, diff};
pub(super) use entry::{Found, Raw, entry, raw};
pub(super) use refs::refs;
pub(super) use rev::{commit_of, target};
pub(super) use search::search;
pub(super) use signatures::Keys;
