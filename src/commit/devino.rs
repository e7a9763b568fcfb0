//! Recognises files that are hard links to objects of the repository.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::ObjectType;
use crate::repo::Repo;

/// Device and inode of every file object, for `--link-checkout-speedup`.
#[derive(Debug, Default)]
pub(super) struct DevInoCache(HashMap<(u64, u64), Checksum>);

impl DevInoCache {
    /// Records all file objects of the repository and of its uncompressed cache.
    pub(super) fn scan(repo: &Repo) -> Result<Self> {
        let objects = repo.list_objects()?;
        let files: Vec<Checksum> = objects
            .into_iter()
            .filter(|name| name.object_type == ObjectType::File)
            .map(|name| name.checksum)
            .collect();
        let found: Vec<Option<((u64, u64), Checksum)>> = files
            .into_par_iter()
            .map(|checksum| Ok(repo.file_identity(&checksum)?.map(|identity| (identity, checksum))))
            .collect::<Result<_>>()?;
        Ok(Self(found.into_iter().flatten().chain(repo.uncompressed_cache()?).collect()))
    }

    /// The object that the file is, if it is one.
    pub(super) fn get(&self, dev: u64, ino: u64) -> Option<&Checksum> {
        self.0.get(&(dev, ino))
    }
}
