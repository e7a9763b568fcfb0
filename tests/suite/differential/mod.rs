//! The same work done by the real `ostree` and by osier: same output, same status, same bytes, each
//! content with the other's repository.

mod commits;
mod compressed;
mod deltas;
mod exceptions;
mod pair;
mod reading;
mod scripts;

use std::io::Write;
use std::path::Path;

use crate::support::{is_root, long_tests, needs_user_xattrs, one_of, ostree, skip, snapshot};
use crate::trees::{Content, ContentKind, Meta, Node, Tree, for_trees, mixed_tree, trees};

use pair::Pair;

#[test]
fn generated_trees_become_the_same_repository_in_archive_mode() {
    generated_trees("archive", if long_tests() { 100 } else { 5 });
}

#[test]
fn generated_trees_become_the_same_repository_in_bare_mode() {
    generated_trees("bare", if long_tests() { 100 } else { 5 });
}

#[test]
fn generated_trees_become_the_same_repository_in_bare_user_mode() {
    generated_trees("bare-user", if long_tests() { 100 } else { 5 });
}

#[test]
fn generated_trees_become_the_same_repository_in_bare_user_only_mode() {
    generated_trees("bare-user-only", if long_tests() { 100 } else { 5 });
}

fn generated_trees(mode: &str, cases: u32) {
    if !able() {
        return;
    }
    for_trees(cases, trees(), |tree| {
        let Some(pair) = Pair::new() else { return };
        tree.build(&pair.path("tree"));
        pair.both(&["init", &format!("--mode={mode}")]);
        pair.both(&[
            "commit",
            "-b",
            "main",
            "--timestamp=@1700000000",
            "-s",
            "Generated",
            "--tree=dir=../tree",
        ]);
        pair.assert_same_repositories();
        reading::assert_read_alike(&pair, "main", &tree.file_paths());
        pair.assert_each_checks_the_other();
    });
}

#[test]
fn one_generated_tree_after_the_other_becomes_the_same_history() {
    if !able() {
        return;
    }
    let two =
        proptest::strategy::Strategy::prop_map((mixed_tree(), mixed_tree()), |(first, second)| {
            Tree {
                meta: Meta::default(),
                children: vec![
                    ("1".to_owned(), Node::Directory(first)),
                    ("2".to_owned(), Node::Directory(second)),
                ],
            }
        });
    for_trees(16, two, |tree| {
        let Some(pair) = Pair::new() else { return };
        tree.build(&pair.path("tree"));
        pair.both(&["init", "--mode=archive"]);
        let commit = ["commit", "-b", "main", "--timestamp=@1700000000", "--table-output"];
        for trees in
            [&["--tree=dir=../tree/1"][..], &["--tree=dir=../tree/2"], &["--tree=dir=../tree/1"]]
        {
            pair.both(&[&commit[..], trees].concat());
        }
        pair.both(&[&commit[..], &["--tree=dir=../tree/1", "--tree=dir=../tree/2"]].concat());
        pair.both(&[&commit[..], &["--canonical-permissions", "--tree=ref=main^"]].concat());
        pair.both(&["log", "main"]);
        pair.assert_same_repositories();
        pair.assert_each_checks_the_other();
    });
}

/// Those that osier puts off until it has read everything else.
#[test]
fn large_files_stand_where_they_were_found() {
    let Some(pair) = Pair::new() else { return };
    let content =
        |seed: u8, size: usize| (0..size).map(|at| seed ^ (at >> 9) as u8).collect::<Vec<u8>>();
    for (name, content) in [
        ("one/large", content(1, 6 << 20)),
        ("one/small", content(2, 10)),
        ("one/a/large", content(3, 4 << 20)),
        ("one/a/b/equal", content(3, 4 << 20)),
        ("one/a/b/largest", content(4, 9 << 20)),
        ("two/a/large", content(5, 5 << 20)),
        ("two/a/b/largest", content(6, 1)),
        ("three/large/below", content(7, 5 << 20)),
        ("four/a", content(8, 5 << 20)),
    ] {
        let path = pair.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    pair.both(&["init", "--mode=archive"]);
    let commit =
        ["commit", "-b", "main", "--timestamp=@1700000000", "--table-output", "--tree=dir=../one"];
    pair.both(&commit);
    pair.both(&[&commit[..], &["--tree=dir=../two"]].concat());
    pair.both(&[&commit[..], &["--base=main^"]].concat());
    pair.both(&["ls", "-RC", "main"]);
    pair.assert_same_repositories();
    pair.assert_each_checks_the_other();
    // Which objects are written before an error depends on the order.
    assert_eq!(pair.both(&[&commit[..], &["--tree=dir=../three"]].concat()).status, 1);
    assert_eq!(pair.both(&[&commit[..], &["--tree=dir=../four"]].concat()).status, 1);
}

#[test]
fn command_lines_do_the_same_in_archive_mode() {
    scripts("archive");
}

#[test]
fn command_lines_do_the_same_in_bare_mode() {
    scripts("bare");
}

#[test]
fn command_lines_do_the_same_in_bare_user_mode() {
    scripts("bare-user");
}

#[test]
fn command_lines_do_the_same_in_bare_user_only_mode() {
    scripts("bare-user-only");
}

#[test]
fn fsck_finds_the_same_in_a_damaged_archive() {
    damaged("archive");
}

#[test]
fn fsck_finds_the_same_in_a_damaged_bare_user_repository() {
    damaged("bare-user");
}

/// Damages one object after the other, in both repositories alike, and lets both programs check
/// what is left.
fn damaged(mode: &str) {
    if !able() {
        return;
    }
    let Some(pair) = Pair::new() else { return };
    prepare(&pair.path(""));
    pair.both(&["init", &format!("--mode={mode}")]);
    pair.both(&["commit", "-b", "main", "--timestamp=@1", "--tree=dir=../tree2"]);
    pair.both(&["commit", "-b", "main", "--timestamp=@2", "--tree=dir=../tree"]);
    let mut cases = 0;
    let objects: Vec<String> = snapshot(&pair.path("ours/repo"))
        .into_iter()
        .filter(|(path, entry)| path.starts_with("objects/") && entry.mode & 0o170_000 == 0o100_000)
        .map(|(path, _)| path)
        .collect();
    for (number, object) in objects.iter().enumerate() {
        let damages = [
            "rm -f {}",
            ": > {}",
            "printf x >> {}",
            "printf '\\377' | dd of={} conv=notrunc bs=1 seek=20",
        ];
        let step = one_of(2);
        for damage in damages.into_iter().skip(number % step).step_by(step) {
            // A compressed file with something behind its end is still what it was.
            if damage.contains(">>") && object.ends_with("filez") {
                continue;
            }
            let path = format!("repo/{object}");
            let damage = damage.replace("{}", &path);
            pair.line(&format!("sh: cp -a {path} saved; {damage} 2>&1 || :"));
            // An object that is missing is named by both in the same words. In a damaged one
            // upstream stops at the first thing that it cannot read, often without a name, where
            // osier says which object is wrong.
            if damage.starts_with("rm") {
                pair.both(&["fsck"]);
                pair.both(&["fsck"]);
                pair.line("sh: rm -f repo/state/*");
                pair.both(&["fsck", "-a"]);
                pair.both(&["log", "main"]);
            } else {
                pair.both_without_messages(&["fsck"]);
                pair.line("sh: rm -f repo/state/*");
                pair.both_without_messages(&["fsck", "-a"]);
            }
            pair.line(&format!("sh: cp -a --remove-destination saved {path}; rm -f repo/state/*"));
            cases += 1;
        }
    }
    pair.assert_same_repositories();
    println!("{cases} cases");
}

fn scripts(mode: &str) {
    if !able() {
        return;
    }
    let (mut failures, mut reported) = (Vec::new(), String::new());
    let wanted = std::env::var("OSIER_SCRIPT").unwrap_or_default();
    let all = [scripts::SCRIPTS, commits::SCRIPTS].concat();
    for (name, lines) in all.iter().filter(|(name, _)| name.contains(&wanted)) {
        let outcome = std::panic::catch_unwind(|| run_script(mode, name, lines));
        let open = scripts::OPEN
            .iter()
            .find(|(modes, open, _)| open == name && modes.split(' ').any(|one| one == mode));
        match (outcome, open) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                failures.push(format!("== {name}\ndoes the same now: strike it from OPEN"))
            }
            (Err(_), Some((_, _, what))) => {
                reported.push_str(&format!("OPEN in {mode}: {name}: {what}\n"))
            }
            (Err(panic), None) => {
                let reason = panic.downcast_ref::<String>().cloned().unwrap_or_default();
                failures.push(format!("== {name}\n{reason}"));
            }
        }
    }
    let _ = std::io::stderr().write_all(reported.as_bytes());
    let all = all.len();
    assert!(
        failures.is_empty(),
        "{} of {all} scripts differ in {mode}:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[track_caller]
fn run_script(mode: &str, name: &str, lines: &[&str]) {
    let Some(pair) = Pair::new() else { return };
    prepare(&pair.path(""));
    if !name.starts_with("init") {
        pair.both(&["init", &format!("--mode={mode}")]);
    }
    for line in lines {
        pair.line(line);
    }
    pair.assert_same_repositories();
    pair.assert_each_checks_the_other();
}

/// Both trees that the scripts commit, and the files that their options name.
fn prepare(directory: &Path) {
    sample_tree().build(&directory.join("tree"));
    second_tree().build(&directory.join("tree2"));
    let files = [
        ("body", "Body line 1\n\nBody line 3 – ünïcode\n"),
        ("override", "=384 /etc/passwd\n+2048 /usr/bin/tool\n64 /usr/share/doc/read me\n"),
        ("override-unmatched", "+2048 /usr/bin/tool\n+2048 /not/there\n"),
        ("override-unused-set", "=384 /not/there\n"),
        ("override-broken", "no number here\n"),
        ("skip", "/usr/share\n/etc/link\n"),
        ("skip-unmatched", "/usr/share\n/not/there\n"),
        (
            "editor",
            "#!/bin/sh\nprintf 'Subject from the editor\\n\\nBody 1\\nBody 2\\n\\n# comment\\n' > \
             \"$1\"\n",
        ),
        ("editor-empty", "#!/bin/sh\nprintf '\\n\\n' > \"$1\"\n"),
    ];
    for (name, text) in files {
        let path = directory.join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(if name.starts_with("editor") {
            0o755
        } else {
            0o644
        });
        std::fs::set_permissions(&path, mode).unwrap();
    }
}

fn sample_tree() -> Tree {
    let text = |size| Content { size, kind: ContentKind::Text, seed: 1 };
    let file = |mode, size| Node::File(Meta { mode, ..Meta::default() }, text(size));
    let owned = Meta { uid: 1000, gid: 2000, mode: 0o640, ..Meta::default() };
    let labelled = vec![
        ("user.zeta".to_owned(), b"last".to_vec()),
        ("user.alpha".to_owned(), b"\x00\xff".to_vec()),
    ];
    let link = |target: &str| Node::Symlink(Meta::default(), target.to_owned());
    directory(vec![
        (
            "etc",
            directory_node(vec![
                ("passwd", file(0o644, 100)),
                ("link", link("passwd")),
                ("dangling", link("no")),
            ]),
        ),
        (
            "tmp",
            Node::Directory(Tree {
                meta: Meta { mode: 0o1777, ..Meta::default() },
                children: Vec::new(),
            }),
        ),
        (
            "usr",
            directory_node(vec![
                (
                    "bin",
                    directory_node(vec![("tool", file(0o755, 5000)), ("suid", file(0o4755, 5000))]),
                ),
                (
                    "lib",
                    directory_node(vec![(
                        "modules",
                        directory_node(vec![(
                            "6.1.0",
                            directory_node(vec![("vmlinuz", file(0o644, 70000))]),
                        )]),
                    )]),
                ),
                (
                    "share",
                    directory_node(vec![
                        (
                            "doc",
                            directory_node(vec![
                                ("read me", file(0o664, 10)),
                                ("ä", file(0o600, 0)),
                            ]),
                        ),
                        ("group-writable", file(0o775, 20)),
                        ("owned", Node::File(owned.clone(), text(30))),
                        ("labelled", Node::File(Meta { xattrs: labelled, ..owned }, text(40))),
                        (
                            "noise",
                            Node::File(
                                Meta::default(),
                                Content { size: 100_000, kind: ContentKind::Random, seed: 3 },
                            ),
                        ),
                    ]),
                ),
            ]),
        ),
    ])
}

fn second_tree() -> Tree {
    let text = |size| Content { size, kind: ContentKind::Text, seed: 2 };
    let file = |mode, size| Node::File(Meta { mode, ..Meta::default() }, text(size));
    directory(vec![
        ("etc", directory_node(vec![("passwd", file(0o600, 100)), ("new", file(0o644, 7))])),
        ("opt", directory_node(vec![("added", file(0o755, 11))])),
    ])
}

fn directory(children: Vec<(&str, Node)>) -> Tree {
    let children = children.into_iter().map(|(name, node)| (name.to_owned(), node)).collect();
    Tree { meta: Meta::default(), children }
}

fn directory_node(children: Vec<(&str, Node)>) -> Node {
    Node::Directory(directory(children))
}

fn able() -> bool {
    if !is_root() {
        skip("needs root to give files to other owners");
    }
    is_root() && needs_user_xattrs() && ostree().is_some()
}
