//! How much two commits differ in objects and bytes.

use std::collections::HashMap;

use rayon::prelude::*;

use super::reached;
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{ObjectName, ObjectType, SizeEntry, key};
use crate::repo::{ObjectSet, Repo, RepoMode};
use crate::threads;

/// The objects of two commits, without their parents'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiffSizes {
    /// What the second has and the first has not.
    pub new: ObjectSums,
    /// What the first has and the second has not.
    pub removed: ObjectSums,
    /// What both have.
    pub shared: ObjectSums,
    /// What a client that has the first fetches for the second, object by object, detached
    /// metadata included.
    pub wire: WireSums,
}

/// Some objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectSums {
    /// The number of commits, dirtrees and dirmetas.
    pub metadata: u64,
    /// The number of files and symlinks.
    pub files: u64,
    /// Bytes that both take in the repository.
    pub bytes: u64,
}

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireSums {
    /// The number of files.
    pub requests: u64,
    /// Their bytes. Only an archive has them as they are fetched; of another repository they are
    /// known if the commit records the sizes of its objects (`ostree.sizes`).
    pub bytes: Option<u64>,
}

/// Compares the objects of two commits.
///
/// # Errors
/// When an object is missing or malformed.
pub fn sizes(repo: &Repo, first: &Checksum, second: &Checksum) -> Result<DiffSizes> {
    let (one, other) = (reached(repo, first)?, reached(repo, second)?);
    let (new, new_sums) = without(repo, &other, &one)?;
    let (_, removed) = without(repo, &one, &other)?;
    let all = sums(repo, &other.into_sorted())?;
    let shared = ObjectSums {
        metadata: all.metadata - new_sums.metadata,
        files: all.files - new_sums.files,
        bytes: all.bytes - new_sums.bytes,
    };
    Ok(DiffSizes { new: new_sums, removed, shared, wire: wire(repo, second, &new, new_sums)? })
}

/// The objects of a set that are not in another one.
fn without(
    repo: &Repo,
    set: &ObjectSet,
    other: &ObjectSet,
) -> Result<(Vec<ObjectName>, ObjectSums)> {
    let mut names = Vec::new();
    for first in 0..=255 {
        names.extend(set.shard(first).difference(&other.shard(first)).copied());
    }
    let sums = sums(repo, &names)?;
    Ok((names, sums))
}

fn sums(repo: &Repo, names: &[ObjectName]) -> Result<ObjectSums> {
    let bytes = threads::run(|| names.par_iter().map(|name| repo.stored_size(name)).sum());
    let files = names.iter().filter(|name| is_file(name)).count() as u64;
    Ok(ObjectSums { metadata: names.len() as u64 - files, files, bytes: bytes? })
}

fn is_file(name: &ObjectName) -> bool {
    name.object_type == ObjectType::File
}

fn wire(repo: &Repo, commit: &Checksum, new: &[ObjectName], sums: ObjectSums) -> Result<WireSums> {
    if new.is_empty() {
        return Ok(WireSums { requests: 0, bytes: Some(0) });
    }
    let detached = match repo.stored_size(&ObjectName::new(*commit, ObjectType::CommitMeta)) {
        Ok(size) => Some(size),
        Err(Error::MissingMetadata { .. }) => None,
        Err(error) => return Err(error),
    };
    let bytes = match repo.mode() {
        RepoMode::Archive => Some(sums.bytes),
        _ => recorded(repo, commit, new)?,
    };
    Ok(WireSums {
        requests: new.len() as u64 + u64::from(detached.is_some()),
        bytes: bytes.map(|bytes| bytes.saturating_add(detached.unwrap_or(0))),
    })
}

/// What objects take in an archive, if the commit says so of each.
fn recorded(repo: &Repo, commit: &Checksum, names: &[ObjectName]) -> Result<Option<u64>> {
    let object = repo.load_commit(commit)?;
    let Some(sizes) = object.metadata.get(key::SIZES) else { return Ok(None) };
    let entries = sizes.view().children().map(|entry| {
        let bytes = entry.as_bytes().ok_or_else(|| DecodeError::new("ostree.sizes is no `aay`"))?;
        SizeEntry::decode(bytes).map(|entry| (entry.name, entry.stored))
    });
    let entries: Result<HashMap<ObjectName, u64>, DecodeError> = entries.collect();
    let entries = entries.of_object(ObjectName::new(*commit, ObjectType::Commit))?;
    let mut total = 0u64;
    for name in names {
        total = total.saturating_add(match entries.get(name) {
            Some(size) => *size,
            // Metadata is the same in every repository.
            None if !is_file(name) => repo.stored_size(name)?,
            None => return Ok(None),
        });
    }
    Ok(Some(total))
}
