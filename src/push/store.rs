//! What a store of files has to do for those who prune it, check it or compare it: the few calls
//! that [`Destination`] lacks, as coarse as those.

use super::destination::{Body, Destination};
use crate::error::Result;
use crate::object::ObjectName;

/// A destination whose files can be listed with their ages, opened and removed, many at a time.
pub trait Store: Destination {
    /// Passes all files below a directory of the repository (`objects`, `deltas`) to `found`, in
    /// any order, with names that are relative to it.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list(&self, directory: &str, found: &mut dyn FnMut(&Listed<'_>)) -> Result<()>;

    /// Opens objects, and passes each to `take` with its content, or with `None` if it is not
    /// there. `take` is called from several threads, in any order.
    ///
    /// # Errors
    /// The first one of `take`, or of an object that cannot be opened.
    fn fetch(&self, objects: &[ObjectName], take: &Take<'_>) -> Result<()>;

    /// Removes files, in any order. One that is not there is none.
    ///
    /// # Errors
    /// When one cannot be removed. Others may be gone then.
    fn remove(&self, names: &[String]) -> Result<()>;
}

/// A file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed<'l> {
    /// Its name.
    pub name: &'l str,
    /// Its size in bytes.
    pub size: u64,
    /// When it was written, in seconds since 1970, by the clock of the store.
    pub written: i64,
}

/// Takes what [`Store::fetch`] has opened. Reading the content fails when the store does.
pub type Take<'t> = dyn Fn(&ObjectName, Option<Body>) -> Result<()> + Sync + 't;
