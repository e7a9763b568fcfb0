//! Finds what commits reach: the walk over dirtrees that needs no paths, parallel and level by
//! level, with each object read once.
//!
//! The objects of a level are processed in the order of their names and a level is always finished,
//! so neither the result nor the choice among several errors depends on timing.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::object::{Commit, DirTreeReader, ObjectName, ObjectType};
use crate::repo::Repo;
use crate::threads;

/// A set of object names that threads add to; about 70 bytes an object.
#[derive(Debug)]
pub struct ObjectSet {
    /// By the first byte of the checksum, as the directories of objects are.
    shards: Vec<Mutex<HashSet<ObjectName>>>,
}

impl Default for ObjectSet {
    fn default() -> Self {
        Self { shards: (0..=255u8).map(|_| Mutex::default()).collect() }
    }
}

impl ObjectSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an object and returns whether it is new.
    pub fn insert(&self, name: ObjectName) -> bool {
        self.shard(name.checksum.as_bytes()[0]).insert(name)
    }

    /// Whether the object is in the set.
    pub fn contains(&self, name: &ObjectName) -> bool {
        self.shard(name.checksum.as_bytes()[0]).contains(name)
    }

    /// The number of objects.
    pub fn len(&self) -> usize {
        (0..=255).map(|first| self.shard(first).len()).sum()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The objects whose checksums start with a byte. Blocks threads that add others meanwhile.
    pub fn shard(&self, first: u8) -> MutexGuard<'_, HashSet<ObjectName>> {
        // A panic while inserting leaves the set intact.
        self.shards[usize::from(first)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The objects in the order of their names. Each part of the set is freed once it has been
    /// copied.
    pub fn into_sorted(self) -> Vec<ObjectName> {
        let mut names = Vec::with_capacity(self.len());
        for shard in self.shards {
            let start = names.len();
            names.extend(shard.into_inner().unwrap_or_else(PoisonError::into_inner));
            names[start..].sort_unstable();
        }
        names
    }
}

/// How a walk reads commits and dirtrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Their structure is checked.
    AsStored,
    /// Their checksums are verified too, as [`Repo::load_verified`] does.
    Verified,
}

/// What happens at a commit or dirtree that cannot be read or decoded, and so cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtHole {
    /// The walk fails with the error.
    Fail,
    /// The walk continues without it, and reports the error at the end.
    Report,
    /// The walk continues without it.
    Skip,
}

/// The objects that could not be followed and are to be reported, sorted by name.
pub type Holes = Vec<(ObjectName, Error)>;

/// A walk over everything that commits or dirtrees reach.
pub struct Walk<'w> {
    /// Where the objects are.
    pub repo: &'w Repo,
    /// The objects reached so far. Commits and dirtrees in it are not followed again.
    pub reached: &'w ObjectSet,
    /// How commits and dirtrees are read.
    pub reading: Reading,
    /// Decides what happens at an object that cannot be followed. It is in `reached` nevertheless.
    pub at_hole: &'w (dyn Fn(&ObjectName, &Error) -> AtHole + Sync),
    /// Sees each commit and dirtree that is read, once.
    pub visitor: &'w (dyn Fn(&ObjectName, &[u8]) + Sync),
}

/// The visitor of a walk that only collects names.
pub const NO_VISITOR: &(dyn Fn(&ObjectName, &[u8]) + Sync) = &|_, _| ();

impl Walk<'_> {
    /// Adds commits with their dirtrees, dirmetas and files, but not their parents.
    ///
    /// # Errors
    /// Where `at_hole` returns [`AtHole::Fail`]. Of several errors the one nearest to the commits
    /// is returned, and among these the one whose object sorts first.
    pub fn commits(&self, commits: &[Checksum]) -> Result<Holes> {
        self.follow_all(commits, ObjectType::Commit)
    }

    /// Adds dirtrees with everything below them.
    ///
    /// # Errors
    /// As [`Walk::commits`].
    pub fn dirtrees(&self, dirtrees: &[Checksum]) -> Result<Holes> {
        self.follow_all(dirtrees, ObjectType::DirTree)
    }

    fn follow_all(&self, roots: &[Checksum], object_type: ObjectType) -> Result<Holes> {
        let names = roots.iter().map(|root| ObjectName::new(*root, object_type));
        let mut level: Vec<ObjectName> = names.filter(|name| self.reached.insert(*name)).collect();
        let mut holes = Holes::new();
        threads::run(|| {
            while !level.is_empty() {
                // Sorting makes the result independent of which thread reached an object first.
                level.par_sort_unstable();
                let (below, found) = self.below(&level);
                for (name, error) in found {
                    match (self.at_hole)(&name, &error) {
                        AtHole::Fail => return Err(error),
                        AtHole::Report => holes.push((name, error)),
                        AtHole::Skip => {}
                    }
                }
                level = below;
            }
            holes.sort_unstable_by_key(|(name, _)| *name);
            Ok(holes)
        })
    }

    /// Adds what a level refers to; returns the next level, unsorted, and what could not be
    /// followed.
    fn below(&self, level: &[ObjectName]) -> (Vec<ObjectName>, Holes) {
        let found = Mutex::new(Holes::new());
        let follow = |name: &ObjectName| match self.follow(name) {
            Ok(new) => new,
            Err(error) => {
                found.lock().unwrap_or_else(PoisonError::into_inner).push((*name, error));
                Vec::new()
            }
        };
        let below = level.par_iter().flat_map_iter(follow).collect();
        let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.sort_unstable_by_key(|(name, _)| *name);
        (below, found)
    }

    /// Adds what a commit or dirtree refers to, and returns the dirtrees that were not known yet.
    fn follow(&self, name: &ObjectName) -> Result<Vec<ObjectName>> {
        let bytes = match self.reading {
            Reading::AsStored => self.repo.load_metadata(name)?,
            Reading::Verified => self.repo.load_verified(name)?,
        };
        let mut new = Vec::new();
        if name.object_type == ObjectType::Commit {
            let Commit { root_dirtree, root_dirmeta, .. } =
                Commit::decode(&bytes).of_object(*name)?;
            (self.visitor)(name, &bytes);
            self.add_directory(root_dirtree, root_dirmeta, &mut new);
            return Ok(new);
        }
        let reader = DirTreeReader::new(&bytes).of_object(*name)?;
        if self.reading == Reading::AsStored {
            // A dirtree that is malformed anywhere is not followed at all.
            reader.check().of_object(*name)?;
        }
        for file in reader.files() {
            let file = file.of_object(*name)?;
            self.reached
                .insert(ObjectName::new(Checksum::from_bytes(*file.checksum), ObjectType::File));
        }
        for dir in reader.dirs() {
            let dir = dir.of_object(*name)?;
            self.add_directory(
                Checksum::from_bytes(*dir.dirtree),
                Checksum::from_bytes(*dir.dirmeta),
                &mut new,
            );
        }
        (self.visitor)(name, &bytes);
        Ok(new)
    }

    fn add_directory(&self, dirtree: Checksum, dirmeta: Checksum, new: &mut Vec<ObjectName>) {
        self.reached.insert(ObjectName::new(dirmeta, ObjectType::DirMeta));
        let dirtree = ObjectName::new(dirtree, ObjectType::DirTree);
        if self.reached.insert(dirtree) {
            new.push(dirtree);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::object::{DirEntry, DirTree};
    use crate::repo::{RepoMode, Transaction};

    /// A repository with one dirtree, and its name.
    fn repo_with(directory: &Path, dirtree: &[u8]) -> (Repo, Checksum) {
        let repo = Repo::create(&directory.join("repo"), RepoMode::Archive, None).unwrap();
        let transaction = Transaction::begin(&repo).unwrap();
        let root = transaction.write_metadata(ObjectType::DirTree, dirtree).unwrap();
        transaction.commit().unwrap();
        (repo, root)
    }

    fn walk(repo: &Repo, root: &Checksum, at_hole: AtHole) -> (Result<Holes>, Vec<ObjectName>) {
        let reached = ObjectSet::new();
        let at_hole = |_: &ObjectName, _: &Error| at_hole;
        let holes = Walk {
            repo,
            reached: &reached,
            reading: Reading::AsStored,
            at_hole: &at_hole,
            visitor: NO_VISITOR,
        }
        .dirtrees(&[*root]);
        (holes, reached.into_sorted())
    }

    #[test]
    fn holes_are_the_same_on_every_walk_whatever_the_threads_do() {
        let directory = tempfile::tempdir().unwrap();
        let mut missing: Vec<Checksum> = (0..64u8).map(|number| Checksum::of(&[number])).collect();
        let dirmeta = Checksum::of(b"dirmeta");
        let entry = |(index, dirtree): (usize, &Checksum)| DirEntry {
            name: format!("{index:02}"),
            dirtree: *dirtree,
            dirmeta,
        };
        let tree =
            DirTree { files: Vec::new(), dirs: missing.iter().enumerate().map(entry).collect() };
        let (repo, root) = repo_with(directory.path(), &tree.encode());
        missing.sort_unstable();
        for _ in 0..20 {
            let (failed, reached) = walk(&repo, &root, AtHole::Fail);
            assert_eq!(
                failed.unwrap_err().chain(),
                format!("No such metadata object {}.dirtree", missing[0])
            );
            assert_eq!(reached.len(), missing.len() + 2);
            let (reported, _) = walk(&repo, &root, AtHole::Report);
            let names: Vec<Checksum> =
                reported.unwrap().iter().map(|(name, _)| name.checksum).collect();
            assert_eq!(names, missing);
        }
        assert!(walk(&repo, &root, AtHole::Skip).0.unwrap().is_empty());
    }

    #[test]
    fn nothing_that_a_malformed_dirtree_lists_is_reached() {
        let directory = tempfile::tempdir().unwrap();
        let files =
            ["first", "second"].map(|name| (name.to_owned(), Checksum::of(name.as_bytes())));
        let mut bytes = DirTree { files: files.to_vec(), dirs: Vec::new() }.encode();
        let second = bytes.windows(6).position(|window| window == b"second").unwrap();
        bytes[second] = b'/';
        let (repo, root) = repo_with(directory.path(), &bytes);
        let (holes, reached) = walk(&repo, &root, AtHole::Report);
        assert!(matches!(holes.unwrap()[..], [(_, Error::MalformedObject { .. })]));
        assert_eq!(reached, [ObjectName::new(root, ObjectType::DirTree)]);
    }
}
