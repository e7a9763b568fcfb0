//! The reading commands, against the output of the real `ostree`: stored (2026.4) and fresh
//! (whichever is installed).

use std::fs;
use std::path::Path;

use crate::support::{
    assert_same_text, expected, extract_repo, golden_commit, osier, ostree, scratch,
};

/// What a command prints about a golden repository is what 2026.4 printed.
#[track_caller]
fn prints(repo: &str, arguments: &[&str], stored: &str) {
    let directory = scratch();
    let Some(path) = extract_repo(repo, directory.path()) else { return };
    let output = osier().repo(&path, arguments);
    assert_eq!((output.status, &output.stderr[..]), (0, &b""[..]), "{output:?}");
    assert_same_text(&output.command, ("osier", &output.stdout), (stored, &expected(stored)));
}

#[test]
fn golden_listings_are_reproduced() {
    for name in ["c1", "c2", "c3"] {
        let commit = golden_commit(name);
        prints("archive", &["ls", "-RCX", &commit, "/"], &format!("ls-RCX.{name}.txt"));
        prints(
            "archive",
            &["ls", "-R", "--nul-filenames-only", &commit],
            &format!("ls-nul.{name}.bin"),
        );
    }
    for repo in ["bare-split-xattrs", "bare-user-only"] {
        prints(repo, &["ls", "-RCX", "golden/x86_64/main"], &format!("ls-RCX.{repo}.txt"));
    }
}

#[test]
fn golden_commits_are_shown_as_stored() {
    for name in ["c1", "c2", "c3"] {
        let commit = golden_commit(name);
        prints("archive", &["show", &commit], &format!("show.{name}.txt"));
        prints("archive", &["show", "--raw", &commit], &format!("show-raw.{name}.txt"));
    }
    let c3 = golden_commit("c3");
    prints("archive", &["log", "golden/x86_64/main"], "log.txt");
    prints("archive", &["show", "--print-sizes", &c3], "sizes.c3.txt");
    prints(
        "archive",
        &["show", "--print-detached-metadata-key=ostree.sign.ed25519", &c3],
        "ed25519-sig.c3.txt",
    );
}

#[test]
fn golden_refs_are_listed_in_name_order() {
    prints("archive", &["refs"], "refs.txt");
    prints("archive", &["refs", "-A"], "refs-alias.txt");
    prints("archive", &["refs", "-c"], "refs-collections.txt");
    prints("archive", &["refs", "-r"], "refs-revision.txt");
}

#[test]
fn golden_checksum_is_reproduced() {
    let directory = scratch();
    let file = directory.path().join("hello");
    fs::write(&file, "#!/bin/sh\necho hello\n").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    if !crate::support::needs_root() {
        return;
    }
    let output = osier().run(["checksum".as_ref(), "--ignore-xattrs".as_ref(), file.as_os_str()]);
    assert_eq!(
        output.line(),
        String::from_utf8(expected("checksum-hello.txt")).unwrap().trim_end()
    );
}

/// How much of two outputs must agree.
#[derive(Clone, Copy, PartialEq)]
enum Agree {
    /// Everything.
    Exactly,
    /// The lines in any order: 2022.7 lists refs in the order of a hash table, 2026.4 by name
    /// (FORMAT 12).
    InAnyOrder,
}

/// Runs both programs and compares standard output, standard error and exit status.
#[track_caller]
fn same(repo: &Path, arguments: &[&str], agree: Agree) {
    let Some(ostree) = ostree() else { return };
    let (theirs, ours) = (ostree.repo(repo, arguments), osier().repo(repo, arguments));
    let order = |text: &[u8]| {
        let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        if agree == Agree::InAnyOrder {
            lines.sort_unstable();
        }
        lines.concat()
    };
    assert_same_text(
        &ours.command,
        ("osier", &order(&ours.stdout)),
        ("ostree", &order(&theirs.stdout)),
    );
    // The help before a usage error has more options in osier, which are 2026.4's.
    let message = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        if text.starts_with("Usage:") {
            text.lines().last().unwrap_or_default().to_owned()
        } else {
            text
        }
    };
    assert_eq!(
        (message(&ours.stderr), ours.status),
        (message(&theirs.stderr), theirs.status),
        "{ours:?}"
    );
}

const MAIN: &str = "golden/x86_64/main";
/// A dirmeta and a dirtree that all golden repositories have, and names of no object.
const DIRMETA: &str = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488";
const EMPTY_DIRTREE: &str = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
const NOTHING: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[test]
fn ls_and_cat_agree_with_the_real_program() {
    let directory = scratch();
    for repo in ["archive", "bare", "bare-user"] {
        let Some(repo) = extract_repo(repo, directory.path()) else { continue };
        let paths = [
            "/",
            "",
            "//",
            "///",
            "usr",
            "/usr/",
            "//usr//bin",
            "/usr/../usr/bin",
            ".",
            "./usr",
            "/nosuch",
            "/nosuch/x",
            "/usr/bin/hello",
            "/usr/bin/hello/",
            "/usr/bin/hello/x",
            "/usr/lib/lib.so",
            "/usr/lib/dangling",
            "/usr/lib/absolute",
            "usr/share/tab\tand\nnewline",
            "/usr/share/empty",
            "/empty-dir",
        ];
        for path in paths {
            for options in [
                &["ls"][..],
                &["ls", "-d"],
                &["ls", "-RCX"],
                &["ls", "-R", "--nul-filenames-only"],
                &["cat"],
            ] {
                same(&repo, &[options, &[MAIN, path]].concat(), Agree::Exactly);
            }
        }
        same(&repo, &["ls", MAIN, "/usr/bin/hello", "/nosuch", "/etc"], Agree::Exactly);
        same(&repo, &["cat", MAIN, "/usr/bin/hello", "/usr/lib/lib.so", "/nosuch"], Agree::Exactly);
        for arguments in [
            &["ls"][..],
            &["ls", "nosuch"],
            &["ls", MAIN],
            &["ls", "-dR", MAIN],
            &["ls", DIRMETA],
            &["cat"],
            &["cat", MAIN],
            &["cat", "nosuch", "/x"],
        ] {
            same(&repo, arguments, Agree::Exactly);
        }
    }
}

#[test]
fn symbolic_links_in_a_circle_are_an_error() {
    let directory = scratch();
    let Some(ostree) = ostree() else { return };
    let (repo, tree) = (directory.path().join("repo"), directory.path().join("tree"));
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("file"), "content\n").unwrap();
    for (target, link) in [("b", "a"), ("a", "b"), ("file", "l1"), ("l1", "l2"), ("/l2", "l3")] {
        std::os::unix::fs::symlink(target, tree.join(link)).unwrap();
    }
    ostree.repo(&repo, ["init", "--mode=archive"]).success();
    ostree.repo(&repo, ["commit", "-b", "m", tree.to_str().unwrap()]).success();
    assert_eq!(osier().repo(&repo, ["cat", "m", "l3"]).success(), "content\n");
    // The real program crashes here.
    assert_eq!(
        osier().repo(&repo, ["cat", "m", "/a"]).failure(),
        "/a: Too many levels of symbolic links"
    );
}

#[test]
fn show_agrees_with_the_real_program() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let key = |name: &str| format!("--print-metadata-key={name}");
    let detached = |name: &str| format!("--print-detached-metadata-key={name}");
    let c1 = golden_commit("c1");
    for name in
        ["version", "u32", "i64", "y", "bool", "d", "as", "ay", "dict", "maybe", "tuple", "nosuch"]
    {
        let name = if name == "version" { name.to_owned() } else { format!("org.example.{name}") };
        same(&repo, &["show", &key(&name), &c1], Agree::Exactly);
        same(&repo, &["show", "-B", &key(&name), &c1], Agree::Exactly);
    }
    for arguments in [
        &["show"][..],
        &["show", "nosuch"],
        &["show", ""],
        &["show", "1"],
        &["show", "golden/two", "more"],
        &["show", NOTHING],
        &["show", DIRMETA],
        &["show", "--raw", DIRMETA],
        &["show", "-B", DIRMETA],
        &["show", EMPTY_DIRTREE],
        &["show", "--raw", EMPTY_DIRTREE],
        &["show", "-B", &c1],
        &["show", "--raw", "-B", &c1],
        &["show", "--raw", "golden/two"],
        &["show", &c1[..10]],
        &["show", "--print-related", "golden/two"],
        &["show", "--print-sizes", &c1],
        &["show", "--print-sizes", MAIN],
        &["show", "--print-sizes", "nosuch"],
        &["show", "--print-related", "--print-sizes", &c1],
        &["show", "--print-sizes", "--raw", MAIN],
        &["show", &key("x"), DIRMETA],
        &["show", &key("x"), "nosuch"],
        &["show", &key("version"), &detached("x"), MAIN],
        &["show", &detached("x"), &c1],
        &["show", &detached("ostree.sign.ed25519"), MAIN],
        &["show", &detached("org.example.detached"), "golden/x86_64/main^"],
    ] {
        same(&repo, arguments, Agree::Exactly);
    }
    let listed = String::from_utf8(expected("ls-RCX.c1.txt")).unwrap();
    let files = listed
        .lines()
        .filter(|line| !line.starts_with('d'))
        .filter_map(|line| line.split_whitespace().nth(4));
    for file in files.take(20) {
        same(&repo, &["show", file], Agree::Exactly);
        same(&repo, &["show", "--raw", file], Agree::Exactly);
    }
    let dirmeta = repo.join(format!("objects/{}/{}.dirmeta", &DIRMETA[..2], &DIRMETA[2..]));
    for ty in ["(uuua(ayay))", "ay", "u", "(ttt)"] {
        same(
            &repo,
            &["show", "--print-variant-type", ty, dirmeta.to_str().unwrap()],
            Agree::Exactly,
        );
    }
    same(&repo, &["show", "--print-variant-type=u", "nosuch"], Agree::Exactly);
}

#[test]
fn show_prints_what_only_2026_has() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let c2 = golden_commit("c2");
    let keys = osier().repo(&repo, ["show", "--list-metadata-keys", &c2]).success();
    assert_eq!(keys, "ostree.collection-binding\nostree.ref-binding\nversion\n");
    let keys = osier().repo(&repo, ["show", "--list-detached-metadata-keys", &c2]).success();
    assert_eq!(keys, "org.example.detached\nostree.sign.ed25519\nostree.sign.spki\n");
    let c1 = golden_commit("c1");
    let hex = osier()
        .repo(&repo, ["show", "--print-hex", "--print-metadata-key=org.example.ay", &c1])
        .success();
    assert_eq!(hex, "627974657300\n");
    let text =
        osier().repo(&repo, ["show", "--print-hex", "--print-metadata-key=version", &c1]).success();
    assert_eq!(text, "'1.0'\n");
    // It is looked at only where there is a signature of OpenPGP.
    osier().repo(&repo, ["show", "--gpg-homedir=/x", &c1]).success();
}

#[test]
fn a_gpg_signed_commit_is_shown_with_its_signatures() {
    let directory = scratch();
    let Some(repo) = extract_repo("gpg", directory.path()) else { return };
    let shown = osier().repo(&repo, ["show", "signed"]).success();
    assert!(
        shown.starts_with(
            "commit 45ee9e5f01fedb8cfedefd898495a483fa6875993b0d701a8beb043bb097f5a6\n"
        ),
        "{shown}"
    );
    let heading = "(no subject)\n\nFound 1 signature:\n\n  Signature made ";
    let end = "\n  Can't check signature: public key not found\n";
    assert!(shown.contains(heading) && shown.ends_with(end), "{shown}");
    let raw = osier().repo(&repo, ["show", "--raw", "signed"]).success();
    assert!(raw.ends_with(end), "{raw}");
    for (option, message) in [
        ("--gpg-homedir=/no/such", "opendir(/no/such): No such file or directory"),
        ("--gpg-verify-remote=absent", "Remote \"absent\" not found"),
    ] {
        assert_eq!(osier().repo(&repo, ["show", option, "signed"]).failure(), message);
    }
    osier().repo(&repo, ["show", "--gpg-verify-remote=auto", "signed"]).success();
    same(&repo, &["log", "signed"], Agree::Exactly);
}

#[test]
fn log_rev_parse_and_summary_agree_with_the_real_program() {
    let directory = scratch();
    let Some(archive) = extract_repo("archive", directory.path()) else { return };
    for arguments in [
        &["log"][..],
        &["log", "nosuch"],
        &["log", MAIN],
        &["log", "--raw", MAIN],
        &["log", NOTHING],
        &["rev-parse"],
        &["rev-parse", MAIN, "golden/two"],
        &["rev-parse", MAIN, "nosuch", MAIN],
        &["rev-parse", "-S"],
        &["rev-parse", "-S", MAIN],
        &["rev-parse", ""],
        &["rev-parse", "1"],
        &["rev-parse", "6d7db1"],
        &["rev-parse", "golden/x86_64/main^^"],
        &["rev-parse", "golden/x86_64/main^^^"],
        &["rev-parse", "^"],
        &["rev-parse", "bad ref"],
        &["rev-parse", "third/ref"],
        &["rev-parse", "third:third/ref"],
        &["rev-parse", "nosuch:x"],
        &["rev-parse", NOTHING],
        &["rev-parse", &format!("{NOTHING}^")],
        &["rev-parse", "AAAA"],
        &["summary"],
        &["summary", "--view"],
        &["summary", "--raw"],
        &["summary", "--raw", "--view"],
    ] {
        same(&archive, arguments, Agree::Exactly);
    }
    let Some(pruned) = extract_repo("pruned", directory.path()) else { return };
    same(&pruned, &["log", "line"], Agree::Exactly);
    same(&pruned, &["log", "--raw", "line"], Agree::Exactly);
    same(&pruned, &["summary", "--view"], Agree::Exactly);
}

#[test]
fn refs_agree_with_the_real_program() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    for arguments in [
        &["refs"][..],
        &["refs", "golden"],
        &["refs", "golden/"],
        &["refs", "golden/x86_64"],
        &["refs", "golden/tag"],
        &["refs", "--list", "golden"],
        &["refs", "--list", "golden/tag"],
        &["refs", "nosuch"],
        &["refs", "third:"],
        &["refs", "third:."],
        &["refs", "third:third"],
        &["refs", "--list", "third:third"],
        &["refs", "third"],
        &["refs", "third:third/ref"],
        &["refs", "nosuch:"],
        &["refs", "nosuch:x"],
        &["refs", "bad ref"],
        &["refs", "golden", "nosuch", "golden/x86_64"],
        &["refs", "-A"],
        &["refs", "-A", "golden"],
        &["refs", "-A", "nosuch"],
        &["refs", "-c"],
        &["refs", "-c", "org.example.Other"],
        &["refs", "-c", "bad"],
        &["refs", "-c", "org.example.Third", "org.example.Golden"],
        &["refs", "-A", "-c"],
        &["refs", "--delete"],
        &["refs", "--create"],
        &["refs", "--create=x"],
        &["refs", "--create=x", "nosuch"],
        &["refs", "--force"],
        &["refs", "--create=x", MAIN, MAIN],
        &["refs", "--create=golden/x86_64", MAIN],
        &["refs", "--create=bad ref", MAIN],
        &["refs", "--create=golden/two/x", MAIN],
        &["refs", "--create=golden/two", MAIN],
        &["refs", "--create=:x", MAIN],
        &["refs", "--create=rem:", MAIN],
        &["refs", &format!("--create={NOTHING}"), MAIN],
        &["refs", "--create=6d7db1", MAIN],
        &["refs", "--create=golden/tag^", MAIN],
        &["refs", "-A", "--create=golden/two", "golden/tag"],
        &["refs", "-A", "--create=a", "nosuch"],
        &["refs", "-A", "--create=third:x", "golden/two"],
        &["refs", "-A", "--create=bad ref", "golden/two"],
        &["refs", "-A", "--create=a", "third/ref"],
        &["refs", "-A", "--create=a", "6d7db1"],
        &["refs", "-A", "--create=a"],
        &["refs", "-c", "--create=bad:new", MAIN],
        &["refs", "-c", "--create=new", MAIN],
        &["refs", "-c", "--create=org.example.New:bad ref", MAIN],
        &["refs", "-c", "--create=org.example.New:x", "nosuch"],
        &["refs", "-c", "--delete", "bad"],
        &["refs", "--delete", "golden/x86_64/main"],
        &["refs", "--delete", "golden/x86_64"],
        &["reset"],
        &["reset", "a"],
        &["reset", "a", "b"],
        &["reset", MAIN, "nosuch"],
        &["reset", "bad ref", MAIN],
        &["reset", "golden", MAIN],
        &["reset", "6d7db1", MAIN],
        &["reset", NOTHING, MAIN],
        &["reset", "third/ref", MAIN],
    ] {
        same(&repo, arguments, Agree::InAnyOrder);
    }
}

/// One command on two copies of a golden repository, one for each program; the copies must be the
/// same afterwards.
#[track_caller]
fn changes_alike(steps: &[&[&str]]) {
    let Some(ostree) = ostree() else { return };
    let (left, right) = (scratch(), scratch());
    let Some(theirs) = extract_repo("archive", left.path()) else { return };
    let Some(ours) = extract_repo("archive", right.path()) else { return };
    for step in steps {
        let (expected, found) = (ostree.repo(&theirs, *step), osier().repo(&ours, *step));
        assert_eq!(
            (found.status, &found.stdout),
            (expected.status, &expected.stdout),
            "{expected:?}\n{found:?}"
        );
        assert_eq!(
            String::from_utf8_lossy(&found.stderr),
            String::from_utf8_lossy(&expected.stderr)
        );
        crate::support::assert_same_repository(&theirs, &ours);
    }
}

#[test]
fn refs_are_created_and_deleted_as_by_the_real_program() {
    changes_alike(&[
        &["refs", "--create=x", MAIN],
        &["refs", "--create=x", "golden/two"],
        &["refs", "--create=x", "--force", "golden/two"],
        &["refs", "--create=new/deep/ref", "golden/two"],
        &["refs", "--create=rem:x", MAIN],
        &["refs", "--create=third/ref", MAIN],
        &["refs", "--create=x/y", MAIN],
        &["refs", "--create=golden/x86_64", MAIN],
        &["refs", "--delete", "golden/tag"],
        &["refs", "--delete", "new", "x"],
        &["refs", "--create=new", MAIN],
        &["refs", "--delete", "nosuch"],
        &["refs", "--delete", "third:third"],
        &["refs", "--delete", "golden/alias"],
        &["refs", "--delete", MAIN],
    ]);
}

#[test]
fn aliases_and_collection_refs_are_created_as_by_the_real_program() {
    changes_alike(&[
        &["refs", "-A", "--create=al", "golden/two"],
        &["refs", "-A", "--create=al", "golden/tag"],
        &["refs", "-A", "--create=a/b/c", "golden/alias"],
        &["refs", "-A", "--create=golden/two", "golden/tag", "--force"],
        &["refs", "-c", "--create=org.example.Golden:new", MAIN],
        &["refs", "-c", "--create=org.example.New:new", MAIN],
        &["refs", "-c", "--create=org.example.New:new", "golden/tag"],
        &["refs", "-c", "--delete", "org.example.New"],
        &["refs", "-c", "--delete", "org.example.Nosuch"],
        &["reset", "al", "golden/empty-body"],
        &["reset", "third:third/ref", MAIN],
        &["reset", MAIN, "golden/x86_64/main^"],
    ]);
}

#[test]
fn checksum_agrees_with_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let tree = directory.path();
    fs::write(tree.join("file"), "content").unwrap();
    fs::create_dir(tree.join("dir")).unwrap();
    std::os::unix::fs::symlink("dir", tree.join("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", tree.join("dangling")).unwrap();
    if crate::support::needs_user_xattrs() {
        for name in ["file", "dir"] {
            let set = |key, value: &[u8]| {
                rustix::fs::setxattr(tree.join(name), key, value, rustix::fs::XattrFlags::empty())
            };
            set("user.b", b"2").unwrap();
            set("user.a", b"").unwrap();
        }
    }
    for path in
        ["file", "dir", "link", "dangling", "dir/", "link/", ".", "dir/../file", "nosuch", "file/x"]
    {
        for arguments in [&["checksum", path][..], &["checksum", "--ignore-xattrs", path]] {
            let (theirs, ours) = (
                ostree.clone().in_directory(tree).run(arguments),
                osier().in_directory(tree).run(arguments),
            );
            assert_eq!(
                (&ours.stdout, ours.status),
                (&theirs.stdout, theirs.status),
                "{theirs:?}\n{ours:?}"
            );
            assert_eq!(
                String::from_utf8_lossy(&ours.stderr),
                String::from_utf8_lossy(&theirs.stderr)
            );
        }
    }
    assert_eq!(osier().run(["checksum"]).failure(), "A filename must be given");
}
