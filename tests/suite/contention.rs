//! Several processes at once: committers to different refs, pruners and readers, osier and the real
//! `ostree` mixed.
//!
//! No ref and no object is lost, and the only error that anybody may get is that a lock was busy
//! for too long.
//!
//! The short form takes a few seconds; with `OSIER_LONG_TESTS=1` each scene runs for minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use osier::repo::{Repo, RepoMode};

use crate::support::{
    Dice, Output, Program, long_tests, needs_user_xattrs, osier, ostree, scratch,
};

/// Commits of one committer are of trees with so many files.
const FILES: u64 = 12;

fn time_of_scene() -> Duration {
    Duration::from_secs(if long_tests() { 90 } else { 3 })
}

/// What all processes work on.
struct Scene {
    directory: tempfile::TempDir,
    started: Instant,
    stop: AtomicBool,
    commits: AtomicU32,
    prunes: AtomicU32,
    reads: AtomicU32,
    busy: AtomicU32,
}

impl Scene {
    fn new(mode: &str) -> Self {
        let directory = scratch();
        let scene = Self {
            directory,
            started: Instant::now(),
            stop: AtomicBool::new(false),
            commits: AtomicU32::new(0),
            prunes: AtomicU32::new(0),
            reads: AtomicU32::new(0),
            busy: AtomicU32::new(0),
        };
        let program = osier();
        program.repo(&scene.repo(), ["init", &format!("--mode={mode}")]).success();
        scene.commit(&program, "steady", &mut Dice::new(0));
        scene
    }

    fn repo(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed) && self.started.elapsed() < time_of_scene()
    }

    /// Runs a command that may find the repository locked, or that loses a race of its own; `None`
    /// then.
    fn run(&self, program: &Program, arguments: &[&str]) -> Option<Output> {
        let output = program.repo(&self.repo(), arguments);
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        let is_locked = reported.contains("Locking repo ")
            && reported.contains("Resource temporarily unavailable");
        // The real program opens each staging directory that it has seen, though the owner may be
        // done meanwhile.
        let is_late = program.name == "ostree" && reported.starts_with("error: opendir(staging-");
        if output.status == 1 && (is_locked || is_late) {
            self.busy.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if output.status != 0 {
            // The others need not go on for minutes when one has failed.
            self.stop.store(true, Ordering::Relaxed);
        }
        assert_eq!(output.status, 0, "{output:?}");
        Some(output)
    }

    /// Commits a new tree to a ref, and returns the commit.
    fn commit(&self, program: &Program, name: &str, dice: &mut Dice) -> Option<String> {
        let tree = self.directory.path().join(name);
        fs::create_dir_all(tree.join("folder")).unwrap();
        for file in 0..FILES {
            // Files that other committers write at the same moment, too, and files of its own.
            let content = if dice.below(2) == 0 { dice.below(50) } else { dice.bits() };
            let path = tree.join(if file % 2 == 0 { "folder" } else { "." }).join(file.to_string());
            fs::write(path, format!("{content}\n").repeat(1 + dice.below(2000) as usize)).unwrap();
        }
        let tree = format!("--tree=dir={}", tree.display());
        let place = if name.starts_with("orphan") {
            "--orphan".to_owned()
        } else {
            format!("--branch={name}")
        };
        let output = self
            .run(program, &["commit", &place, "--no-xattrs", "--canonical-permissions", &tree])?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Some(output.line())
    }

    /// Waits where committers take a break: all at the same time, because a prune waits until
    /// there is no commit in progress.
    fn breathe(&self) {
        while self.goes_on() && self.started.elapsed().as_millis() % 1500 >= 900 {
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Commits to a ref until the time is over; the ref and its last commit.
    fn committer(&self, program: &Program, name: &str, seed: u64) -> (String, String) {
        let mut dice = Dice::new(seed);
        let mut last = None;
        while self.goes_on() || last.is_none() {
            last = self.commit(program, name, &mut dice).or(last);
            self.breathe();
        }
        (name.to_owned(), last.unwrap())
    }

    /// Commits without a ref, so that there is something to prune, and prunes.
    fn pruner(&self, program: &Program, seed: u64) {
        let mut dice = Dice::new(seed);
        while self.goes_on() {
            self.commit(program, "orphan", &mut dice);
            if self.run(program, &["prune", "--refs-only"]).is_some() {
                self.prunes.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Looks at what the others do.
    fn reader(&self, program: &Program, seed: u64) {
        let mut dice = Dice::new(seed);
        let out = self.directory.path().join(format!("out-{seed}"));
        while self.goes_on() {
            let name = if dice.below(2) == 0 { "steady" } else { "ref-0" };
            let name =
                if self.repo().join("refs/heads").join(name).exists() { name } else { "steady" };
            let calls: [&[&str]; 8] = [
                &["fsck", "--quiet"],
                &["ls", "-RC", name],
                &["log", name],
                &["show", name],
                &["refs"],
                &["summary", "-u"],
                &["checkout", "-U", name, out.to_str().unwrap()],
                &["diff", "steady", name],
            ];
            self.breathe();
            self.run(program, calls[dice.below(8) as usize]);
            self.reads.fetch_add(1, Ordering::Relaxed);
            let _ = fs::remove_dir_all(&out);
        }
    }

    /// Everything that was committed is there and whole.
    fn check(&self, committed: &[(String, String)]) {
        for (name, last) in committed {
            assert_eq!(osier().repo(&self.repo(), ["rev-parse", name]).line(), *last, "{name}");
        }
        for program in [Some(osier()), ostree()].into_iter().flatten() {
            program.repo(&self.repo(), ["fsck", "--quiet"]).success();
            program.repo(&self.repo(), ["prune", "--refs-only"]).success();
            program.repo(&self.repo(), ["fsck", "--quiet"]).success();
        }
        let tmp =
            fs::read_dir(self.repo().join("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = tmp.filter(|name| name != "cache").collect();
        assert!(left.is_empty(), "left over: {left:?}");
        let count = |counter: &AtomicU32| counter.load(Ordering::Relaxed);
        let (commits, prunes, reads) =
            (count(&self.commits), count(&self.prunes), count(&self.reads));
        println!(
            "{:?}: {commits} commits, {prunes} prunes, {reads} reads, {} times locked for too long",
            self.started.elapsed(),
            count(&self.busy)
        );
        assert!(commits > 10 && prunes > 0 && reads > 0, "too little has happened");
    }
}

/// Eight committers, a pruner and two readers; `programs` take turns.
fn everybody(mode: &str, programs: &[Program]) {
    let scene = Scene::new(mode);
    let program = |number: usize| &programs[number % programs.len()];
    let committed = thread::scope(|scope| {
        let scene = &scene;
        let committers: Vec<_> = (0..8)
            .map(|number| {
                let name = format!("ref-{number}");
                scope.spawn(move || scene.committer(program(number), &name, number as u64 + 1))
            })
            .collect();
        scope.spawn(move || scene.pruner(program(0), 100));
        // Readers are osier's: the real program's fsck does not keep prune away.
        scope.spawn(move || scene.reader(program(0), 200));
        scope.spawn(move || scene.reader(program(0), 201));
        committers.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    scene.check(&committed);
}

#[test]
fn committers_a_pruner_and_readers_do_not_disturb_each_other_in_an_archive() {
    everybody("archive", &[osier()]);
}

#[test]
fn committers_a_pruner_and_readers_do_not_disturb_each_other_in_a_bare_user_repository() {
    if needs_user_xattrs() {
        everybody("bare-user", &[osier()]);
    }
}

#[test]
fn osier_and_the_real_program_work_in_one_repository_at_the_same_time() {
    let Some(ostree) = ostree() else { return };
    everybody("archive", &[osier(), ostree]);
}

#[test]
fn the_repository_may_lie_in_the_tree_while_others_commit_to_it() {
    let scene = Scene::new("archive");
    let program = osier();
    let tree = scene.directory.path();
    let committed = thread::scope(|scope| {
        let scene = &scene;
        let others: Vec<_> = (0..2)
            .map(|number| {
                let name = format!("ref-{number}");
                let program = osier();
                scope.spawn(move || scene.committer(&program, &name, number + 1))
            })
            .collect();
        while scene.goes_on() {
            let tree = format!("--tree=dir={}", tree.display());
            let output = program.repo(&scene.repo(), ["commit", "-b", "all", "--no-xattrs", &tree]);
            output.assert_no_panic();
            // Files that vanish or change under the walk are reported by name, unless they are the
            // repository's own tmp.
            let reported = String::from_utf8_lossy(&output.stderr).into_owned();
            let harmless = reported.contains("No such file or directory")
                || reported.contains("changed while it was being");
            assert!(output.status == 0 || harmless, "{output:?}");
            assert!(
                !reported.contains("staging-") && !reported.contains("unfinished-"),
                "{output:?}"
            );
        }
        others.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert_whole(&scene.repo());
    for (name, last) in &committed {
        assert_eq!(program.repo(&scene.repo(), ["rev-parse", name]).line(), *last, "{name}");
    }
}

/// Without syncing, objects get their names one by one, while others clean up in `tmp/`.
#[test]
fn the_same_trees_may_be_committed_by_several_at_once_without_syncing() {
    let program = osier();
    for mode in ["archive", "bare-user-only"] {
        for round in 0..if long_tests() { 100 } else { 5 } {
            let directory = scratch();
            let repo = directory.path().join("repo");
            program.repo(&repo, ["init", &format!("--mode={mode}")]).success();
            for tree in 0..3 {
                let path = directory.path().join(format!("tree-{tree}"));
                fs::create_dir(&path).unwrap();
                for file in 0..20 {
                    fs::write(
                        path.join(file.to_string()),
                        format!("{mode} {round} {tree} {file}\n"),
                    )
                    .unwrap();
                }
            }
            thread::scope(|scope| {
                for number in 0..6 {
                    let (program, repo, directory) = (&program, &repo, directory.path());
                    scope.spawn(move || {
                        let tree = format!(
                            "--tree=dir={}",
                            directory.join(format!("tree-{}", number / 2)).display()
                        );
                        let branch = format!("--branch=ref-{}", number / 2);
                        program
                            .repo(repo, ["commit", "--fsync=false", &branch, "--no-xattrs", &tree])
                            .success();
                    });
                }
            });
            assert_whole(&repo);
            assert_eq!(
                fs::read_dir(repo.join("tmp")).unwrap().count(),
                1,
                "more than the cache is left in tmp"
            );
        }
    }
}

fn assert_whole(repo: &Path) {
    osier().repo(repo, ["fsck", "--quiet"]).success();
    if let Some(ostree) = ostree() {
        ostree.repo(repo, ["fsck", "--quiet"]).success();
    }
}

#[test]
fn several_may_create_the_same_repository_at_once() {
    const CREATORS: usize = 8;
    let directory = scratch();
    for round in 0..40 {
        let path = directory.path().join(round.to_string());
        let together = Barrier::new(CREATORS);
        thread::scope(|scope| {
            for _ in 0..CREATORS {
                scope.spawn(|| {
                    together.wait();
                    Repo::create(&path, RepoMode::BareUser, None).unwrap();
                });
            }
        });
        let config = fs::read_to_string(path.join("config")).unwrap();
        assert_eq!(config, "[core]\nrepo_version=1\nmode=bare-user\n");
        assert!(!path.join(".config-new").exists());
    }
}
