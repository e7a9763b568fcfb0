//! The name by which the program is called.

use std::ffi::OsStr;
use std::path::Path;

/// Whether the program is called `ostree`; `program` is the name as typed.
pub(super) fn stands_in_for_ostree(program: &str) -> bool {
    Path::new(program).file_name() == Some(OsStr::new("ostree"))
}
