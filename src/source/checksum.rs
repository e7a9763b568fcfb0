//! The name that a file would have as an object, without a repository.

use std::io::Read;
use std::path::{Path, PathBuf};

use super::{Directory, EntryKind, Metadata};
use crate::checksum::{Checksum, Hasher};
use crate::error::{During, Error, OsError, Result};
use crate::object::{DirMeta, FileHeader, Xattrs};

/// Whether extended attributes are part of what is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XattrPolicy {
    /// They are read.
    Read,
    /// The file is taken to have none.
    Ignore,
}

/// Hashing reads this much at a time.
const BUFFER_LEN: usize = 128 * 1024;

/// The checksum of the file object that a regular file or symlink would become; of a directory,
/// that of its dirmeta.
///
/// # Errors
/// When the file cannot be read, or is something else.
pub fn checksum(path: &Path, xattrs: XattrPolicy) -> Result<Checksum> {
    // The real program asks in two ways: with xattrs it names the file in full, and a slash at the
    // end does not count.
    let absolute = std::path::absolute(path).during("looking for", path)?;
    let (path, metadata) = match xattrs {
        XattrPolicy::Read => {
            let path: PathBuf = absolute.components().collect();
            let metadata = std::fs::symlink_metadata(&path).map_err(|error| {
                let path = path.display();
                Error::failed(format!(
                    "Error when getting information for file “{path}”: {}",
                    OsError(error)
                ))
            })?;
            (path, metadata)
        }
        XattrPolicy::Ignore => {
            let metadata = std::fs::symlink_metadata(path).calling("fstatat", path)?;
            (absolute, metadata)
        }
    };
    let policy = |read: &dyn Fn() -> Result<Xattrs>| match xattrs {
        XattrPolicy::Read => read(),
        XattrPolicy::Ignore => Ok(Xattrs::default()),
    };
    if metadata.is_dir() {
        let directory = Directory::open(&path)?;
        let Metadata { uid, gid, mode, .. } = directory.metadata()?;
        let xattrs = policy(&|| directory.xattrs())?;
        return Ok(Checksum::of(&DirMeta { uid, gid, mode, xattrs }.encode()));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::failed(format!("{} has no name", path.display())));
    };
    let Some(name) = name.to_str() else {
        return Err(Error::failed(format!("Invalid UTF-8 in filename {}", name.display())));
    };
    // Through its own directory, with a slash at the end because that may be reached by a symlink.
    let directory = Directory::open(&parent.join(""))?;
    match directory.metadata_of(name)?.kind() {
        Some(EntryKind::Symlink) => {
            let Metadata { uid, gid, mode, .. } = directory.metadata_of(name)?;
            let xattrs = policy(&|| directory.xattrs_of_symlink(name))?;
            let symlink_target = directory.symlink_target(name)?;
            Ok(Checksum::of(
                &FileHeader { uid, gid, mode, symlink_target, xattrs }.content_header(),
            ))
        }
        _ => {
            let file = directory.open_file(name)?;
            let Metadata { uid, gid, mode, .. } = file.metadata;
            let xattrs = policy(&|| directory.xattrs_of_file(name, &file))?;
            let header = FileHeader { uid, gid, mode, symlink_target: String::new(), xattrs };
            let mut hasher = Hasher::new();
            hasher.update(&header.content_header());
            let mut file = file.into_file();
            let mut buffer = vec![0; BUFFER_LEN];
            loop {
                match file.read(&mut buffer).during("reading", &path)? {
                    0 => return Ok(hasher.finish()),
                    length => hasher.update(&buffer[..length]),
                }
            }
        }
    }
}
