//! Runs that are interrupted or killed, at each step: the first commit stays served, and the next
//! run succeeds.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::world::{PENDING, REF, World, is_alive, report_of};
use crate::support::{Output, Program, can_trace, one_of, osier_path, search_path_after, skip};

pub fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

pub fn end(child: Child) -> (Option<i32>, String) {
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[track_caller]
fn next_run_succeeds(world: &World, first: &str) {
    world.assert_pulled(first);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_ne!(second, first);
    assert_eq!(world.rev(&format!("{second}^")).as_deref(), Some(first));
    world.assert_served(&second);
    world.assert_clean();
    assert_eq!(world.rev(PENDING), None);
}

#[test]
fn an_interrupt_ends_the_check_before_anything_is_written() {
    for script in ["exec sleep 1000", "sleep 3; echo rpm-ostree 2025.1"] {
        let Some(world) = World::new() else { return };
        fs::write(world.path("bin/rpm-ostree"), format!("#!/bin/sh\necho > asked\n{script}\n"))
            .unwrap();
        let child = world.spawn("");
        let started = Instant::now();
        while !world.path("asked").exists() {
            assert!(started.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(10));
        }
        let sent = Instant::now();
        send(&child, Signal::INT);
        assert_eq!(end(child), (Some(1), "error: interrupted\n".to_owned()));
        assert!(sent.elapsed() < Duration::from_secs(3), "{script}");
        assert!(
            ["repo", "cache", "work"].iter().all(|name| !world.path(name).exists()),
            "{script}"
        );
    }
}

#[test]
fn an_interrupt_ends_the_program_and_is_reported() {
    for (signal, mode) in [(Signal::INT, "sleep:6"), (Signal::TERM, "sleep:8")] {
        let Some((world, first)) = World::composed() else { return };
        let before = world.public();
        world.change(2);
        let child = world.spawn(mode);
        let program = world.wait_for_sleep();
        send(&child, signal);
        let (status, stderr) = end(child);
        assert_eq!(status, Some(1), "{stderr}");
        assert!(stderr.ends_with("error: interrupted\n"), "{stderr}");
        assert!(!is_alive(program));
        let report = world.report();
        assert_eq!((&report["status"], &report["stage"]), (&json!("failed"), &json!("compose")));
        assert_eq!(
            (&report["error"], &report["commands"][0]["signal"]),
            (&json!("interrupted"), &json!(15))
        );
        assert_eq!(world.public(), before);
        world.assert_clean();
        next_run_succeeds(&world, &first);
    }
}

#[test]
fn a_second_interrupt_kills_a_program_that_does_not_listen() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let child = world.spawn("deaf:6");
    let program = world.wait_for_sleep();
    send(&child, Signal::INT);
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(is_alive(program));
    send(&child, Signal::INT);
    let (status, stderr) = end(child);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(!is_alive(program));
    assert_eq!(world.report()["commands"][0]["signal"], 9);
    world.assert_clean();
    next_run_succeeds(&world, &first);
}

#[test]
fn a_program_that_takes_too_long_is_ended() {
    let Some((world, first)) = World::composed() else { return };
    world.set_config("timeout=1s\n");
    world.change(2);
    let message = world.tree_with("sleep:6", &[]).failure();
    assert_eq!(message, "rpm-ostree did not end within 1 s (timeout)");
    world.assert_clean();
    world.set_config("");
    next_run_succeeds(&world, &first);
}

#[test]
fn a_program_that_is_killed_at_any_step_leaves_the_first_commit() {
    for step in [6, 8, 9, 10, 11] {
        let Some((world, first)) = World::composed() else { return };
        let before = world.public();
        world.change(2);
        let message = world.tree_with(&format!("kill-self:{step}"), &[]).failure();
        assert_eq!(message, "rpm-ostree failed: killed by signal 9", "{step}");
        assert_eq!(world.public(), before);
        world.assert_clean();
        next_run_succeeds(&world, &first);
    }
}

#[test]
fn when_osier_is_killed_the_next_run_cleans_up_after_both() {
    for step in [6, 8, 9, 10, 11] {
        let Some((world, first)) = World::composed() else { return };
        let before = world.public();
        world.change(2);
        let output = world.tree_with(&format!("kill-parent:{step}"), &[]);
        assert_eq!(output.status, -9, "{step}: {output:?}");
        let killed = world.runs().pop().unwrap();
        assert_eq!(
            (&report_of(&killed)["status"], &report_of(&killed)["stage"]),
            (&json!("running"), &json!("compose"))
        );
        assert_eq!(world.public(), before);
        let output = world.tree(&[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        output.success();
        let reported =
            format!("warning: the run {} was killed at the step `compose`\n", killed.display());
        assert!(stderr.contains(&reported), "{stderr}");
        assert_eq!(
            (&report_of(&killed)["status"], &report_of(&killed)["error"]),
            (&json!("failed"), &json!("killed"))
        );
        let second = world.public_commit().unwrap();
        assert_eq!(world.rev(&format!("{REF}^")), Some(first));
        world.assert_served(&second);
        world.assert_clean();
    }
}

/// Its cache is not locked by anybody else, so nobody else may clean it.
#[test]
fn a_killed_run_of_another_cache_is_left_to_the_next_run_of_its_own() {
    let Some((world, _)) = World::composed() else { return };
    let config = fs::read_to_string(world.path("compose.conf")).unwrap();
    let scratch = || {
        let entries =
            fs::read_dir(world.path("cache")).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter(|name| name.to_str().unwrap().starts_with("rpm-ostree-compose.")).count()
    };
    world.change(2);
    assert_eq!(world.tree_with("kill-parent:6", &[]).status, -9);
    let killed = world.runs().pop().unwrap();
    assert_eq!(scratch(), 1);
    fs::write(world.path("compose.conf"), config.replace("cachedir=cache", "cachedir=other-cache"))
        .unwrap();
    world.tree(&[]).success();
    assert_eq!((scratch(), &report_of(&killed)["status"]), (1, &json!("running")));
    fs::write(world.path("compose.conf"), config).unwrap();
    let output = world.tree(&[]);
    let reported = String::from_utf8_lossy(&output.stderr).into_owned();
    let remedy = format!("clear its cache with `rm -rf {}`", world.path("cache").display());
    assert!(reported.contains(&remedy), "{reported}");
    output.success();
    assert_eq!((scratch(), &report_of(&killed)["status"]), (0, &json!("failed")));
}

#[test]
fn a_repository_that_was_half_made_is_finished() {
    let Some(world) = World::new() else { return };
    fs::create_dir_all(world.repo().join("refs/heads")).unwrap();
    fs::write(world.repo().join("config"), "[core]\nrepo_version=1\nmode=archive-z2\n").unwrap();
    world.tree(&[]).success();
    world.assert_served(&world.public_commit().unwrap());
    // Anything else is not touched.
    let Some(other) = World::new() else { return };
    fs::create_dir_all(other.repo().join("photos")).unwrap();
    let message = other.tree(&[]).failure();
    assert!(
        message.starts_with(&format!("{}: opening repo: ", other.repo().display())),
        "{message}"
    );
    assert_eq!(fs::read_dir(other.repo()).unwrap().count(), 1);
}

#[test]
fn mounts_and_daemons_of_a_killed_program_go() {
    let point = tempfile::tempdir().unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        std::process::Command::new(program)
            .args(arguments)
            .status()
            .is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "osier-test", point.path().to_str().unwrap()]) {
        return skip("cannot mount");
    }
    assert!(mount("umount", &[point.path().to_str().unwrap()]));
    for killed in [Signal::INT, Signal::KILL] {
        let Some((world, first)) = World::composed() else { return };
        world.change(2);
        let child = world.spawn("mount:6");
        let program = world.wait_for_sleep();
        let run = world.runs().pop().unwrap();
        let daemon: i32 = fs::read_to_string(run.join("daemon")).unwrap().parse().unwrap();
        send(&child, killed);
        let (status, _) = end(child);
        if killed == Signal::KILL {
            assert_eq!(
                (status, is_alive(program), is_alive(daemon)),
                (None, true, true),
                "nobody is there to clean up"
            );
            world.tree(&["--no-publish"]).success();
            world.publish(PENDING).success();
            let second = world.public_commit().unwrap();
            assert_eq!(world.rev(&format!("{second}^")), Some(first));
        }
        assert_eq!((is_alive(program), is_alive(daemon)), (false, false));
        world.assert_clean();
    }
}

/// What happens to system calls of osier: those calls, what is injected, and the one path that it
/// is about, if it is.
pub struct Injection<'i> {
    pub calls: &'i str,
    pub what: String,
    pub path: Option<&'i str>,
}

/// Runs `compose tree` under strace.
pub fn traced(world: &World, injection: &Injection<'_>) -> Output {
    let Injection { calls, what, path } = injection;
    let strace = Program::other("strace", "strace")
        .with("PATH", search_path_after(&world.path("bin")))
        .with("OSIER", osier_path())
        .in_directory(world.path(""));
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{what}"));
    let log = world.path("strace.log");
    // Threads are followed, other programs are not: what they do is not counted.
    let mut arguments =
        vec!["-f", "-b", "execve", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
    if let Some(path) = path {
        arguments.extend(["-P", path]);
    }
    arguments.extend([osier_path(), "compose", "tree", "--config=compose.conf", "-q"]);
    strace.run(arguments)
}

/// What becomes visible does so by a rename: reports, refs, the summary.
pub const RENAMES: &str = "rename,renameat,renameat2";

/// Whatever happened to the run that was to follow `first`: one of the two commits is public and
/// whole, and the next run ends with the second one published.
#[track_caller]
pub fn nothing_is_half_done(world: &World, first: &str) {
    let public = world.public_commit().unwrap();
    world.osier().repo(&world.repo(), ["fsck", "--quiet"]).success();
    if public != first {
        // The ref has moved; the next run mends the summary, if it was left behind, and finds
        // nothing new.
        assert_eq!(world.rev(&format!("{public}^")).as_deref(), Some(first));
    }
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert!(public == first || public == second, "{public} was public, and then {second}");
    assert_eq!(world.rev(&format!("{second}^")).as_deref(), Some(first));
    let summary = world.osier().repo(&world.repo(), ["summary", "--view"]).success();
    assert!(summary.contains(&second), "{summary}");
    assert_eq!(world.rev(PENDING), None);
    world.assert_clean();
}

/// What may lie in the place of a killed run's own files, and beside them: links to foreign files,
/// and special files.
pub fn lay_traps(run: &Path, victim: &Path) {
    let foreign = victim.join("file");
    fs::create_dir_all(victim).unwrap();
    fs::write(&foreign, "precious").unwrap();
    for name in ["report.json.new", "commitid", "compose.json", "converted.qcow2"] {
        let _ = fs::remove_file(run.join(name));
        symlink(&foreign, run.join(name)).unwrap();
    }
    let _ = fs::remove_dir_all(run.join("tmp"));
    symlink(victim, run.join("tmp")).unwrap();
    mknodat(CWD, run.with_extension("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// The runs that were killed and not cleaned up after.
pub fn killed_runs(work: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(work).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|run| run.join("running").exists()).collect()
}

#[test]
fn osier_may_be_killed_at_any_rename() {
    if !can_trace() {
        return;
    }
    let Some((origin, first)) = World::composed() else { return };
    origin.change(2);
    let (mut moments, mut trapped) = (0, 0);
    // strace counts each call by itself, so all of them at once would be killed at the first of the
    // most frequent.
    for calls in RENAMES.split(',') {
        for moment in (1..).step_by(one_of(2)) {
            let world = origin.copied();
            let what = format!("signal=KILL:when={moment}");
            if traced(&world, &Injection { calls, what, path: None }).status == 0 {
                break;
            }
            moments += 1;
            if world.public_commit().as_ref() == Some(&first) {
                world.assert_pulled(&first);
            }
            let (killed, victim) = (killed_runs(&world.path("work")), world.path("victim"));
            killed.iter().for_each(|run| lay_traps(run, &victim));
            trapped += killed.len();
            nothing_is_half_done(&world, &first);
            for run in killed {
                assert_eq!(fs::read(victim.join("file")).unwrap(), b"precious", "{calls} {moment}");
                assert!(!run.join("running").exists() && !run.join("tmp").is_symlink());
                assert!(!run.join("report.json").exists() || report_of(&run)["error"] == "killed");
            }
        }
    }
    assert!(
        moments >= 5 && trapped >= 5,
        "killed at {moments} renames only, {trapped} of them within a run"
    );
}

#[test]
fn any_write_of_osier_may_fail() {
    if !can_trace() {
        return;
    }
    let Some((origin, first)) = World::composed() else { return };
    origin.change(2);
    for (calls, least) in
        [(RENAMES, 5), ("fdatasync,fsync", 5), ("mkdir,mkdirat", 1), ("unlink,unlinkat", 1)]
    {
        let mut failures = 0;
        for moment in (1..).step_by(one_of(4)) {
            let world = origin.copied();
            // Three in a row: a rename is tried so often.
            let what = format!("error=EIO:when={moment}..{}", moment + 2);
            let output = traced(&world, &Injection { calls, what, path: None });
            output.assert_no_panic();
            let injected =
                fs::read_to_string(world.path("strace.log")).unwrap().matches("(INJECTED)").count();
            if injected == 0 {
                break;
            }
            failures = moment;
            // It may have done without.
            assert!(
                output.status != 0 || world.public_commit().as_ref() != Some(&first),
                "{output:?}"
            );
            nothing_is_half_done(&world, &first);
        }
        assert!(failures >= least, "{calls}: {failures} failures only");
    }
}

#[test]
fn a_summary_that_cannot_be_replaced_takes_the_ref_back() {
    if !can_trace() {
        return;
    }
    let Some((world, first)) = World::composed() else { return };
    let before = world.public();
    world.change(2);
    let injection =
        Injection { calls: RENAMES, what: "error=EIO".to_owned(), path: Some("summary") };
    let message = traced(&world, &injection).failure();
    let waiting = world.rev(PENDING).unwrap();
    let expected = format!(
        "the commit {waiting} waits as {PENDING}: the summary cannot be replaced, so {REF} names \
         what it did before: "
    );
    assert!(message.starts_with(&expected) && message.ends_with("Input/output error"), "{message}");
    assert_eq!(world.public(), before);
    assert_eq!(
        fs::read_dir(world.repo().join("tmp")).unwrap().count(),
        1,
        "only the cache is left in tmp"
    );
    world.assert_served(&first);
    world.publish(&waiting).success();
    world.assert_served(&waiting);
}
