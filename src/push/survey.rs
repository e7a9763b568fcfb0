//! What a store has, and what the commits there reach. Objects are read there, many at a time.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::{Mutex, PoisonError};

use super::destination::{Body, object_of_path};
use super::store::Store;
use super::there::{self, CONFIG, MAX_SMALL, read_refs};
use crate::checksum::Checksum;
use crate::delta_format::DeltaName;
use crate::error::{During, Error, OfObject, Result};
use crate::object::{Commit, DirTreeReader, ObjectName, ObjectType};
use crate::refspec::RefName;
use crate::repo::{MAX_METADATA_SIZE, ObjectSet, verify_metadata};

/// An object that a store has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) name: ObjectName,
    pub(super) size: u64,
    /// In seconds since 1970.
    pub(super) written: i64,
}

/// Lists all objects, detached metadata among them.
///
/// # Errors
/// When the store is no archive, or cannot be listed.
pub(super) fn inventory(store: &dyn Store) -> Result<Vec<Found>> {
    let config = store.read(&[CONFIG.to_owned()], MAX_SMALL)?.pop().flatten();
    let config = config.ok_or_else(|| {
        Error::failed(format!("{} has no config: it is no repository", store.name()))
    })?;
    there::settings(store, &config)?;
    let mut objects = Vec::new();
    store.list("objects", &mut |file| {
        if let Some(name) = object_of_path(file.name) {
            objects.push(Found { name, size: file.size, written: file.written });
        }
    })?;
    Ok(objects)
}

/// What is wrong with an object.
#[derive(Debug)]
pub(super) enum Problem {
    Missing,
    Corrupted(Error),
}

/// What is known of a commit.
#[derive(Clone, Copy, Debug)]
struct Root {
    dirtree: Checksum,
    dirmeta: Checksum,
    parent: Option<Checksum>,
}

/// A walk over the commits of a store.
pub(super) struct Survey<'s> {
    store: &'s dyn Store,
    commits: HashMap<Checksum, Root>,
    /// What was reached so far, whether or not it is there.
    pub(super) reached: ObjectSet,
    /// What is wrong with commits and dirtrees that were to be read.
    pub(super) problems: BTreeMap<ObjectName, Problem>,
}

/// Takes a metadata object that is as its name says.
type Decode<'d> = dyn Fn(&ObjectName, &[u8]) -> Result<()> + Sync + 'd;

impl<'s> Survey<'s> {
    pub(super) fn new(store: &'s dyn Store) -> Self {
        let (commits, problems) = (HashMap::new(), BTreeMap::new());
        Self { store, commits, reached: ObjectSet::new(), problems }
    }

    /// Reads commits that have not been read yet.
    ///
    /// # Errors
    /// When the store fails. Commits that are missing or damaged are problems.
    pub(super) fn load_commits(&mut self, commits: &[Checksum]) -> Result<()> {
        let name = |commit: &Checksum| ObjectName::new(*commit, ObjectType::Commit);
        let is_new = |name: &ObjectName| {
            !self.commits.contains_key(&name.checksum) && !self.problems.contains_key(name)
        };
        let names: Vec<ObjectName> = commits.iter().map(name).filter(is_new).collect();
        let loaded = Mutex::new(Vec::new());
        self.read(&names, &|name, bytes| {
            let commit = Commit::decode(bytes).of_object(*name)?;
            let Commit { root_dirtree, root_dirmeta, parent, .. } = commit;
            let root = Root { dirtree: root_dirtree, dirmeta: root_dirmeta, parent };
            loaded.lock().unwrap_or_else(PoisonError::into_inner).push((name.checksum, root));
            Ok(())
        })?;
        self.commits.extend(loaded.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// A commit and its parents, at most so many, as far as they are there.
    ///
    /// # Errors
    /// When the store fails, the commit is missing, or one of them is damaged.
    pub(super) fn history(
        &mut self,
        tip: &Checksum,
        parents: Option<u32>,
    ) -> Result<Vec<Checksum>> {
        let (mut found, mut next) = (Vec::new(), Some(*tip));
        let most = parents.map_or(usize::MAX, |parents| parents as usize + 1);
        while let Some(commit) = next.filter(|_| found.len() < most) {
            self.load_commits(&[commit])?;
            let name = ObjectName::new(commit, ObjectType::Commit);
            next = match (self.commits.get(&commit), self.problems.remove(&name)) {
                (Some(root), _) => root.parent,
                (None, Some(Problem::Corrupted(error))) => return Err(error),
                (None, _) if commit == *tip => return Err(Error::missing(name)),
                (None, _) => break,
            };
            found.push(commit);
        }
        Ok(found)
    }

    /// Walks everything that commits reach, as far as they have been read.
    ///
    /// # Errors
    /// When the store fails. Dirtrees that are missing or damaged are problems.
    pub(super) fn reach(&mut self, commits: &[Checksum]) -> Result<()> {
        let mut wave = Vec::new();
        for commit in commits {
            let Some(root) = self.commits.get(commit) else { continue };
            self.reached.insert(ObjectName::new(*commit, ObjectType::Commit));
            self.reached.insert(ObjectName::new(root.dirmeta, ObjectType::DirMeta));
            let dirtree = ObjectName::new(root.dirtree, ObjectType::DirTree);
            wave.extend(Some(dirtree).filter(|dirtree| self.reached.insert(*dirtree)));
        }
        while !wave.is_empty() {
            let (next, reached) = (Mutex::new(Vec::new()), std::mem::take(&mut self.reached));
            let walked = self.read(&wave, &|name, bytes| {
                let below = below(name, bytes, &reached)?;
                next.lock().unwrap_or_else(PoisonError::into_inner).extend(below);
                Ok(())
            });
            self.reached = reached;
            walked?;
            wave = next.into_inner().unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Reads metadata objects and verifies them.
    fn read(&mut self, names: &[ObjectName], decode: &Decode<'_>) -> Result<()> {
        let problems = Mutex::new(Vec::new());
        let note = |name: &ObjectName, problem: Problem| {
            problems.lock().unwrap_or_else(PoisonError::into_inner).push((*name, problem));
        };
        self.store.fetch(names, &|name, body| {
            let Some(body) = body else {
                note(name, Problem::Missing);
                return Ok(());
            };
            let bytes = metadata(name, body)?;
            let verified = verify_metadata(name, &bytes).and_then(|()| decode(name, &bytes));
            if let Err(error) = verified {
                note(name, Problem::Corrupted(error));
            }
            Ok(())
        })?;
        self.problems.extend(problems.into_inner().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }
}

/// Notes what a dirtree lists; returns the dirtrees that are new.
fn below(name: &ObjectName, bytes: &[u8], reached: &ObjectSet) -> Result<Vec<ObjectName>> {
    let reader = DirTreeReader::new(bytes).of_object(*name)?;
    let object =
        |bytes: &[u8; 32], object_type| ObjectName::new(Checksum::from_bytes(*bytes), object_type);
    for file in reader.files() {
        reached.insert(object(file.of_object(*name)?.checksum, ObjectType::File));
    }
    let mut dirtrees = Vec::new();
    for dir in reader.dirs() {
        let dir = dir.of_object(*name)?;
        reached.insert(object(dir.dirmeta, ObjectType::DirMeta));
        let dirtree = object(dir.dirtree, ObjectType::DirTree);
        dirtrees.extend(Some(dirtree).filter(|dirtree| reached.insert(*dirtree)));
    }
    Ok(dirtrees)
}

/// The bytes of a metadata object. One that is larger than any may be does not match its name.
pub(super) fn metadata(name: &ObjectName, body: Body) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    body.take(MAX_METADATA_SIZE + 1).read_to_end(&mut bytes).during("reading", name.to_string())?;
    Ok(bytes)
}

/// The names that a store has.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The refs, and the commits that they are set to.
    pub refs: BTreeMap<RefName, Checksum>,
    /// The objects, in the order of their names, detached metadata among them.
    pub objects: Vec<ObjectName>,
    /// The static deltas, in the order of their names.
    pub deltas: Vec<DeltaName>,
}

/// Lists what a store has.
///
/// # Errors
/// When it is no archive, or cannot be listed.
pub fn contents(store: &dyn Store) -> Result<Contents> {
    let refs = refs_of(store)?;
    let mut objects: Vec<ObjectName> =
        inventory(store)?.into_iter().map(|found| found.name).collect();
    objects.sort_unstable();
    let mut deltas = Vec::new();
    store.list("deltas", &mut |file| {
        let name = file.name.strip_suffix("/superblock").and_then(|name| name.split_once('/'));
        deltas.extend(name.and_then(|(prefix, rest)| DeltaName::of_directory(prefix, rest)));
    })?;
    deltas.sort_unstable();
    Ok(Contents { refs, objects, deltas })
}

/// The refs of a store, and the commits that they are set to.
///
/// # Errors
/// When they cannot be read.
pub fn refs_of(store: &dyn Store) -> Result<BTreeMap<RefName, Checksum>> {
    let refs = read_refs(store, &store.list_refs()?)?;
    Ok(refs.into_iter().map(|(name, (commit, _))| (name, commit)).collect())
}
