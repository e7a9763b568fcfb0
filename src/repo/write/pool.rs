//! What is costly to make and used by one thread at a time.

use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Things that wait for their next user.
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
    /// The one that was used last, if any waits.
    pub(in crate::repo) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Lets it wait for its next user.
    pub(in crate::repo) fn put(&self, thing: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(thing);
    }
}
