//! What several deltas to one commit share. Where two old commits have the same version of a file,
//! the new version of it is compared with that once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::rollsum::Matches;
use super::similar::Pair;
use crate::error::Result;

/// Results of comparing files, as far as they are kept for other deltas.
#[derive(Debug, Default)]
pub(super) struct Shared {
    is_kept: bool,
    /// What pairs share, if it suffices.
    matches: Mutex<HashMap<Pair, Option<Matches>>>,
    patches: Mutex<Patches>,
}

#[derive(Debug, Default)]
struct Patches {
    kept: HashMap<Pair, Arc<Vec<u8>>>,
    bytes: u64,
}

impl Shared {
    /// Keeps results from now on.
    pub(super) fn kept() -> Self {
        Self { is_kept: true, ..Self::default() }
    }

    /// The bytes that patches may take of this much memory.
    pub(super) fn share(&self, memory: u64) -> u64 {
        if self.is_kept { memory / 8 } else { 0 }
    }

    /// What a pair shares, if it suffices; found out by `compare` unless it is known.
    pub(super) fn matches(
        &self,
        pair: Pair,
        compare: impl FnOnce() -> Result<Option<Matches>>,
    ) -> Result<Option<Matches>> {
        let kept = || self.matches.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(&pair) {
            return Ok(known.clone());
        }
        let found = compare()?;
        if self.is_kept {
            kept().insert(pair, found.clone());
        }
        Ok(found)
    }

    /// The patch of a pair, if it is known.
    pub(super) fn patch(&self, pair: &Pair) -> Option<Arc<Vec<u8>>> {
        self.patches().kept.get(pair).cloned()
    }

    /// Keeps a patch, if all that are kept have no more than so many bytes then.
    pub(super) fn keep(&self, pair: Pair, patch: &Arc<Vec<u8>>, most: u64) {
        let mut patches = self.patches();
        let bytes = patches.bytes.saturating_add(patch.len() as u64);
        if self.is_kept && bytes <= most && patches.kept.insert(pair, patch.clone()).is_none() {
            patches.bytes = bytes;
        }
    }

    fn patches(&self) -> std::sync::MutexGuard<'_, Patches> {
        self.patches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;

    fn pair(number: u8) -> Pair {
        Pair { old: Checksum::of(b"old"), new: Checksum::of(&[number]) }
    }

    #[test]
    fn files_are_compared_once_if_others_need_the_result() {
        for (shared, expected) in [(Shared::kept(), 1), (Shared::default(), 3)] {
            let mut compared = 0;
            for _ in 0..3 {
                let found = shared.matches(pair(1), || {
                    compared += 1;
                    Ok(None)
                });
                assert_eq!(found.unwrap(), None);
            }
            assert_eq!(compared, expected);
        }
    }

    #[test]
    fn patches_are_kept_as_long_as_there_is_room() {
        let shared = Shared::kept();
        let patch = Arc::new(vec![0; 60]);
        shared.keep(pair(1), &patch, 100);
        shared.keep(pair(1), &patch, 1000);
        shared.keep(pair(2), &patch, 100);
        assert!(shared.patch(&pair(1)).is_some() && shared.patch(&pair(2)).is_none());
        assert_eq!(shared.patches().bytes, 60);
        Shared::default().keep(pair(1), &patch, 100);
        assert_eq!((shared.share(800), Shared::default().share(800)), (100, 0));
    }
}
