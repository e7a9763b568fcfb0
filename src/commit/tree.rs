//! The tree that a commit is made from, in memory: names and checksums only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{DirEntry, DirTree, ObjectType};
use crate::repo::tree::Descent;
use crate::repo::{Repo, Transaction};
use crate::threads::{Fold, Opened, fold};

/// A directory of the tree.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    /// Checksum of the dirmeta; a directory that never got one cannot be committed.
    pub(super) dirmeta: Option<Checksum>,
    files: BTreeMap<String, Checksum>,
    dirs: BTreeMap<String, Node>,
}

/// A subdirectory.
#[derive(Clone, Debug)]
enum Node {
    /// Taken from a commit and not loaded yet: most of a base is never touched.
    Stored { dirtree: Checksum, dirmeta: Checksum },
    /// In memory.
    Loaded(Tree),
}

impl Drop for Tree {
    fn drop(&mut self) {
        // A loop instead of recursion: trees are deep.
        let mut waiting = vec![std::mem::take(&mut self.dirs)];
        while let Some(dirs) = waiting.pop() {
            for node in dirs.into_values() {
                if let Node::Loaded(mut tree) = node {
                    waiting.push(std::mem::take(&mut tree.dirs));
                }
            }
        }
    }
}

impl Tree {
    /// The tree of a stored directory.
    pub(super) fn load(repo: &Repo, dirtree: &Checksum, dirmeta: &Checksum) -> Result<Self> {
        let DirTree { files, dirs } = repo.load_dirtree(dirtree)?;
        let stored =
            |DirEntry { name, dirtree, dirmeta }| (name, Node::Stored { dirtree, dirmeta });
        Ok(Self {
            dirmeta: Some(*dirmeta),
            files: files.into_iter().collect(),
            dirs: dirs.into_iter().map(stored).collect(),
        })
    }

    /// Adds a file, replacing one of that name.
    pub(super) fn add_file(&mut self, name: &str, file: Checksum) -> Result<()> {
        if self.dirs.contains_key(name) {
            return Err(Error::failed(format!("Can't replace directory with file: {name}")));
        }
        self.files.insert(name.to_owned(), file);
        Ok(())
    }

    /// The file of that name.
    pub(super) fn file(&self, name: &str) -> Option<&Checksum> {
        self.files.get(name)
    }

    /// Whether there is a directory of that name.
    pub(super) fn has_directory(&self, name: &str) -> bool {
        self.dirs.contains_key(name)
    }

    /// The names of all directories, sorted.
    pub(super) fn directory_names(&self) -> impl Iterator<Item = &str> {
        self.dirs.keys().map(String::as_str)
    }

    /// The directory of that name, made (without a dirmeta) if it is not there.
    pub(super) fn directory(&mut self, repo: &Repo, name: &str) -> Result<&mut Tree> {
        let tree = self.take_directory(repo, name)?;
        match self.dirs.entry(name.to_owned()).insert_entry(Node::Loaded(tree)).into_mut() {
            Node::Loaded(tree) => Ok(tree),
            Node::Stored { .. } => unreachable!("a loaded node was inserted just above"),
        }
    }

    /// Takes the directory of that name out, to be worked on elsewhere; an empty one if there is
    /// none.
    pub(super) fn take_directory(&mut self, repo: &Repo, name: &str) -> Result<Tree> {
        if self.files.contains_key(name) {
            return Err(Error::failed(format!("Can't replace file with directory: {name}")));
        }
        match self.dirs.remove(name) {
            None => Ok(Tree::default()),
            Some(Node::Loaded(tree)) => Ok(tree),
            Some(Node::Stored { dirtree, dirmeta }) => Tree::load(repo, &dirtree, &dirmeta),
        }
    }

    /// Puts a directory in; there must be none of that name.
    pub(super) fn put_directory(&mut self, name: String, tree: Tree) {
        self.dirs.insert(name, Node::Loaded(tree));
    }

    /// Adds the results for the entries of a directory; those that were there before have been
    /// taken out.
    pub(super) fn put_all(&mut self, entries: impl IntoIterator<Item = Done>) -> Result<()> {
        for done in entries {
            match done {
                Done::File(name, checksum) => self.add_file(&name, checksum)?,
                Done::Directory(name, _) if self.files.contains_key(&name) => {
                    return Err(Error::failed(format!(
                        "Can't replace file with directory: {name}"
                    )));
                }
                Done::Directory(name, tree) => self.put_directory(name, tree),
                Done::Nothing => {}
            }
        }
        Ok(())
    }

    /// Overlays a stored directory onto this one. Where this one is empty, nothing is loaded.
    pub(super) fn lay_over(
        &mut self,
        repo: &Repo,
        dirtree: &Checksum,
        dirmeta: &Checksum,
    ) -> Result<()> {
        let mut descent = Descent::default();
        let root = std::mem::take(self);
        let entry = DirEntry { name: String::new(), dirtree: *dirtree, dirmeta: *dirmeta };
        let mut levels = vec![Level::open(repo, root, entry, &mut descent)?];
        while let Some(level) = levels.last_mut() {
            match level.shared.pop() {
                Some(entry) => {
                    let below = level.tree.take_directory(repo, &entry.name)?;
                    levels.push(Level::open(repo, below, entry, &mut descent)?);
                }
                None => {
                    let Some(Level { name, tree, .. }) = levels.pop() else { break };
                    descent.leave();
                    match levels.last_mut() {
                        Some(above) => above.tree.put_directory(name, tree),
                        None => *self = tree,
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes all dirtrees, leaves first, and returns the root's dirtree and dirmeta.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> Result<(Checksum, Checksum)> {
        let root = fold(&Dirtrees(transaction), (String::new(), Node::Loaded(self)))?;
        Ok((root.dirtree, root.dirmeta))
    }
}

/// The result for an entry of a source.
pub(super) enum Done {
    /// A file of that name.
    File(String, Checksum),
    /// A directory of that name.
    Directory(String, Tree),
    /// The entry is left out; what the tree had under that name stays.
    Nothing,
}

impl Done {
    /// The result for the root of a source.
    pub(super) fn root(done: Vec<Self>) -> Result<Tree> {
        let mut trees = done.into_iter().filter_map(|done| match done {
            Self::Directory(_, tree) => Some(tree),
            Self::File(..) | Self::Nothing => None,
        });
        trees.next().ok_or_else(|| Error::failed("the root of the tree was lost"))
    }
}

/// A directory that another one is being overlaid onto.
struct Level {
    name: String,
    tree: Tree,
    /// The subdirectories that both have, as the other has them, from the last to the first.
    shared: Vec<DirEntry>,
}

impl Level {
    /// Overlays the files of a stored directory, and the directories that only it has.
    fn open(
        repo: &Repo,
        mut tree: Tree,
        DirEntry { name, dirtree, dirmeta }: DirEntry,
        descent: &mut Descent,
    ) -> Result<Self> {
        descent.enter(&dirtree)?;
        let DirTree { files, dirs } = repo.load_dirtree(&dirtree)?;
        tree.dirmeta = Some(dirmeta);
        for (name, file) in files {
            tree.add_file(&name, file)?;
        }
        let mut shared = Vec::new();
        for DirEntry { name, dirtree, dirmeta } in dirs {
            if tree.files.contains_key(&name) {
                return Err(Error::failed(format!("Can't replace file with directory: {name}")));
            }
            match tree.dirs.entry(name) {
                Entry::Occupied(own) => {
                    let name = own.key().clone();
                    shared.push(DirEntry { name, dirtree, dirmeta });
                }
                Entry::Vacant(place) => {
                    place.insert(Node::Stored { dirtree, dirmeta });
                }
            }
        }
        shared.reverse();
        Ok(Self { name, tree, shared })
    }
}

/// Writes dirtrees.
struct Dirtrees<'d, 'r>(&'d Transaction<'r>);

impl Fold for Dirtrees<'_, '_> {
    type Part = (String, Node);
    type Open = (String, Tree);
    type Folded = DirEntry;

    fn open(
        &self,
        (name, node): (String, Node),
    ) -> Result<Opened<(String, Tree), (String, Node), DirEntry>> {
        Ok(match node {
            Node::Stored { dirtree, dirmeta } => Opened::Whole(DirEntry { name, dirtree, dirmeta }),
            Node::Loaded(mut tree) => {
                let dirs = std::mem::take(&mut tree.dirs).into_iter().collect();
                Opened::Parts((name, tree), dirs)
            }
        })
    }

    fn close(&self, (name, mut tree): (String, Tree), dirs: Vec<DirEntry>) -> Result<DirEntry> {
        let dirmeta = tree.dirmeta.ok_or_else(|| Error::failed("Can't commit an empty tree"))?;
        let files = std::mem::take(&mut tree.files).into_iter().collect();
        let dirtree =
            self.0.write_metadata(ObjectType::DirTree, &DirTree { files, dirs }.encode())?;
        Ok(DirEntry { name, dirtree, dirmeta })
    }
}
