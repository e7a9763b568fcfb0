//! Whether two repositories are equal, and where not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::repo::{CommitState, Repo};
use serde_json::Value;

use crate::support::{
    GOLDEN_REPOS, Output, Program, extract_repo, needs_root, needs_user_xattrs, osier, osier_path,
    ostree, scratch,
};

/// Under its own name: `ostree` has no such command.
fn program() -> Program {
    Program::other(osier_path(), "osier")
}

#[track_caller]
fn compare(first: &Path, second: &Path, options: &[&str]) -> Output {
    let arguments = ["compare"].iter().chain(options).map(std::ffi::OsStr::new);
    let output = program().run(arguments.chain([first.as_os_str(), second.as_os_str()]));
    output.assert_no_panic();
    output
}

/// What was printed, and the exit status.
#[track_caller]
fn verdict(first: &Path, second: &Path, options: &[&str]) -> (String, i32) {
    let output = compare(first, second, options);
    assert_eq!(output.stderr, b"", "{output:?}");
    (String::from_utf8(output.stdout).unwrap(), output.status)
}

fn copy(from: &Path, to: &Path) {
    let output =
        Program::other("cp", "cp").run(["-a", from.to_str().unwrap(), to.to_str().unwrap()]);
    assert_eq!(output.status, 0, "{output:?}");
}

/// A repository with one commit of a small tree on the branch `main`, and an equal one beside it.
struct Two {
    directory: tempfile::TempDir,
    commit: Checksum,
}

impl Two {
    fn new() -> Self {
        let directory = scratch();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        fs::write(tree.join("file"), "content ".repeat(5000)).unwrap();
        fs::write(tree.join("dir/other"), "other").unwrap();
        symlink("file", tree.join("link")).unwrap();
        let mut two = Self { directory, commit: Checksum::of(b"") };
        two.init("first", "archive");
        two.commit = two.commit_to("first", &[]).parse().unwrap();
        copy(&two.path("first"), &two.path("second"));
        two
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn init(&self, name: &str, mode: &str) {
        fs::create_dir(self.path(name)).unwrap();
        osier().repo(&self.path(name), ["init", "--mode", mode]).success();
    }

    fn run(&self, name: &str, arguments: &[&str]) -> String {
        osier().in_directory(self.directory.path()).repo(&self.path(name), arguments).line()
    }

    /// Commits the tree to `main`, with the owner and time that the commit of [`Two::new`] has.
    fn commit_to(&self, name: &str, options: &[&str]) -> String {
        let fixed = [
            "commit",
            "-b",
            "main",
            "--timestamp=@1",
            "--owner-uid=0",
            "--owner-gid=0",
            "--parent=none",
        ];
        self.run(name, &[&fixed[..], options, &["--tree=dir=tree"]].concat())
    }

    fn object(&self, name: &str, extension: &str) -> PathBuf {
        let mut found = Vec::new();
        for directory in fs::read_dir(self.path(name).join("objects")).unwrap() {
            let files =
                fs::read_dir(directory.unwrap().path()).unwrap().map(|file| file.unwrap().path());
            found.extend(
                files.filter(|file| file.extension().is_some_and(|other| other == extension)),
            );
        }
        // The largest, so that it is always the same one.
        found.sort_by_key(|file| (fs::symlink_metadata(file).unwrap().len(), file.clone()));
        found.pop().unwrap_or_else(|| panic!("no .{extension}"))
    }

    fn verdict(&self, options: &[&str]) -> (String, i32) {
        verdict(&self.path("first"), &self.path("second"), options)
    }
}

/// `HEX.TYPE` of a loose object.
fn object_name(path: &Path) -> String {
    let directory = path.parent().unwrap().file_name().unwrap().to_str().unwrap();
    format!("{directory}{}", path.file_name().unwrap().to_str().unwrap().replace(".filez", ".file"))
}

#[test]
fn a_copy_is_equal() {
    let two = Two::new();
    assert_eq!(two.verdict(&[]), ("equal: 7 objects, 1 refs\n".to_owned(), 0));
    assert_eq!(two.verdict(&["--exact"]).1, 0);
    let directory = scratch();
    for name in GOLDEN_REPOS {
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let other = directory.path().join("copy");
        copy(&repo, &other);
        let (text, status) = verdict(&repo, &other, &["--exact"]);
        assert!(status == 0 && text.starts_with("equal: "), "{name}: {text}");
        fs::remove_dir_all(other).unwrap();
    }
}

#[test]
fn every_field_of_a_commit_is_reported() {
    let two = Two::new();
    let first =
        two.commit_to("first", &["--add-metadata-string=version=1", "-s", "One", "-m", "Body"]);
    for (options, expected) in [
        (
            vec!["--add-metadata-string=version=2", "-s", "One", "-m", "Body"],
            "metadata[\"version\"]: '1' in the first, '2'",
        ),
        (vec!["-s", "One", "-m", "Body"], "metadata[\"version\"]: '1' in the first, nothing"),
        (
            vec!["--add-metadata-string=version=1", "-s", "Two"],
            "subject: \"One\" in the first, \"Two\"",
        ),
        (vec!["--add-metadata-string=version=1", "-s", "One"], "body: \"Body\" in the first, \"\""),
        (
            vec!["--add-metadata-string=version=1", "-s", "One", "-m", "Body", "--timestamp=@2"],
            "timestamp: 1 in the first, 2",
        ),
    ] {
        let second = two.commit_to("second", &options);
        let (text, status) = two.verdict(&[]);
        let line =
            format!("refs/heads/main: commit: {first} in the first, {second} in the second\n");
        assert!(text.starts_with(&line), "{text}");
        assert!(
            text.contains(&format!("refs/heads/main: commit.{expected} in the second\n")),
            "{text}"
        );
        assert!(text.contains(&format!("{first}.commit: only in the first\n")), "{text}");
        assert!(text.contains(&format!("{second}.commit: only in the second\n")), "{text}");
        assert!(!text.contains(":/"), "the trees are equal: {text}");
        assert_eq!(status, 1);
    }
}

#[test]
fn every_field_of_files_and_directories_is_reported_at_its_path() {
    if !needs_root() || !needs_user_xattrs() {
        return;
    }
    type Change = (&'static str, &'static dyn Fn(&Path), &'static str);
    let changes: [Change; 12] = [
        (
            "mode",
            &|tree| chmod(&tree.join("file"), 0o600),
            "/file: mode: 0100644 in the first, 0100600",
        ),
        (
            "directory mode",
            &|tree| chmod(&tree.join("dir"), 0o700),
            "/dir: mode: 040755 in the first, 040700",
        ),
        (
            "xattr",
            &|tree| setxattr(&tree.join("file"), "user.a", "1"),
            "/file: xattrs[0].name: nothing in the first, \"user.a\"",
        ),
        (
            "directory xattr",
            &|tree| setxattr(&tree.join("dir"), "user.a", "1"),
            "/dir: xattrs[0].name: nothing in the first, \"user.a\"",
        ),
        (
            "content",
            &|tree| fs::write(tree.join("dir/other"), "otter").unwrap(),
            "/dir/other: content[2]: 0x68 in the first, 0x74",
        ),
        (
            "longer",
            &|tree| fs::write(tree.join("dir/other"), "other!").unwrap(),
            "/dir/other: content[5]: the end in the first, 0x21",
        ),
        (
            "target",
            &|tree| {
                fs::remove_file(tree.join("link")).unwrap();
                symlink("dir", tree.join("link")).unwrap();
            },
            "/link: symlink_target: \"file\" in the first, \"dir\"",
        ),
        (
            "symlink for file",
            &|tree| {
                fs::remove_file(tree.join("file")).unwrap();
                symlink("dir", tree.join("file")).unwrap();
            },
            "/file: mode: 0100644 in the first, 0120777",
        ),
        (
            "directory for file",
            &|tree| {
                fs::remove_file(tree.join("file")).unwrap();
                fs::create_dir(tree.join("file")).unwrap();
            },
            "/file: type: file in the first, directory",
        ),
        ("new", &|tree| fs::write(tree.join("dir/new"), "").unwrap(), "/dir/new: only"),
        ("owner", &|_| {}, "/file: uid: 0 in the first, 5"),
        ("group", &|_| {}, "/file: gid: 0 in the first, 6"),
    ];
    for (what, change, expected) in changes {
        let two = Two::new();
        fs::set_permissions(two.path("tree/file"), fs::Permissions::from_mode(0o644)).unwrap();
        for directory in ["tree", "tree/dir"] {
            fs::set_permissions(two.path(directory), fs::Permissions::from_mode(0o755)).unwrap();
        }
        two.commit_to("first", &[]);
        change(&two.path("tree"));
        let options: &[&str] = match what {
            "owner" => &["--owner-uid=5"],
            "group" => &["--owner-gid=6"],
            _ => &[],
        };
        two.commit_to("second", options);
        let (text, status) = two.verdict(&[]);
        assert!(
            text.contains(&format!("refs/heads/main:{expected} in the second\n")),
            "{what}: {text}"
        );
        assert_eq!(status, 1);
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn setxattr(path: &Path, name: &str, value: &str) {
    rustix::fs::setxattr(path, name, value.as_bytes(), rustix::fs::XattrFlags::empty()).unwrap();
}

#[test]
fn objects_that_only_one_has_are_named() {
    let two = Two::new();
    let file = two.object("second", "filez");
    fs::remove_file(&file).unwrap();
    let expected = format!(
        "{}: only in the first\ndifferent: 7 objects, 1 refs, 1 differences\n",
        object_name(&file)
    );
    assert_eq!(two.verdict(&[]), (expected, 1));
    let (text, _) = verdict(&two.path("second"), &two.path("first"), &[]);
    assert!(text.starts_with(&format!("{}: only in the second\n", object_name(&file))), "{text}");
}

#[test]
fn refs_of_every_kind_are_compared() {
    let two = Two::new();
    let second = two.path("second");
    let hex = two.commit.to_hex();
    let write = |path: &str, text: &str| {
        fs::create_dir_all(second.join(path).parent().unwrap()).unwrap();
        fs::write(second.join(path), text).unwrap();
    };
    for path in ["refs/heads/a/b", "refs/remotes/origin/c", "refs/mirrors/org.example.X/d"] {
        write(path, &format!("{hex}\n"));
        let expected =
            format!("{path}: only in the second\ndifferent: 7 objects, 2 refs, 1 differences\n");
        assert_eq!(two.verdict(&[]), (expected, 1));
        fs::remove_file(second.join(path)).unwrap();
    }
    symlink("main", second.join("refs/heads/alias")).unwrap();
    symlink("other", two.path("first").join("refs/heads/alias")).unwrap();
    let expected =
        "refs/heads/alias: target: alias of other in the first, alias of main in the second\n";
    assert!(two.verdict(&[]).0.starts_with(expected));
    fs::remove_file(two.path("first").join("refs/heads/alias")).unwrap();
    fs::write(two.path("first").join("refs/heads/alias"), &hex).unwrap();
    let expected = format!(
        "refs/heads/alias: target: commit {hex} in the first, alias of main in the second\n"
    );
    assert!(two.verdict(&[]).0.starts_with(&expected));
}

#[test]
fn a_ref_that_says_nothing_leaves_the_rest_to_be_compared() {
    let two = Two::new();
    fs::write(two.path("second").join("refs/heads/main"), "nonsense\n").unwrap();
    let file = two.object("second", "filez");
    fs::remove_file(&file).unwrap();
    let (text, status) = two.verdict(&[]);
    assert!(
        text.starts_with(
            "refs/heads/main: could not compare: in the second: Invalid rev nonsense\n"
        ),
        "{text}"
    );
    assert!(text.contains(&format!("{}: only in the first\n", object_name(&file))), "{text}");
    assert!(
        text.ends_with("could not compare: 7 objects, 1 refs, 1 differences, 1 not comparable\n"),
        "{text}"
    );
    assert_eq!(status, 2);
}

#[test]
fn a_damaged_object_is_named_and_the_rest_compared() {
    for extension in ["commit", "dirtree", "dirmeta", "filez"] {
        for damage in ["flipped", "truncated", "empty", "longer", "directory"] {
            let two = Two::new();
            fs::write(two.path("first").join("refs/heads/more"), format!("{}\n", two.commit))
                .unwrap();
            let path = two.object("second", extension);
            let mut bytes = fs::read(&path).unwrap();
            match damage {
                "flipped" => *bytes.last_mut().unwrap() ^= 4,
                "truncated" => bytes.truncate(bytes.len() - 1),
                "empty" => bytes.clear(),
                "longer" => bytes.push(0),
                _ => {}
            }
            fs::remove_file(&path).unwrap();
            match damage {
                "directory" => fs::create_dir(&path).unwrap(),
                _ => fs::write(&path, bytes).unwrap(),
            }
            let (text, status) = two.verdict(&[]);
            let line = format!("{}: could not compare: in the second: ", object_name(&path));
            assert!(text.contains(&line), "{extension} {damage}: {text}");
            assert!(text.starts_with("refs/heads/more: only in the first\n"), "{text}");
            assert!(
                text.ends_with(
                    "could not compare: 7 objects, 2 refs, 1 differences, 1 not comparable\n"
                ),
                "{text}"
            );
            assert_eq!(status, 2, "{extension} {damage}");
            let (text, status) = verdict(&two.path("second"), &two.path("first"), &[]);
            assert!(text.contains(&line.replace("second", "first")) && status == 2, "{text}");
        }
    }
}

#[test]
fn the_field_that_damage_has_changed_is_reported() {
    let two = Two::new();
    let path = two.object("second", "dirmeta");
    let mut bytes = fs::read(&path).unwrap();
    bytes[11] ^= 1;
    fs::remove_file(&path).unwrap();
    fs::write(&path, &bytes).unwrap();
    let actual = Checksum::of(&bytes);
    let name = object_name(&path);
    let hex = name.strip_suffix(".dirmeta").unwrap();
    let expected = format!(
        "{name}: could not compare: in the second: Corrupted dirmeta object; checksum \
         expected='{hex}' actual='{actual}'; mode: 040755 in the first, 040754 in the second\n"
    );
    assert!(two.verdict(&[]).0.starts_with(&expected), "{}", two.verdict(&[]).0);
}

#[test]
fn other_compressed_bytes_are_a_note() {
    let two = Two::new();
    two.init("third", "archive");
    two.run("third", &["config", "set", "archive.zlib-level", "1"]);
    two.run("third", &["config", "set", "archive.deflate", "zlib"]);
    two.commit_to("third", &[]);
    let run = |options: &[&str]| verdict(&two.path("first"), &two.path("third"), options);
    let expected = "note: compressed differently: 1 files\nequal: 7 objects, 1 refs\n";
    let path = two.object("first", "filez");
    let sizes =
        ["first", "third"].map(|name| fs::metadata(two.object(name, "filez")).unwrap().len());
    assert_ne!(sizes[0], sizes[1]);
    assert_eq!(run(&[]), (expected.to_owned(), 0));
    let line = format!(
        "{}: compressed: {} bytes in the first, {} bytes in the second\n",
        object_name(&path),
        sizes[0],
        sizes[1]
    );
    assert_eq!(
        run(&["--exact"]),
        (format!("{line}different: 7 objects, 1 refs, 1 differences\n"), 1)
    );
}

#[test]
fn repositories_of_different_modes_are_compared_by_what_both_keep() {
    if !needs_root() || !needs_user_xattrs() {
        return;
    }
    let two = Two::new();
    let modes = ["archive", "bare", "bare-user", "bare-user-only"];
    for mode in modes {
        two.init(mode, mode);
        two.commit_to(mode, &["--canonical-permissions"]);
    }
    for first in modes {
        for second in modes {
            let (text, status) = verdict(&two.path(first), &two.path(second), &[]);
            assert_eq!(
                (text.as_str(), status),
                ("equal: 7 objects, 1 refs\n", 0),
                "{first} {second}"
            );
        }
    }
    let path = two.object("bare-user-only", "file");
    fs::write(&path, "damaged").unwrap();
    for mode in modes.iter().filter(|mode| **mode != "bare-user-only") {
        let (text, status) = verdict(&two.path(mode), &two.path("bare-user-only"), &[]);
        assert!(
            text.starts_with(&format!(
                "{}: could not compare: in the second: ",
                object_name(&path)
            )),
            "{text}"
        );
        assert!(text.contains("; content[0]: 0x63 in the first, 0x64 in the second\n"), "{text}");
        assert_eq!(status, 2);
    }
}

#[test]
fn what_a_mode_does_not_keep_is_taken_from_the_other() {
    if !needs_root() || !needs_user_xattrs() {
        return;
    }
    let two = Two::new();
    setxattr(&two.path("tree/file"), "user.a", "1");
    two.init("owned", "archive");
    two.commit_to("owned", &["--owner-uid=5"]);
    for name in ["only", "only-too"] {
        two.init(name, "bare-user-only");
        two.run(name, &["pull-local", "owned", "main"]);
    }
    for (first, second) in [("owned", "only"), ("only", "owned"), ("only", "only-too")] {
        let (text, status) = verdict(&two.path(first), &two.path(second), &[]);
        assert_eq!((text.as_str(), status), ("equal: 7 objects, 1 refs\n", 0), "{first} {second}");
    }
    let path = two.object("only", "file");
    fs::write(&path, "damaged").unwrap();
    for other in ["owned", "only-too"] {
        let (text, status) = verdict(&two.path("only"), &two.path(other), &[]);
        assert!(
            text.starts_with(&format!("{}: could not compare: in the first: ", object_name(&path))),
            "{text}"
        );
        assert_eq!(status, 2);
    }
}

#[test]
fn summaries_are_compared_by_field() {
    let two = Two::new();
    for name in ["first", "second"] {
        osier().repo(&two.path(name), ["summary", "-u"]).success();
    }
    let update = |options: &[&str]| {
        osier().repo(&two.path("second"), ["summary", "-u"].iter().chain(options)).success();
        // A clock that has moved on.
        let path = two.path("second").join("summary");
        let mut bytes = fs::read(&path).unwrap();
        let key = b"ostree.summary.last-modified\0";
        let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
        bytes[(at + key.len()).next_multiple_of(8) + 3] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    update(&[]);
    let (text, status) = two.verdict(&[]);
    assert!(
        text.starts_with("note: summary: metadata[\"ostree.summary.last-modified\"]: uint64 "),
        "{text}"
    );
    assert_eq!((text.lines().count(), status), (2, 0));
    let (text, status) = two.verdict(&["--exact"]);
    assert!(
        text.starts_with("summary: metadata[\"ostree.summary.last-modified\"]: ") && status == 1,
        "{text}"
    );
    update(&["--add-metadata=x='1'"]);
    let (text, status) = two.verdict(&[]);
    assert!(
        text.starts_with("summary: metadata[\"x\"]: nothing in the first, '1' in the second\n"),
        "{text}"
    );
    assert_eq!(status, 1);
    fs::write(two.path("second").join("refs/heads/b"), format!("{}\n", two.commit)).unwrap();
    update(&[]);
    let (text, _) = two.verdict(&[]);
    let line = format!(
        "summary: refs[\"b\"].commit: nothing in the first, {} in the second\n",
        two.commit
    );
    assert!(text.contains(&line), "{text}");
    fs::write(two.path("second").join("summary"), "garbage").unwrap();
    let (text, status) = two.verdict(&[]);
    assert!(
        text.contains("summary: could not compare: in the second: summary: Not normal form\n"),
        "{text}"
    );
    assert_eq!(status, 2);
    fs::remove_file(two.path("second").join("summary")).unwrap();
    assert!(two.verdict(&[]).0.contains("summary: only in the first\n"));
}

#[test]
fn what_belongs_to_commits_is_compared() {
    let two = Two::new();
    for name in ["first", "second"] {
        let option = format!("--add-detached-metadata-string=key={name}");
        assert_eq!(two.commit_to(name, &[&option]), two.commit.to_hex());
    }
    let (text, status) = two.verdict(&[]);
    let expected = format!(
        "{}.commitmeta: metadata[\"key\"]: 'first' in the first, 'second' in the second\n\
         different: 8 objects, 1 refs, 1 differences\n",
        two.commit
    );
    assert_eq!((text, status), (expected, 1));

    let two = Two::new();
    let gone = Checksum::of(b"gone");
    let repo = Repo::open(&two.path("second")).unwrap();
    fs::create_dir_all(two.path("second").join("objects").join(&gone.to_hex()[..2])).unwrap();
    repo.write_tombstone(&gone).unwrap();
    repo.mark_commit(&two.commit, CommitState::Partial).unwrap();
    let (text, status) = two.verdict(&[]);
    assert!(text.contains(&format!("{gone}.tombstone-commit: only in the second\n")), "{text}");
    let state =
        format!("{}.commit: state: complete in the first, partial in the second\n", two.commit);
    assert!(text.contains(&state), "{text}");
    assert_eq!(status, 1);
}

#[test]
fn static_deltas_are_there_or_not() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let other = directory.path().join("other");
    copy(&repo, &other);
    fs::remove_dir_all(other.join("deltas")).unwrap();
    let (text, status) = verdict(&repo, &other, &[]);
    assert!(text.starts_with("static delta ") && text.contains(": only in the first\n"), "{text}");
    assert_eq!(status, 1);
}

#[test]
fn the_json_document_has_every_finding() {
    let two = Two::new();
    let document = |options: &[&str]| -> (Value, i32) {
        let (text, status) = two.verdict(options);
        (serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")), status)
    };
    let (equal, status) = document(&["--json"]);
    let expected = serde_json::json!({
        "findings": [], "result": "equal", "objects": 7, "refs": 1, "differences": 0, "unknown": 0, "notes": 0,
    });
    assert_eq!((equal, status), (expected, 0));
    let second = two.commit_to("second", &["-s", "Other", "--owner-uid=5"]);
    let damaged = two.object("second", "dirtree");
    fs::remove_file(&damaged).unwrap();
    fs::write(&damaged, "x").unwrap();
    let (document, status) = document(&["--json"]);
    assert_eq!((&document["result"], status), (&"unknown".into(), 2));
    let findings = document["findings"].as_array().unwrap();
    let of_kind = |kind: &str| {
        findings.iter().filter(|each| each["kind"] == kind).cloned().collect::<Vec<_>>()
    };
    let expected = serde_json::json!({
        "kind": "ref", "name": "refs/heads/main", "verdict": "different", "fields": [
            { "field": "commit", "first": two.commit.to_hex(), "second": second },
            { "field": "commit.subject", "first": "\"\"", "second": "\"Other\"" },
        ],
    });
    assert_eq!(of_kind("ref"), [expected]);
    let unknown: Vec<&Value> =
        findings.iter().filter(|each| each["verdict"] == "unknown").collect();
    assert!(
        unknown.iter().any(|each| each["side"] == "second" && each["reason"].is_string()),
        "{document}"
    );
    assert!(
        of_kind("object")
            .iter()
            .any(|each| each["verdict"] == "only_in" && each["side"] == "second")
    );
}

#[test]
fn what_is_printed_has_a_limit_and_the_verdict_has_none() {
    let two = Two::new();
    for number in 0..150 {
        fs::write(two.path(&format!("tree/more-{number:03}")), number.to_string()).unwrap();
    }
    two.commit_to("second", &["-s", "Other"]);
    let (all, status) = two.verdict(&["--limit=0"]);
    let all: Vec<&str> = all.lines().collect();
    let (verdict, found) = all.split_last().unwrap();
    assert!(found.len() > 300 && verdict.starts_with("different: ") && status == 1, "{all:?}");
    for (options, limit) in [(&["--limit=7"][..], 7), (&[], 100)] {
        let (text, status) = two.verdict(options);
        let more = format!("... and {} more (--limit=0 prints all)", found.len() - limit);
        let expected = [&found[..limit], &[&more, verdict]].concat().join("\n") + "\n";
        assert_eq!((text, status), (expected, 1), "{options:?}");
    }
    let fits = format!("--limit={}", found.len());
    assert_eq!(two.verdict(&[&fits]), (all.join("\n") + "\n", 1));
    assert_eq!(two.verdict(&["--summary"]), (format!("{verdict}\n"), 1));

    let document =
        |options: &[&str]| -> Value { serde_json::from_str(&two.verdict(options).0).unwrap() };
    let whole = document(&["--json"]);
    let findings = whole["findings"].as_array().unwrap();
    assert!(findings.len() > 300 && whole.get("omitted").is_none());
    assert_eq!(document(&["--json", "--limit=0"]), whole);
    let limited = document(&["--json", "--limit=2"]);
    // The first finding has both lines: the commits that the ref names, and the first field in
    // which they differ.
    assert_eq!(*limited["findings"].as_array().unwrap(), findings[..1]);
    assert_eq!(limited["omitted"], found.len() - 2);
    let summary = document(&["--json", "--summary"]);
    assert_eq!(
        (&summary["findings"], &summary["omitted"]),
        (&serde_json::json!([]), &found.len().into())
    );
    assert_eq!(
        (&summary["result"], &summary["differences"]),
        (&whole["result"], &whole["differences"])
    );
    let refused = program().run(["compare", "--summary", "--limit=1", "a", "b"]);
    assert_eq!(refused.status, 2);
}

#[test]
fn notes_do_not_take_the_room_of_differences() {
    let two = Two::new();
    // The summaries differ in their time, which comes before all objects.
    two.run("first", &["summary", "-u"]);
    std::thread::sleep(std::time::Duration::from_millis(1100));
    two.run("second", &["summary", "-u"]);
    let (text, _) = two.verdict(&["--limit=1"]);
    assert!(text.starts_with("note: summary: ") && !text.contains("more"), "{text}");
    let object = two.object("second", "filez");
    fs::remove_file(object).unwrap();
    let (text, _) = two.verdict(&["--limit=1"]);
    assert!(text.contains(".file: only in the first\n") && !text.contains("more"), "{text}");
}

#[test]
fn failures_do_not_end_with_the_status_of_a_difference() {
    let two = Two::new();
    let (first, missing) = (two.path("first"), two.path("missing"));
    let (first, missing) = (first.to_str().unwrap(), missing.to_str().unwrap());
    for arguments in [
        &["compare", first, missing][..],
        &["compare", missing, first],
        &["compare", first],
        &["compare"],
        &["compare", first, first, first],
        &["compare", "--bogus", first, first],
        &["compare", "--with=ostree"],
        &["compare", "--with=/nonexistent/program", first],
        &["compare", "--scratch=/tmp", first, first],
    ] {
        let output = program().run(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status, 2, "{output:?}");
        assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{output:?}");
    }
    assert_eq!(program().run(["compare", "--help"]).status, 0);
}

/// Every mode of the two programs' commits of one tree.
#[test]
fn another_program_is_held_against_osier() {
    if !needs_root() || !needs_user_xattrs() {
        return;
    }
    let Some(ostree) = ostree() else { return };
    let two = Two::new();
    setxattr(&two.path("tree/file"), "user.a", "1");
    let with = |path: &Path, options: &[&str]| {
        let option = format!("--with={}", path.display());
        let (scratch, tree) =
            (format!("--scratch={}", two.directory.path().display()), two.path("tree"));
        let arguments = ["compare", &option, &scratch].into_iter().chain(options.iter().copied());
        let output = program().run(arguments.chain([tree.to_str().unwrap()]));
        output.assert_no_panic();
        (String::from_utf8(output.stdout).unwrap(), output.status)
    };
    let (text, status) = with(&ostree.path, &[]);
    for mode in ["archive", "bare", "bare-user", "bare-user-only"] {
        assert!(text.contains(&format!("{mode}: equal: 7 objects, 1 refs\n")), "{text}");
    }
    assert_eq!(status, 0);
    let (text, status) = with(&ostree.path, &["--json"]);
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&document["result"], status), (&"equal".into(), 0));
    assert_eq!(document["modes"].as_array().unwrap().len(), 4);
    assert_eq!(document["modes"][0]["program"]["commit"], document["modes"][0]["osier"]["commit"]);

    let script = |name: &str, text: &str| {
        let path = two.path(name);
        fs::write(&path, text).unwrap();
        chmod(&path, 0o755);
        path
    };
    let real = ostree.path.display();
    let wrong = script(
        "wrong",
        &format!(
            "#!/bin/sh\ncase \"$2\" in commit) set -- \"$@\" --no-xattrs;; esac\nexec {real} \
             \"$@\"\n"
        ),
    );
    let (text, status) = with(&wrong, &[]);
    let line = format!(
        "archive: refs/heads/compare:/file: xattrs[0].name: nothing in {}, \"user.a\" in osier\n",
        wrong.display()
    );
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("bare-user-only: equal: "), "nothing has xattrs there: {text}");
    assert_eq!(status, 1);
    let broken = script(
        "broken",
        &format!(
            "#!/bin/sh\ncase \"$2\" in commit) echo no >&2; exit 1;; esac\nexec {real} \"$@\"\n"
        ),
    );
    let (text, status) = with(&broken, &[]);
    let line = format!(
        "archive: {}: commit failed: no\narchive: different: only one could commit\n",
        broken.display()
    );
    assert!(text.contains(&line), "{text}");
    assert_eq!(status, 1);
    let left: Vec<_> = fs::read_dir(two.directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().starts_with("osier-compare")),
        "{left:?}"
    );
}
