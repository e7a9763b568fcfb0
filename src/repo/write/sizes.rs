//! The object sizes that a commit carries as `ostree.sizes`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::object::{ObjectName, SizeEntry};

/// The sizes recorded so far, once recording was started.
#[derive(Debug, Default)]
pub(in crate::repo) struct Sizes(Option<Mutex<BTreeMap<ObjectName, SizeEntry>>>);

impl Sizes {
    pub(in crate::repo) fn start(&mut self) {
        self.0 = Some(Mutex::default());
    }

    pub(in crate::repo) fn are_recorded(&self) -> bool {
        self.0.is_some()
    }

    pub(in crate::repo) fn forget(&self) {
        if let Some(sizes) = &self.0 {
            sizes.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    pub(in crate::repo) fn record(&self, entry: SizeEntry) {
        if let Some(sizes) = &self.0 {
            sizes.lock().unwrap_or_else(PoisonError::into_inner).insert(entry.name, entry);
        }
    }

    /// Sorted by checksum; `None` unless they are recorded.
    pub(in crate::repo) fn recorded(&self) -> Option<Vec<SizeEntry>> {
        let sizes = self.0.as_ref()?;
        Some(sizes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect())
    }
}
