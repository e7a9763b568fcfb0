//! The golden fixtures: repositories, trees and output of the real `ostree` 2026.4, see
//! tests/golden/README.md.

use std::path::{Path, PathBuf};

use super::{Program, has_xattrs, is_root, skip};

/// The repositories in `tests/golden/repos`.
pub const GOLDEN_REPOS: [&str; 8] = [
    "archive",
    "plain",
    "gpg",
    "pruned",
    "bare",
    "bare-user",
    "bare-user-only",
    "bare-split-xattrs",
];

/// The path of a fixture.
pub fn golden(relative: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(relative)
}

/// The bytes of a file in `tests/golden/expected`.
pub fn expected(name: &str) -> Vec<u8> {
    let path = golden("expected").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The id of a golden commit, by its name in `expected/commits.txt`.
pub fn golden_commit(name: &str) -> String {
    let table = String::from_utf8(expected("commits.txt")).unwrap();
    let found = table.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no commit {name} in commits.txt")).to_owned()
}

/// Unpacks a golden repository into `directory` and returns its path; skips where the machine
/// cannot hold it.
#[track_caller]
pub fn extract_repo(name: &str, directory: &Path) -> Option<PathBuf> {
    match name {
        "archive" | "plain" | "gpg" | "pruned" | "bare-user-only" => {}
        "bare-user" if !has_xattrs(directory, "user.osier") => {
            skip("the golden bare-user repository needs user xattrs");
            return None;
        }
        "bare-user" => {}
        _ if !can_hold_anything(directory) => return None,
        _ => {}
    }
    unpack(&golden(format!("repos/{name}.tar.gz")), directory);
    Some(directory.join(name))
}

/// Unpacks a golden input tree (`tree1` to `tree3`) into `directory/NAME`; skips where the machine
/// cannot hold it.
#[track_caller]
pub fn extract_tree(name: &str, directory: &Path) -> Option<PathBuf> {
    if !can_hold_anything(directory) {
        return None;
    }
    let tree = directory.join(name);
    std::fs::create_dir(&tree).unwrap();
    unpack(&golden(format!("trees/{name}.tar.gz")), &tree);
    Some(tree)
}

/// Whether owners, setuid bits and `trusted.*` xattrs survive unpacking.
#[track_caller]
fn can_hold_anything(directory: &Path) -> bool {
    let able =
        is_root() && has_xattrs(directory, "trusted.osier") && has_xattrs(directory, "user.osier");
    if !able {
        skip("this golden fixture needs root and trusted xattrs");
    }
    able
}

#[track_caller]
fn unpack(archive: &Path, directory: &Path) {
    let tar = Program::other("tar", "tar").in_directory(directory);
    let options = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "-xpzf"];
    let output = tar.run(options.iter().map(std::ffi::OsStr::new).chain([archive.as_os_str()]));
    assert_eq!(output.status, 0, "{output:?}");
}
