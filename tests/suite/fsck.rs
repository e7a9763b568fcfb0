//! Checking repositories: sound ones, and every kind of damage.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use osier::fsck::{FsckOptions, FsckReport, fsck};
use osier::progress::{Event, Silent};
use osier::repo::Repo;

use crate::support::{
    GOLDEN_REPOS, Program, assert_same_text, expected, extract_repo, osier, ostree, scratch,
};

/// Messages and warnings of a check, in order.
fn check(repo: &Path, options: FsckOptions) -> (Result<FsckReport, String>, Vec<String>) {
    let lines = Mutex::new(Vec::new());
    let progress = |event: Event<'_>| match event {
        Event::Message(line) | Event::Warning(line) => lines.lock().unwrap().push(line.to_owned()),
        _ => {}
    };
    let repo = Repo::open(repo).unwrap();
    let result = fsck(&repo, &options, &progress).map_err(|error| error.chain());
    (result, lines.into_inner().unwrap())
}

fn all() -> FsckOptions {
    FsckOptions { all: true, ..FsckOptions::default() }
}

/// An object of a repository, by its file name's end and its first digits.
fn object(repo: &Path, hex: &str, extension: &str) -> PathBuf {
    repo.join(format!("objects/{}/{}.{extension}", &hex[..2], &hex[2..]))
}

const C1: &str = "8cefc9272b37eb67a06a896a220e5cf065e32e338ebf9a2a3016acc3ba477684";
const C2: &str = "8989cc09c09fc10dd1c26ce78fe2ebaf949d9f3f17aa83e884a2cec4ebf1d7d3";
const C3: &str = "426702638410b4e3fa5e0a2fb8d0708aff599f6c4c52bb80d9e2f4f336f9f082";
/// `/usr/share/hard-a`, which all three commits have, and `/usr/lib/big2.txt` of the last.
const HARD_A: &str = "b9a700ba82f2e1f1f7a9cfe4c300fc495da37ada24a29c40e66c0b5e6e0fbb45";
const BIG2: &str = "37605c6383f63230f1638758b6bfeb6708e110d2a45e947e7ce0ae307e94617f";
/// The symlink `/usr/lib/lib.so`, the dirmeta of most directories, the dirtree of `/etc`.
const LIB_SO: &str = "1249cd4502ac4d491e118a29ae0ee26fa87704c3c19e5ec85a827f6e71b25295";
const DIRMETA: &str = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488";
const ETC: &str = "5406c91e7bd69a23517ab6979bdbd87b0a12470bf375d3a0fc03c34acac66bfc";

#[test]
fn golden_repositories_are_sound() {
    for name in GOLDEN_REPOS {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let (report, lines) = check(&repo, FsckOptions::default());
        let report = report.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!report.corrupted, "{name}: {lines:?}");
        let (commits, partial) = match name {
            "archive" => (7, 0),
            "pruned" => (2, 1),
            "bare-user-only" | "gpg" => (1, 0),
            _ => (3, 0),
        };
        assert_eq!(
            (report.commits, report.partial_commits, report.damaged_commits),
            (commits, partial, 0),
            "{name}"
        );
        let verifying = format!("Verifying content integrity of {commits} commit objects...");
        let expected = [
            "Validating refs...",
            "Validating refs in collections...",
            "Enumerating commits...",
            &verifying,
        ];
        assert_eq!(lines, expected, "{name}");
    }
}

#[test]
fn a_missing_object_marks_its_commits_as_partial_and_the_check_goes_on() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    fs::remove_file(object(&repo, HARD_A, "filez")).unwrap();
    fs::remove_file(object(&repo, BIG2, "filez")).unwrap();
    let (report, lines) = check(&repo, FsckOptions::default());
    assert!(report.unwrap().corrupted);
    let expected = [
        format!("Object missing in commits {C3}: {BIG2}.file"),
        format!("Marking commit as partial: {C3}"),
        format!("Object missing in commits {C3}, {C2}, {C1}: {HARD_A}.file"),
        format!("Marking commit as partial: {C2}"),
        format!("Marking commit as partial: {C1}"),
    ];
    assert_eq!(lines[4..], expected);
    for commit in [C1, C2, C3] {
        assert_eq!(fs::read(repo.join(format!("state/{commit}.commitpartial"))).unwrap(), b"f");
    }
    let (report, _) = check(&repo, FsckOptions::default());
    let damaged = FsckReport { partial_commits: 3, damaged_commits: 3, ..FsckReport::default() };
    assert_eq!(report, Ok(damaged));
}

#[test]
fn a_missing_commit_behind_a_ref_ends_the_check() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    fs::remove_file(object(&repo, C3, "commit")).unwrap();
    let (report, lines) = check(&repo, all());
    let error =
        format!("Loading commit for ref golden/x86_64/main: No such metadata object {C3}.commit");
    assert_eq!(report, Err(error));
    assert_eq!(lines, ["Validating refs...".to_owned(), format!("Object missing: {C3}.commit")]);
}

#[test]
fn a_missing_parent_is_no_fault() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    fs::remove_file(object(&repo, C2, "commit")).unwrap();
    let sound = FsckReport { commits: 2, ..FsckReport::default() };
    assert_eq!(check(&repo, FsckOptions::default()).0, Ok(sound));
}

#[test]
fn a_missing_dirtree_ends_the_check() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    fs::remove_file(object(&repo, ETC, "dirtree")).unwrap();
    assert_eq!(check(&repo, all()).0, Err(format!("No such metadata object {ETC}.dirtree")));
}

/// What happens to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

/// Every way of damaging a file that the test knows.
const DAMAGES: [(&str, Damage); 4] = [
    ("truncated", |bytes| bytes.truncate(bytes.len() - 1)),
    ("emptied", Vec::clear),
    ("extended", |bytes| bytes.push(b'x')),
    ("flipped", |bytes| bytes[9] ^= 0x40),
];

#[test]
fn damaged_objects_of_every_type_are_named_with_their_commits() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    let objects = [
        (HARD_A, "filez", format!("In commits {C3}, {C2}, {C1}: fsck content object {HARD_A}: ")),
        (LIB_SO, "filez", format!("In commits {C3}, {C2}, {C1}: fsck content object {LIB_SO}: ")),
        (
            ETC,
            "dirtree",
            format!("In commits {C3}, {C2}, {C1}: fsck {ETC}.dirtree: Corrupted dirtree object"),
        ),
        (
            DIRMETA,
            "dirmeta",
            format!(
                "In commits {C3}, {C2}, {C1}: fsck {DIRMETA}.dirmeta: Corrupted dirmeta object"
            ),
        ),
        (
            C2,
            "commit",
            format!(
                "In commits {C2}: fsck {C2}.commit: Corrupted commit object; checksum \
                 expected='{C2}'"
            ),
        ),
        (
            C3,
            "commit",
            format!("fsck {C3}.commit: Corrupted commit object; checksum expected='{C3}' actual='"),
        ),
    ];
    for (hex, extension, message) in &objects {
        let path = object(&repo, hex, extension);
        let sound = fs::read(&path).unwrap();
        for (damage, apply) in DAMAGES {
            let mut bytes = sound.clone();
            apply(&mut bytes);
            fs::write(&path, bytes).unwrap();
            let (report, lines) = check(&repo, FsckOptions::default());
            let error = report.unwrap_err();
            assert!(error.starts_with(message), "{damage} {hex}.{extension}: {error}");
            assert!(!lines.iter().any(|line| line.contains(hex)), "{lines:?}");
            // With `all` the same is reported on the way, and the check goes on to the end.
            let (report, lines) = check(&repo, all());
            assert!(report.unwrap().corrupted, "{damage} {hex}.{extension}");
            assert!(
                lines.iter().any(|line| line.starts_with(message)),
                "{damage} {hex}.{extension}: {lines:?}"
            );
        }
        fs::write(&path, sound).unwrap();
        assert!(!check(&repo, FsckOptions::default()).0.unwrap().corrupted, "{hex}.{extension}");
    }
    assert_eq!(
        fs::read_dir(repo.join("state")).unwrap().count(),
        0,
        "corruption is no partial commit"
    );
}

#[test]
fn the_first_corrupted_object_in_name_order_is_reported_on_every_run() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    for path in [
        object(&repo, DIRMETA, "dirmeta"),
        object(&repo, HARD_A, "filez"),
        object(&repo, ETC, "dirtree"),
    ] {
        let mut bytes = fs::read(&path).unwrap();
        bytes.push(0);
        fs::write(&path, bytes).unwrap();
    }
    fs::remove_file(object(&repo, BIG2, "filez")).unwrap();
    let error = |repo: &Path| check(repo, FsckOptions::default());
    let (report, lines) = error(&repo);
    assert!(report.unwrap_err().contains(&format!("fsck {DIRMETA}.dirmeta: ")));
    // What is missing before it has been reported, what is missing after it has not.
    assert_eq!(lines[4], format!("Object missing in commits {C3}: {BIG2}.file"));
    assert_eq!(lines.len(), 6);
    fs::remove_file(repo.join(format!("state/{C3}.commitpartial"))).unwrap();
    for _ in 0..10 {
        let (report, again) = error(&repo);
        assert!(report.unwrap_err().contains(&format!("fsck {DIRMETA}.dirmeta: ")));
        assert_eq!(again, lines);
        fs::remove_file(repo.join(format!("state/{C3}.commitpartial"))).unwrap();
    }
}

#[test]
fn an_object_under_a_wrong_name_is_corrupted() {
    let directory = scratch();
    let Some(repo) = extract_repo("bare-user", directory.path()) else { return };
    let (from, to) = (object(&repo, BIG2, "file"), object(&repo, HARD_A, "file"));
    fs::remove_file(&to).unwrap();
    fs::copy(&from, &to).unwrap();
    let value = {
        let mut value = vec![0; 4096];
        let length = rustix::fs::getxattr(&from, "user.ostreemeta", &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    rustix::fs::setxattr(&to, "user.ostreemeta", &value, rustix::fs::XattrFlags::empty()).unwrap();
    let error = check(&repo, FsckOptions::default()).0.unwrap_err();
    let expected = format!(
        "In commits {C3}, {C2}, {C1}: fsck content object {HARD_A}: Corrupted file object; \
         checksum expected='{HARD_A}' actual='{BIG2}'"
    );
    assert_eq!(error, expected);
}

#[test]
fn bindings_are_checked_when_asked_for() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let bindings = FsckOptions { verify_bindings: true, ..FsckOptions::default() };
    let back_refs = FsckOptions { verify_back_refs: true, ..FsckOptions::default() };
    let c1 = crate::support::golden_commit("c1");
    let c2 = crate::support::golden_commit("c2");
    let c3 = crate::support::golden_commit("c3");
    let error = check(&repo, bindings).0.unwrap_err();
    let expected = format!(
        "Commit {c3}: Commit has no requested ref ‘golden/alias’ in ref binding metadata \
         (‘golden/also’, ‘golden/x86_64/main’)"
    );
    assert_eq!(error, expected);
    let error = check(&repo, back_refs).0.unwrap_err();
    let expected = format!(
        "Collection–ref (org.example.Golden, golden/x86_64/main) in bindings for commit {c2} does \
         not resolve to that commit"
    );
    assert_eq!(error, expected);
    for name in ["golden/alias", "golden/tag"] {
        fs::remove_file(repo.join("refs/heads").join(name)).unwrap();
    }
    let error = check(&repo, bindings).0.unwrap_err();
    let expected = format!(
        "Commit {c1}: Commit has no requested ref ‘third/ref’ in ref binding metadata \
         (‘golden/x86_64/main’)"
    );
    assert_eq!(error, expected);
    fs::remove_file(repo.join("refs/remotes/third/third/ref")).unwrap();
    let error = check(&repo, bindings).0.unwrap_err();
    let expected = format!(
        "Commit {c2}: Commit has no requested ref ‘other/ref’ in ref binding metadata \
         (‘golden/x86_64/main’)"
    );
    assert_eq!(error, expected);
    fs::remove_file(repo.join("refs/mirrors/org.example.Other/other/ref")).unwrap();
    assert!(!check(&repo, bindings).0.unwrap().corrupted);
}

#[test]
fn progress_counts_every_object_once() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    let counted = Mutex::new((None, 0, false));
    let progress = |event: Event<'_>| match event {
        Event::Started { task: "fsck objects", total } => counted.lock().unwrap().0 = total,
        Event::Advanced { steps, .. } => counted.lock().unwrap().1 += steps,
        Event::Finished => counted.lock().unwrap().2 = true,
        _ => {}
    };
    fsck(&Repo::open(&repo).unwrap(), &FsckOptions::default(), &progress).unwrap();
    // As many as in expected/fsck.plain.txt.
    assert_eq!(counted.into_inner().unwrap(), (Some(69), 69, true));
    assert_eq!(
        fsck(&Repo::open(&repo).unwrap(), &FsckOptions::default(), &Silent).unwrap().commits,
        3
    );
}

/// Standard output without the lines that depend on the clock, standard error with lists of commits
/// sorted (2022.7 writes them in the order of a hash table), and the exit status.
fn reported(program: &Program, repo: &Path, arguments: &[&str]) -> (String, String, i32) {
    let output = program.repo(repo, [&["fsck"], arguments].concat());
    output.assert_no_panic();
    let mut lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let is_progress = |line: &String| line.starts_with("fsck objects (");
    // Those in between depend on the clock.
    lines.retain(|line| {
        !is_progress(line) || line.starts_with("fsck objects (1/") || line.ends_with(" 100%")
    });
    let sort_commits = |line: &str| match line
        .split_once("n commits ")
        .and_then(|(_, rest)| rest.split_once(": "))
    {
        Some((list, _)) => {
            let mut commits: Vec<&str> = list.split(", ").collect();
            commits.sort_unstable();
            line.replace(list, &commits.join(", "))
        }
        None => line.to_owned(),
    };
    let mut errors: Vec<String> =
        String::from_utf8(output.stderr).unwrap().lines().map(sort_commits).collect();
    // The commits are marked in the order of the list.
    errors.sort_unstable();
    (lines.join("\n"), errors.join("\n"), output.status)
}

#[test]
fn golden_output_is_reproduced() {
    for name in GOLDEN_REPOS {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let (stdout, stderr, status) = reported(&osier(), &repo, &[]);
        assert_eq!((status, &stderr[..]), (0, ""), "{name}: {stdout}");
        let stored = format!("fsck.{name}.txt");
        assert_same_text(
            &stored,
            ("osier", format!("{stdout}\n").as_bytes()),
            (&stored, &expected(&stored)),
        );
    }
}

/// What happens to a repository.
type Harm<'h> = &'h dyn Fn(&Path);

/// The names of all objects and marks, and the config.
fn files(repo: &Path) -> (Vec<String>, String) {
    let mut names = Vec::new();
    for directory in ["objects", "state"] {
        for entry in walkdir::WalkDir::new(repo.join(directory)).sort_by_file_name() {
            names.push(
                entry.unwrap().path().strip_prefix(repo).unwrap().to_str().unwrap().to_owned(),
            );
        }
    }
    (names, fs::read_to_string(repo.join("config")).unwrap())
}

/// Damages a copy for each program, and compares what they say.
#[track_caller]
fn says_the_same(golden: &str, damage: Harm<'_>, arguments: &[&str]) {
    let Some(ostree) = ostree() else { return };
    let (left, right) = (scratch(), scratch());
    let Some(theirs) = extract_repo(golden, left.path()) else { return };
    let Some(ours) = extract_repo(golden, right.path()) else { return };
    damage(&theirs);
    damage(&ours);
    // Twice: the first check may leave commits marked as partial.
    for _ in 0..2 {
        assert_eq!(
            reported(&osier(), &ours, arguments),
            reported(&ostree, &theirs, arguments),
            "{golden} {arguments:?}"
        );
    }
    assert_eq!(files(&ours), files(&theirs), "{golden} {arguments:?}");
}

#[test]
fn damage_is_reported_as_by_the_real_program() {
    let remove = |hex: &'static str, extension: &'static str| {
        move |repo: &Path| fs::remove_file(object(repo, hex, extension)).unwrap()
    };
    let flip = |hex: &'static str, extension: &'static str, at: usize| {
        move |repo: &Path| {
            let path = object(repo, hex, extension);
            let mut bytes = fs::read(&path).unwrap();
            bytes[at] ^= 0x10;
            fs::write(path, bytes).unwrap();
        }
    };
    let damages: [(&str, Harm<'_>); 12] = [
        ("plain", &|_| {}),
        ("pruned", &|_| {}),
        ("plain", &remove(HARD_A, "filez")),
        ("plain", &remove(BIG2, "filez")),
        ("plain", &remove(DIRMETA, "dirmeta")),
        ("plain", &remove(ETC, "dirtree")),
        ("plain", &remove(C2, "commit")),
        ("plain", &remove(C3, "commit")),
        ("plain", &flip(C3, "commit", 9)),
        ("plain", &flip(DIRMETA, "dirmeta", 3)),
        ("bare", &flip(HARD_A, "file", 3)),
        ("bare-user", &flip(BIG2, "file", 1000)),
    ];
    for (golden, damage) in damages {
        for arguments in [
            &[][..],
            &["-q"],
            &["-a"],
            &["--delete"],
            &["--add-tombstones"],
            &["--delete", "--add-tombstones"],
        ] {
            says_the_same(golden, damage, arguments);
        }
    }
}

#[test]
fn bindings_are_reported_as_by_the_real_program() {
    let keep_main = |repo: &Path| {
        for name in ["golden/alias", "golden/tag"] {
            fs::remove_file(repo.join("refs/heads").join(name)).unwrap();
        }
        fs::remove_dir_all(repo.join("refs/remotes/third")).unwrap();
        fs::remove_dir_all(repo.join("refs/mirrors/org.example.Other")).unwrap();
    };
    let rebind = |repo: &Path| {
        keep_main(repo);
        fs::create_dir_all(repo.join("refs/mirrors/org.example.Other/golden")).unwrap();
        fs::copy(
            repo.join("refs/heads/golden/two"),
            repo.join("refs/mirrors/org.example.Other/golden/two"),
        )
        .unwrap();
    };
    let unbind = |repo: &Path| fs::remove_file(repo.join("refs/heads/signed")).unwrap();
    says_the_same("archive", &keep_main, &["--verify-bindings"]);
    says_the_same("archive", &rebind, &["--verify-bindings"]);
    says_the_same("gpg", &|_| {}, &["--verify-bindings"]);
    says_the_same("gpg", &|_| {}, &["--verify-back-refs"]);
    says_the_same("gpg", &unbind, &["--verify-back-refs"]);
}
