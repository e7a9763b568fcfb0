//! SELinux labels: commits and checkouts with a policy, held against the real program.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use osier::labels::{Epoch, Policy};
use rustix::fs::lgetxattr;

use crate::support::{needs_root, osier, ostree, scratch};

const CONTEXTS: &str = "\
/.*\tu:r:default_t:s0
/\tu:r:root_t:s0
/mnt\t-d\tu:r:mnt_t:s0
/etc/.*\tu:r:etc_t:s0
/usr/bin(/.*)?\tu:r:bin_t:s0
/usr/bin/tool\t--\tu:r:tool_t:s0
/usr/lib/[^/]*\\.so\t--\tu:r:lib_t:s0
/tmp/.*\t<<none>>
";

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// A tree with a policy in `etc`, which is `etc` or `usr/etc`.
fn make_policy(root: PathBuf, etc: &str) -> PathBuf {
    let selinux = root.join(etc).join("selinux");
    let files = selinux.join("targeted/contexts/files");
    write(&selinux.join("config"), "# comment\nSELINUX=enforcing\nSELINUXTYPE=targeted\n");
    write(&selinux.join("targeted/policy/policy.33"), "not looked into");
    write(&files.join("file_contexts"), CONTEXTS);
    write(&files.join("file_contexts.homedirs"), "/home/[^/]+\t-d\tu:r:home_t:s0\n");
    write(&files.join("file_contexts.local"), "/usr/bin/l.*\tu:r:local_t:s0\n");
    write(&files.join("file_contexts.subs_dist"), "/lib /usr/lib\n/lib64 /usr/lib\n");
    write(&files.join("file_contexts.subs"), "/opt/lib /lib64\n");
    root
}

const FILES: [(&str, &str); 9] = [
    ("usr/bin/tool", "u:r:tool_t:s0"),
    ("usr/bin/other", "u:r:bin_t:s0"),
    ("usr/bin/lister", "u:r:local_t:s0"),
    ("lib/a.so", "u:r:lib_t:s0"),
    ("lib64/b.so", "u:r:lib_t:s0"),
    ("opt/lib/c.so", "u:r:lib_t:s0"),
    ("etc/passwd", "u:r:etc_t:s0"),
    ("usr/etc/passwd", "u:r:default_t:s0"),
    ("proc/cmdline", "u:r:default_t:s0"),
];
/// Upstream labels it as `/mnt`.
const DIRECTORIES: [(&str, &str); 4] = [
    ("", "u:r:root_t:s0"),
    ("proc", "u:r:mnt_t:s0"),
    ("home/joe", "u:r:home_t:s0"),
    ("usr/bin", "u:r:bin_t:s0"),
];

fn make_tree(root: PathBuf) -> PathBuf {
    for (name, _) in FILES {
        write(&root.join(name), name);
    }
    for (name, _) in DIRECTORIES {
        fs::create_dir_all(root.join(name)).unwrap();
    }
    write(&root.join("tmp/unlabelled"), "");
    symlink("tool", root.join("usr/bin/link")).unwrap();
    root
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// What `ls -X` shows of one path, up to the path itself.
fn label(repo: &Path, commit: &str, path: &str) -> Option<String> {
    let line = osier().repo(repo, ["ls", "-dX", commit, &format!("/{path}")]).line();
    let (_, rest) = line.split_once("(b'security.selinux', b'")?;
    Some(rest.split_once('\'').unwrap().0.to_owned())
}

#[test]
fn every_file_directory_and_symlink_of_a_commit_gets_its_label() {
    let dir = scratch();
    let (policy, tree) =
        (make_policy(dir.path().join("p"), "etc"), make_tree(dir.path().join("t")));
    let repo = dir.path().join("r");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let arguments = ["commit", "--orphan", "--selinux-policy", text(&policy), text(&tree)];
    let commit = osier().repo(&repo, arguments).line();
    for (name, expected) in
        FILES.into_iter().chain(DIRECTORIES).chain([("usr/bin/link", "u:r:local_t:s0")])
    {
        assert_eq!(label(&repo, &commit, name).as_deref(), Some(expected), "{name}");
    }
    assert_eq!(label(&repo, &commit, "tmp/unlabelled"), None);
}

#[test]
fn labels_are_the_real_programs() {
    let Some(ostree) = ostree() else { return };
    let dir = scratch();
    let policy = make_policy(dir.path().join("p"), "etc");
    let base = make_policy(make_tree(dir.path().join("b")), "usr/etc");
    let tree = make_tree(dir.path().join("t"));
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let repo = dir.path().join("r");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    for (name, source) in [("based", &base), ("policy-in-etc", &policy), ("plain", &tree)] {
        osier().repo(&repo, ["commit", "-b", name, text(source)]).success();
    }
    let archive = dir.path().join("t.tar");
    let tar = std::process::Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&tree)
        .arg("usr/bin")
        .status();
    assert!(tar.unwrap().success());
    let (policy, base, tree, empty) = (text(&policy), text(&base), text(&tree), text(&empty));
    let in_tree = format!("--tree=dir={tree}");
    let in_archive = format!("--tree=tar={}", text(&archive));
    for arguments in [
        &["--selinux-policy", policy, tree][..],
        &["--selinux-policy", base, tree],
        &["--selinux-policy", empty, tree],
        &["--selinux-policy", "/nonexistent", tree],
        &["--selinux-policy", policy, "--no-xattrs", tree],
        &["--selinux-policy", policy, "--canonical-permissions", tree],
        &["--selinux-policy", policy, "--tree=ref=plain"],
        &["--selinux-policy", policy, "--tar-autocreate-parents", &in_archive],
        &["--selinux-policy", policy, "-P", tree],
        &["-P", base],
        &["-P", tree],
        &["-P", &format!("--tree=dir={base}"), &in_tree],
        &["-P", "--tree=ref=based", &in_tree],
        &["-P", "--tree=ref=policy-in-etc", &in_tree],
        &["-P", "--base=based", &in_tree],
        &["-P", "--base=based", &in_archive, "--tar-autocreate-parents"],
        &["-P", &in_archive],
    ] {
        let commit = ["commit", "--orphan", "--timestamp=@1000000000"];
        let arguments: Vec<&str> = commit.iter().chain(arguments).copied().collect();
        let (ours, theirs) = (osier().repo(&repo, &arguments), ostree.repo(&repo, &arguments));
        assert_eq!(ours.stdout, theirs.stdout, "{arguments:?}");
        assert_eq!(ours.stderr, theirs.stderr, "{arguments:?}");
    }
}

#[test]
fn a_checkout_is_labelled_by_its_path_in_the_commit_or_by_the_prefix() {
    if !needs_root() {
        return;
    }
    let dir = scratch();
    let (policy, tree) =
        (make_policy(dir.path().join("p"), "etc"), make_tree(dir.path().join("t")));
    let repo = dir.path().join("r");
    osier().repo(&repo, ["init", "--mode=bare"]).success();
    osier().repo(&repo, ["commit", "-b", "main", text(&tree)]).success();
    let out = dir.path().join("out");
    let labels = |options: &[&str], names: &[&str]| -> Vec<Option<String>> {
        let _ = fs::remove_dir_all(&out);
        let arguments =
            [&["checkout", "--selinux-policy", text(&policy)], options, &["main", text(&out)]]
                .concat();
        osier().repo(&repo, arguments).success();
        let label = |name: &&str| {
            let mut value = [0; 100];
            let length = lgetxattr(out.join(name), "security.selinux", &mut value).ok()?;
            Some(String::from_utf8(value[..length].to_vec()).unwrap())
        };
        names.iter().map(label).collect()
    };
    let some = |labels: &[&str]| {
        labels.iter().map(|label| Some(format!("u:r:{label}:s0\0"))).collect::<Vec<_>>()
    };
    let names = ["", "proc", "usr/bin", "usr/bin/tool", "usr/bin/link"];
    assert_eq!(labels(&[], &names), some(&["root_t", "mnt_t", "bin_t", "tool_t", "local_t"]));
    assert_eq!(labels(&[], &["tmp/unlabelled"]), [None]);
    assert_eq!(labels(&["-U"], &["usr/bin/tool"]), [None]);
    assert_eq!(labels(&["--subpath=/usr/bin"], &["", "tool"]), some(&["bin_t", "tool_t"]));
    assert_eq!(labels(&["--subpath=/usr/bin/tool"], &["tool"]), some(&["tool_t"]));
    let prefixed = ["--selinux-prefix=/etc/", "--subpath=/usr"];
    assert_eq!(labels(&prefixed, &["", "bin/tool"]), some(&["default_t", "etc_t"]));
    // The repository's own files are not touched.
    let plain = dir.path().join("plain");
    osier().repo(&repo, ["checkout", "main", text(&plain)]).success();
    assert!(lgetxattr(plain.join("usr/bin/tool"), "security.selinux", &mut [0; 100]).is_err());
}

#[test]
fn options_that_do_not_go_together_are_refused_as_by_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let dir = scratch();
    let (policy, tree) =
        (make_policy(dir.path().join("p"), "etc"), make_tree(dir.path().join("t")));
    let repo = dir.path().join("r");
    osier().repo(&repo, ["init", "--mode=bare-user"]).success();
    osier().repo(&repo, ["commit", "-b", "main", text(&tree)]).success();
    let out = dir.path().join("out");
    for arguments in [
        &["checkout", "-H", "--selinux-policy", text(&policy), "main", text(&out)][..],
        &["checkout", "--selinux-prefix=/x", "main", text(&out)],
        &["checkout", "--selinux-policy=/nonexistent", "main", text(&out)],
    ] {
        let (ours, theirs) = (osier().repo(&repo, arguments), ostree.repo(&repo, arguments));
        assert_eq!(ours.failure(), theirs.failure(), "{arguments:?}");
    }
    let unknown = osier()
        .repo(&repo, ["commit", "--orphan", "--selinux-labeling-epoch=2", text(&tree)])
        .failure();
    assert_eq!(unknown, "Unknown SELinux labeling epoch: 2");
}

#[test]
fn from_epoch_1_on_usr_etc_is_labelled_as_etc() {
    let dir = scratch();
    let policy = || Policy::open(&make_policy(dir.path().join("p"), "usr/etc")).unwrap().unwrap();
    let label =
        |policy: &Policy, path: &str| policy.label(path, 0o100_644).unwrap().map(str::to_owned);
    let (zero, one) = (policy(), policy().with_epoch(Epoch::One));
    assert_eq!(label(&zero, "/usr/etc/passwd").as_deref(), Some("u:r:default_t:s0"));
    assert_eq!(label(&one, "/usr/etc/passwd").as_deref(), Some("u:r:etc_t:s0"));
    assert_eq!(label(&one, "/usr/etcetera").as_deref(), Some("u:r:default_t:s0"));
    assert_eq!(label(&one, "/usr/bin/tool").as_deref(), Some("u:r:tool_t:s0"));
}

#[test]
fn a_bare_user_only_repository_stays_sound() {
    let dir = scratch();
    let (policy, tree) =
        (make_policy(dir.path().join("p"), "etc"), make_tree(dir.path().join("t")));
    let repo = dir.path().join("r");
    osier().repo(&repo, ["init", "--mode=bare-user-only"]).success();
    let arguments = ["commit", "-b", "main", "--selinux-policy", text(&policy), text(&tree)];
    let commit = osier().repo(&repo, arguments).line();
    osier().repo(&repo, ["fsck"]).success();
    assert_eq!(label(&repo, &commit, "usr/bin"), None);
}
