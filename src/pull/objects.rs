//! What commits reach, taken from a repository on this machine: level by level, all of a level in
//! parallel.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::PullStats;
use super::local::Importer;
use super::plan::Plan;
use crate::error::Result;
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::threads;

/// Imports everything that the plan wants, and returns the plan.
pub(super) fn import_wanted(
    importer: &Importer<'_, '_>,
    plan: Plan,
    stats: &mut PullStats,
    progress: &dyn Progress,
) -> Result<Plan> {
    let plan = Mutex::new(plan);
    let take = || {
        let mut objects = plan.lock().unwrap_or_else(PoisonError::into_inner).take(usize::MAX);
        // Neighbours are in one directory.
        objects.par_sort_unstable();
        objects
    };
    let imported = AtomicU64::new(0);
    let mut objects = take();
    while objects.first().is_some_and(|name| name.object_type != ObjectType::File) {
        threads::for_each_in_order(&objects, |name| {
            let is_present = importer.is_present(name)?;
            if !is_present {
                imported.fetch_add(1, Ordering::Relaxed);
            } else if name.object_type != ObjectType::DirTree {
                plan.lock().unwrap_or_else(PoisonError::into_inner).arrived(name, &[])?;
                return Ok(());
            }
            let bytes =
                if is_present { importer.load_present(name)? } else { importer.metadata(name)? };
            plan.lock().unwrap_or_else(PoisonError::into_inner).arrived(name, &bytes)
        })?;
        objects = take();
    }
    stats.metadata_objects_imported += imported.into_inner();
    import_files(importer, &objects, stats, progress)?;
    Ok(plan.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn import_files(
    importer: &Importer<'_, '_>,
    files: &[ObjectName],
    stats: &mut PullStats,
    progress: &dyn Progress,
) -> Result<()> {
    progress.event(Event::Total { steps: files.len() as u64, bytes: None });
    let (objects, written) = (AtomicU64::new(0), AtomicU64::new(0));
    threads::for_each_in_order(files, |name| {
        let mut bytes = 0;
        if !importer.is_present(name)? {
            bytes = importer.file(&name.checksum)?;
            objects.fetch_add(1, Ordering::Relaxed);
            written.fetch_add(bytes, Ordering::Relaxed);
        }
        progress.event(Event::Advanced { steps: 1, bytes });
        Ok(())
    })?;
    stats.content_objects_imported += objects.into_inner();
    stats.content_bytes_written += written.into_inner();
    Ok(())
}
