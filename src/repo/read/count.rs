//! Counts the files of a stored tree by reading only its dirtrees.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::tree::TreePath;
use crate::checksum::Checksum;
use crate::object::{DirTreeReader, ObjectName, ObjectType};
use crate::repo::Repo;

/// The most directories waiting to be read. With more, or with a directory that contains itself,
/// counting stops.
const MOST_WAITING: usize = 1 << 20;

/// Counts files and symbolic links below a directory, repeated ones each time. `skipped` holds
/// paths to leave out: `/usr/bin/env` of files, `/usr/bin/` of directories.
///
/// `None` when a dirtree cannot be read, which the operation itself reports, and when `over` says
/// to stop.
pub(crate) fn count_files(
    repo: &Repo,
    root: &Checksum,
    skipped: &HashSet<&str>,
    over: &AtomicBool,
) -> Option<u64> {
    let mut waiting = vec![(*root, TreePath::default())];
    let mut files = 0;
    while let Some((dirtree, parent)) = waiting.pop() {
        if over.load(Ordering::Relaxed) || waiting.len() > MOST_WAITING {
            return None;
        }
        // Without a skip list no paths are needed.
        if !skipped.is_empty() && skipped.contains(parent.below("/").as_str()) {
            continue;
        }
        parent.check_depth().ok()?;
        let bytes = repo.load_metadata(&ObjectName::new(dirtree, ObjectType::DirTree)).ok()?;
        let reader = DirTreeReader::new(&bytes).ok()?;
        for file in reader.files() {
            let file = file.ok()?;
            files += u64::from(
                skipped.is_empty() || !skipped.contains(parent.child_text(file.name).as_str()),
            );
        }
        for dir in reader.dirs() {
            let dir = dir.ok()?;
            waiting.push((Checksum::from_bytes(*dir.dirtree), parent.child(dir.name)));
        }
    }
    Some(files)
}
