//! Checking out commits: a tree of the repository becomes a directory.
//!
//! ```text
//! options     the options of a checkout
//! context     the shared state
//! tree        directories: made first, filled in parallel, given owner, mode and time last, leaves first
//! file        one file or symlink: a hard link where that is allowed, else a copy
//! copy        writing a file and getting it into place
//! cache       the uncompressed-objects-cache of archives
//! whiteout    files that stand for the absence of others
//! existing    what is there already: whether it is the same, and taking it away
//! ```
//!
//! Names come from the repository, so nothing is trusted: everything happens relative to open
//! directories, and no symbolic link below the destination is followed.

mod cache;
mod context;
mod copy;
mod existing;
mod file;
mod options;
mod tree;
mod whiteout;

use std::path::Path;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::progress::{Event, Progress};
use crate::repo::Repo;
use crate::threads;

pub use options::{CheckoutOptions, CheckoutStats, HardLinks, Overwrite, Relabel};

/// Checks out `commit`, or the part of it that the options name, to `destination`. Its parent
/// directory must exist.
///
/// # Errors
/// [`NoSuchPath`](crate::Error::NoSuchPath) when the commit does not have the subpath, and nothing
/// was made then; for any other problem of the repository, the options or the file system. What was
/// written until then stays; of several errors the one that comes first in the order of the tree is
/// reported.
pub fn checkout(
    repo: &Repo,
    commit: &Checksum,
    destination: &Path,
    options: &CheckoutOptions,
    progress: &dyn Progress,
) -> Result<CheckoutStats> {
    progress.event(Event::Started { task: "checkout", total: None });
    let result =
        threads::run(|| context::Checkout::new(repo, options, progress).run(commit, destination));
    progress.event(Event::Finished);
    result
}
