//! Runs that are interrupted or killed, at each step: the first commit stays served, and the next run succeeds.

use std::fs;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::world::{PENDING, REF, World, is_alive, report_of};
use crate::support::{Program, skip};

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn end(child: Child) -> (Option<i32>, String) {
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
fn an_interrupt_ends_the_program_and_is_reported() {
    for (signal, mode) in [(Signal::INT, "sleep:6"), (Signal::TERM, "sleep:8")] {
        let (world, first) = World::composed();
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
        assert_eq!((&report["error"], &report["commands"][0]["signal"]), (&json!("interrupted"), &json!(15)));
        assert_eq!(world.public(), before);
        world.assert_clean();
        next_run_succeeds(&world, &first);
    }
}

#[test]
fn a_second_interrupt_kills_a_program_that_does_not_listen() {
    let (world, first) = World::composed();
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
    let (world, first) = World::composed();
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
        let (world, first) = World::composed();
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
        let (world, first) = World::composed();
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
        let told = format!("warning: the run {} was killed at the step `compose`\n", killed.display());
        assert!(stderr.contains(&told), "{stderr}");
        assert_eq!((&report_of(&killed)["status"], &report_of(&killed)["error"]), (&json!("failed"), &json!("killed")));
        let second = world.public_commit().unwrap();
        assert_eq!(world.rev(&format!("{REF}^")), Some(first));
        world.assert_served(&second);
        world.assert_clean();
    }
}

#[test]
fn mounts_and_daemons_of_a_killed_program_go() {
    let point = tempfile::tempdir().unwrap();
    let mount = |program: &str, arguments: &[&str]| {
        std::process::Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
    };
    if !mount("mount", &["-t", "tmpfs", "osier-test", point.path().to_str().unwrap()]) {
        return skip("cannot mount");
    }
    assert!(mount("umount", &[point.path().to_str().unwrap()]));
    for killed in [Signal::INT, Signal::KILL] {
        let (world, first) = World::composed();
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

/// Runs `compose tree` under strace with an injection; `None` when that is not possible here.
fn traced(world: &World, calls: &str, injection: &str, path: Option<&str>) -> Option<crate::support::Output> {
    let root = world.path("");
    let strace = Program::other("/usr/bin/strace", "strace")
        .with("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
        .with("OSIER", env!("CARGO_BIN_EXE_osier"))
        .in_directory(&root);
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:{injection}");
    let log = world.path("strace.log");
    // Threads are followed, other programs are not: what they do is not counted.
    let mut arguments = vec!["-f", "-b", "execve", "-o", log.to_str().unwrap(), "-e", &trace, "-e", &inject];
    if let Some(path) = path {
        arguments.extend(["-P", path]);
    }
    arguments.extend([env!("CARGO_BIN_EXE_osier"), "compose", "tree", "--config=compose.conf", "-q"]);
    Some(strace.run(arguments))
}

fn can_trace() -> bool {
    let probe = std::process::Command::new("/usr/bin/strace").args(["-o", "/dev/null", "true"]).status();
    let can = probe.is_ok_and(|status| status.success());
    if !can {
        skip("strace cannot trace here");
    }
    can
}

#[test]
fn osier_may_be_killed_at_any_rename() {
    if !can_trace() {
        return;
    }
    // What becomes visible does so by a rename: reports, refs, the summary.
    let mut moments = 0;
    for moment in 1.. {
        let (world, first) = World::composed();
        world.change(2);
        let output = traced(&world, "rename,renameat,renameat2", &format!("signal=KILL:when={moment}"), None).unwrap();
        if output.status == 0 {
            break;
        }
        moments = moment;
        let public = world.public_commit().unwrap();
        world.osier().repo(&world.repo(), ["fsck", "--quiet"]).success();
        if public == first {
            world.assert_pulled(&first);
            next_run_succeeds(&world, &first);
        } else {
            // The ref has moved; the next run mends the summary, if it was left behind, and finds nothing new.
            assert_eq!(world.rev(&format!("{public}^")), Some(first));
            world.tree(&[]).success();
            assert_eq!(world.public_commit(), Some(public.clone()), "killed at rename {moment}");
            world.assert_served(&public);
            world.assert_clean();
            assert_eq!(world.rev(PENDING), None);
        }
    }
    assert!(moments >= 8, "killed at {moments} renames only");
}

#[test]
fn a_summary_that_cannot_be_replaced_takes_the_ref_back() {
    if !can_trace() {
        return;
    }
    let (world, first) = World::composed();
    let before = world.public();
    world.change(2);
    let output = traced(&world, "rename,renameat,renameat2", "error=EIO", Some("summary")).unwrap();
    let message = output.failure();
    let waiting = world.rev(PENDING).unwrap();
    let expected = format!(
        "the commit {waiting} waits as {PENDING}: the summary cannot be replaced, so {REF} names what it did before: "
    );
    assert!(message.starts_with(&expected) && message.ends_with("Input/output error"), "{message}");
    assert_eq!(world.public(), before);
    assert_eq!(fs::read_dir(world.repo().join("tmp")).unwrap().count(), 1, "only the cache is left in tmp");
    world.assert_served(&first);
    world.publish(&waiting).success();
    world.assert_served(&waiting);
}
