//! What the tests share: running programs, scratch directories, golden fixtures, comparing.
//!
//! Nothing skips silently: a test that needs something the machine lacks looks for it first, see
//! `optional.rs`.

// Other modules of the suite come and go; what they share need not be used by each of them.
#![allow(dead_code, unused_imports)]

pub mod archives;
mod compare;
mod dice;
mod fixtures;
pub mod gnupg;
pub mod nginx;
mod optional;
mod program;
mod server;
mod text;
pub mod user;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::XattrFlags;

pub use compare::{
    Entry, Snapshot, assert_same_repository, differences, masked_summary, raw_snapshot, snapshot,
};
pub use dice::Dice;
pub use fixtures::{GOLDEN_REPOS, expected, extract_repo, extract_tree, golden, golden_commit};
pub use optional::{
    find, has_programs, ksvalidator, lacks, program, search_path, search_path_after, skip,
    template_schema,
};
pub use program::{Output, Program, osier, osier_path, ostree, path_with_osier_as_ostree};
pub use server::{Asked, Server, Then, answer};
pub use text::assert_same_text;

/// Free bytes below which `/dev/shm` is not used for scratch directories.
const ENOUGH_SHARED_MEMORY: u64 = 1 << 30;

/// Whether strace works here; skips if not.
#[track_caller]
pub fn can_trace() -> bool {
    static CAN: OnceLock<bool> = OnceLock::new();
    let Some(strace) = program("strace") else { return false };
    let can = *CAN.get_or_init(|| strace.run(["-qq", "-o", "/dev/null", "true"]).status == 0);
    if !can {
        skip("strace cannot trace here");
    }
    can
}

/// Whether the tests run as root; skips if not.
#[track_caller]
pub fn needs_root() -> bool {
    let root = is_root();
    if !root {
        skip("needs root (owners, device nodes, trusted xattrs)");
    }
    root
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether the long forms of the tests run that have one: `OSIER_LONG_TESTS=1`.
pub fn long_tests() -> bool {
    std::env::var_os("OSIER_LONG_TESTS").is_some_and(|value| value == "1")
}

/// One of every `step` things in the short form of a test, each in the long form.
pub fn one_of(step: usize) -> usize {
    if long_tests() { 1 } else { step }
}

/// Copies a directory with everything in it and about it.
#[track_caller]
pub fn copy_all(from: &Path, to: &Path) {
    Program::other("cp", "cp").run(["-a".as_ref(), from.as_os_str(), to.as_os_str()]).success();
}

/// A fresh directory below [`scratch_root`] that goes away with the value.
pub fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("osier-test-").tempdir_in(scratch_root()).unwrap()
}

/// Where scratch directories are made: in memory where that has `user.*` xattrs and room (no time
/// lost in fsync), else in the temporary directory.
pub fn scratch_root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let room = rustix::fs::statvfs(memory)
            .is_ok_and(|s| s.f_bavail * s.f_frsize >= ENOUGH_SHARED_MEMORY);
        if room && has_xattrs(memory, "user.osier") {
            memory.to_owned()
        } else {
            std::env::temp_dir()
        }
    })
}

/// Whether an xattr of that name can be set on a file in `directory`.
pub fn has_xattrs(directory: &Path, name: &str) -> bool {
    let Ok(probe) = tempfile::NamedTempFile::new_in(directory) else { return false };
    rustix::fs::setxattr(probe.path(), name, b"1", XattrFlags::empty()).is_ok()
}

/// Whether scratch directories take `user.*` xattrs; skips if not.
#[track_caller]
pub fn needs_user_xattrs() -> bool {
    let there = has_xattrs(scratch_root(), "user.osier");
    if !there {
        skip("the scratch directory's file system has no user xattrs");
    }
    there
}
