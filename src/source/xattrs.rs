//! Extended attributes as upstream records them: sorted by name, those with an empty value left out, as are those that
//! vanish while they are being read. A file system that knows no xattrs has none.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::fs::{fgetxattr, flistxattr, lgetxattr, llistxattr};
use rustix::io::{Errno, Result as OsResult};

use crate::object::Xattrs;

use crate::error::{During, Result};

/// The longest list of names and the longest value that Linux gives (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const MAX_LEN: usize = 64 * 1024;

/// The xattrs of an open file or directory; `shown_path` names it in errors.
pub fn of_fd(fd: BorrowedFd<'_>, shown_path: impl Fn() -> String) -> Result<Xattrs> {
    let read = read(|buffer| flistxattr(fd, buffer), |name, buffer| fgetxattr(fd, name, buffer));
    read.or_else(|(call, error)| Err(error).calling(call.of_fd(), shown_path()))
}

/// The xattrs of a symbolic link. There is no call for it that takes a descriptor, so it goes by way of `/proc`.
pub fn of_symlink(directory: BorrowedFd<'_>, name: &str, shown_path: impl Fn() -> String) -> Result<Xattrs> {
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let read = read(|buffer| llistxattr(&path, buffer), |name, buffer| lgetxattr(&path, name, buffer));
    read.or_else(|(call, error)| Err(error).calling(call.of_path(), shown_path()))
}

#[derive(Clone, Copy)]
enum Call {
    List,
    Get,
}

impl Call {
    fn of_fd(self) -> &'static str {
        match self {
            Self::List => "flistxattr",
            Self::Get => "fgetxattr",
        }
    }

    fn of_path(self) -> &'static str {
        match self {
            Self::List => "llistxattr",
            Self::Get => "lgetxattr",
        }
    }
}

fn read(
    list: impl Fn(&mut [u8]) -> OsResult<usize>,
    get: impl Fn(&CStr, &mut [u8]) -> OsResult<usize>,
) -> std::result::Result<Xattrs, (Call, Errno)> {
    let names = match with_room(list) {
        // The common case, without an allocation.
        Ok(names) if names.is_empty() => return Ok(Xattrs::default()),
        Ok(names) => names,
        Err(Errno::OPNOTSUPP) => return Ok(Xattrs::default()),
        Err(error) => return Err((Call::List, error)),
    };
    let mut pairs = Vec::new();
    for name in names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        match with_room(|buffer| get(name, buffer)) {
            Ok(value) if value.is_empty() => {}
            Ok(value) => pairs.push((name.to_bytes().to_owned(), value)),
            Err(Errno::NODATA) => {}
            Err(error) => return Err((Call::Get, error)),
        }
    }
    pairs.sort_unstable();
    Ok(Xattrs::from_pairs(pairs))
}

/// Gives a call a small buffer first, and the largest that can be needed if that is too small.
fn with_room(call: impl Fn(&mut [u8]) -> OsResult<usize>) -> OsResult<Vec<u8>> {
    let mut small = [0; 512];
    match call(&mut small) {
        Ok(len) => Ok(small[..len.min(small.len())].to_vec()),
        Err(Errno::RANGE) => {
            let mut large = vec![0; MAX_LEN];
            let len = call(&mut large)?;
            large.truncate(len);
            Ok(large)
        }
        Err(error) => Err(error),
    }
}
