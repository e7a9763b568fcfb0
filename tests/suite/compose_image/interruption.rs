//! Runs that are ended: by a signal, by their time limit, by SIGKILL.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::release::{Release, report_of};
use crate::compose_tree::kills::{killed_runs, lay_traps};
use crate::support::{Output, Program, can_trace, find, osier_path};

/// How long a test waits for something that takes a moment.
const PATIENCE: Duration = Duration::from_secs(60);

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "{what} takes too long");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A run that hangs in ImageFactory.
struct Hanging<'r> {
    release: &'r Release,
    child: Child,
    /// The stand-in and its child.
    pids: Vec<i32>,
}

impl<'r> Hanging<'r> {
    fn new(release: &'r Release, case: &str) -> Self {
        let program = release.program(case);
        let mut command = Command::new(&program.path);
        command.args(release.call(&["-q"])).env_clear().envs(program.variables());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let file = release.path("record.pids");
        let read = || fs::read_to_string(&file).unwrap_or_default();
        wait_until("ImageFactory", || read().ends_with('\n'));
        let pids = read().split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        fs::remove_file(&file).unwrap();
        Self { release, child, pids }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, which must be exit status 1, and for all processes of the stand-in.
    fn end(&mut self) -> (PathBuf, serde_json::Value) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "{status:?}");
        self.wait_for_stand_in();
        self.release.only_run()
    }

    fn wait_for_stand_in(&self) {
        let is_gone = |pid: &i32| {
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            let is_zombie = state.rsplit(')').next().is_some_and(|rest| rest.starts_with(" Z"));
            is_zombie || test_kill_process(Pid::from_raw(*pid).unwrap()).is_err()
        };
        wait_until("the end of the stand-in", || self.pids.iter().all(is_gone));
    }
}

#[test]
fn a_signal_ends_imagefactory_and_leaves_a_report() {
    for signal in [Signal::INT, Signal::TERM] {
        let Some(release) = Release::new() else { return };
        let mut hanging = Hanging::new(&release, "sigterm");
        hanging.signal(signal);
        let (run, report) = hanging.end();
        assert_eq!(
            (&report["status"], &report["stage"]),
            (&"failed".into(), &"imagefactory".into())
        );
        assert_eq!(report["error"], "interrupted");
        assert_eq!(report["commands"][0]["exit"], 1);
        assert_eq!(report["image"]["storage"], run.join("storage").to_str().unwrap());
        assert!(
            run.join("storage").is_dir()
                && !run.join("tmp").exists()
                && !run.join("running").exists()
        );
        assert!(report["warnings"].to_string().contains("virsh list --all"), "{report:#}");
        assert_eq!(release.images(), [""; 0]);
        release.assert_nothing_public_changed();
        release.run("built", &["-q"]).success();
        assert_eq!(release.images().len(), 2);
    }
}

#[test]
fn a_second_signal_does_not_wait_for_a_deaf_program() {
    let Some(release) = Release::new() else { return };
    let mut hanging = Hanging::new(&release, "deaf");
    let started = Instant::now();
    hanging.signal(Signal::INT);
    thread::sleep(Duration::from_millis(300));
    assert!(hanging.child.try_wait().unwrap().is_none(), "the program was not waited for");
    hanging.signal(Signal::INT);
    let (_, report) = hanging.end();
    // A deaf program is given half a minute.
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
    assert_eq!(
        (&report["error"], &report["commands"][0]["signal"]),
        (&"interrupted".into(), &9.into())
    );
    assert_eq!(release.images(), [""; 0]);
}

#[test]
fn a_run_that_takes_too_long_is_ended_and_says_what_usually_causes_it() {
    let Some(release) = Release::new() else { return };
    release.configure(&[("timeout", "1s")]);
    let output = release.run("sigterm", &["-q"]);
    let expected = "ImageFactory did not end within 2 s (timeout): usual causes: the guest cannot \
        reach http://content.example.org/repo/ or the package repository, less than 2048 MiB of \
        memory, a kickstart file that asks a question";
    release.assert_failed_without_image(output, expected);
}

#[test]
fn a_killed_run_is_told_of_and_cleaned_up_by_the_next() {
    let Some(release) = Release::new() else { return };
    let mut hanging = Hanging::new(&release, "deaf");
    hanging.signal(Signal::KILL);
    hanging.child.wait().unwrap();
    let (killed, report) = release.only_run();
    assert_eq!((&report["status"], &report["stage"]), (&"running".into(), &"imagefactory".into()));
    assert_eq!(release.images(), [""; 0]);
    let output = release.run("built", &["-q"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    let expected =
        format!("warning: the run {} was killed at the step `imagefactory`\n", killed.display());
    assert!(stderr.contains(&expected), "{stderr}");
    hanging.wait_for_stand_in();
    let report = report_of(&killed);
    assert_eq!((&report["status"], &report["error"]), (&"failed".into(), &"killed".into()));
    assert!(!killed.join("tmp").exists() && killed.join("storage").is_dir());
    assert_eq!(release.images().len(), 2);
    release.assert_nothing_public_changed();
}

/// Puts a `qemu-img` on the PATH that hangs in one of its commands, having said so in
/// `record.pids`; the image is to be compressed, or it would only be copied.
fn qemu_img_that_hangs_in(release: &Release, command: &str) {
    release.configure(&[("compress", "true")]);
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = {command} ]; then echo $$ >{}; exec sleep 1000; fi\nexec {} \
         \"$@\"\n",
        release.path("record.pids").display(),
        find("qemu-img").unwrap().display()
    );
    let path = release.path("bin/qemu-img");
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_signal_ends_qemu_img_too() {
    for (command, stage) in [("check", "inspect"), ("convert", "output")] {
        let Some(release) = Release::new() else { return };
        qemu_img_that_hangs_in(&release, command);
        let mut hanging = Hanging::new(&release, "built");
        hanging.signal(Signal::INT);
        let (_, report) = hanging.end();
        assert_eq!(
            (&report["stage"], &report["error"]),
            (&stage.into(), &"interrupted".into()),
            "{command}"
        );
        assert_eq!(release.images(), [""; 0]);
        release.assert_nothing_public_changed();
    }
}

#[test]
fn a_run_that_was_killed_while_it_wrote_the_image_leaves_none() {
    let Some(release) = Release::new() else { return };
    qemu_img_that_hangs_in(&release, "convert");
    let mut hanging = Hanging::new(&release, "built");
    hanging.signal(Signal::KILL);
    hanging.child.wait().unwrap();
    let (killed, report) = release.only_run();
    assert_eq!((&report["status"], &report["stage"]), (&"running".into(), &"output".into()));
    assert!(release.images().iter().all(|name| name.starts_with('.')), "{:?}", release.images());
    fs::remove_file(release.path("bin/qemu-img")).unwrap();
    release.run("built", &["-q"]).success();
    // What was left running would have written to a file without a name.
    hanging.wait_for_stand_in();
    assert_eq!(report_of(&killed)["error"], "killed");
    assert_eq!(release.images(), ["exampleos-22.3-CHECKSUM", "exampleos-22.3.qcow2"]);
    release.assert_nothing_public_changed();
}

/// What becomes visible does so by a rename. strace counts each of these calls by itself.
const RENAMES: &str = "rename,renameat,renameat2";

/// Runs osier under strace, with something injected into its own calls, not those of other
/// programs.
fn traced(release: &Release, calls: &str, what: &str) -> Output {
    let mut strace = Program::other("strace", "strace");
    for (name, value) in release.program("built").variables() {
        strace = strace.with(name, value);
    }
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:{what}"));
    let log = release.path("strace.log").to_str().unwrap().to_owned();
    let options = ["-f", "-b", "execve", "-o", &log, "-e", &trace, "-e", &inject, osier_path()];
    let mut call: Vec<OsString> = options.map(OsString::from).into();
    call.extend(release.call(&["-q"]));
    strace.run(call)
}

/// Whatever has happened to a run: nothing but whole images has a name, and the next run ends with
/// one and its checksum.
#[track_caller]
fn nothing_is_half_done(release: &Release) {
    let image = "exampleos-22.3.qcow2";
    let is_there = release.path("images").join(image).exists();
    if is_there {
        let (built, body) = (release.path("images").join(image), release.path("body"));
        assert!(fs::read(built).unwrap() == fs::read(body).unwrap(), "half an image has its name");
    } else {
        assert!(
            release.images().iter().all(|name| name.starts_with('.')),
            "{:?}",
            release.images()
        );
    }
    let (killed, victim) = (killed_runs(&release.path("work")), release.path("victim"));
    killed.iter().for_each(|run| lay_traps(run, &victim));
    let output = release.run("built", &["-q"]);
    for run in killed {
        assert_eq!(fs::read(victim.join("file")).unwrap(), b"precious");
        // One that was killed before it had an image is left to the tree stage.
        let report =
            fs::read(run.join("report.json")).map_or(serde_json::Value::Null, |_| report_of(&run));
        if report["image"].is_object() {
            assert_eq!(report["error"], "killed");
            assert!(!run.join("tmp").is_symlink() && !run.join("converted.qcow2").is_symlink());
        }
    }
    match is_there {
        true => {
            let message = release.shortened(&output.failure());
            assert_eq!(message, format!("DIR/images/{image} exists already; --force replaces it"));
        }
        false => drop(output.success()),
    }
    assert_eq!(release.images(), ["exampleos-22.3-CHECKSUM", image]);
    let check = Program::other("sha256sum", "sha256sum").in_directory(release.path("images"));
    assert_eq!(check.run(["-c", "exampleos-22.3-CHECKSUM"]).success(), format!("{image}: OK\n"));
    release.assert_nothing_public_changed();
    release.forget_runs();
}

#[test]
fn a_run_may_be_killed_whenever_something_becomes_visible() {
    let Some(release) = Release::new() else { return };
    if !can_trace() {
        return;
    }
    let (mut moments, mut without_checksum) = (0, 0);
    for calls in RENAMES.split(',').chain(["fdatasync", "fsync", "unlink", "unlinkat"]) {
        for moment in 1.. {
            if traced(&release, calls, &format!("signal=KILL:when={moment}")).status == 0 {
                release.forget_runs();
                break;
            }
            moments += 1;
            let is_there = |name: &str| release.path("images").join(name).exists();
            without_checksum += usize::from(
                is_there("exampleos-22.3.qcow2") && !is_there("exampleos-22.3-CHECKSUM"),
            );
            nothing_is_half_done(&release);
        }
    }
    assert!(moments >= 16, "killed at {moments} moments only");
    assert!(without_checksum > 0, "never between the image and its checksum");
}

#[test]
fn any_rename_of_a_run_may_fail() {
    let Some(release) = Release::new() else { return };
    if !can_trace() {
        return;
    }
    let mut failures = 0;
    for calls in RENAMES.split(',') {
        for moment in 1.. {
            let output = traced(&release, calls, &format!("error=EIO:when={moment}"));
            output.assert_no_panic();
            if !fs::read_to_string(release.path("strace.log")).unwrap().contains("(INJECTED)") {
                release.forget_runs();
                break;
            }
            failures += 1;
            // The image may be there, and what failed is its report.
            assert!(matches!(release.images().len(), 0 | 2), "{:?}", release.images());
            assert!(output.status == 1 || release.images().len() == 2, "{output:?}");
            nothing_is_half_done(&release);
        }
    }
    assert!(failures >= 10, "{failures} failures only");
}
