//! The names of files in a bucket.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::ObjectStore as _;

use super::Bucket;
use super::failure::failed;
use crate::error::{Error, Result};
use crate::push::store::Listed;

/// Directories that are listed at a time.
const LISTED_AT_A_TIME: usize = 32;
/// So many names come with one request; if there are more, the directories below are listed at the
/// same time.
const PAGE: usize = 1000;
/// More files than that are not listed: a store that never ends its list must not fill the memory.
const MOST_FILES: usize = 50_000_000;

/// One file as it is kept until its directory is complete.
struct File {
    name: String,
    size: u64,
    written: i64,
}

impl Bucket {
    /// The files below a directory whose own directories have two hexadecimal digits; other files
    /// may be left out if there are more than a thousand.
    pub(super) async fn list_fanned(
        &self,
        directory: &str,
        found: &mut dyn FnMut(&Listed<'_>),
    ) -> Result<()> {
        let mut files = Vec::new();
        if self.list_some(directory, PAGE, &mut |file| files.push(File::of(file))).await? {
            files.iter().for_each(|file| found(&file.listed()));
            return Ok(());
        }
        let below = |first: u8| async move {
            let (mut files, prefix) = (Vec::new(), format!("{first:02x}"));
            let mut take = |file: &Listed<'_>| {
                let name = format!("{prefix}/{}", file.name);
                files.push(File { name, ..File::of(file) });
            };
            let below = format!("{directory}/{prefix}");
            self.list_some(&below, MOST_FILES, &mut take).await.map(|_| files)
        };
        let mut directories = stream::iter(0..=255u8).map(below).buffer_unordered(LISTED_AT_A_TIME);
        let mut number = 0;
        while let Some(files) = directories.try_next().await? {
            number += files.len();
            if number > MOST_FILES {
                let message = format!("{} lists more than {MOST_FILES} files", self.name);
                return Err(Error::failed(message));
            }
            files.iter().for_each(|file| found(&file.listed()));
        }
        Ok(())
    }

    /// The files below a directory, at most so many; whether there were no more.
    pub(super) async fn list_some(
        &self,
        directory: &str,
        most: usize,
        found: &mut dyn FnMut(&Listed<'_>),
    ) -> Result<bool> {
        let path = self.path(directory)?;
        let mut files = self.store.list(Some(&path));
        let mut number = 0;
        loop {
            let next = files.try_next().await;
            let next = next.map_err(|error| failed(&self.name, directory, &error))?;
            let Some(file) = next else { return Ok(true) };
            number += 1;
            if number > most {
                return Ok(false);
            }
            let below = file.location.as_ref().strip_prefix(path.as_ref());
            if let Some(name) = below.and_then(|rest| rest.strip_prefix('/')) {
                let written = file.last_modified.timestamp();
                found(&Listed { name, size: file.size, written });
            }
        }
    }
}

impl File {
    fn of(file: &Listed<'_>) -> Self {
        Self { name: file.name.to_owned(), size: file.size, written: file.written }
    }

    fn listed(&self) -> Listed<'_> {
        Listed { name: &self.name, size: self.size, written: self.written }
    }
}
