//! The tree that a commit is made from, in memory: names and checksums only.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{DirEntry, DirTree, ObjectType};
use crate::repo::tree::Descent;
use crate::repo::{Repo, Transaction};

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
    /// Taken from a commit and not looked into yet: most of a base is never touched.
    Stored { dirtree: Checksum, dirmeta: Checksum },
    /// In memory.
    Loaded(Tree),
}

impl Tree {
    /// The tree of a stored directory.
    pub(super) fn load(repo: &Repo, dirtree: &Checksum, dirmeta: &Checksum) -> Result<Self> {
        let DirTree { files, dirs } = repo.load_dirtree(dirtree)?;
        let stored = |DirEntry { name, dirtree, dirmeta }| (name, Node::Stored { dirtree, dirmeta });
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

    /// Takes the directory of that name out, to be worked on elsewhere; an empty one if there is none.
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

    /// Lays a stored directory over this one. Where this one has nothing, nothing is loaded.
    pub(super) fn lay_over(&mut self, repo: &Repo, dirtree: &Checksum, dirmeta: &Checksum) -> Result<()> {
        self.lay_over_below(repo, (dirtree, dirmeta), &mut Descent::default())
    }

    fn lay_over_below(
        &mut self,
        repo: &Repo,
        (dirtree, dirmeta): (&Checksum, &Checksum),
        descent: &mut Descent,
    ) -> Result<()> {
        descent.enter(dirtree)?;
        let above = Tree::load(repo, dirtree, dirmeta)?;
        self.dirmeta = above.dirmeta;
        for (name, file) in above.files {
            self.add_file(&name, file)?;
        }
        for (name, node) in above.dirs {
            match node {
                Node::Stored { dirtree, dirmeta } if self.dirs.contains_key(&name) => {
                    self.directory(repo, &name)?.lay_over_below(repo, (&dirtree, &dirmeta), descent)?;
                }
                node => {
                    if self.files.contains_key(&name) {
                        return Err(Error::failed(format!("Can't replace file with directory: {name}")));
                    }
                    self.dirs.insert(name, node);
                }
            }
        }
        descent.leave();
        Ok(())
    }

    /// Writes all dirtrees, leaves first, and returns the root's dirtree and dirmeta.
    pub(super) fn write(self, transaction: &Transaction<'_>) -> Result<(Checksum, Checksum)> {
        let dirmeta = self.dirmeta.ok_or_else(|| Error::failed("Can't commit an empty tree"))?;
        let dirs: Vec<(String, Node)> = self.dirs.into_iter().collect();
        let dirs: Vec<Result<DirEntry>> = dirs
            .into_par_iter()
            .map(|(name, node)| {
                let (dirtree, dirmeta) = match node {
                    Node::Stored { dirtree, dirmeta } => (dirtree, dirmeta),
                    Node::Loaded(tree) => tree.write(transaction)?,
                };
                Ok(DirEntry { name, dirtree, dirmeta })
            })
            .collect();
        let dirs = dirs.into_iter().collect::<Result<_>>()?;
        let dirtree = DirTree { files: self.files.into_iter().collect(), dirs };
        Ok((transaction.write_metadata(ObjectType::DirTree, &dirtree.encode())?, dirmeta))
    }
}
