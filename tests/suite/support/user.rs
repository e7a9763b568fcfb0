//! Another user than root, and what belongs to it.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::lchown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Gid, Mode, OFlags, Uid, fchown, mkdirat, openat};

use super::is_root;

/// A user without processes of its own.
pub const OTHER_USER: u32 = 65_000;

/// Shell commands after which no thread can be created. They do not limit root.
pub const NO_THREADS: &str = "ulimit -u 1 2>/dev/null || ulimit -p 1";

/// Makes root run a command as [`OTHER_USER`].
pub fn as_other_user(command: &mut Command) {
    if is_root() {
        command.uid(OTHER_USER).gid(OTHER_USER);
    }
}

/// Gives a tree to [`OTHER_USER`] if root has made it.
pub fn give_away(root: &Path) {
    if is_root() {
        for entry in walkdir::WalkDir::new(root) {
            lchown(entry.unwrap().path(), Some(OTHER_USER), Some(OTHER_USER)).unwrap();
        }
    }
}

/// Makes directories within each other, which [`OTHER_USER`] owns if root makes them, and returns
/// the last one.
pub fn make_deep(top: &Path, levels: usize) -> OwnedFd {
    fs::create_dir(top).unwrap();
    let mut deepest: OwnedFd = fs::File::open(top).unwrap().into();
    let give = |directory: &OwnedFd| {
        if is_root() {
            let (user, group) = (Uid::from_raw(OTHER_USER), Gid::from_raw(OTHER_USER));
            fchown(directory, Some(user), Some(group)).unwrap();
        }
    };
    give(&deepest);
    for _ in 0..levels {
        mkdirat(&deepest, "d", Mode::from_raw_mode(0o755)).unwrap();
        deepest = openat(&deepest, "d", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        give(&deepest);
    }
    deepest
}
