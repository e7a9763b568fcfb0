//! A pool of things that are costly to make and used by one thread at a time.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// The idle items.
pub(in crate::repo) struct Pool<T>(Mutex<Vec<T>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl<T> Pool<T> {
    /// Takes the most recently used item, if any is idle.
    pub(in crate::repo) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Returns an item to the pool.
    pub(in crate::repo) fn put(&self, thing: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
    }
}
