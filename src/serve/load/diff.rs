//! Two commits side by side.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::checksum::Checksum;
use crate::diff::{Diff, DiffOptions, DiffSizes, DiffTree, sizes};
use crate::object::{Commit, DirTree};
use crate::repo::Repo;
use crate::repo::tree::{Node, lookup};
use crate::serve::failure::Failure;
use crate::serve::view::{Brief, Change, DiffRow, DiffView, Entry, Pages};

/// Paths on a page.
const PAGE_SIZE: usize = 200;
/// Comparisons that run at a time: each reads two whole trees.
const AT_A_TIME: usize = 2;
/// Results that are kept, so that their further pages cost nothing.
const KEPT: usize = 4;
/// The most paths of a result that is kept.
const MAX_KEPT_PATHS: usize = 100_000;

/// The comparisons of a server.
#[derive(Debug, Default)]
pub(in crate::serve) struct Comparisons {
    running: AtomicUsize,
    /// The last one at the end.
    kept: Mutex<Vec<Arc<Compared>>>,
}

/// Two commits and how they differ.
#[derive(Debug)]
struct Compared {
    from: Checksum,
    to: Checksum,
    /// By path.
    changes: Vec<(String, Change)>,
    counts: [usize; 3],
    sizes: DiffSizes,
}

/// A page of the comparison of two commits.
pub(in crate::serve) fn diff(
    repo: &Repo,
    comparisons: &Comparisons,
    commits: [Checksum; 2],
    page: usize,
) -> Result<DiffView, Failure> {
    let [from, to] = commits;
    let (first, second) = (repo.load_commit(&from)?, repo.load_commit(&to)?);
    let compared = comparisons.of(repo, from, to)?;
    let pages = Pages::new(page, PAGE_SIZE, compared.changes.len())
        .ok_or_else(|| Failure::not_found("there is no such page of this comparison"))?;
    let (mut before, mut after) = (Finder::new(repo, &first), Finder::new(repo, &second));
    let shown = compared.changes.iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE);
    let rows = shown.map(|(path, change)| DiffRow {
        change: *change,
        path: path.clone(),
        before: (*change != Change::Added).then(|| before.entry(path)),
        after: (*change != Change::Removed).then(|| after.entry(path)),
    });
    let [modified, removed, added] = compared.counts;
    Ok(DiffView {
        from: Brief::of(from, &first),
        to: Brief::of(to, &second),
        sizes: compared.sizes,
        modified,
        removed,
        added,
        rows: rows.collect(),
        pages,
    })
}

impl Comparisons {
    fn of(&self, repo: &Repo, from: Checksum, to: Checksum) -> Result<Arc<Compared>, Failure> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |compared: &&Arc<Compared>| compared.from == from && compared.to == to;
        if let Some(found) = kept().iter().find(is_it) {
            return Ok(Arc::clone(found));
        }
        let busy = "too many comparisons are running: try again in a few seconds";
        let _running = Running::start(&self.running).ok_or_else(|| Failure::new(503, busy))?;
        let compared = Arc::new(compare(repo, from, to)?);
        if compared.changes.len() <= MAX_KEPT_PATHS {
            let mut kept = kept();
            if kept.len() >= KEPT {
                kept.remove(0);
            }
            kept.push(Arc::clone(&compared));
        }
        Ok(compared)
    }
}

/// A comparison that counts as long as this is there.
struct Running<'c>(&'c AtomicUsize);

impl<'c> Running<'c> {
    fn start(running: &'c AtomicUsize) -> Option<Self> {
        let more = |count: usize| (count < AT_A_TIME).then_some(count + 1);
        let started = running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        started.is_ok().then_some(Self(running))
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn compare(repo: &Repo, from: Checksum, to: Checksum) -> Result<Compared, Failure> {
    let (first, second) = (DiffTree::Commit(from), DiffTree::Commit(to));
    let Diff { modified, removed, added } =
        crate::diff::diff(repo, &first, &second, &DiffOptions::default())?;
    let counts = [modified.len(), removed.len(), added.len()];
    let mut changes = Vec::with_capacity(counts.iter().sum());
    for (paths, change) in
        [(modified, Change::Modified), (removed, Change::Removed), (added, Change::Added)]
    {
        changes.extend(paths.into_iter().map(|path| (path, change)));
    }
    changes.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(Compared { from, to, changes, counts, sizes: sizes(repo, &from, &to)? })
}

/// Finds entries of a commit; those of the same directory in one go.
struct Finder<'r> {
    repo: &'r Repo,
    root: Node,
    directory: Option<(String, DirTree)>,
}

impl<'r> Finder<'r> {
    fn new(repo: &'r Repo, commit: &Commit) -> Self {
        Self { repo, root: Node::root_of(commit), directory: None }
    }

    fn entry(&mut self, path: &str) -> Entry {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        if self.directory.as_ref().is_none_or(|(known, _)| known != parent) {
            self.directory = self.load(parent).map(|tree| (parent.to_owned(), tree));
        }
        let Some((_, tree)) = &self.directory else { return Entry::Unknown };
        match tree.files.iter().find(|(file, _)| file == name) {
            Some((_, checksum)) => match self.repo.stat_file(checksum) {
                Ok((header, _)) if header.is_symlink() => Entry::Symlink,
                Ok((_, size)) => Entry::File(size),
                Err(_) => Entry::Unknown,
            },
            None if tree.dirs.iter().any(|dir| dir.name == name) => Entry::Directory,
            None => Entry::Unknown,
        }
    }

    fn load(&self, parent: &str) -> Option<DirTree> {
        let node = match parent {
            "" => self.root,
            parent => lookup(self.repo, &self.root, parent).ok()?.node,
        };
        match node {
            Node::Directory { dirtree, .. } => self.repo.load_dirtree(&dirtree).ok(),
            Node::File(_) => None,
        }
    }
}
