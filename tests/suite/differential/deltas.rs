//! Static deltas that the real program has made, applied, shown and verified by both.

use std::path::Path;

use super::{Pair, able};
use crate::support::{Program, assert_same_text, osier, ostree};
use crate::trees::{Meta, Node, Tree, for_trees, mixed_tree};

/// The options of each kind of delta.
const KINDS: [(&str, &[&str]); 7] = [
    ("parts", &[]),
    ("inline", &["--inline"]),
    ("big", &["--set-endianness=B"]),
    ("rolled", &["--disable-bsdiff", "--inline"]),
    ("chunked", &["--max-chunk-size=0"]),
    ("scratch", &["--empty"]),
    ("fallback", &["--empty", "--min-fallback-size=1"]),
];

/// A repository `source` beside the two, with the branch `main`, and its deltas in `deltas`.
struct Source {
    ostree: Program,
}

impl Source {
    /// Commits directories in `trees` one after the other.
    fn new(pair: &Pair, trees: &[&str]) -> Option<Self> {
        let source = Self { ostree: ostree()?.in_directory(pair.path("")) };
        source.run(&["init", "--mode=archive"]);
        for tree in trees {
            source.run(&["commit", "-b", "main", "--timestamp=@1700000000", tree]);
        }
        Some(source)
    }

    fn run(&self, arguments: &[&str]) -> String {
        self.ostree.repo(Path::new("source"), arguments).success()
    }

    /// Makes a delta outside of the repository, in a directory of its own.
    fn generate(&self, pair: &Pair, name: &str, options: &[&str]) {
        let directory = pair.path("deltas").join(name);
        std::fs::create_dir_all(&directory).unwrap();
        let file = format!("--filename=deltas/{name}/superblock");
        self.run(&[&["static-delta", "generate", "main", &file], options].concat());
    }
}

#[test]
fn deltas_between_generated_trees_bring_the_same_objects() {
    if !able() {
        return;
    }
    let two =
        proptest::strategy::Strategy::prop_map((mixed_tree(), mixed_tree()), |(first, second)| {
            let children = [("1", first), ("2", second)]
                .map(|(name, tree)| (name.to_owned(), Node::Directory(tree)));
            Tree { meta: Meta::default(), children: children.into() }
        });
    for_trees(6, two, |tree| {
        let Some(pair) = Pair::new() else { return };
        tree.build(&pair.path("tree"));
        // The third tree has most of the second in other places.
        let copy = "cp -a tree/2 tree/3 && mkdir -p tree/3/moved && cp -a tree/1 tree/3/moved/";
        Program::other("sh", "sh").in_directory(pair.path("")).run(["-ec", copy]).success();
        let Some(source) = Source::new(&pair, &["tree/1", "tree/2", "tree/3"]) else { return };
        let scratch = ["--empty", "--to=main^^"];
        source.generate(&pair, "first", &scratch);
        source.generate(&pair, "second", &["--to=main^", "--inline"]);
        source.generate(&pair, "third", &["--set-endianness=B"]);
        pair.both(&["init", "--mode=bare"]);
        for name in ["first", "second", "third"] {
            pair.both(&["static-delta", "apply-offline", &format!("../deltas/{name}")]);
        }
        pair.assert_same_repositories();
        pair.assert_each_checks_the_other();
    });
}

/// Two versions of a tree with large files that changed a little, and deltas of these kinds to the
/// second; `base` leads to the first.
fn edited(pair: &Pair, kinds: &[&str]) -> Option<Source> {
    let text = |from: usize| (from..60_000).map(|line| format!("{line}\n")).collect::<String>();
    let noise = |seed: u64, length: usize| {
        let mut state = seed;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        std::iter::repeat_with(next).take(length).collect::<Vec<u8>>()
    };
    for (tree, start) in [("one", 0), ("two", 7)] {
        let tree = pair.path(tree);
        std::fs::create_dir_all(tree.join("usr/lib")).unwrap();
        std::fs::write(tree.join("usr/text"), text(start)).unwrap();
        let mut blob = noise(1, 300_000);
        blob[start * 1000] ^= 1;
        std::fs::write(tree.join("usr/lib/blob.so"), &blob).unwrap();
        std::fs::write(tree.join("usr/noise"), noise(start as u64 + 2, 1_500_000)).unwrap();
        std::os::unix::fs::symlink(format!("target{start}"), tree.join("usr/link")).unwrap();
    }
    let source = Source::new(pair, &["one", "two"])?;
    source.generate(pair, "base", &["--empty", "--to=main^"]);
    for (name, options) in KINDS.into_iter().filter(|(name, _)| kinds.contains(name)) {
        source.generate(pair, name, options);
    }
    Some(source)
}

#[test]
fn every_kind_of_delta_is_applied_and_shown_alike() {
    let Some(pair) = Pair::new() else { return };
    let Some(source) = edited(&pair, &KINDS.map(|(name, _)| name)) else { return };
    for mode in ["bare-user-only", "archive"] {
        for (name, _) in KINDS {
            // Upstream stops at an assertion where files would be begun in an archive.
            let is_whole = ["scratch", "fallback"].contains(&name);
            if mode == "archive" && !is_whole {
                continue;
            }
            pair.line("sh: rm -rf repo && mkdir repo");
            pair.both(&["init", &format!("--mode={mode}")]);
            if !is_whole {
                let message =
                    pair.both(&["static-delta", "apply-offline", &format!("../deltas/{name}")]);
                assert_eq!(message.status, 1);
                pair.both(&["static-delta", "apply-offline", "../deltas/base"]);
            }
            let path = format!("../deltas/{name}/superblock");
            let applied = pair.both(&["static-delta", "apply-offline", &path]);
            assert_eq!(applied.status, i32::from(name == "fallback"), "{applied:?}");
            // Once more, with all there.
            pair.both(&["static-delta", "apply-offline", &path]);
            pair.assert_same_repositories();
            pair.assert_each_checks_the_other();
        }
    }
    // Shown from a repository: there the parts are where the real program looks for them.
    for (_, options) in KINDS.into_iter().filter(|(name, _)| *name != "inline" && *name != "rolled")
    {
        source.run(&[&["static-delta", "generate", "main"], options].concat());
        pair.line("sh: rm -rf repo && cp -a ../source repo");
        let listed = source.run(&["static-delta", "list"]);
        for delta in listed.lines() {
            pair.both(&["static-delta", "show", delta]);
        }
    }
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    let list = ["static-delta", "list"];
    let ours = osier().repo(&pair.path("source"), list).success();
    assert_same_text(
        "the list",
        ("ostree", sorted(&source.run(&list)).as_bytes()),
        ("osier", ours.trim_end().as_bytes()),
    );
    pair.both(&["static-delta", "reindex"]);
    pair.both(&["static-delta", "indexes"]);
    pair.both(&["config", "get", "core.indexed-deltas"]);
    let commit = source.run(&["rev-parse", "main"]);
    pair.both(&["static-delta", "delete", commit.trim()]);
    pair.both(&["static-delta", "list"]);
    pair.both(&["static-delta", "reindex", &format!("--to={}", commit.trim())]);
    pair.assert_same_repositories();
}

#[test]
fn signed_deltas_are_verified_alike() {
    let Some(pair) = Pair::new() else { return };
    let Some(mut source) = edited(&pair, &["scratch"]) else { return };
    source.ostree = source.ostree.with("OSTREE_DUMMY_SIGN_ENABLED", "1");
    let signed = ["--empty", "--inline", "--sign-type=dummy", "--sign=key", "--sign=other"];
    source.generate(&pair, "signed", &signed);
    pair.both(&["init", "--mode=bare-user-only"]);
    pair.line("sh: printf 'wrong\\nother\\n' > keys; printf 'wrong\\n' > bad");
    for line in [
        "static-delta verify --sign-type=dummy ../deltas/signed/superblock key",
        "static-delta verify --sign-type=dummy ../deltas/signed/superblock wrong other",
        "static-delta verify --sign-type=dummy ../deltas/signed/superblock wrong",
        "static-delta verify --sign-type=dummy ../deltas/scratch/superblock key",
        "static-delta verify --sign-type=bogus ../deltas/signed/superblock key",
        "static-delta verify --sign-type=dummy bogus key",
        "static-delta verify --sign-type=dummy",
        "static-delta show ../deltas/signed/superblock",
        "static-delta apply-offline --sign-type=dummy ../deltas/signed wrong",
        "static-delta apply-offline --sign-type=dummy ../deltas/signed/superblock wrong key",
        "static-delta apply-offline --sign-type=dummy ../deltas/scratch key",
    ] {
        if line.contains("show") {
            // The real program looks for inlined parts in the repository.
            continue;
        }
        pair.line(&format!("OSTREE_DUMMY_SIGN_ENABLED=1 {line}"));
    }
    pair.assert_same_repositories();
}

#[test]
fn what_cannot_be_done_is_said_alike() {
    let Some(pair) = Pair::new() else { return };
    let kinds = ["parts", "chunked", "scratch", "fallback"];
    let Some(source) = edited(&pair, &kinds) else { return };
    pair.both(&["init", "--mode=bare-user-only"]);
    let commit = source.run(&["rev-parse", "main"]);
    let commit = commit.trim();
    // Wrong bytes in a part, a part that is too short, none, and a superblock that is cut.
    let copy = "cp -a chunked cut; cp -a scratch missing; cp -a scratch short; cp -a scratch half
        rm missing/0; printf '' > short/0; head -c 200 scratch/superblock > half/superblock
        printf garbage > cut/0; printf garbage > foreign";
    Program::other("sh", "sh").in_directory(pair.path("deltas")).run(["-ec", copy]).success();
    for line in [
        "raw: static-delta",
        "raw: static-delta bogus",
        "raw: static-delta --help",
        "raw: static-delta list --help",
        "raw: static-delta show --bogus",
        "raw: static-delta delete --help",
        "raw: static-delta indexes --help",
        "raw: static-delta reindex --help",
        "static-delta list",
        "static-delta list extra",
        "static-delta indexes",
        "static-delta show",
        "static-delta show bogus",
        &format!("static-delta show {commit}"),
        &format!("static-delta show {commit}-{commit}"),
        &format!("static-delta show {commit}-"),
        "static-delta show ../deltas/bogus",
        "static-delta show ../deltas/foreign",
        "static-delta show ../deltas/half/superblock",
        "static-delta delete",
        "static-delta delete bogus",
        &format!("static-delta delete {commit}"),
        &format!("static-delta delete {}", commit.to_uppercase()),
        "static-delta reindex --to=main",
        "static-delta reindex --to",
        "static-delta apply-offline",
        "static-delta apply-offline ../deltas/bogus",
        "static-delta apply-offline ../deltas",
        "static-delta apply-offline ../deltas/foreign",
        "static-delta apply-offline ../deltas/half",
        "static-delta apply-offline ../deltas/parts",
        "static-delta apply-offline ../deltas/missing",
        "static-delta apply-offline ../deltas/fallback",
        "static-delta verify",
    ] {
        pair.line(line);
    }
    pair.both_without_messages(&["static-delta", "apply-offline", "../deltas/short"]);
    pair.both(&["static-delta", "apply-offline", "../deltas/base"]);
    pair.both_without_messages(&["static-delta", "apply-offline", "../deltas/cut"]);
    // Whatever has failed before, the next transaction leaves a sound repository. The real program
    // brings back the commit of a delta that failed.
    pair.both(&["static-delta", "apply-offline", "../deltas/parts"]);
    osier().repo(&pair.path("ours/repo"), ["fsck"]).success();
}
