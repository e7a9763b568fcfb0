//! The inodes of file objects, for recognising hard links to them.

use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::error::{During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{Repo, RepoMode};

/// Device and inode number.
pub type FileIdentity = (u64, u64);

/// Where archives cache the content of files that were checked out in user mode.
pub(crate) const UNCOMPRESSED_CACHE: &str = "uncompressed-objects-cache";

impl Repo {
    /// The inode of a file object that is stored as a file; `None` in archives, and when it has
    /// disappeared.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub fn file_identity(&self, checksum: &Checksum) -> Result<Option<FileIdentity>> {
        if self.mode() == RepoMode::Archive {
            return Ok(None);
        }
        let name = ObjectName::new(*checksum, ObjectType::File);
        match self.stat_object(&name) {
            Ok(stat) => Ok(Some((stat.st_dev, stat.st_ino))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).during("looking for", self.object_path(&name)),
        }
    }

    /// The inode of the directory `tmp`.
    ///
    /// # Errors
    /// When it is not there.
    pub fn tmp_identity(&self) -> Result<FileIdentity> {
        let stat = rustix::fs::fstat(self.tmp()?).calling("fstatat", "tmp")?;
        Ok((stat.st_dev, stat.st_ino))
    }

    /// The inodes of the files in `uncompressed-objects-cache/XX/….file`.
    ///
    /// # Errors
    /// When the cache is there but cannot be read.
    pub fn uncompressed_cache(&self) -> Result<Vec<(FileIdentity, Checksum)>> {
        use std::os::unix::fs::MetadataExt;
        let root = self.path().join(UNCOMPRESSED_CACHE);
        if !root.is_dir() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(&root).min_depth(2).max_depth(2) {
            let entry = entry.map_err(std::io::Error::from).during("listing", &root)?;
            let Some(path) = entry.path().strip_prefix(&root).ok().and_then(|path| path.to_str())
            else {
                continue;
            };
            let hex = path.strip_suffix(".file").unwrap_or_default().replacen('/', "", 1);
            if let Ok(checksum) = Checksum::from_hex(&hex) {
                let metadata = entry
                    .metadata()
                    .map_err(std::io::Error::from)
                    .during("reading", entry.path())?;
                found.push(((metadata.dev(), metadata.ino()), checksum));
            }
        }
        Ok(found)
    }
}
