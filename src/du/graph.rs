//! The objects of a repository with their sizes, and what refers to what, in memory.
//!
//! An object is known by its number in the order of names. That takes 33 bytes for the name, 8 or
//! 16 for the sizes, and 4 for each reference.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Amount;
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::object::{Commit, DirTreeReader, ObjectName, ObjectType};
use crate::repo::Repo;
use crate::threads;

/// All of them.
pub(super) struct Graph {
    names: Vec<ObjectName>,
    /// The first name whose checksum begins with each byte, and the end.
    begins: Vec<usize>,
    /// Bytes on disk; of a commit with those of its detached metadata.
    stored: Vec<u64>,
    /// Bytes of content; empty if they are not wanted.
    inflated: Vec<u64>,
    /// What each commit and dirtree refers to, as far as it is there; of a commit not its parent.
    below: Vec<Box<[u32]>>,
}

/// Which sizes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sizes {
    /// Those on disk.
    Stored,
    /// Those of the content, too, for which each file of an archive is opened.
    Inflated,
}

impl Graph {
    /// Reads all commits and dirtrees, and looks at all other objects. What cannot be read is
    /// returned, too.
    pub(super) fn read(repo: &Repo, sizes: Sizes) -> Result<(Self, Vec<Error>)> {
        threads::run(|| Self::read_in_pool(repo, sizes))
    }

    fn read_in_pool(repo: &Repo, sizes: Sizes) -> Result<(Self, Vec<Error>)> {
        let mut names = repo.list_objects()?;
        names.retain(|name| is_counted(name.object_type));
        let begins = (0..=256)
            .map(|first| names.partition_point(|name| usize::from(first_byte(name)) < first))
            .collect();
        let mut graph =
            Self { names, begins, stored: Vec::new(), inflated: Vec::new(), below: Vec::new() };
        let failed = Mutex::new(Vec::new());
        let fail = |error| failed.lock().unwrap_or_else(PoisonError::into_inner).push(error);
        let stored = |name: &ObjectName| match repo.stored_size(name) {
            Ok(size) => size,
            // One that goes meanwhile takes nothing.
            Err(Error::MissingFile { .. } | Error::MissingMetadata { .. }) => 0,
            Err(error) => {
                fail(error);
                0
            }
        };
        let with_detached = |name: &ObjectName| match name.object_type {
            ObjectType::Commit => {
                let detached = ObjectName::new(name.checksum, ObjectType::CommitMeta);
                stored(name).saturating_add(stored(&detached))
            }
            _ => stored(name),
        };
        graph.stored = graph.names.par_iter().map(with_detached).collect();
        if sizes == Sizes::Inflated {
            let inflated = |(name, stored): (&ObjectName, &u64)| match name.object_type {
                ObjectType::File => match repo.load_file(&name.checksum) {
                    Ok(object) => object.size,
                    Err(error) => {
                        fail(error);
                        0
                    }
                },
                _ => *stored,
            };
            graph.inflated = graph.names.par_iter().zip(&graph.stored).map(inflated).collect();
        }
        let below = |name: &ObjectName| {
            graph.references(repo, name).unwrap_or_else(|error| {
                fail(error);
                Box::default()
            })
        };
        graph.below = graph.names.par_iter().map(below).collect();
        let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        failed.sort_by_cached_key(Error::chain);
        Ok((graph, failed))
    }

    fn references(&self, repo: &Repo, name: &ObjectName) -> Result<Box<[u32]>> {
        let number = |checksum: &[u8; 32], object_type| {
            self.number(&ObjectName::new(Checksum::from_bytes(*checksum), object_type))
        };
        let mut below = Vec::new();
        match name.object_type {
            ObjectType::Commit => {
                let commit = Commit::decode(&repo.load_metadata(name)?).of_object(*name)?;
                below.extend(number(commit.root_dirtree.as_bytes(), ObjectType::DirTree));
                below.extend(number(commit.root_dirmeta.as_bytes(), ObjectType::DirMeta));
            }
            ObjectType::DirTree => {
                let bytes = repo.load_metadata(name)?;
                let reader = DirTreeReader::new(&bytes).of_object(*name)?;
                for file in reader.files() {
                    below.extend(number(file.of_object(*name)?.checksum, ObjectType::File));
                }
                for dir in reader.dirs() {
                    let dir = dir.of_object(*name)?;
                    below.extend(number(dir.dirtree, ObjectType::DirTree));
                    below.extend(number(dir.dirmeta, ObjectType::DirMeta));
                }
            }
            _ => {}
        }
        Ok(below.into())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// The number of an object, if it is there.
    pub(super) fn number(&self, name: &ObjectName) -> Option<u32> {
        let first = usize::from(first_byte(name));
        let (begin, end) = (self.begins[first], self.begins[first + 1]);
        let within = self.names[begin..end].binary_search(name).ok()?;
        u32::try_from(begin + within).ok()
    }

    /// What one object takes.
    pub(super) fn amount(&self, number: u32) -> Amount {
        let at = number as usize;
        Amount { objects: 1, bytes: self.stored[at], inflated: self.inflated.get(at).copied() }
    }

    /// Goes to all objects that `roots` reach, the roots included. `enter` says whether to go on
    /// below one, and has to refuse those where it was before.
    pub(super) fn reach(&self, roots: &[u32], mut enter: impl FnMut(u32) -> bool) {
        let mut waiting = roots.to_vec();
        while let Some(number) = waiting.pop() {
            if enter(number) {
                waiting.extend(&self.below[number as usize]);
            }
        }
    }
}

/// What trees consist of, and commits.
fn is_counted(object_type: ObjectType) -> bool {
    use ObjectType::{Commit, DirMeta, DirTree, File};
    matches!(object_type, Commit | DirMeta | DirTree | File)
}

fn first_byte(name: &ObjectName) -> u8 {
    name.checksum.as_bytes()[0]
}
