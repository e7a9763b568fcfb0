//! Counts how much a commit has to read: a walk ahead of the one that reads, which looks at names
//! and sizes only.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{CommitOptions, Source};
use crate::progress::Total;
use crate::repo::{Repo, count_files};
use crate::source::{Directory, EntryKind};

/// Deeper trees are not counted: each level keeps a descriptor open, and the commit itself needs
/// them.
const MOST_LEVELS: usize = 64;

/// Counts the entries of all sources that the progress of the commit shows. `loads_commits` says
/// whether sources that are commits are walked.
///
/// `None` when the number cannot be known beforehand, as for archives; when something cannot be
/// read, which the commit itself reports; and when `over` says to stop.
pub(super) fn count(
    repo: &Repo,
    options: &CommitOptions,
    loads_commits: bool,
    over: &AtomicBool,
) -> Option<Total> {
    let own_tmp = repo.tmp_identity().ok()?;
    let skipped = options
        .modifier
        .skip_list
        .iter()
        .flat_map(|list| list.paths())
        .map(String::as_str)
        .collect();
    let (mut steps, mut bytes) = (0, Some(0));
    for source in &options.sources {
        match source {
            Source::Directory(path) => {
                let mut counter = Counter { skipped: &skipped, own_tmp, over, steps: 0, bytes: 0 };
                counter.directory(&Directory::open(path).ok()?, 0)?;
                steps += counter.steps;
                bytes = bytes.map(|bytes: u64| bytes.saturating_add(counter.bytes));
            }
            // Trees in memory take no time.
            Source::Tar(..) | Source::Memory(_) => return None,
            Source::Commit(_) if !loads_commits => {}
            Source::Commit(commit) => {
                let root = repo.load_commit(commit).ok()?.root_dirtree;
                steps += count_files(repo, &root, &HashSet::new(), over)?;
                bytes = None;
            }
        }
    }
    Some(Total { steps, bytes })
}

struct Counter<'c> {
    skipped: &'c HashSet<&'c str>,
    /// Device and inode of a directory whose content is not committed.
    own_tmp: (u64, u64),
    over: &'c AtomicBool,
    steps: u64,
    bytes: u64,
}

impl Counter<'_> {
    fn directory(&mut self, directory: &Directory, depth: usize) -> Option<()> {
        if depth > MOST_LEVELS || self.over.load(Ordering::Relaxed) {
            return None;
        }
        let metadata = directory.metadata().ok()?;
        if (metadata.dev, metadata.ino) == self.own_tmp {
            return Some(());
        }
        for entry in directory.entries().ok()? {
            if !self.skipped.is_empty()
                && self.skipped.contains(directory.child_path(&entry.name).as_str())
            {
                continue;
            }
            match entry.kind {
                EntryKind::Directory => {
                    self.directory(&directory.open_directory(&entry.name).ok()?, depth + 1)?
                }
                EntryKind::Symlink => self.steps += 1,
                EntryKind::File => {
                    self.steps += 1;
                    let size = directory.metadata_of(&entry.name).ok()?.size;
                    self.bytes = self.bytes.saturating_add(size);
                }
            }
        }
        Some(())
    }
}
