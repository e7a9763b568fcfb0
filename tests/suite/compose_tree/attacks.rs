//! Programs and other users that lay traps: links, FIFOs, devices, floods, planted runs. No foreign
//! file, process or mount is touched, and nothing hangs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::world::{REF, World, is_alive, report_of};
use crate::support::{needs_root, osier_path};

/// Lets shell commands run before and after the stand-in composes: with `$id`, `$js` and `$ch` for
/// the files that it is to write, `$run` for the directory of the run and `$D` for that of the
/// world.
fn hook(world: &World, before: &str, after: &str) {
    let (program, real) = (world.path("bin/rpm-ostree"), world.path("bin/real-rpm-ostree"));
    if !real.exists() {
        fs::rename(&program, &real).unwrap();
    }
    let (real, root) = (real.display(), world.path(""));
    let script = format!(
        "#!/bin/sh
case \"$*\" in *--version*|*--help*|*--print-only*) exec {real} \"$@\";; esac
for a; do case $a in
--write-commitid-to=*) id=${{a#*=}};;
--write-composejson-to=*) js=${{a#*=}};;
--touch-if-changed=*) ch=${{a#*=}};;
esac; done
run=${{id%/*}}; D={}
{before}
{real} \"$@\" || exit $?
{after}
exit 0
",
        root.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

/// What helps against a directory that others control.
const ELSEWHERE: &str = "set `work` to a directory that only you can write to";

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A process of somebody else, with that temporary directory.
fn foreign(temporary: &Path) -> Child {
    Command::new("sleep").arg("1000").env("TMPDIR", temporary).spawn().unwrap()
}

#[track_caller]
fn assert_lives(mut process: Child) {
    let is_there = process.try_wait().unwrap().is_none();
    let _ = process.kill();
    let _ = process.wait();
    assert!(is_there, "a foreign process was killed");
}

#[test]
fn a_work_directory_that_others_can_write_to_is_refused() {
    let Some((world, first)) = World::composed() else { return };
    let work = world.path("work");
    world.change(2);
    for (bits, who) in [(0o1777, "everybody"), (0o775, "its group"), (0o757, "everybody")] {
        mode(&work, bits);
        let shown = work.display();
        let expected = format!(
            "{shown} is not trusted: can be written to by {who} (mode {bits:04o}): run `chmod go-w \
             {shown}`, or {ELSEWHERE}"
        );
        assert_eq!(world.tree(&[]).failure(), expected);
        assert_eq!(
            world.osier().run(["compose", "check", "--config=compose.conf"]).failure(),
            "there is a problem"
        );
    }
    mode(&work, 0o755);
    // Neither may others rename it.
    mode(&world.path(""), 0o777);
    let message = world.tree(&[]).failure();
    assert!(message.starts_with(&format!("{} is not trusted: ", work.display())), "{message}");
    mode(&world.path(""), 0o755);
    assert_eq!((world.runs().len(), world.public_commit()), (1, Some(first)));
    world.tree(&[]).success();
}

/// A killed run that somebody made up: a report with the names of foreign files, a `tmp` that leads
/// elsewhere.
fn plant(world: &World, process: &Path) -> std::path::PathBuf {
    let run = world.path("work/20200101T000000Z-0000");
    fs::create_dir_all(run.join("evil")).unwrap();
    fs::create_dir_all(world.path("victim")).unwrap();
    fs::write(world.path("victim/passwd"), "precious").unwrap();
    fs::write(run.join("running"), "").unwrap();
    let temporary = run.join("evil/.x.20200101T000000Z-0000");
    fs::write(run.join("evil/.x.20200101T000000Z-0000-CHECKSUM"), "owned").unwrap();
    symlink(process, run.join("tmp")).unwrap();
    let image = json!({
        "file": world.path("victim/passwd").to_str(), "temporary": temporary.to_str(),
        "checksum-file": world.path("victim/passwd").to_str(),
    });
    fs::write(run.join("report.json"), json!({ "stage": "output", "image": image }).to_string())
        .unwrap();
    run
}

#[test]
fn a_planted_run_moves_removes_and_kills_nothing() {
    let Some((world, _)) = World::composed() else { return };
    let other = world.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("file"), "precious").unwrap();
    let run = plant(&world, &other);
    let process = foreign(&other);
    world.tree(&[]).success();
    // As a run of the tree stage.
    fs::write(run.join("report.json"), "{\"stage\":\"compose\"}").unwrap();
    world.tree(&[]).success();
    assert_lives(process);
    assert_eq!(fs::read(world.path("victim/passwd")).unwrap(), b"precious");
    assert_eq!(fs::read(other.join("file")).unwrap(), b"precious");
    assert_eq!(report_of(&run)["error"], "killed");
}

#[test]
fn a_run_of_another_user_is_left_alone() {
    if !needs_root() {
        return;
    }
    let Some((world, _)) = World::composed() else { return };
    let run = plant(&world, &world.path("victim"));
    fs::write(run.join("report.json"), "{\"stage\":\"compose\"}").unwrap();
    let reported = |world: &World| {
        let output = world.tree(&[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        output.success();
        stderr
    };
    chown(&run, Some(65534), Some(65534)).unwrap();
    let expected =
        format!("the run {} is left alone: it belongs to the user 65534; remove it", run.display());
    assert!(reported(&world).contains(&expected));
    chown(&run, Some(0), Some(0)).unwrap();
    mode(&run, 0o775);
    assert!(
        reported(&world)
            .contains("is left alone: it can be written to by its group (mode 0775); remove it")
    );
    assert_eq!(fs::read_to_string(run.join("report.json")).unwrap(), "{\"stage\":\"compose\"}");
    // And so is the whole directory.
    chown(world.path("work"), Some(65534), None).unwrap();
    let expected = format!(
        "{} is not trusted: belongs to the user 65534: {ELSEWHERE}",
        world.path("work").display()
    );
    assert_eq!(world.tree(&[]).failure(), expected);
}

#[test]
fn odd_things_in_the_work_directory_are_no_runs() {
    let Some((world, _)) = World::composed() else { return };
    let work = world.path("work");
    fs::write(work.join("file"), "").unwrap();
    fifo(&work.join("fifo"));
    symlink("/", work.join("link")).unwrap();
    for name in ["one", "two", "three"] {
        fs::create_dir(work.join(name)).unwrap();
    }
    fifo(&work.join("one/running"));
    symlink("../../victim", work.join("two/running")).unwrap();
    fs::write(world.path("victim"), "precious").unwrap();
    // A report that cannot be read is none.
    fs::write(work.join("three/running"), "").unwrap();
    fifo(&work.join("three/report.json"));
    let output = world.tree(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    assert!(stderr.contains("three was killed at the step `check`"), "{stderr}");
    assert_eq!(fs::read(world.path("victim")).unwrap(), b"precious");
    assert!(!work.join("three/running").exists());
}

#[test]
fn a_program_that_swaps_its_tmp_leads_nobody_to_foreign_processes_and_files() {
    let Some((origin, _)) = World::composed() else { return };
    for swap in [
        "rmdir \"$TMPDIR\"; ln -s \"$D/other\" \"$TMPDIR\"",
        "mv \"$TMPDIR\" \"$TMPDIR.old\"; mv \"$D/other\" \"$TMPDIR\"; ln -s \"$TMPDIR\" \
         \"$D/other\"",
        "rmdir \"$TMPDIR\"; : > \"$TMPDIR\"",
    ] {
        for end in ["exit 0", "kill -9 $PPID; sleep 1000"] {
            let world = origin.copied();
            world.change(2);
            let other = world.path("other");
            fs::create_dir(&other).unwrap();
            fs::write(other.join("file"), "precious").unwrap();
            hook(&world, "", &format!("{swap}; sleep 999 & echo $! > $D/own; {end}"));
            let process = foreign(&other);
            world.tree(&[]);
            hook(&world, "", "");
            world.tree(&[]).success();
            assert_lives(process);
            if swap.contains("ln -s \"$D/other\"") {
                assert_eq!(fs::read(other.join("file")).unwrap(), b"precious", "{swap} {end}");
            }
            // What it left itself goes.
            let own: i32 = fs::read_to_string(world.path("own")).unwrap().trim().parse().unwrap();
            assert!(!is_alive(own), "{swap} {end}");
        }
    }
}

#[test]
fn a_lock_that_is_no_regular_file_is_refused_and_nothing_is_written_through_it() {
    for name in ["repo/.osier-publish.lock", "cache/.osier-compose.lock"] {
        let Some((world, first)) = World::composed() else { return };
        world.change(2);
        let (lock, victim) = (world.path(name), world.path("victim"));
        fs::write(&victim, "precious").unwrap();
        for link in [true, false] {
            fs::remove_file(&lock).unwrap();
            if link {
                symlink(&victim, &lock).unwrap()
            } else {
                fifo(&lock)
            }
            let message = world.tree(&[]).failure();
            let expected =
                "should be a lock file and is no regular file; see who put it there and remove it";
            assert!(message.ends_with(&format!("{} {expected}", lock.display())), "{message}");
            assert_eq!(fs::read(&victim).unwrap(), b"precious");
        }
        fs::remove_file(&lock).unwrap();
        assert_eq!(world.public_commit(), Some(first));
        world.tree(&[]).success();
    }
}

#[test]
fn what_a_program_leaves_is_only_read_if_it_is_regular_and_small() {
    let Some((world, first)) = World::composed() else { return };
    for (after, expected) in [
        ("rm $id; mkfifo $id", "commitid is no regular file"),
        ("rm $js; mkfifo $js", "compose.json is no regular file"),
        ("rm $ch; mkfifo $ch", "changed is no regular file"),
        ("ln -sf /dev/zero $id", "commitid is no regular file"),
        ("ln -sf /dev/zero $js", "compose.json is no regular file"),
        ("cp $id $id.2; ln -sf $id.2 $id", "commitid is no regular file"),
        ("truncate -s 100G $id", "commitid has more than 128 bytes"),
        ("truncate -s 100G $js", "compose.json has more than 8388608 bytes"),
    ] {
        world.change(2);
        hook(&world, "", after);
        let started = Instant::now();
        let message = world.tree(&["-q"]).failure();
        assert!(message.ends_with(expected), "{after}: {message}");
        assert!(started.elapsed() < Duration::from_secs(60), "{after}");
        assert_eq!(world.public_commit(), Some(first.clone()));
    }
    // The log and the report belong to the run, whatever the program makes of them.
    for (before, after) in [
        (
            "rm $run/rpm-ostree.log; mkfifo $run/rpm-ostree.log; exit 1",
            "rpm-ostree failed: exit status 1",
        ),
        ("ln -s $D/victim $run/report.json.new; exit 1", "rpm-ostree failed: exit status 1"),
        (
            "ln -s /dev/zero $run/rpm-ostree-2.log; echo 'error: Curl error' >&2; exit 1",
            "rpm-ostree-2.log: File exists",
        ),
    ] {
        fs::write(world.path("victim"), "precious").unwrap();
        world.set_config("attempts=2\n");
        hook(&world, before, "");
        let message = world.tree(&["-q"]).failure();
        assert!(message.contains(after), "{before}: {message}");
        assert_eq!(world.report()["status"], "failed");
        assert_eq!(fs::read(world.path("victim")).unwrap(), b"precious");
    }
}

#[test]
fn files_that_the_user_names_must_be_regular_and_small() {
    let Some((world, _)) = World::composed() else { return };
    let config = world.path("compose.conf");
    let text = fs::read(&config).unwrap();
    fs::write(&config, "#".repeat((1 << 20) + 1)).unwrap();
    assert_eq!(
        world.tree(&[]).failure(),
        format!("{} has more than 1048576 bytes", config.display())
    );
    fs::remove_file(&config).unwrap();
    fifo(&config);
    assert_eq!(world.tree(&[]).failure(), format!("{} is no regular file", config.display()));
    fs::remove_file(&config).unwrap();
    fs::write(&config, text).unwrap();
    fifo(&world.path("other.repo"));
    let output = world.tree(&[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("other.repo is no regular file"));
    output.success();
    let treefile = world.path("exampleos-host.json");
    fs::remove_file(&treefile).unwrap();
    fifo(&treefile);
    assert!(world.tree(&[]).failure().contains("exampleos-host.json is no regular file"));
    world.set_config("lockfiles=lock\n");
    fifo(&world.path("lock"));
    assert!(world.tree(&[]).failure().contains("/lock is no regular file"));
}

/// Prints as fast as it can, and does not stop by itself.
const FLOOD: &str = "exec python3 -c 'import os\nwhile True: os.write(1, b\"\\n\" * 65536)'";

#[test]
fn a_flood_ends_at_the_time_limit_or_at_the_limit_of_the_log() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    world.set_config("timeout=2s\n");
    hook(&world, FLOOD, "");
    let started = Instant::now();
    let message = world.tree(&["-q"]).failure();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let flooded = "rpm-ostree wrote more than 64 MiB into its log and was ended";
    assert!(
        [flooded, "rpm-ostree did not end within 2 s (timeout)"].contains(&message.as_str()),
        "{message}"
    );
    assert!(
        world.runs().pop().unwrap().join("rpm-ostree.log").metadata().unwrap().len() < 65 << 20
    );
    assert_eq!(world.public_commit(), Some(first));
    world.assert_clean();
}

#[test]
fn a_signal_is_heard_during_a_flood_and_in_the_pause_between_attempts() {
    for before in [FLOOD, "echo 'error: Curl error' >&2; exit 1"] {
        let Some((world, _)) = World::composed() else { return };
        world.change(2);
        world.set_config("attempts=9\n");
        hook(&world, before, "");
        let mut child = Command::new(osier_path())
            .args(["compose", "tree", "--config=compose.conf", "-q"])
            .current_dir(world.path(""))
            .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
            .env("OSIER", osier_path())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while !world
            .runs()
            .pop()
            .is_some_and(|run| run.join("rpm-ostree.log").exists() && world.runs().len() == 2)
        {
            assert!(started.elapsed() < Duration::from_secs(60));
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(Duration::from_millis(300));
        kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        let sent = Instant::now();
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(sent.elapsed() < Duration::from_secs(15), "{:?}", sent.elapsed());
        let error = world.report()["error"].as_str().unwrap().to_owned();
        assert!(error == "interrupted" || error.contains("64 MiB"), "{error}");
    }
}

#[test]
fn escapes_of_a_program_do_not_reach_the_terminal() {
    let Some((world, _)) = World::composed() else { return };
    world.change(2);
    hook(
        &world,
        "printf '\\033]0;title\\007\\302\\2332J\\n'; printf 'error: \\033[2Jgone\\n' >&2; exit 1",
        "",
    );
    let output = world.tree(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains(['\u{1b}', '\u{7}', '\u{9b}']), "{stderr:?}");
    assert!(stderr.contains("\\u{1b}]0;title\\u{7}\\u{9b}2J\n"), "{stderr}");
    assert_eq!(output.failure(), "rpm-ostree failed: error: \\u{1b}[2Jgone");
    // The log has what was written.
    let log = fs::read(world.runs().pop().unwrap().join("rpm-ostree.log")).unwrap();
    assert!(log.starts_with(b"\x1b]0;title\x07\xc2\x9b2J\n"));
}

/// The treefile, or whoever made the commit, chooses its version.
#[test]
fn a_version_that_steers_a_terminal_is_escaped() {
    let Some((world, first)) = World::composed() else { return };
    fs::create_dir_all(world.path("tree/usr")).unwrap();
    let (tree, parent) = (world.path("tree"), format!("--parent={first}"));
    let version = "--add-metadata-string=version=22\u{1b}]0;x\u{7}";
    let arguments = ["commit", "--orphan", "-s", "other", &parent, version, tree.to_str().unwrap()];
    let commit = world.osier().repo(&world.repo(), arguments).line();
    world.set_config("version=22.9\n");
    let output = world.publish(&commit);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let shown = "22\\u{1b}]0;x\\u{7}";
    assert_eq!(output.success(), format!("{REF} => {commit} ({shown})\n"));
    assert!(
        stderr.contains(&format!(
            "the version of the commit is {shown}, the configuration says 22.9"
        )),
        "{stderr}"
    );
    assert_eq!(
        world.publish(&commit).success(),
        format!("{REF} is unchanged: {commit} ({shown})\n")
    );
    // The report has what is there.
    assert_eq!(world.report()["version"], "22\u{1b}]0;x\u{7}");
}

/// A package server that came up after 3 s was missed.
#[test]
fn attempts_are_made_with_a_pause_between_them() {
    let Some((world, _)) = World::composed() else { return };
    world.set_config("attempts=2\n");
    world.change(2);
    let output = world.tree_with("network-once", &[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    assert!(
        stderr.contains(
            "All mirrors were tried (a package repository cannot be reached); trying again in 5 s\n"
        ),
        "{stderr}"
    );
    let report = world.report();
    let time = |key: &str| report[key].as_str().unwrap().to_owned();
    assert_ne!(time("started"), time("finished"));
    assert!(stderr.contains("warning: attempt 1 of 2: rpm-ostree failed: "), "{stderr}");
}
