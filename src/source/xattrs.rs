//! Extended attributes of the tree's files, named in errors by their place in the tree.

use std::os::fd::BorrowedFd;

use crate::error::{During, Result};
use crate::object::Xattrs;
use crate::repo::{read_xattrs, read_xattrs_at};

/// The xattrs of an open file or directory; `shown_path` names it in errors.
pub(super) fn of_fd(fd: BorrowedFd<'_>, shown_path: impl Fn() -> String) -> Result<Xattrs> {
    read_xattrs(fd).or_else(|error| Err(error).calling("flistxattr", shown_path()))
}

/// The xattrs of a symbolic link; `shown_path` names it in errors.
pub(super) fn of_symlink(
    directory: BorrowedFd<'_>,
    name: &str,
    shown_path: impl Fn() -> String,
) -> Result<Xattrs> {
    read_xattrs_at(directory, name.as_bytes())
        .or_else(|error| Err(error).calling("llistxattr", shown_path()))
}
