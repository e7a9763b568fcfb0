//! `push` to another machine, and `receive` there, with a script in the place of ssh.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::world::{Way, World};
use crate::support::{Dice, copy_all, long_tests, osier_path};

fn world() -> World {
    World::by(Way::Ssh, "archive")
}

#[test]
fn a_repository_of_any_mode_arrives_over_ssh_and_its_paths_are_quoted() {
    for mode in ["archive", "bare-user-only"] {
        let world = World::by(Way::Ssh, mode);
        let commit = world.commit("src", "main", "tree");
        world.push("src", &[]).success();
        world.check(&[("main", &commit)]);
        let odd = "it's a $(touch x); dst";
        fs::create_dir(world.path().join(odd)).unwrap();
        let url = format!("{}/below%20it", world.url_of(odd));
        world.push_to("src", &url, &[]).success();
        let there = world.path().join(odd).join("below it/refs/heads/main");
        assert_eq!(fs::read_to_string(there).unwrap(), format!("{commit}\n"));
        assert!(!world.path().join("x").exists());
    }
}

#[test]
fn a_dry_run_over_ssh_makes_nothing() {
    let world = world();
    world.commit("src", "main", "tree");
    assert_eq!(world.document("src", &["--dry-run"])["content_objects_sent"], 4);
    assert!(!world.path().join("dst").exists());
}

#[test]
fn a_far_end_that_does_not_answer_is_named_with_what_it_said() {
    let world = world();
    world.commit("src", "main", "tree");
    let url = world.url();
    let push = |arguments: &[&str]| {
        let output = world.run("src", &[&["push", &url], arguments].concat());
        output.assert_no_panic();
        output.failure()
    };
    for (ssh, expected) in [
        (
            "echo Welcome; :",
            "host answered 'Welcome', which is no greeting of osier: nothing else may be printed there (exit status 0)",
        ),
        ("exit 7;", "host said nothing (exit status 7)"),
        (
            "echo 'osier-receive 1'; echo bye >&2; exit 3;",
            "host ended the connection (exit status 3: bye)",
        ),
        ("echo 'osier-receive 0'; :", "host speaks version 0, which there is not (exit status 0)"),
    ] {
        let error = push(&[&format!("--ssh={ssh}")]);
        assert!(error.ends_with(expected), "{ssh}: {error}");
    }
    let output = world.run("src", &["push", &url, "--receiver=/none/osier"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let lines: Vec<&str> = error.lines().collect();
    let [first, last] = lines[..] else { panic!("{error}") };
    // What comes from there is named, and comes through.
    assert!(first.starts_with("host: ") && first.contains("/none/osier"), "{error}");
    assert!(last.contains("host said nothing (exit status 127: "), "{error}");
    for (url, expected) in [
        ("ssh://-oProxyCommand=x/srv", "does not begin with '-'"),
        ("ssh://host", "'ssh://host': there is no path"),
        ("ssh://me:secret@host/srv", "'ssh://host/srv': ssh takes no password from a URL"),
    ] {
        let error = world.push_to("src", url, &[]).failure();
        assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
    }
    let error = world.push_to("src", &world.url_of("none/deep"), &[]).failure();
    assert!(error.starts_with("host: Creating repo: mkdirat("), "{error}");
}

#[test]
fn a_named_destination_can_be_another_machine() {
    let world = world();
    let commit = world.commit("src", "main", "tree");
    let mut config = fs::OpenOptions::new().append(true).open(world.path().join("src/config"));
    let group = format!("\n[push \"far\"]\nurl={}\nreceiver={}\n", world.url(), osier_path());
    config.as_mut().unwrap().write_all(group.as_bytes()).unwrap();
    world.run("src", &["push", "far"]).success();
    world.check(&[("main", &commit)]);
}

#[test]
fn a_key_that_may_only_push_below_a_directory_can_do_nothing_else() {
    let world = world();
    let commit = world.commit("src", "main", "tree");
    fs::create_dir(world.path().join("root")).unwrap();
    let text = format!(
        "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nSSH_ORIGINAL_COMMAND=$1 exec '{}' receive --root='{}'\n",
        osier_path(),
        world.path().join("root").display()
    );
    let ssh = format!("--ssh={}", world.script("forced", &text).display());
    let push = |url: &str| world.run("src", &["push", url, &ssh]);
    push("ssh://host/os").success();
    let there = world.path().join("root/os/refs/heads/main");
    assert_eq!(fs::read_to_string(there).unwrap(), format!("{commit}\n"));
    for (url, expected) in [
        (
            "ssh://host/../dst",
            "host: '/../dst' is not allowed here: no name in it may begin with '.'",
        ),
        (
            "ssh://host/os/refs/heads/x",
            "host: '/os/refs/heads/x' is not allowed here: it is within a repository",
        ),
        (
            "ssh://host/~/.ssh",
            "host: './.ssh' is not allowed here: no name in it may begin with '.'",
        ),
    ] {
        assert_eq!(push(url).failure(), expected);
    }
    assert!(!world.path().join("dst").exists());
    let program = world.program().with("SSH_ORIGINAL_COMMAND", "sh -c 'touch x'");
    let receive = program.run_with_input(["receive", "--root=root"], b"osier-receive 1\n");
    assert_eq!(receive.status, 1);
    assert!(String::from_utf8_lossy(&receive.stdout).contains("only osier push is"));
}

#[test]
fn receive_is_nothing_for_a_terminal_and_wants_a_path() {
    let world = world();
    assert!(world.program().run(["receive"]).failure().ends_with("PATH must be specified"));
    assert!(world.program().run(["receive", "a", "b"]).failure().ends_with("more than one PATH"));
    if !crate::support::has_programs(&["script"]) {
        return;
    }
    let mut script = Command::new("script");
    script.args(["-qec", &format!("'{}' receive dst", osier_path()), "/dev/null"]);
    let output = script.stdin(Stdio::null()).current_dir(world.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("receive is started by `osier push ssh://HOST/PATH`"), "{text}");
    assert_eq!(output.status.code(), Some(1));
}

fn start(world: &World) -> Child {
    let mut command = Command::new(osier_path());
    let receiver = format!("--receiver={}", osier_path());
    command.args(["push", "--repo=src", &world.url(), &receiver]).current_dir(world.path());
    command.env("OSIER_SSH", world.path().join("ssh"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// The far end of a push: the script becomes the shell, and that osier, or its parent.
fn far_end(child: &Child) -> Option<Pid> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let parent_of = |process: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let is_receiver = |process: &i32| {
        let command = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).nth(1) == Some(b"receive")
    };
    let mut ancestors = processes.filter(is_receiver).filter(|process| {
        let mut above = std::iter::successors(Some(*process), |process| parent_of(*process));
        above.any(|process| process == child.id() as i32)
    });
    ancestors.next().and_then(Pid::from_raw)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killed {
    Sender,
    Receiver,
}

#[test]
fn a_kill_of_either_end_leaves_the_old_state_and_the_next_push_goes_on() {
    let world = World::by(Way::Ssh, "bare-user-only");
    let old = world.commit("src", "main", "tree");
    world.push("src", &[]).success();
    let mut dice = Dice::new(15);
    for number in 0..200 {
        fs::write(world.path().join(format!("tree/dir/{number}")), dice.bytes(5000)).unwrap();
    }
    fs::write(world.path().join("tree/huge"), dice.bytes(3_000_000)).unwrap();
    let new = world.commit("src", "main", "tree");
    copy_all(&world.path().join("dst"), &world.path().join("before"));
    let started = Instant::now();
    assert!(start(&world).wait().unwrap().success());
    let time = started.elapsed();
    let mut cut_short = 0;
    for round in 0..if long_tests() { 100 } else { 8 } {
        fs::remove_dir_all(world.path().join("dst")).unwrap();
        copy_all(&world.path().join("before"), &world.path().join("dst"));
        let killed = if round % 2 == 0 { Killed::Sender } else { Killed::Receiver };
        let mut child = start(&world);
        thread::sleep(dice.moment(time));
        let target = match killed {
            Killed::Sender => Some(Pid::from_child(&child)),
            Killed::Receiver => far_end(&child),
        };
        let _ = target.map(|target| kill_process(target, Signal::KILL));
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        let status = child.wait().unwrap();
        cut_short += u32::from(!status.success());
        if killed == Killed::Receiver && !status.success() {
            assert_eq!(status.code(), Some(1), "{said}");
            assert!(said.contains("host ") && !said.contains("panicked"), "{said}");
        }
        let now = world.run("dst", &["rev-parse", "main"]).line();
        assert!(now == old || now == new, "{now}");
        world.run("dst", &["fsck"]).success();
        world.push("src", &[]).success();
        world.check(&[("main", &new)]);
    }
    println!("{cut_short} pushes were cut short");
}

#[test]
fn what_a_killed_push_has_staged_is_not_sent_again() {
    let world = world();
    let mut dice = Dice::new(7);
    for number in 0..50 {
        fs::write(world.path().join(format!("tree/dir/{number}")), dice.bytes(2000)).unwrap();
    }
    fs::write(world.path().join("tree/dir/damaged"), "x").unwrap();
    let commit = world.commit("src", "main", "tree");
    // The last file object cannot be sent, so none is in place.
    let names = world.objects("src");
    let last = names.iter().rfind(|name| name.ends_with(".filez")).unwrap();
    let path = world.path().join("src/objects").join(last);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, b"damaged").unwrap();
    world.push("src", &[]).failure();
    assert!(!world.objects("dst").iter().any(|name| name.ends_with(".filez")));
    fs::write(&path, whole).unwrap();
    let sent = world.document("src", &["--json"]);
    let staged = world.sizes("src") - sent["bytes_sent"].as_u64().unwrap();
    assert!(staged > 20_000, "only {staged} bytes were there");
    world.check(&[("main", &commit)]);
}

#[test]
fn a_far_end_that_is_stopped_and_goes_on_loses_nothing() {
    let world = world();
    let commit = world.commit("src", "main", "tree");
    let mut child = start(&world);
    let deadline = Instant::now() + Duration::from_secs(30);
    let target = loop {
        match far_end(&child) {
            Some(target) => break Some(target),
            None if child.try_wait().unwrap().is_some() || Instant::now() > deadline => break None,
            None => {}
        }
    };
    if let Some(target) = target {
        let _ = kill_process(target, Signal::STOP);
        thread::sleep(Duration::from_millis(300));
        let _ = kill_process(target, Signal::CONT);
    }
    assert!(child.wait().unwrap().success());
    world.check(&[("main", &commit)]);
    assert!(Path::new(&world.path().join("dst/summary")).exists());
}

#[test]
fn what_a_destination_has_besides_objects_of_a_push_is_not_listed() {
    let world = world();
    let commit = world.commit("src", "main", "tree");
    world.push("src", &[]).success();
    let (first, rest) = ("00", "0".repeat(62));
    let path = world.path().join("dst/objects").join(first);
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(format!("{rest}.tombstone-commit")), "").unwrap();
    assert_eq!(world.document("src", &["--list"])["content_objects_sent"], 0);
    assert_eq!(world.run("dst", &["rev-parse", "main"]).line(), commit);
}
