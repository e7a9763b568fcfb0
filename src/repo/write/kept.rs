//! What is not finished but of use to the next transaction that takes over the staging directory:
//! the holder of that keeps it in a directory there.

use rustix::io::Errno;

use super::transaction::Transaction;
use crate::dir::{self, Dir};

/// The name of the directory, next to those of the objects.
const KEPT: &str = "partial";

impl Transaction<'_> {
    /// The directory of what an earlier transaction has kept, if there is one.
    pub(crate) fn find_kept(&self) -> Option<Dir> {
        Dir::beneath(self.work_dir(), KEPT).ok()
    }

    /// The directory to keep files in, which is made if it is missing. They stay when the
    /// transaction is aborted, unless space ran out.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn make_kept(&self) -> Result<Dir, Errno> {
        dir::make_dirs(self.work_dir(), KEPT, 0o700)
    }

    /// Removes the directory with everything in it. What cannot be removed stays.
    pub(crate) fn remove_kept(&self) {
        let _ = dir::remove_all(self.work_dir(), KEPT);
    }
}
