//! What a delta has to bring: the objects that are new, and the old files that new ones are
//! compared with.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::similar::{self, NamedFile, Pair};
use super::walk::{self, ObjectTable};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::gvariant::table::HashTable;
use crate::object::{FileHeader, ObjectName, ObjectType};
use crate::repo::Repo;

/// A commit with everything that it reaches.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) commit: Checksum,
    /// In the order of upstream's table.
    pub(super) objects: Vec<ObjectName>,
    /// Files and symlinks in the order of the walk, with all names of each.
    names: Vec<(Checksum, Vec<String>)>,
}

impl Tree {
    pub(super) fn load(repo: &Repo, commit: &Checksum) -> Result<Self> {
        let mut table = ObjectTable::default();
        let mut places = HashMap::new();
        let mut names: Vec<(Checksum, Vec<String>)> = Vec::new();
        walk::reachable(repo, commit, &mut |object, name| {
            table.insert(object);
            if let Some(name) = name {
                let place = *places.entry(object.checksum).or_insert(names.len());
                match names.get_mut(place) {
                    Some((_, all)) => all.push(name.to_owned()),
                    None => names.push((object.checksum, vec![name.to_owned()])),
                }
            }
        })?;
        Ok(Self { commit: *commit, objects: table.iter().copied().collect(), names })
    }

    /// The files that `size` knows, in the order of upstream's table.
    fn named(&self, size: impl Fn(&Checksum) -> Option<u64>) -> Vec<(Checksum, NamedFile)> {
        let files = self.names.iter().filter_map(|(checksum, names)| {
            Some((*checksum, NamedFile { size: size(checksum)?, names: names.clone() }))
        });
        walk::in_table_order(files)
    }
}

/// A new regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NewFile {
    /// Bytes of its content.
    pub(super) size: u64,
    /// Bytes of its header and content as they are hashed.
    pub(super) stream_size: u64,
}

/// A pair of files that may be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) pair: Pair,
    pub(super) old_size: u64,
    pub(super) new_size: u64,
    /// Whether every client may read the old file.
    pub(super) is_readable: bool,
}

/// What a delta has to bring.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// New commits, dirtrees and dirmetas, without the commit that the delta leads to.
    pub(super) metadata: Vec<ObjectName>,
    /// How many there were with that commit.
    pub(super) metadata_count: usize,
    /// New regular files.
    pub(super) files: Vec<(Checksum, NewFile)>,
    /// New symlinks.
    pub(super) symlinks: Vec<Checksum>,
    /// In upstream's order.
    pub(super) candidates: Vec<Candidate>,
}

/// Permission of others to read.
const READABLE: u32 = 0o004;

/// Compares two commits.
pub(super) fn plan(repo: &Repo, from: Option<&Tree>, to: &Tree) -> Result<Plan> {
    let known: HashSet<&ObjectName> = from.iter().flat_map(|from| &from.objects).collect();
    let new: Vec<ObjectName> =
        to.objects.iter().filter(|object| !known.contains(object)).copied().collect();
    let mut metadata = ObjectTable::default();
    let is_file = |object: &ObjectName| object.object_type == ObjectType::File;
    new.iter().filter(|object| !is_file(object)).for_each(|object| {
        metadata.insert(*object);
    });
    let headers = new.par_iter().filter(|object| is_file(object)).map(|object| {
        let file = repo.load_file(&object.checksum)?;
        let header = file.header.content_header().len() as u64;
        let size = (!file.header.is_symlink()).then_some(file.size);
        let new_file = size.map(|size| NewFile { size, stream_size: header.saturating_add(size) });
        Ok((object.checksum, new_file))
    });
    let headers: Vec<(Checksum, Option<NewFile>)> = headers.collect::<Result<_>>()?;
    let (mut files, mut symlinks) = (Vec::new(), Vec::new());
    for (checksum, file) in headers {
        match file {
            Some(file) => files.push((checksum, file)),
            None => symlinks.push((checksum, ())),
        }
    }
    let candidates = match from {
        Some(from) => candidates(repo, from, to, &files)?,
        None => Vec::new(),
    };
    let target = ObjectName::new(to.commit, ObjectType::Commit);
    Ok(Plan {
        metadata_count: metadata.len(),
        metadata: metadata.iter().filter(|object| **object != target).copied().collect(),
        files: walk::in_table_order(files),
        symlinks: walk::in_table_order(symlinks).into_iter().map(|(name, ())| name).collect(),
        candidates,
    })
}

fn candidates(
    repo: &Repo,
    from: &Tree,
    to: &Tree,
    files: &[(Checksum, NewFile)],
) -> Result<Vec<Candidate>> {
    let old = from.names.par_iter().map(|(checksum, _)| {
        let (header, size) = repo.stat_file(checksum)?;
        Ok((*checksum, (header, size)))
    });
    let old: Vec<(Checksum, (FileHeader, u64))> = old.collect::<Result<_>>()?;
    let old: HashMap<Checksum, (u32, u64)> = (old.into_iter())
        .filter(|(_, (header, _))| !header.is_symlink())
        .map(|(checksum, (header, size))| (checksum, (header.mode, size)))
        .collect();
    let new: HashMap<Checksum, u64> =
        files.iter().map(|(checksum, file)| (*checksum, file.size)).collect();
    let old_files = from.named(|checksum| old.get(checksum).map(|(_, size)| *size));
    let new_files = to.named(|checksum| new.get(checksum).copied());
    let mut table = HashTable::new();
    for pair in similar::pairs(&old_files, &new_files) {
        table.insert(pair.new.to_hex(), pair);
    }
    let candidate = |(_, pair): (String, Pair)| {
        let (mode, old_size) = *old.get(&pair.old)?;
        let new_size = *new.get(&pair.new)?;
        Some(Candidate { pair, old_size, new_size, is_readable: mode & READABLE != 0 })
    };
    Ok(table.into_iter().filter_map(candidate).collect())
}
