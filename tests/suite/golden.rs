//! The fixtures written by the real `ostree` 2026.4.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::{
    GOLDEN_REPOS, Program, assert_same_repository, assert_same_text, differences, expected,
    extract_repo, extract_tree, golden, golden_commit, is_root, osier, raw_snapshot, scratch,
    snapshot,
};

/// Commands whose output is in `expected/`: the file, the repository, the arguments. `{c1}` is a
/// golden commit.
const READING: &[(&str, &str, &str)] = &[
    ("ls-RCX.c1.txt", "archive", "ls -RCX {c1} /"),
    ("ls-RCX.c2.txt", "archive", "ls -RCX {c2} /"),
    ("ls-RCX.c3.txt", "archive", "ls -RCX {c3} /"),
    ("ls-nul.c1.bin", "archive", "ls -R --nul-filenames-only {c1}"),
    ("ls-nul.c2.bin", "archive", "ls -R --nul-filenames-only {c2}"),
    ("ls-nul.c3.bin", "archive", "ls -R --nul-filenames-only {c3}"),
    ("show.c1.txt", "archive", "show {c1}"),
    ("show.c2.txt", "archive", "show {c2}"),
    ("show.c3.txt", "archive", "show {c3}"),
    ("show-raw.c1.txt", "archive", "show --raw {c1}"),
    ("show-raw.c2.txt", "archive", "show --raw {c2}"),
    ("show-raw.c3.txt", "archive", "show --raw {c3}"),
    ("log.txt", "archive", "log golden/x86_64/main"),
    ("refs.txt", "archive", "refs"),
    ("refs-alias.txt", "archive", "refs -A"),
    ("refs-collections.txt", "archive", "refs -c"),
    ("refs-revision.txt", "archive", "refs -r"),
    ("summary-view.txt", "archive", "summary --view"),
    ("summary-raw.txt", "archive", "summary --raw"),
    ("sizes.c3.txt", "archive", "show --print-sizes {c3}"),
    (
        "ed25519-sig.c3.txt",
        "archive",
        "show --print-detached-metadata-key=ostree.sign.ed25519 {c3}",
    ),
    ("ls-RCX.bare-split-xattrs.txt", "bare-split-xattrs", "ls -RCX golden/x86_64/main"),
    ("ls-RCX.bare-user-only.txt", "bare-user-only", "ls -RCX golden/x86_64/main"),
    ("delta-show.c1-c2.txt", "archive", "static-delta show {c1}-{c2}"),
    ("delta-show.scratch-c1.txt", "archive", "static-delta show {c1}"),
    ("fsck.archive.txt", "archive", "fsck"),
    ("fsck.plain.txt", "plain", "fsck"),
    ("fsck.bare.txt", "bare", "fsck"),
    ("fsck.bare-user.txt", "bare-user", "fsck"),
    ("fsck.bare-user-only.txt", "bare-user-only", "fsck"),
    ("fsck.bare-split-xattrs.txt", "bare-split-xattrs", "fsck"),
    ("fsck.pruned.txt", "pruned", "fsck"),
    ("fsck.gpg.txt", "gpg", "fsck"),
];

/// Output that other tests compare.
const ELSEWHERE: [&str; 6] = [
    "checksum-hello.txt",
    "commits.txt",
    "composefs-digest.txt",
    "delta-indexes.txt",
    "delta-list.txt",
    "delta-verify.txt",
];

/// Output of commands that do not exist yet.
const LATER: [&str; 5] = [
    "diff-stats.c1-c2.txt",
    "diff.c1-c2.txt",
    "diff.c2-c3.txt",
    "export.c1.tar.gz",
    "sign-verify.txt",
];

/// The metadata of the first golden commit.
const METADATA: [&str; 12] = [
    "--add-metadata-string=version=1.0",
    "--add-metadata-string=org.example.note=a string with = and ü",
    "--add-metadata=org.example.u32=uint32 42",
    "--add-metadata=org.example.i64=int64 -5",
    "--add-metadata=org.example.y=byte 0x7f",
    "--add-metadata=org.example.bool=true",
    "--add-metadata=org.example.d=1.5",
    "--add-metadata=org.example.as=['one','two']",
    "--add-metadata=org.example.ay=b'bytes'",
    "--add-metadata=org.example.dict={'k': <uint64 7>}",
    "--add-metadata=org.example.maybe=@ms nothing",
    "--add-metadata=org.example.tuple=('x', 1, true)",
];

const BRANCH: &str = "golden/x86_64/main";

#[test]
fn every_golden_repository_unpacks_to_what_its_manifest_lists() {
    for name in GOLDEN_REPOS {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let manifest = std::fs::read_to_string(golden(format!("manifests/{name}.tsv"))).unwrap();
        let listed: BTreeMap<String, String> =
            manifest.lines().skip(1).filter_map(manifest_row).collect();
        let found: BTreeMap<String, String> = snapshot(&repo)
            .into_iter()
            .map(|(path, entry)| {
                let xattrs: Vec<_> =
                    entry.xattrs.iter().map(|(name, value)| xattr(name, value)).collect();
                let xattrs = if xattrs.is_empty() { "-".to_owned() } else { xattrs.join(",") };
                let owner = if is_root() { entry.owner } else { (0, 0) };
                (path, format!("{:04o} {}:{} {xattrs}", entry.mode & 0o7777, owner.0, owner.1))
            })
            .collect();
        assert_eq!(found, listed, "{name}");
    }
}

#[test]
fn reading_commands_print_what_the_real_program_prints() {
    let directory = scratch();
    let mut failures = Vec::new();
    for (file, repo, arguments) in READING {
        if !directory.path().join(repo).exists() && extract_repo(repo, directory.path()).is_none() {
            continue;
        }
        let arguments: Vec<String> = arguments.split(' ').map(with_commits).collect();
        let outcome = std::panic::catch_unwind(|| {
            let output = osier().in_directory(directory.path()).repo(Path::new(repo), &arguments);
            output.assert_no_panic();
            // The fixture of fsck holds standard error, too; it is empty for a sound repository. On
            // a busy machine the check takes more than a second, and then there are more lines than
            // the first and the last.
            let printed =
                String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
            let is_between = |line: &str| {
                line.starts_with("fsck objects (")
                    && !line.starts_with("fsck objects (1/")
                    && !line.ends_with(" 100%\n")
            };
            let printed: String =
                printed.split_inclusive('\n').filter(|line| !is_between(line)).collect();
            assert_same_text(
                file,
                ("ostree 2026.4", &expected(file)),
                ("osier", printed.as_bytes()),
            );
            assert_eq!(output.status, 0, "{output:?}");
        });
        if let Err(panic) = outcome {
            failures.push(panic.downcast_ref::<String>().cloned().unwrap_or_default());
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} differ:\n{}",
        failures.len(),
        READING.len(),
        failures.join("\n")
    );
}

#[test]
fn every_expected_output_is_compared() {
    let listed: BTreeSet<&str> =
        READING.iter().map(|(file, ..)| *file).chain(ELSEWHERE).chain(LATER).collect();
    let there =
        std::fs::read_dir(golden("expected")).unwrap().map(|entry| entry.unwrap().file_name());
    let there: BTreeSet<String> = there.map(|name| name.into_string().unwrap()).collect();
    let missing: Vec<_> = there.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "no test compares {missing:?}");
}

#[test]
fn the_golden_history_is_reproduced_byte_for_byte() {
    let directory = scratch();
    let at = directory.path();
    let Some(plain) = extract_repo("plain", at) else { return };
    let (Some(_), Some(_)) = (extract_tree("tree1", at), extract_tree("tree2", at)) else { return };
    empty_xattr(at);
    let program = osier().in_directory(at);
    let repo = Path::new("mine");
    std::fs::create_dir(at.join(repo)).unwrap();
    program.repo(repo, ["init", "--mode=archive"]).success();
    first_two_commits(&program, repo, "plain-");
    program.repo(repo, ["fsck"]).success();

    // The third commit of the fixture is not made here, see the next test.
    let (golden, mine) = (snapshot(&plain), snapshot(&at.join(repo)));
    for (path, entry) in mine.iter().filter(|(path, _)| path.starts_with("objects/")) {
        assert!(golden.get(path) == Some(entry), "{path} is not as in the fixture");
    }
    assert!(mine.len() > 60, "only {} files written", mine.len());
}

#[test]
fn with_zlibs_bytes_the_golden_sizes_and_compressed_files_are_reproduced() {
    let directory = scratch();
    let at = directory.path();
    let Some(plain) = extract_repo("plain", at) else { return };
    let trees = ["tree1", "tree2", "tree3"];
    if trees.iter().any(|tree| extract_tree(tree, at).is_none()) {
        return;
    }
    empty_xattr(at);
    let program = osier().in_directory(at).with("OSIER_DEFLATE", "zlib");
    let repo = Path::new("mine");
    std::fs::create_dir(at.join(repo)).unwrap();
    program.repo(repo, ["init", "--mode=archive"]).success();
    first_two_commits(&program, repo, "plain-");
    let third = [
        "commit",
        "-b",
        BRANCH,
        "--timestamp=@1700172800",
        "--bind-ref=golden/also",
        "--generate-sizes",
    ];
    let version = ["--add-metadata-string=version=3.0", "--tree=dir=tree3"];
    assert_eq!(
        program.repo(repo, [&third[..], &version].concat()).line(),
        golden_commit("plain-c3")
    );

    let objects = |repo: &Path| {
        let mut all = raw_snapshot(repo);
        all.retain(|path, _| path.starts_with("objects/"));
        all
    };
    let (golden, mine) = (objects(&plain), objects(&at.join(repo)));
    let found = differences(&golden, &mine);
    assert!(found.is_empty(), "objects differ from the fixture's:\n{}", found.join("\n"));
    assert!(mine.keys().filter(|path| path.ends_with(".filez")).count() > 20);
}

#[test]
fn the_golden_commits_of_a_collection_are_reproduced() {
    let directory = scratch();
    let at = directory.path();
    let (Some(_), Some(_)) = (extract_tree("tree1", at), extract_tree("tree2", at)) else { return };
    empty_xattr(at);
    let program = osier().in_directory(at);
    let repo = Path::new("mine");
    std::fs::create_dir(at.join(repo)).unwrap();
    program.repo(repo, ["init", "--mode=archive", "--collection-id=org.example.Golden"]).success();
    first_two_commits(&program, repo, "");
    let c2 = golden_commit("c2");
    let commit = |arguments: &[&str]| program.repo(repo, [&["commit"], arguments].concat()).line();
    let orphan = commit(&[
        "--orphan",
        "--timestamp=@1700000000",
        "-s",
        "orphan",
        "--no-bindings",
        "--tree=dir=tree1",
    ]);
    assert_eq!(orphan, golden_commit("orphan"));
    let from_ref = format!("--tree=ref={c2}");
    let version = "--add-metadata-string=version=two";
    let two = commit(&[
        "-b",
        "golden/two",
        "--parent=none",
        "--timestamp=@1700086400",
        version,
        &from_ref,
    ]);
    assert_eq!(two, golden_commit("two"));
    let mut canonical =
        vec!["-b", "golden/empty-body", "--timestamp=@1700000000", "--canonical-permissions"];
    canonical.extend([
        "--mode-ro-executables",
        "--no-xattrs",
        "--owner-uid=0",
        "--owner-gid=0",
        "--tree=dir=tree1",
    ]);
    assert_eq!(commit(&canonical), golden_commit("canonical"));
}

#[test]
fn the_golden_bare_user_only_repository_is_reproduced() {
    let directory = scratch();
    let at = directory.path();
    let Some(theirs) = extract_repo("bare-user-only", at) else { return };
    let Some(_) = extract_tree("tree1", at) else { return };
    let program = osier().in_directory(at);
    std::fs::create_dir(at.join("mine")).unwrap();
    let repo = Path::new("mine");
    program.repo(repo, ["init", "--mode=bare-user-only"]).success();
    let commit = [
        "commit",
        "-b",
        BRANCH,
        "--timestamp=@1700000000",
        "-s",
        "First commit",
        "--tree=dir=tree1",
    ];
    assert_eq!(program.repo(repo, commit).line(), golden_commit("bare-user-only"));
    assert_same_repository(&theirs, &at.join(repo));
}

#[test]
fn a_tree_and_its_tarball_become_the_golden_commits() {
    let directory = scratch();
    let at = directory.path();
    let Some(_) = extract_tree("tree1", at) else { return };
    empty_xattr(at);
    let program = osier().in_directory(at);
    std::fs::create_dir(at.join("mine")).unwrap();
    let repo = Path::new("mine");
    program.repo(repo, ["init", "--mode=archive"]).success();
    let tar = format!("--tree=tar={}", golden("trees/tree1.tar.gz").display());
    let from_tar =
        program.repo(repo, ["commit", "-b", "tar", "--timestamp=@1700000000", &tar]).line();
    assert_eq!(from_tar, golden_commit("from-tar"));
    let from_dir = program
        .repo(repo, ["commit", "-b", "dir", "--timestamp=@1700000000", "--tree=dir=tree1"])
        .line();
    assert_eq!(from_dir, golden_commit("from-dir"));
}

#[test]
fn checksum_prints_the_golden_name() {
    let directory = scratch();
    let Some(tree) = extract_tree("tree1", directory.path()) else { return };
    let output = osier().in_directory(tree).run(["checksum", "--ignore-xattrs", "usr/bin/hello"]);
    assert_eq!(output.success().as_bytes(), expected("checksum-hello.txt"));
}

fn first_two_commits(program: &Program, repo: &Path, prefix: &str) {
    let mut first =
        vec!["commit", "-b", BRANCH, "--timestamp=@1700000000", "-s", "First commit", "-m"];
    first.push("Body line 1\n\nBody line 3 – ünïcode");
    first.extend(METADATA);
    first.push("--tree=dir=tree1");
    assert_eq!(program.repo(repo, first).line(), golden_commit(&format!("{prefix}c1")));
    let mut second = vec!["commit", "-b", BRANCH, "--timestamp=@1700086400", "-s", "Second"];
    second.extend([
        "--add-metadata-string=version=2.0",
        "--add-detached-metadata-string=org.example.detached=later",
    ]);
    second.push("--tree=dir=tree2");
    assert_eq!(program.repo(repo, second).line(), golden_commit(&format!("{prefix}c2")));
}

/// GNU tar does not restore xattrs with an empty value, which the trees have; a program must drop
/// them itself.
fn empty_xattr(directory: &Path) {
    for tree in ["tree1", "tree2", "tree3"] {
        let file = directory.join(tree).join("usr/share/xattrs");
        if file.exists() {
            rustix::fs::setxattr(&file, "user.empty", b"", rustix::fs::XattrFlags::empty())
                .unwrap();
        }
    }
}

fn with_commits(argument: &str) -> String {
    let commit = |part: &str| match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
        Some(name) => golden_commit(name),
        None => part.to_owned(),
    };
    argument.split('-').map(commit).collect::<Vec<_>>().join("-")
}

/// The path, and what the unpacked file must have: permissions, owner, xattrs.
fn manifest_row(line: &str) -> Option<(String, String)> {
    let columns: Vec<&str> = line.split('\t').collect();
    let path = columns[0];
    let scratch = path == "extensions" || path == "tmp" || path.starts_with("tmp/");
    (!scratch).then(|| (path.to_owned(), format!("{} {} {}", columns[2], columns[3], columns[6])))
}

fn xattr(name: &[u8], value: &[u8]) -> String {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}={hex}", String::from_utf8_lossy(name))
}
