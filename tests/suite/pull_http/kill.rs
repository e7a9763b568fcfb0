//! `kill -9` at random moments of a pull. Whatever the moment, the repository is sound, no ref
//! names a commit that is not complete, and the next pull finishes, without what has come already.

use std::os::unix::process::ExitStatusExt as _;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// Kills in all.
const ROUNDS: usize = 20;

/// Files that may be under way when a kill comes: they are there in part, and come again.
const UNFINISHED: usize = 20;

/// Starts a pull and kills it after that time; whether it was still running.
fn killed(repo: &Path, after: Duration) -> bool {
    let mut child = osier().start([&*format!("--repo={}", repo.display()), "pull", "origin"]);
    thread::sleep(after);
    let _ = kill_process(Pid::from_child(&child), Signal::KILL);
    let status = child.wait().unwrap();
    assert!(status.success() || status.signal() == Some(9), "{status:?}");
    !status.success()
}

/// How many files a repository has, those staged among them.
fn files_in(repo: &Path) -> usize {
    let entries = walkdir::WalkDir::new(repo).into_iter().filter_map(Result::ok);
    let is_file =
        |path: &Path| path.extension().is_some_and(|ending| ending == "file" || ending == "filez");
    entries.filter(|entry| is_file(entry.path())).count()
}

/// What has to be true after a kill.
fn check(repo: &Path, source: &Path) {
    assert_sound(repo);
    if let Some(ostree) = ostree() {
        ostree.repo(repo, ["fsck", "--quiet"]).success();
    }
    for name in ["main", "side"] {
        let refspec = format!("origin:{name}");
        let output = osier().repo(repo, ["rev-parse", &refspec]);
        if output.status != 0 {
            continue;
        }
        let commit = output.line();
        assert_eq!(commit, rev(source, name));
        // All of it is there, whether it is marked or not.
        let partial = repo.join(format!("state/{commit}.commitpartial"));
        let _ = fs::remove_file(partial);
        osier().repo(repo, ["fsck", "--quiet"]).success();
        osier().repo(repo, ["ls", "-R", "-C", &commit]).success();
    }
}

#[test]
fn a_pull_that_is_killed_goes_on_where_it_was() {
    let directory = scratch();
    let source = published(directory.path());
    let side = directory.path().join("side");
    fs::create_dir(&side).unwrap();
    for number in 0..150 {
        fs::write(side.join(number.to_string()), format!("side {number}")).unwrap();
    }
    let commit = ["commit", "-b", "side", "--canonical-permissions", side.to_str().unwrap()];
    osier().repo(&source, commit).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let new = |mode: &str| {
        let repo = destination(directory.path(), "repo", (mode, &server.url));
        let branches = ["config", "set", "--group=remote \"origin\"", "branches", "main;side;"];
        osier().repo(&repo, branches).success();
        repo
    };
    let mut dice = Dice::new(13);
    let mut in_time = 0;
    let (mut rounds, mut kept) = (0, 0);
    let started = Instant::now();
    pull(&new("bare-user"), &["origin"]).success();
    let time = started.elapsed();
    for mode in ["bare-user", "archive"].into_iter().cycle() {
        if rounds >= ROUNDS {
            break;
        }
        let repo = new(mode);
        // Several kills of one pull, each of which goes on from the one before.
        for _ in 0..5 {
            rounds += 1;
            let is_over = !killed(&repo, dice.moment(time));
            check(&repo, &source);
            if is_over {
                break;
            }
            in_time += 1;
        }
        let staged = files_in(&repo);
        let before = server.paths().len();
        pull(&repo, &["origin"]).success();
        let asked = server.paths().split_off(before);
        check(&repo, &source);
        for name in ["main", "side"] {
            assert_eq!(rev(&repo, &format!("origin:{name}")), rev(&source, name));
        }
        let marks = fs::read_dir(repo.join("state")).unwrap().count();
        assert_eq!(marks, 0, "no commit is partial");
        let mut wanted = objects(&source);
        wanted.retain(|name| !name.starts_with(&rev(&source, "main^")));
        let mut have = objects(&repo);
        have.sort_unstable();
        wanted.sort_unstable();
        let missing: Vec<_> = wanted.iter().filter(|name| !have.contains(name)).collect();
        assert!(missing.len() <= 3, "only of the first commit: {missing:?}");
        let files = asked.iter().filter(|path| path.ends_with(".filez")).count();
        let all = files_in(&repo);
        assert!(files + staged <= all + UNFINISHED, "{files} came, {staged} of {all} were there");
        println!("{mode}: {staged} files were there, {files} came");
        kept += staged;
    }
    assert!(kept > 0, "nothing was kept of any pull");
    println!("{in_time} of {rounds} kills came in time");
    assert!(in_time >= rounds / 4, "{in_time} of {rounds} kills came in time");
}
