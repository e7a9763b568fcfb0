//! Layers laid over each other with `--union --whiteouts`, and what `-H` insists on.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::support::{needs_user_xattrs, osier, ostree, scratch};

/// Commits a tree that `make` fills, as the branch of that name.
fn commit(at: &Path, branch: &str, make: impl FnOnce(&Path)) {
    let tree = at.join(branch);
    fs::create_dir(&tree).unwrap();
    make(&tree);
    let tree = format!("--tree=dir={}", tree.display());
    osier()
        .repo(&at.join("repo"), ["commit", "-b", branch, "--canonical-permissions", &tree])
        .success();
}

/// A repository with a layer that has a file, a link and a directory.
fn layer(at: &Path, mode: &str) {
    osier().repo(&at.join("repo"), ["init", &format!("--mode={mode}")]).success();
    commit(at, "layer", |tree| {
        fs::create_dir_all(tree.join("dir/below")).unwrap();
        fs::write(tree.join("dir/below/file"), "of the layer").unwrap();
        fs::write(tree.join("file"), "of the layer").unwrap();
        fs::write(tree.join("empty"), "").unwrap();
        symlink("target", tree.join("link")).unwrap();
    });
}

/// What is there already, each name of a kind that the layer does not have there.
fn make_obstacles(out: &Path) {
    for name in ["file", "empty", "link"] {
        fs::create_dir_all(out.join(name).join("deep/er")).unwrap();
        fs::write(out.join(name).join("deep/er/old"), "old").unwrap();
    }
    symlink("../victim", out.join("dir")).unwrap();
}

fn assert_is_the_layer(out: &Path, what: &str) {
    assert_eq!(fs::read(out.join("file")).unwrap(), b"of the layer", "{what}");
    assert_eq!(fs::read(out.join("empty")).unwrap(), b"", "{what}");
    assert_eq!(fs::read_link(out.join("link")).unwrap(), Path::new("target"), "{what}");
    assert!(out.join("dir").symlink_metadata().unwrap().is_dir(), "{what}");
    assert_eq!(fs::read(out.join("dir/below/file")).unwrap(), b"of the layer", "{what}");
}

#[test]
fn a_layer_with_whiteouts_replaces_entries_of_another_kind() {
    if !needs_user_xattrs() {
        return;
    }
    for mode in ["archive", "bare-user", "bare-user-only"] {
        for options in [&["-U"][..], &["-U", "-C"]] {
            let directory = scratch();
            let at = directory.path();
            layer(at, mode);
            let (out, victim) = (at.join("out"), at.join("victim"));
            fs::create_dir(&victim).unwrap();
            fs::write(victim.join("stays"), "").unwrap();
            fs::create_dir(&out).unwrap();
            make_obstacles(&out);
            fs::write(out.join("other"), "stays").unwrap();
            let arguments = [
                &["checkout", "--union", "--whiteouts"],
                options,
                &["layer", out.to_str().unwrap()],
            ];
            osier().repo(&at.join("repo"), arguments.concat()).success();
            assert_is_the_layer(&out, &format!("{mode} {options:?}"));
            assert_eq!(fs::read(out.join("other")).unwrap(), b"stays");
            let names: Vec<_> =
                fs::read_dir(&victim).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["stays"], "nothing is written or removed behind a link");
            // A file in the way of a directory, below one that stays.
            fs::remove_dir_all(out.join("dir/below")).unwrap();
            fs::write(out.join("dir/below"), "").unwrap();
            osier().repo(&at.join("repo"), arguments.concat()).success();
            assert_is_the_layer(&out, &format!("{mode} {options:?}"));
        }
    }
}

#[test]
fn without_both_options_an_entry_of_another_kind_is_an_error() {
    for options in [&["--union"][..], &["--whiteouts"], &["--union-add", "--whiteouts"]] {
        let directory = scratch();
        let at = directory.path();
        layer(at, "archive");
        let out = at.join("out");
        fs::create_dir(&out).unwrap();
        fs::create_dir(at.join("victim")).unwrap();
        make_obstacles(&out);
        let arguments = [&["checkout", "-U"], options, &["layer", out.to_str().unwrap()]].concat();
        assert_eq!(osier().repo(&at.join("repo"), arguments).status, 1, "{options:?}");
        assert!(out.join("file/deep/er/old").exists(), "{options:?}");
    }
}

#[test]
fn the_destination_itself_is_never_replaced() {
    let directory = scratch();
    let at = directory.path();
    layer(at, "archive");
    fs::write(at.join("out"), "mine").unwrap();
    let out = at.join("out");
    let output = osier().repo(
        &at.join("repo"),
        ["checkout", "-U", "--union", "--whiteouts", "layer", out.to_str().unwrap()],
    );
    assert_eq!((output.status, fs::read(out).unwrap()), (1, b"mine".to_vec()), "{output:?}");
}

/// A tree with one entry, by what it is.
fn make_entry(kind: &str, tree: &Path) {
    let file = tree.join("entry");
    match kind {
        "empty" => fs::write(&file, "").unwrap(),
        "link" => symlink("target", &file).unwrap(),
        "directory" => fs::create_dir(&file).unwrap(),
        _ => fs::write(&file, kind).unwrap(),
    }
    if kind == "unreadable" {
        fs::set_permissions(&file, fs::Permissions::from_mode(0o100)).unwrap();
    }
}

const ENTRIES: [&str; 5] = ["file", "empty", "link", "directory", "unreadable"];

#[test]
fn links_are_insisted_on_only_where_a_file_would_be_linked() {
    if !needs_user_xattrs() || !crate::support::needs_root() {
        return;
    }
    // The mode, the options, and which entries can be checked out.
    let cases: [(&str, &[&str], &[&str]); 6] = [
        ("archive", &["-H"], &["empty", "directory"]),
        ("archive", &["-H", "-U"], &["empty", "directory", "unreadable"]),
        ("bare-user", &["-H"], &["empty", "link", "directory"]),
        ("bare-user", &["-H", "-U"], &ENTRIES),
        ("bare-user-only", &["-H"], &ENTRIES),
        ("bare", &["-H", "-U"], &["empty", "directory", "unreadable"]),
    ];
    for (mode, options, expected) in cases {
        let directory = scratch();
        let at = directory.path();
        let repo = at.join("repo");
        osier().repo(&repo, ["init", &format!("--mode={mode}")]).success();
        let mut checked_out = Vec::new();
        for kind in ENTRIES {
            let tree = at.join(kind);
            fs::create_dir(&tree).unwrap();
            make_entry(kind, &tree);
            let tree = format!("--tree=dir={}", tree.display());
            osier()
                .repo(&repo, ["commit", "-b", kind, "--owner-uid=0", "--owner-gid=0", &tree])
                .success();
            let checkout = |program: crate::support::Program, out: &str| {
                let program = program.in_directory(at);
                let output = program.repo(&repo, [&["checkout"], options, &[kind, out]].concat());
                (
                    output.status,
                    String::from_utf8(output.stdout).unwrap(),
                    String::from_utf8(output.stderr).unwrap(),
                )
            };
            let ours = checkout(osier(), &format!("{kind}.ours"));
            if ours.0 == 0 {
                checked_out.push(kind);
            } else {
                assert!(
                    ours.2.contains("to hardlink\n") || ours.2.contains("cannot hardlink in user"),
                    "{}",
                    ours.2
                );
            }
            if let Some(ostree) = ostree() {
                assert_eq!(
                    ours,
                    checkout(ostree, &format!("{kind}.theirs")),
                    "{mode} {options:?} {kind}"
                );
            }
        }
        assert_eq!(checked_out, expected, "{mode} {options:?}");
    }
}
