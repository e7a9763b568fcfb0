//! Extended attributes of files, in the form used in objects.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::io::Errno;

use crate::object::Xattrs;

/// Reads all xattrs of an open file or directory, sorted by name. Those with an empty value and
/// those that disappear meanwhile are left out; a file system without xattrs yields none
/// (docs/format.md, section 7).
///
/// # Errors
/// The operating system's, for instance when a value may not be read.
pub fn read_xattrs(file: impl AsFd) -> Result<Xattrs, Errno> {
    let file = file.as_fd();
    collect(
        |buffer| rustix::fs::flistxattr(file, buffer),
        |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
    )
}

/// Reads all xattrs of the symlink `name` in an open directory, like [`read_xattrs`]. Symlinks
/// cannot be opened, so this goes through `/proc`.
///
/// # Errors
/// As [`read_xattrs`].
pub fn read_xattrs_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Xattrs, Errno> {
    let path = proc_path(dir, name);
    collect(
        |buffer| rustix::fs::llistxattr(&path[..], buffer),
        |name, buffer| rustix::fs::lgetxattr(&path[..], name, buffer),
    )
}

/// A path by which the entry `name` of an open directory can be reached without changing the
/// working directory.
pub(in crate::repo) fn proc_path(dir: BorrowedFd<'_>, name: &[u8]) -> Vec<u8> {
    let mut path = format!("/proc/self/fd/{}/", dir.as_raw_fd()).into_bytes();
    path.extend_from_slice(name);
    path
}

fn collect(
    list: impl Fn(&mut [u8]) -> Result<usize, Errno>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize, Errno>,
) -> Result<Xattrs, Errno> {
    let mut small = [0u8; 512];
    let mut large = Vec::new();
    let names: &[u8] = match list(&mut small) {
        Ok(0) | Err(Errno::NOTSUP) => return Ok(Xattrs::default()),
        Ok(length) => &small[..length],
        Err(Errno::RANGE) => read_growing(&mut large, &list)?,
        Err(error) => return Err(error),
    };
    let mut pairs = Vec::new();
    for name in names.split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        let mut value = Vec::new();
        match read_growing(&mut value, |buffer| get(name, buffer)) {
            Ok([]) | Err(Errno::NODATA) => {}
            Ok(_) => pairs.push((name.to_vec(), value)),
            Err(error) => return Err(error),
        }
    }
    // A FUSE file system may list a name twice.
    pairs.sort();
    pairs.dedup_by(|(later, _), (earlier, _)| later == earlier);
    Xattrs::from_pairs(pairs).map_err(|_| Errno::INVAL)
}

/// Reads a value whose length is not known; it may grow between asking for its length and reading
/// it.
fn read_growing(
    buffer: &mut Vec<u8>,
    read: impl Fn(&mut [u8]) -> Result<usize, Errno>,
) -> Result<&[u8], Errno> {
    // The kernel's limit is 64 KiB for a value and for the list of names.
    for size in [256, 4096, 1 << 16] {
        buffer.resize(size, 0);
        match read(buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::TOOBIG)
}
