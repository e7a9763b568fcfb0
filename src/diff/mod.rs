//! Compares two trees, each a commit or a directory.
//!
//! Entries are compared by the checksums that they have or would have as objects: content, owner,
//! mode and xattrs of files, the dirmeta of directories. The root itself is not compared. The order
//! of the result is upstream's: a directory of the first tree is walked with its subdirectories
//! before the additions of the second tree follow, and local directories are listed in the order of
//! `Local::entries`.

mod item;
mod local;
mod sizes;
mod stored;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::ObjectName;
use crate::repo::tree::TreePath;
use crate::repo::{AtHole, NO_VISITOR, ObjectSet, Reading, Repo, RepoMode, Walk};
use crate::threads::{self, Fold, Opened, fold, pieces};

pub use sizes::{DiffSizes, ObjectSums, WireSums, sizes};

use item::{Item, Kind};
use local::{Assumed, Local};
use stored::{Bytes, Found, Stored};

/// One of the two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiffTree {
    /// A commit; its paths start with a slash.
    Commit(Checksum),
    /// A directory of the file system; its paths do not.
    Directory(PathBuf),
}

/// Assumptions about the files in directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffOptions {
    /// All files of the second tree have this owner.
    pub owner_uid: Option<u32>,
    /// All files of the second tree have this group.
    pub owner_gid: Option<u32>,
    /// No file has xattrs.
    pub no_xattrs: bool,
}

/// The paths that differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// In both trees, and not the same. For a directory that became something else, or the reverse,
    /// nothing else is listed.
    pub modified: Vec<String>,
    /// In the first tree only; for a directory only its own path.
    pub removed: Vec<String>,
    /// In the second tree only; for a directory also everything in it.
    pub added: Vec<String>,
}

/// The objects that two commits share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffStats {
    /// The number of objects that the first needs.
    pub objects_in_first: u64,
    /// The number of objects that the second needs.
    pub objects_in_second: u64,
    /// The number of objects that both need.
    pub common_objects: u64,
    /// The bytes that those take in the repository.
    pub common_bytes: u64,
}

/// The number of files in one piece of work.
const FILES_AT_A_TIME: usize = 8;
/// Compares two trees.
///
/// # Errors
/// When part of them cannot be read.
pub fn diff(
    repo: &Repo,
    first: &DiffTree,
    second: &DiffTree,
    options: &DiffOptions,
) -> Result<Diff> {
    let keeps_xattrs = repo.mode() != RepoMode::BareUserOnly && !repo.config().disable_xattrs;
    let is_commit = |tree: &DiffTree| matches!(tree, DiffTree::Commit(_));
    let mut options = *options;
    // The objects of such a repository have no xattrs, so those of directories are ignored too.
    options.no_xattrs |= !keeps_xattrs && (is_commit(first) || is_commit(second));
    Comparison { repo, options, listed: AtomicU64::new(0), max_listed: MAX_LISTED }
        .run(first, second)
}

/// Counts the objects of two commits, without their parents'.
///
/// # Errors
/// When an object is missing or malformed.
pub fn stats(repo: &Repo, first: &Checksum, second: &Checksum) -> Result<DiffStats> {
    let (one, other) = (reached(repo, first)?, reached(repo, second)?);
    let mut common = Vec::new();
    for first in 0..=255 {
        common.extend(one.shard(first).intersection(&other.shard(first)).copied());
    }
    let common_bytes = threads::run(|| common.par_iter().map(|name| repo.stored_size(name)).sum())?;
    Ok(DiffStats {
        objects_in_first: one.len() as u64,
        objects_in_second: other.len() as u64,
        common_objects: common.len() as u64,
        common_bytes,
    })
}

fn reached(repo: &Repo, commit: &Checksum) -> Result<ObjectSet> {
    log::debug!("Traversing commit {commit}");
    let reached = ObjectSet::new();
    let at_hole = |_: &ObjectName, _: &Error| AtHole::Fail;
    Walk {
        repo,
        reached: &reached,
        reading: Reading::AsStored,
        at_hole: &at_hole,
        visitor: NO_VISITOR,
    }
    .commits(&[*commit])?;
    Ok(reached)
}

/// Whether owners are compared: upstream's options apply to the second tree only.
#[derive(Clone, Copy)]
enum Side {
    First,
    Second,
}

struct Comparison<'r> {
    repo: &'r Repo,
    options: DiffOptions,
    /// Bytes taken by the paths found so far.
    listed: AtomicU64,
    /// The most that they may take: [`MAX_LISTED`].
    max_listed: u64,
}

/// The most that the paths of a result may take, in bytes. A small commit can contain a directory
/// any number of times.
const MAX_LISTED: u64 = 512 << 20;

/// A directory of either tree.
enum Tree {
    Stored(Stored),
    Local(Local),
}

impl Diff {
    /// What is known so far, unless that is nothing; the next time, what came since.
    fn take(&mut self) -> Option<Self> {
        let is_empty = self.modified.is_empty() && self.removed.is_empty() && self.added.is_empty();
        (!is_empty).then(|| std::mem::take(self))
    }

    fn append(&mut self, other: Self) {
        let append = |own: &mut Vec<String>, other: Vec<String>| {
            // Results from a deep tree are not copied at every level.
            if own.is_empty() {
                *own = other;
            } else {
                own.extend(other);
            }
        };
        append(&mut self.modified, other.modified);
        append(&mut self.removed, other.removed);
        append(&mut self.added, other.added);
    }
}

/// A comparison that is still to be made.
enum Part {
    Roots(Arc<Tree>, Arc<Tree>),
    /// Directories of two commits.
    Stored(StoredPair),
    /// Directories that are the same in both commits: they only have to be sound.
    Same(Vec<Checksum>),
    /// Entries of the first tree with those of the same names in the second; none are directories.
    Files((Arc<Tree>, Arc<Tree>), Vec<(Item, Kind)>),
    /// A directory in both trees.
    Directory((Arc<Tree>, Arc<Tree>), Item, Kind),
    /// A directory only in the second tree.
    Added(Arc<Tree>, Item),
    /// A result that is known already.
    Found(Diff),
}

/// A directory that two commits have.
struct StoredPair {
    path: TreePath,
    first: Checksum,
    second: Checksum,
    /// Whether owner, mode and xattrs are the same.
    same_dirmeta: bool,
}

impl Fold for Comparison<'_> {
    type Part = Part;
    type Open = Diff;
    type Folded = Diff;

    fn open(&self, part: Part) -> Result<Opened<Diff, Part, Diff>> {
        match part {
            Part::Found(diff) => Ok(Opened::Whole(diff)),
            Part::Roots(first, second) => self.directories(Diff::default(), first, second),
            Part::Stored(pair) => self.stored_directories(pair),
            Part::Same(dirtrees) => {
                for dirtree in dirtrees {
                    Bytes::load(self.repo, dirtree)?.check()?;
                }
                Ok(Opened::Whole(Diff::default()))
            }
            Part::Files((first, second), items) => {
                let mut diff = Diff::default();
                for (Item { name, kind }, counterpart) in items {
                    let one = self.file(&first, &name, kind, Side::First)?;
                    if one != self.file(&second, &name, counterpart, Side::Second)? {
                        diff.modified.push(self.listed(first.child_path(&name))?);
                    }
                }
                Ok(Opened::Whole(diff))
            }
            Part::Directory((first, second), Item { name, kind }, counterpart) => {
                let (one, other) =
                    (self.child(&first, &name, kind)?, self.child(&second, &name, counterpart)?);
                let mut diff = Diff::default();
                if self.dirmeta(&one, kind, Side::First)?
                    != self.dirmeta(&other, counterpart, Side::Second)?
                {
                    diff.modified.push(self.listed(first.child_path(&name))?);
                }
                self.directories(diff, Arc::new(one), Arc::new(other))
            }
            Part::Added(parent, item) => {
                let directory = Arc::new(self.child(&parent, &item.name, item.kind)?);
                let items = directory.entries()?;
                Ok(Opened::Parts(Diff::default(), self.added(&directory, items)?))
            }
        }
    }

    fn close(&self, mut diff: Diff, below: Vec<Diff>) -> Result<Diff> {
        below.into_iter().for_each(|found| diff.append(found));
        Ok(diff)
    }
}

/// Ends a run of files: those to be compared, and the results already known among them.
fn files_and_found(
    both: &dyn Fn() -> (Arc<Tree>, Arc<Tree>),
    files: &mut Vec<(Item, Kind)>,
    found: &mut Diff,
) -> Vec<Part> {
    let mut parts = vec![Part::Found(std::mem::take(found))];
    if !files.is_empty() {
        parts.push(Part::Files(both(), std::mem::take(files)));
    }
    parts
}

impl Comparison<'_> {
    fn run(&self, first: &DiffTree, second: &DiffTree) -> Result<Diff> {
        threads::run(|| {
            if let (DiffTree::Commit(first), DiffTree::Commit(second)) = (first, second) {
                let root = |commit| self.repo.load_commit(commit).map(|commit| commit.root_dirtree);
                let (first, second) = (root(first)?, root(second)?);
                let path = TreePath::default();
                return fold(
                    self,
                    Part::Stored(StoredPair { path, first, second, same_dirmeta: true }),
                );
            }
            let (first, second) = (self.open(first)?, self.open(second)?);
            fold(self, Part::Roots(Arc::new(first), Arc::new(second)))
        })
    }

    /// The comparisons to make for a directory of two commits.
    fn stored_directories(&self, pair: StoredPair) -> Result<Opened<Diff, Part, Diff>> {
        let StoredPair { path, first, second, same_dirmeta } = pair;
        path.check_depth()?;
        let mut diff = Diff::default();
        if !same_dirmeta {
            diff.modified.push(self.listed(path.text())?);
        }
        let one = Bytes::load(self.repo, first)?;
        if first == second {
            one.check()?;
            return Ok(Opened::Whole(diff));
        }
        let other = Bytes::load(self.repo, second)?;
        let (one, other) = (one.listing()?, other.listing()?);
        let load = |dirtree, path| {
            Stored::load(self.repo, dirtree, path).map(|stored| Arc::new(Tree::Stored(stored)))
        };
        if !(one.is_in_order() && other.is_in_order()) {
            return self.directories(diff, load(first, path.clone())?, load(second, path)?);
        }
        let (mut parts, mut same) = (Vec::new(), Vec::new());
        let mut known = Diff::default();
        let mut second_tree = None;
        one.compare(&other, |found| {
            let listed = |name: &str| self.listed(path.child_text(name));
            match found {
                Found::Modified(name) => known.modified.push(listed(name)?),
                Found::Removed(name) => known.removed.push(listed(name)?),
                Found::AddedFile(name) => known.added.push(listed(name)?),
                Found::Directories(one, other) => {
                    let same_dirmeta = one.dirmeta == other.dirmeta;
                    if same_dirmeta && one.dirtree == other.dirtree {
                        same.push(Checksum::from_bytes(*one.dirtree));
                        return Ok(());
                    }
                    parts.extend(known.take().map(Part::Found));
                    parts.push(Part::Stored(StoredPair {
                        path: path.child(one.name),
                        first: Checksum::from_bytes(*one.dirtree),
                        second: Checksum::from_bytes(*other.dirtree),
                        same_dirmeta,
                    }));
                }
                Found::AddedDirectory(dir) => {
                    known.added.push(listed(dir.name)?);
                    parts.extend(known.take().map(Part::Found));
                    let parent = match &second_tree {
                        Some(tree) => Arc::clone(tree),
                        None => second_tree.insert(load(second, path.clone())?).clone(),
                    };
                    parts.push(Part::Added(parent, Item::of_directory(dir)));
                }
            }
            Ok(())
        })?;
        parts.extend(known.take().map(Part::Found));
        parts.extend(pieces(same).map(Part::Same));
        Ok(Opened::Parts(diff, parts))
    }

    /// Counts a path of the result.
    fn listed(&self, path: String) -> Result<String> {
        let bytes = (size_of::<String>() + path.len()) as u64;
        if self.listed.fetch_add(bytes, Ordering::Relaxed) + bytes > self.max_listed {
            return Err(Error::failed(format!(
                "the paths that differ take more than {} bytes of memory",
                self.max_listed
            )));
        }
        Ok(path)
    }

    /// The additions of the second tree: the paths of entries, and the content of each directory
    /// after its own path.
    fn added(&self, parent: &Arc<Tree>, items: Vec<Item>) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let mut paths = Vec::new();
        for item in items {
            paths.push(self.listed(parent.child_path(&item.name))?);
            if item.kind.is_directory() {
                parts.push(Part::Found(Diff {
                    added: std::mem::take(&mut paths),
                    ..Diff::default()
                }));
                parts.push(Part::Added(parent.clone(), item));
            }
        }
        parts.push(Part::Found(Diff { added: paths, ..Diff::default() }));
        Ok(parts)
    }

    fn open(&self, tree: &DiffTree) -> Result<Tree> {
        match tree {
            DiffTree::Commit(commit) => {
                let dirtree = self.repo.load_commit(commit)?.root_dirtree;
                Stored::load(self.repo, dirtree, TreePath::default()).map(Tree::Stored)
            }
            DiffTree::Directory(path) => Local::open_root(path).map(Tree::Local),
        }
    }

    /// The comparisons to make for two directories; `diff` is what is known about the directories
    /// themselves.
    fn directories(
        &self,
        diff: Diff,
        first: Arc<Tree>,
        second: Arc<Tree>,
    ) -> Result<Opened<Diff, Part, Diff>> {
        if let (Tree::Stored(one), Tree::Stored(other)) = (&*first, &*second)
            && one.dirtree == other.dirtree
        {
            return Ok(Opened::Whole(diff));
        }
        let known: HashMap<&str, Kind> = match &*second {
            Tree::Stored(stored) => stored.items().collect(),
            Tree::Local(_) => HashMap::new(),
        };
        let both = || (first.clone(), second.clone());
        let mut parts = Vec::new();
        let mut files = Vec::new();
        let mut found = Diff::default();
        let mut names = HashSet::new();
        for item in first.entries()? {
            names.insert(item.name.clone());
            let counterpart = match &*second {
                Tree::Stored(_) => known.get(item.name.as_str()).copied(),
                Tree::Local(local) => local.find(&item.name)?,
            };
            match counterpart {
                None => found.removed.push(self.listed(first.child_path(&item.name))?),
                Some(kind) if item.kind.is_directory() != kind.is_directory() => {
                    parts.extend(files_and_found(&both, &mut files, &mut found));
                    found.modified.push(self.listed(first.child_path(&item.name))?);
                }
                Some(kind) if item.kind.is_directory() => {
                    parts.extend(files_and_found(&both, &mut files, &mut found));
                    parts.push(Part::Directory(both(), item, kind));
                }
                Some(kind) => {
                    files.push((item, kind));
                    if files.len() == FILES_AT_A_TIME {
                        parts.extend(files_and_found(&both, &mut files, &mut found));
                    }
                }
            }
        }
        parts.extend(files_and_found(&both, &mut files, &mut found));
        let items =
            second.entries()?.into_iter().filter(|item| !names.contains(&item.name)).collect();
        parts.extend(self.added(&second, items)?);
        Ok(Opened::Parts(diff, parts))
    }

    fn child(&self, parent: &Tree, name: &str, kind: Kind) -> Result<Tree> {
        match (parent, kind) {
            (Tree::Stored(parent), Kind::StoredDirectory { dirtree, .. }) => {
                Stored::load(self.repo, dirtree, parent.path.child(name)).map(Tree::Stored)
            }
            (Tree::Local(local), _) => local.child(name).map(Tree::Local),
            (Tree::Stored(_), Kind::StoredFile(_) | Kind::Local(_)) => {
                Err(Error::failed(format!("Not a directory: {}", parent.child_path(name))))
            }
        }
    }

    fn dirmeta(&self, directory: &Tree, kind: Kind, side: Side) -> Result<Checksum> {
        match (directory, kind) {
            (Tree::Local(local), _) => local.dirmeta(&self.assumed(side)),
            (Tree::Stored(_), Kind::StoredDirectory { dirmeta, .. }) => Ok(dirmeta),
            (Tree::Stored(stored), _) => {
                Err(Error::failed(format!("Not a directory: {}", stored.path.text())))
            }
        }
    }

    /// The checksum that a file has or would have as an object.
    fn file(&self, parent: &Tree, name: &str, kind: Kind, side: Side) -> Result<Checksum> {
        match (parent, kind) {
            (_, Kind::StoredFile(checksum)) => Ok(checksum),
            (Tree::Local(local), Kind::Local(metadata)) => {
                local.file(name, metadata, &self.assumed(side))
            }
            _ => Err(Error::failed(format!(
                "Not a regular file or symlink: {}",
                parent.child_path(name)
            ))),
        }
    }

    fn assumed(&self, side: Side) -> Assumed {
        let DiffOptions { owner_uid, owner_gid, no_xattrs } = self.options;
        match side {
            Side::First => Assumed { uid: None, gid: None, no_xattrs },
            Side::Second => Assumed { uid: owner_uid, gid: owner_gid, no_xattrs },
        }
    }
}

impl Tree {
    fn child_path(&self, name: &str) -> String {
        match self {
            Self::Stored(stored) => stored.path.child_text(name),
            Self::Local(local) => local.child_path(name),
        }
    }

    fn entries(&self) -> Result<Vec<Item>> {
        match self {
            Self::Stored(stored) => Ok(stored.entries()),
            Self::Local(local) => local.entries(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_paths_of_a_result_have_a_limit_whichever_side_they_are_of() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        let repo = Repo::create(&path("repo"), RepoMode::Archive, None).unwrap();
        for side in ["one", "other", "empty"] {
            fs::create_dir(path(side)).unwrap();
        }
        for number in 0..10 {
            fs::write(path("one").join(format!("file-{number}")), "one").unwrap();
            fs::write(path("other").join(format!("file-{number}")), "other").unwrap();
        }
        // Ten paths of six bytes.
        let all = 10 * (size_of::<String>() as u64 + 6);
        let listed = |[first, second]: [&str; 2], max_listed| {
            let options = DiffOptions::default();
            let comparison =
                Comparison { repo: &repo, options, listed: AtomicU64::new(0), max_listed };
            let tree = |side| DiffTree::Directory(path(side));
            let found = comparison.run(&tree(first), &tree(second));
            found
                .map(|diff| diff.modified.len() + diff.removed.len() + diff.added.len())
                .map_err(|error| error.to_string())
        };
        for sides in [["one", "other"], ["one", "empty"], ["empty", "one"]] {
            assert_eq!(listed(sides, all), Ok(10), "{sides:?}");
            let refused = format!("the paths that differ take more than {} bytes", all - 1);
            let error = listed(sides, all - 1).unwrap_err();
            assert!(error.starts_with(&refused), "{sides:?}: {error}");
        }
    }
}
