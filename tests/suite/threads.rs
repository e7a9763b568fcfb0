//! Any number of threads gives the same bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::{Mode, OFlags, openat};

use crate::support::user::{NO_THREADS, as_other_user, give_away, make_deep};
use crate::support::{Entry, Snapshot, osier, osier_path, raw_snapshot, scratch};

const NUMBERS_OF_THREADS: [&str; 4] = ["1", "2", "4", "8"];

/// Enough files for eight threads: equal ones, large ones, links, directories in directories.
fn build_tree(root: &Path) {
    for directory in 0..12 {
        let path = root.join(format!("directory-{directory}/below/deeper"));
        fs::create_dir_all(&path).unwrap();
        for number in 0..40 {
            // Every third content occurs in several directories.
            let owner = if number % 3 == 0 { 0 } else { directory };
            let text = format!("content {owner} {number}\n").repeat(1 + number * 7);
            fs::write(path.join(format!("file-{number}")), text).unwrap();
        }
        std::os::unix::fs::symlink(
            "deeper",
            root.join(format!("directory-{directory}/below/link")),
        )
        .unwrap();
    }
    let noise: Vec<u8> =
        (0..3_000_000_u64).map(|n| (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u8).collect();
    fs::write(root.join("large"), &noise).unwrap();
    fs::write(root.join("large-again"), &noise).unwrap();
    fs::write(root.join("larger"), [&noise[..], &[0; 2_000_000]].concat()).unwrap();
}

/// Without modification times, which the clock decides where they are not part of an object.
fn without_times(snapshot: Snapshot) -> Snapshot {
    snapshot.into_iter().map(|(path, entry)| (path, Entry { seconds: None, ..entry })).collect()
}

#[test]
fn commit_checkout_and_export_do_not_depend_on_the_number_of_threads() {
    for mode in ["archive", "bare-user"] {
        let directory = scratch();
        let tree = directory.path().join("tree");
        build_tree(&tree);
        let results = NUMBERS_OF_THREADS.map(|threads| {
            let place = directory.path().join(format!("with-{threads}"));
            fs::create_dir(&place).unwrap();
            let (repo, copy, tar) =
                (place.join("repo"), place.join("copy"), place.join("export.tar"));
            let program = osier().with("RAYON_NUM_THREADS", threads);
            program.repo(&repo, ["init", &format!("--mode={mode}")]).success();
            let source = format!("--tree=dir={}", tree.display());
            let commit = program
                .repo(&repo, ["commit", "-b", "main", "--timestamp=2020-01-01", &source])
                .line();
            program.repo(&repo, ["checkout", "-U", "main", copy.to_str().unwrap()]).success();
            program
                .repo(&repo, ["export", &format!("--output={}", tar.display()), "main"])
                .success();
            let repo = without_times(raw_snapshot(&repo));
            (commit, repo, without_times(raw_snapshot(&copy)), fs::read(&tar).unwrap())
        });
        let (commit, repo, copy, tar) = &results[0];
        // Nothing of it is empty.
        assert!(repo.len() > 350 && copy.len() > 500 && tar.len() > 8_000_000);
        for (threads, result) in NUMBERS_OF_THREADS.iter().zip(&results) {
            assert_eq!(&result.0, commit, "{mode}, {threads} threads");
            assert!(&result.1 == repo, "{mode}: the repository differs with {threads} threads");
            assert!(&result.2 == copy, "{mode}: the checkout differs with {threads} threads");
            assert!(&result.3 == tar, "{mode}: the export differs with {threads} threads");
        }
    }
}

/// Runs a command that succeeds although it can make no thread.
fn run_without_threads(program: &Path, repo: &Path, arguments: &str) -> String {
    let line =
        format!("{NO_THREADS}; exec {} --repo={} {arguments}", program.display(), repo.display());
    let mut command = Command::new("sh");
    command.args(["-c", &line]).current_dir(repo.parent().unwrap());
    as_other_user(&mut command);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments}: {:?} {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_deep_tree_needs_no_thread_with_a_large_stack() {
    let directory = scratch();
    let root = directory.path();
    let program = root.join("osier");
    fs::copy(osier_path(), &program).unwrap();
    let repo = root.join("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    give_away(root);
    let deepest = make_deep(&root.join("deep"), 4000);
    let flags = OFlags::CREATE | OFlags::WRONLY;
    drop(openat(&deepest, "file", flags, Mode::from_raw_mode(0o644)).unwrap());
    for arguments in [
        "commit -b main --timestamp=2020-01-01 --tree=dir=deep",
        "fsck",
        "commit -b again --timestamp=2020-01-02 --owner-uid=1 --tree=ref=main",
        "diff main again",
        "export main --output=out.tar",
        "checkout -U main copy",
        "checkout -U --union main copy",
        "prune --refs-only",
    ] {
        run_without_threads(&program, &repo, arguments);
    }
    for tree in ["copy", "deep"] {
        let consume = format!("commit -b gone --consume --timestamp=2020-01-04 --tree=dir={tree}");
        run_without_threads(&program, &repo, &consume);
        assert!(!root.join(tree).exists());
    }
}

#[test]
fn where_no_thread_can_be_made_the_work_is_done_without() {
    let directory = scratch();
    let root = directory.path();
    // The program may lie where that user cannot reach it.
    let program = root.join("osier");
    fs::copy(osier_path(), &program).unwrap();
    let (repo, tree) = (root.join("repo"), root.join("tree"));
    build_tree(&tree);
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let source = format!("--tree=dir={}", tree.display());
    let commit = osier()
        .repo(&repo, ["commit", "-b", "main", "--timestamp=2020-01-01", "--owner-uid=0", &source])
        .line();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    give_away(root);
    let run = |arguments: &str| run_without_threads(&program, &repo, arguments);
    for arguments in [
        "fsck",
        "export main --output=out.tar",
        "prune --refs-only",
        "summary -u",
        "checkout -U main copy",
        "diff main ./tree",
        "refs",
        "ls -R main",
    ] {
        run(arguments);
    }
    let again =
        run("commit -b again --timestamp=2020-01-01 --owner-uid=0 --tree=ref=main --tree=dir=copy");
    assert_eq!(again.trim().len(), 64);
    assert!(run("refs").contains("again"));
    assert_eq!(run("rev-parse main").trim(), commit);
}
