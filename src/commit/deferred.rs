//! Stores the large files that were deferred, see [`large`](super::large).

use std::cmp::Reverse;

use rayon::prelude::*;

use super::context::Ingest;
use super::large::LargeFile;
use super::tree::Tree;
use crate::checksum::Checksum;
use crate::error::Result;

impl Ingest<'_, '_> {
    /// Stores the deferred files, and enters them into the tree.
    pub(super) fn store_large_files(&self, tree: &mut Tree) -> Result<()> {
        let mut files = self.large_files.take();
        files.sort_unstable_by_key(|large| Reverse(large.file.metadata.size));
        // Threads take them one by one, in this order.
        let mut stored: Vec<(String, Result<Checksum>)> =
            files.into_iter().par_bridge().map(|large| self.store_large_file(large)).collect();
        // All are waited for, so that the same error is always reported if there are several.
        stored.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (path, checksum) in stored {
            let (parents, name) = path.rsplit_once('/').unwrap_or_default();
            let mut directories = parents.split('/').skip(1);
            let directory = directories
                .try_fold(&mut *tree, |tree, name| tree.directory(self.transaction.repo(), name))?;
            directory.add_file(name, checksum?)?;
        }
        Ok(())
    }

    fn store_large_file(&self, large: LargeFile) -> (String, Result<Checksum>) {
        let LargeFile { path, shown_path, header, file, question } = large;
        let stored = self.content(&header, file, &shown_path, None);
        if let (Some(cache), Some(question), Ok(checksum)) = (self.stat_cache, question, &stored) {
            cache.remember(question, *checksum);
        }
        (path, stored)
    }
}
