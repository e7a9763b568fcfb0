//! SIGINT and SIGTERM at any moment: nothing is half-written, and the next run goes on and leaves
//! no litter.
//!
//! The library installs no handler, and the command line's only clears the bar and says what is
//! left: a signal ends osier at once. What makes that safe is the order in which things are
//! written, and that is what these tests watch. Other accidents that come in the middle of a run
//! have their tests here, too.

mod deltas;
mod full_disk;
mod kill;
mod leftovers;
mod power_loss;
mod stage;
mod trace;
mod vanishing;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use osier::fsck::{FsckOptions, fsck};
use osier::progress::Silent;
use osier::repo::{ListRefs, Repo};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{osier, ostree, scratch};

/// At how many moments of a run it is interrupted.
const MOMENTS: u32 = 24;

/// Runs osier on `repo` and ends it with `signal` after a while; whether it had finished by itself.
fn interrupt(repo: &Path, call: &[&str], (after, signal): (Duration, Signal)) -> bool {
    let mut command = Command::new(&osier().path);
    command
        .arg(format!("--repo={}", repo.display()))
        .args(call)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    thread::sleep(after);
    let _ = kill_process(Pid::from_child(&child), signal);
    child.wait().unwrap().success()
}

/// Interrupts the call at moments spread over the time that it takes, each time going on with what
/// the one before left.
fn interrupt_often(make: &dyn Fn(&Path), call: &[&str], ref_name: &str) {
    let directory = scratch();
    let whole = directory.path().join("whole");
    make(&whole);
    let started = Instant::now();
    osier().repo(&whole, call).success();
    let time = started.elapsed();
    let expected = osier().repo(&whole, ["rev-parse", ref_name]).line();
    for moment in 0..MOMENTS {
        let repo = directory.path().join("repo");
        let _ = fs::remove_dir_all(&repo);
        make(&repo);
        let signal = if moment % 2 == 0 { Signal::INT } else { Signal::TERM };
        // Later moments are tried twice: the second run begins with what the first has staged.
        for after in [time * moment / MOMENTS, time * (moment / 2) / MOMENTS] {
            interrupt(&repo, call, (after, signal));
            let opened = Repo::open(&repo).unwrap();
            let report = fsck(&opened, &FsckOptions::default(), &Silent).unwrap();
            assert!(!report.corrupted, "{call:?} ended after {after:?}: {report:?}");
            for (name, commit) in opened.list_refs(None, ListRefs::Full).unwrap() {
                opened
                    .load_commit(&commit)
                    .unwrap_or_else(|error| panic!("{name} after {after:?}: {error}"));
            }
        }
        osier().repo(&repo, call).success();
        assert_eq!(osier().repo(&repo, ["rev-parse", ref_name]).line(), expected);
        osier().repo(&repo, ["fsck", "--quiet"]).success();
        if let Some(ostree) = ostree() {
            ostree.repo(&repo, ["fsck", "--quiet"]).success();
        }
        let left: Vec<_> = fs::read_dir(repo.join("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            // A file that was about to replace another one goes when it is a day old.
            .filter(|name| name != "cache" && !name.starts_with("replace-"))
            .collect();
        assert!(left.is_empty(), "{call:?} ended at {moment}/{MOMENTS}: {left:?}");
        assert_eq!(
            fs::read_dir(repo.join("state")).unwrap().count(),
            0,
            "a finished commit is still partial"
        );
    }
}

fn tree(directory: &Path) {
    for folder in 0..20 {
        let folder = directory.join(format!("folder-{folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..20 {
            let path = folder.join(format!("file-{file}"));
            fs::write(&path, path.to_str().unwrap().repeat(50)).unwrap();
        }
    }
}

fn init(repo: &Path, mode: &str) {
    osier().repo(repo, ["init", "--mode", mode]).success();
}

#[test]
fn a_commit_can_be_interrupted_at_any_moment() {
    let directory = scratch();
    let files = directory.path().join("tree");
    tree(&files);
    let call = [
        "commit",
        "--canonical-permissions",
        "--branch=main",
        "--timestamp=@1",
        files.to_str().unwrap(),
    ]
    .map(str::to_owned);
    let call: Vec<&str> = call.iter().map(String::as_str).collect();
    // A second commit of the same tree would have the first as its parent.
    let call = [&call[..], &["--parent=none"]].concat();
    interrupt_often(&|repo| init(repo, "archive"), &call, "main");
}

#[test]
fn a_pull_can_be_interrupted_at_any_moment() {
    let directory = scratch();
    let (files, source) = (directory.path().join("tree"), directory.path().join("source"));
    tree(&files);
    init(&source, "archive");
    let commit = [
        "commit",
        "--canonical-permissions",
        "--branch=main",
        "--timestamp=@1",
        files.to_str().unwrap(),
    ];
    osier().repo(&source, commit).success();
    for mode in ["archive", "bare-user-only"] {
        let call = ["pull-local", "--untrusted", source.to_str().unwrap(), "main"];
        interrupt_often(&|repo| init(repo, mode), &call, "main");
    }
}

#[test]
fn a_commit_that_was_staged_before_a_prune_is_not_taken_over_after_it() {
    let directory = scratch();
    let at = directory.path();
    let (repo, files) = (at.join("repo"), at.join("tree"));
    tree(&files);
    init(&repo, "archive");
    let commit = [
        "commit",
        "--canonical-permissions",
        "--branch=main",
        "--timestamp=@1",
        files.to_str().unwrap(),
    ];
    osier().repo(&repo, commit).success();
    // Staged with nothing but what is new in it, and never moved into place.
    fs::write(files.join("new"), "new").unwrap();
    let failing = osier().with("OSTREE_REPO_TEST_ERROR", "pre-commit");
    assert_eq!(failing.repo(&repo, commit).status, 1);
    let staged =
        walkdir::WalkDir::new(repo.join("tmp")).into_iter().map(|entry| entry.unwrap().into_path());
    assert!(
        staged.into_iter().any(|path| path.extension().is_some_and(|kind| kind == "commit")),
        "nothing is staged"
    );

    osier().repo(&repo, ["refs", "--delete", "main"]).success();
    osier().repo(&repo, ["prune", "--refs-only"]).success();
    let other = at.join("other");
    fs::create_dir(&other).unwrap();
    osier().repo(&repo, ["commit", "--branch=other", other.to_str().unwrap()]).success();
    for program in [Some(osier()), ostree()].into_iter().flatten() {
        program.repo(&repo, ["fsck", "--quiet"]).success();
    }
    assert_eq!(fs::read_dir(repo.join("tmp")).unwrap().count(), 1, "more than the cache is in tmp");
}
