//! Reads file objects of the bare modes, which keep files as files (docs/format.md, section 5).
//!
//! | mode | owner, mode and xattrs are in |
//! |---|---|
//! | bare | the inode |
//! | bare-user | the xattr `user.ostreemeta`, `(uuua(ayay))`, big-endian numbers |
//! | bare-user-only | mode in the inode, nothing else |
//! | bare-split-xattrs | the inode, xattrs in an object of their own |
//!
//! Symlinks are symlinks, except in bare-user, where they are regular files that hold the target
//! and a NUL.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::xattrs::{read_xattrs, read_xattrs_at};
use crate::error::{During, Error, OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{FileHeader, ObjectName, ObjectType, Xattrs};
use crate::repo::{Repo, RepoMode};

/// The xattr in which bare-user keeps a file's metadata.
pub(in crate::repo) const METADATA_XATTR: &str = "user.ostreemeta";
/// The longest target that Linux allows, in bytes.
const MAX_TARGET: u64 = 4096;

/// Reads the header of a file object and opens its content (`None` for symlinks); `None` when the
/// object is missing.
pub(in crate::repo) fn load(
    repo: &Repo,
    name: ObjectName,
) -> Result<Option<(FileHeader, u64, Option<File>)>> {
    let file = match repo.open_own_object(&name) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(None),
        // `O_NOFOLLOW` fails with this on symlinks.
        Err(error) if is_symlink_error(&error) => return load_symlink(repo, name).map(Some),
        Err(error) => return Err(error),
    };
    let path = || repo.object_path(&name);
    let stat = file.metadata().during("reading", path())?;
    if !stat.is_file() {
        return Err(DecodeError::new("neither a regular file nor a symlink")).of_object(name);
    }
    let mut header = FileHeader {
        uid: stat.uid(),
        gid: stat.gid(),
        mode: stat.mode(),
        symlink_target: String::new(),
        xattrs: Xattrs::default(),
    };
    match repo.mode() {
        RepoMode::BareUser => {
            let meta = read_metadata_xattr(&file).map_err(|error| match error {
                Errno::NODATA => {
                    Error::failed(format!("malformed object {name}: no xattr {METADATA_XATTR}"))
                }
                error => Error::Io {
                    action: "reading xattrs of",
                    path: path(),
                    source: crate::error::OsError(error.into()),
                },
            })?;
            header = FileHeader::decode_meta(&meta).of_object(name)?;
            if header.is_symlink() {
                header.symlink_target = read_target(file, name)?;
                return Ok(Some((header, 0, None)));
            }
        }
        RepoMode::BareUserOnly => (header.uid, header.gid) = (0, 0),
        RepoMode::BareSplitXattrs => header.xattrs = load_split_xattrs(repo, name)?,
        _ if repo.config().disable_xattrs => {}
        _ => header.xattrs = read_xattrs(&file).during("reading xattrs of", path())?,
    }
    Ok(Some((header, stat.len(), Some(file))))
}

/// The header of a file object without its xattrs and the length of its content, from the inode
/// alone where the repository mode keeps them there, so that the object need not be readable;
/// `None` when the object is missing.
pub(in crate::repo) fn stat(repo: &Repo, name: ObjectName) -> Result<Option<(FileHeader, u64)>> {
    if matches!(repo.mode(), RepoMode::BareUser | RepoMode::Archive) {
        return Ok(load(repo, name)?.map(|(header, size, _)| (header, size)));
    }
    let path = || repo.object_path(&name);
    let stat = match repo.stat_object(&name) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error).during("reading", path()),
    };
    let symlink_target = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => String::new(),
        FileType::Symlink => read_symlink(repo, name)?,
        _ => return Err(DecodeError::new("neither a regular file nor a symlink")).of_object(name),
    };
    let (uid, gid) = match repo.mode() {
        RepoMode::BareUserOnly => (0, 0),
        _ => (stat.st_uid, stat.st_gid),
    };
    let size = if symlink_target.is_empty() { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
    Ok(Some((
        FileHeader { uid, gid, mode: stat.st_mode, symlink_target, xattrs: Xattrs::default() },
        size,
    )))
}

fn is_symlink_error(error: &Error) -> bool {
    let symlink = Some(Errno::LOOP.raw_os_error());
    matches!(error, Error::Io { source, .. } if source.0.raw_os_error() == symlink)
}

fn load_symlink(repo: &Repo, name: ObjectName) -> Result<(FileHeader, u64, Option<File>)> {
    let path = || repo.object_path(&name);
    let stat = repo.stat_object(&name).during("reading", path())?;
    let symlink_target = read_symlink(repo, name)?;
    let xattrs = match repo.mode() {
        RepoMode::BareSplitXattrs => load_split_xattrs(repo, name)?,
        RepoMode::BareUserOnly => Xattrs::default(),
        _ if repo.config().disable_xattrs => Xattrs::default(),
        _ => repo
            .at_object(&name, |dir, file_name| read_xattrs_at(dir, file_name.as_bytes()))
            .during("reading xattrs of", path())?,
    };
    let (uid, gid) = match repo.mode() {
        RepoMode::BareUserOnly => (0, 0),
        _ => (stat.st_uid, stat.st_gid),
    };
    Ok((FileHeader { uid, gid, mode: stat.st_mode, symlink_target, xattrs }, 0, None))
}

fn read_symlink(repo: &Repo, name: ObjectName) -> Result<String> {
    let target = repo
        .at_object(&name, |dir, file_name| rustix::fs::readlinkat(dir, file_name, Vec::new()))
        .during("reading", repo.object_path(&name))?;
    target
        .into_string()
        .map_err(|_| DecodeError::new("the symlink's target is not valid UTF-8"))
        .of_object(name)
}

/// bare-split-xattrs: the object's `.file-xattrs-link` is a hard link to the xattrs.
fn load_split_xattrs(repo: &Repo, name: ObjectName) -> Result<Xattrs> {
    let link = ObjectName::new(name.checksum, ObjectType::FileXattrsLink);
    Xattrs::decode(&repo.load_metadata(&link)?).of_object(link)
}

fn read_metadata_xattr(file: &File) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0; 256];
    loop {
        match rustix::fs::fgetxattr(file, METADATA_XATTR, &mut buffer[..]) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            // The kernel's limit is 64 KiB.
            Err(Errno::RANGE) if buffer.len() < 1 << 16 => buffer.resize(buffer.len() * 4, 0),
            Err(error) => return Err(error),
        }
    }
}

fn read_target(file: File, name: ObjectName) -> Result<String> {
    let mut target = Vec::new();
    file.take(MAX_TARGET + 1).read_to_end(&mut target).during("reading", name.to_string())?;
    if let Some(end) = target.iter().position(|&byte| byte == 0) {
        target.truncate(end);
    }
    String::from_utf8(target)
        .map_err(|_| DecodeError::new("the symlink's target is not valid UTF-8"))
        .of_object(name)
}
