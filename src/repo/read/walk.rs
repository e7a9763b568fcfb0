//! Walks a tree or a history: iterators without recursion, which need memory only for the current
//! path.

use super::tree::{Descent, Node};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{Commit, DirTree};
use crate::repo::{Ancestry, Repo};

/// A file or directory of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// The absolute path; `/` for the root.
    pub path: String,
    /// The objects it consists of.
    pub node: Node,
}

/// An iterator over a tree, see [`entries`].
#[derive(Debug)]
pub struct Entries<'r> {
    repo: &'r Repo,
    /// Where the walk starts, until it has been yielded.
    root: Option<TreeEntry>,
    /// The dirtree of the last yielded entry, if it is a directory.
    last_directory: Option<Checksum>,
    /// The path of the last yielded entry; empty for `/`.
    path: String,
    /// The directories from the root to the current position.
    open: Vec<OpenDirectory>,
    descent: Descent,
}

/// A directory of which some entries have been yielded.
#[derive(Debug)]
struct OpenDirectory {
    /// The length of its path.
    path_len: usize,
    dirtree: DirTree,
    next_file: usize,
    next_dir: usize,
}

/// Walks a file or directory and everything below it, depth first: a directory comes before what it
/// contains, and in it the files come before the directories, both in name order. That is the order
/// of `ostree ls -R`.
///
/// A directory whose dirtree is missing or malformed is yielded, and then the error; the walk
/// continues after it. The objects of a file are taken from its directory; the file itself may be
/// missing.
///
/// ```
/// use osier::commit::{CommitOptions, Description, Source, commit};
/// use osier::progress::Silent;
/// use osier::repo::tree::Node;
/// use osier::repo::{Repo, RepoMode, walk};
/// use osier::source::{Attributes, MemoryTree};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// let repo = Repo::create(&scratch.path().join("repo"), RepoMode::Archive, None)?;
/// let mut tree = MemoryTree::new();
/// tree.add_file("usr/bin/hello", "#!/bin/sh\n", Attributes::new(0o755))?;
/// tree.add_symlink("bin", "usr/bin", Attributes::new(0o777))?;
/// let options = CommitOptions {
///     sources: vec![Source::Memory(tree)],
///     ..CommitOptions::new(Description::new(1_700_000_000))
/// };
/// let id = commit(&repo, &options, &Silent)?.commit;
///
/// let root = Node::root_of(&repo.load_commit(&id)?);
/// let mut paths = Vec::new();
/// for entry in walk::entries(&repo, &root) {
///     paths.push(entry?.path);
/// }
/// assert_eq!(paths, ["/", "/bin", "/usr", "/usr/bin", "/usr/bin/hello"]);
/// # Ok(())
/// # }
/// ```
pub fn entries<'r>(repo: &'r Repo, root: &Node) -> Entries<'r> {
    let root = Some(TreeEntry { path: "/".to_owned(), node: *root });
    Entries {
        repo,
        root,
        last_directory: None,
        path: String::new(),
        open: Vec::new(),
        descent: Descent::default(),
    }
}

impl Entries<'_> {
    fn open(&mut self, dirtree: &Checksum) -> Result<()> {
        self.descent.enter(dirtree)?;
        match self.repo.load_dirtree(dirtree) {
            Ok(dirtree) => {
                self.open.push(OpenDirectory {
                    path_len: self.path.len(),
                    dirtree,
                    next_file: 0,
                    next_dir: 0,
                });
                Ok(())
            }
            Err(error) => {
                self.descent.leave();
                Err(error)
            }
        }
    }

    /// The next entry of the innermost open directory that has one.
    fn step(&mut self) -> Option<TreeEntry> {
        while let Some(OpenDirectory { path_len, dirtree, next_file, next_dir }) =
            self.open.last_mut()
        {
            self.path.truncate(*path_len);
            if let Some((name, checksum)) = dirtree.files.get(*next_file) {
                *next_file += 1;
                self.path.push('/');
                self.path.push_str(name);
                return Some(TreeEntry { path: self.path.clone(), node: Node::File(*checksum) });
            }
            if let Some(dir) = dirtree.dirs.get(*next_dir) {
                *next_dir += 1;
                let node = Node::Directory { dirtree: dir.dirtree, dirmeta: dir.dirmeta };
                self.path.push('/');
                self.path.push_str(&dir.name);
                return Some(TreeEntry { path: self.path.clone(), node });
            }
            self.open.pop();
            self.descent.leave();
        }
        None
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<TreeEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        // The directory that was yielded last is opened only now, so that its error comes after its
        // entry.
        if let Some(dirtree) = self.last_directory.take()
            && let Err(error) = self.open(&dirtree)
        {
            return Some(Err(error));
        }
        let entry = self.root.take().or_else(|| self.step())?;
        if let Node::Directory { dirtree, .. } = entry.node {
            self.last_directory = Some(dirtree);
        }
        Some(Ok(entry))
    }
}

/// An iterator over commits, see [`history`].
#[derive(Debug)]
pub struct History<'r> {
    repo: &'r Repo,
    next: Option<Checksum>,
    is_parent: bool,
    missing_parent: Option<Checksum>,
    ancestry: Ancestry,
}

/// Walks a commit and its ancestors, the youngest first.
///
/// A parent that is not in the repository ends the walk, as histories are often fetched in part;
/// [`History::missing_parent`] distinguishes that from the beginning of the history. A missing
/// first commit is an error, as is a commit that is malformed or its own ancestor; nothing follows
/// an error.
///
/// ```
/// use osier::commit::{CommitOptions, Description, Parent, Source, commit};
/// use osier::progress::Silent;
/// use osier::repo::{Repo, RepoMode, walk};
/// use osier::source::MemoryTree;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// let repo = Repo::create(&scratch.path().join("repo"), RepoMode::Archive, None)?;
/// let mut parent = Parent::None;
/// for (subject, timestamp) in [("first", 1_700_000_000), ("second", 1_700_003_600)] {
///     let options = CommitOptions {
///         parent,
///         sources: vec![Source::Memory(MemoryTree::new())],
///         ..CommitOptions::new(Description { subject: subject.to_owned(), ..Description::new(timestamp) })
///     };
///     parent = Parent::Commit(commit(&repo, &options, &Silent)?.commit);
/// }
/// # let Parent::Commit(latest) = parent else { unreachable!() };
///
/// let mut history = walk::history(&repo, &latest);
/// let mut subjects = Vec::new();
/// for step in &mut history {
///     let (_checksum, commit) = step?;
///     subjects.push(commit.subject);
/// }
/// assert_eq!(subjects, ["second", "first"]);
/// assert_eq!(history.missing_parent(), None);
/// # Ok(())
/// # }
/// ```
pub fn history<'r>(repo: &'r Repo, commit: &Checksum) -> History<'r> {
    History {
        repo,
        next: Some(*commit),
        is_parent: false,
        missing_parent: None,
        ancestry: Ancestry::default(),
    }
}

impl History<'_> {
    /// The parent at which the walk ended because the repository does not have it.
    pub fn missing_parent(&self) -> Option<Checksum> {
        self.missing_parent
    }

    fn load(&mut self, checksum: &Checksum) -> Result<Option<Commit>> {
        self.ancestry.enter(checksum)?;
        match self.repo.load_commit(checksum) {
            Err(Error::MissingMetadata { .. }) if self.is_parent => {
                self.missing_parent = Some(*checksum);
                Ok(None)
            }
            loaded => loaded.map(Some),
        }
    }
}

impl Iterator for History<'_> {
    type Item = Result<(Checksum, Commit)>;

    fn next(&mut self) -> Option<Self::Item> {
        let checksum = self.next.take()?;
        let commit = match self.load(&checksum) {
            Ok(found) => found?,
            Err(error) => return Some(Err(error)),
        };
        self.next = commit.parent;
        self.is_parent = true;
        Some(Ok((checksum, commit)))
    }
}
