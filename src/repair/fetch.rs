//! Gets objects from one source.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::{Open, Restored, Source, is_local};
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::pull::{Supplier, Supply};
use crate::repo::{CommitState, Repo, Transaction};

/// Threads that wait for a server at the same time.
const LANES: usize = 8;

/// Whether a source has an object, or may have it because it is far away.
pub(super) fn may_have(source: &Source<'_>, name: &ObjectName) -> bool {
    match source.supply {
        Supply::Repo(repo) => repo.has_object(name).unwrap_or(false),
        #[cfg(feature = "pull")]
        Supply::Server(_) => true,
    }
}

/// The stored size of an object in a source, if it is known.
pub(super) fn size(source: &Source<'_>, name: &ObjectName) -> Option<u64> {
    match source.supply {
        Supply::Repo(repo) => repo.stored_size(name).ok(),
        #[cfg(feature = "pull")]
        Supply::Server(_) => None,
    }
}

/// Fetches what is `left` of what is wanted, puts it in place, and takes it off the list. What
/// could not be fetched gets a reason.
pub(super) fn fetch(
    repo: &Repo,
    (number, source): (usize, &Source<'_>),
    left: &mut Open,
    progress: &dyn Progress,
) -> Result<Vec<Restored>> {
    let names: Vec<ObjectName> = left.keys().copied().collect();
    // Until all is there the commit must not look complete.
    for name in names.iter().filter(|name| name.object_type == ObjectType::Commit) {
        if repo.commit_state(&name.checksum)? == CommitState::Complete {
            repo.mark_commit(&name.checksum, CommitState::PartialFsck)?;
        }
    }
    let mut transaction = Transaction::begin_to_replace(repo, names.iter().copied().collect())?;
    progress.event(Event::Started { task: "repair", total: Some(names.len() as u64) });
    let collection = source.collection.clone();
    let supplier = Supplier::new(&transaction, source.supply, &source.options, collection);
    let results = supplier.and_then(|supplier| fetch_all(&supplier, &names, progress));
    progress.event(Event::Finished);
    let results = match results {
        Ok(results) => results,
        Err(error) => {
            transaction.abort(Some(&error));
            return Err(error);
        }
    };
    let mut fetched = BTreeSet::new();
    for (name, result) in results {
        match result {
            Ok(true) => {
                fetched.insert(name);
            }
            Ok(false) => {}
            Err(error) => {
                if let Some((_, reasons)) = left.get_mut(&name) {
                    reasons.push(format!("{}: {}", source.name, error.chain()));
                }
            }
        }
    }
    transaction.replace_only(&fetched);
    transaction.commit()?;
    let restored = |object: ObjectName| {
        let (damage, _) = left.remove(&object)?;
        let bytes = repo.stored_size(&object).ok();
        Some(Restored { object, fault: damage.fault, source: number, bytes })
    };
    Ok(fetched.into_iter().filter_map(restored).collect())
}

/// What came of each object.
type Results = BTreeMap<ObjectName, Result<bool>>;

/// Fetches objects in a few threads. Only an error of this machine ends it.
fn fetch_all(
    supplier: &Supplier<'_, '_>,
    names: &[ObjectName],
    progress: &dyn Progress,
) -> Result<Results> {
    let (next, ends) = (AtomicUsize::new(0), AtomicBool::new(false));
    let results: Mutex<Results> = Mutex::default();
    let work = || {
        while !ends.load(Ordering::Relaxed)
            && let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let result = supplier.fetch(name);
            ends.fetch_or(result.as_ref().is_err_and(is_local), Ordering::Relaxed);
            progress.event(Event::Advanced { steps: 1, bytes: 0 });
            results.lock().unwrap_or_else(PoisonError::into_inner).insert(*name, result);
        }
    };
    thread::scope(|scope| -> Result<()> {
        for _ in 1..LANES.min(names.len()) {
            let spawned =
                thread::Builder::new().name("repair".to_owned()).spawn_scoped(scope, work);
            spawned.map_err(|error| Error::failed(format!("starting a thread: {error}")))?;
        }
        work();
        Ok(())
    })?;
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    match ends.into_inner() {
        true => Err(results.into_values().filter_map(Result::err).find(is_local).unwrap_or_else(
            // The flag was set because of one of them.
            || Error::failed("fetching failed"),
        )),
        false => Ok(results),
    }
}
