//! Running other programs.
//!
//! A program runs in a process group of its own with standard input from `/dev/null`. Both its
//! outputs go into one log file, not through pipes: what the program leaves running cannot keep us
//! waiting, and nothing is lost when we die.
//!
//! ```text
//! call       a command line: which file it is, its arguments, its environment
//! log        what a program writes, while it runs and after its end
//! output     what a program answers that is only asked a question
//! partner    a program that is talked with over its standard input and output
//! interrupt  whether the user wants the run to end
//! ```

pub mod call;
pub mod interrupt;
pub mod log;
pub mod output;
pub mod partner;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::error::{During, Result};

pub use call::{Call, find, shell_line, shell_line_with, words_of_shell_line};
pub use interrupt::Interrupt;
pub use output::{ANSWER_TIMEOUT, Answer, ask, ask_with_input};
pub use partner::Partner;

use log::{Follower, Pass};

/// How long a program that was asked to end may take.
pub const GRACE: Duration = Duration::from_secs(30);
/// How often a running program is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The longest log, in bytes: a program that writes more is ended.
pub const LONGEST_LOG: u64 = 64 << 20;

/// How a run is watched.
pub struct Watch<'w> {
    /// The file that gets what the program prints; it must not be there yet.
    pub log: &'w Path,
    /// How long it may become, in bytes; usually [`LONGEST_LOG`].
    pub longest_log: u64,
    /// How long the program may run.
    pub timeout: Duration,
    /// How long it may go on after being asked to end; usually [`GRACE`].
    pub grace: Duration,
    /// Whether the user wants it to end.
    pub interrupt: &'w Interrupt,
    /// Gets each line that the program prints, without its end.
    pub on_line: &'w mut dyn FnMut(&str),
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for Ending {
    fn from(status: ExitStatus) -> Self {
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exit(code),
            (None, signal) => Self::Signal(signal.unwrap_or(0)),
        }
    }
}

/// Why a program was terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// It took longer than it may.
    Timeout,
    /// The user wanted it.
    Interrupt,
    /// It wrote more into its log than it may.
    Flood,
}

/// The result of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub ending: Ending,
    /// Whether we ended it.
    pub stopped: Option<Stopped>,
    /// From its start to its end.
    pub time: Duration,
}

/// Runs a program to its end, whatever that is.
///
/// When it takes too long, writes too much or the user interrupts, its process group gets SIGTERM,
/// and SIGKILL after the grace, at the second interrupt or when the log is twice as long as it may
/// be. What is left of the group when it was ended so is killed, too. Of a log that is too long the
/// beginning is kept.
///
/// # Errors
/// When the program cannot be started or its log cannot be written or read.
pub fn run(call: &Call, watch: Watch<'_>) -> Result<Finished> {
    // Whatever was put there before, a link or a FIFO perhaps, is not written to.
    let mut log = OpenOptions::new()
        .create_new(true)
        .read(true)
        .append(true)
        .open(watch.log)
        .during("creating", watch.log)?;
    let copy = || log.try_clone().during("opening", watch.log);
    let (first, second) = (copy()?, copy()?);
    let mut follower = Follower::new(copy()?, watch.log);
    ::log::debug!("running {}", shell_line(&call.argv));
    let started = Instant::now();
    let child =
        call.command().stdout(first).stderr(second).spawn().during("running", &call.executable)?;
    let mut group = Group { child, stopped: None, killed: false, asked: started };
    while !group.has_ended()? {
        let pass = follower.read_lines(watch.on_line)?;
        let (size, interrupts) = (follower.size()?, watch.interrupt.count());
        let reason = match interrupts {
            0 if started.elapsed() >= watch.timeout => Some(Stopped::Timeout),
            0 if size > watch.longest_log => Some(Stopped::Flood),
            0 => None,
            _ => Some(Stopped::Interrupt),
        };
        let at_once = interrupts > 1 || size / 2 > watch.longest_log;
        group.stop_if_needed(reason, at_once, watch.grace);
        if pass == Pass::Whole {
            thread::sleep(POLL_INTERVAL);
        }
    }
    let status = group.finish().during("waiting for", &call.executable)?;
    let time = started.elapsed();
    // What others go on writing is not waited for, and neither is a slow terminal after a signal.
    let (end, interrupts) = (follower.size()?, watch.interrupt.count());
    while follower.position() < end && watch.interrupt.count() == interrupts {
        follower.read_lines(watch.on_line)?;
    }
    follower.finish(watch.on_line);
    if end > watch.longest_log {
        let cut = log
            .set_len(watch.longest_log)
            .and_then(|()| writeln!(log, "\n[osier: the rest was cut off]"));
        cut.during("cutting", watch.log)?;
    }
    Ok(Finished { ending: status.into(), stopped: group.stopped, time })
}

/// A running program and those it has started.
struct Group {
    child: Child,
    stopped: Option<Stopped>,
    killed: bool,
    asked: Instant,
}

impl Group {
    /// Whether the program has ended; it stays a zombie, so that the number of its group is nobody
    /// else's.
    fn has_ended(&self) -> Result<bool> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let id = WaitId::Pid(Pid::from_child(&self.child));
        Ok(waitid(id, options).during("waiting for", "a program")?.is_some())
    }

    fn stop_if_needed(&mut self, reason: Option<Stopped>, at_once: bool, grace: Duration) {
        match self.stopped {
            None if reason.is_none() => {}
            None => {
                self.stopped = reason;
                self.asked = Instant::now();
                self.signal(Signal::TERM);
            }
            Some(_) if self.killed => {}
            Some(_) if at_once || self.asked.elapsed() >= grace => {
                self.killed = true;
                self.signal(Signal::KILL);
            }
            Some(_) => {}
        }
    }

    fn signal(&self, signal: Signal) {
        // A group that has just gone needs no signal.
        let _ = kill_process_group(Pid::from_child(&self.child), signal);
    }

    /// Takes the status of the program that has ended, after killing what it left if it did not end
    /// by itself.
    fn finish(&mut self) -> std::io::Result<ExitStatus> {
        if self.stopped.is_some() {
            self.signal(Signal::KILL);
        }
        self.child.wait()
    }
}

/// Describes an ending.
pub fn describe(ending: Ending) -> String {
    match ending {
        Ending::Exit(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("killed by signal {signal}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn shell(script: &str) -> Call {
        let environment = [("PATH".into(), "/usr/bin:/bin".into())];
        let program = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        Call::new(&program, &environment).unwrap()
    }

    /// Runs a script that may raise the interrupt by saying `now`.
    fn run_script(
        script: &str,
        timeout: Duration,
        grace: Duration,
    ) -> (Finished, Vec<String>, String) {
        let interrupt = &Interrupt::default();
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut lines = Vec::new();
        let watch = Watch {
            log: &log,
            longest_log: LONGEST_LOG,
            timeout,
            grace,
            interrupt,
            on_line: &mut |line| {
                if line == "now" {
                    interrupt.raise();
                }
                lines.push(line.to_owned());
            },
        };
        let finished = run(&shell(script), watch).unwrap();
        (finished, lines, std::fs::read_to_string(&log).unwrap())
    }

    pub(super) const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn both_streams_go_into_the_log_line_by_line() {
        let script = "echo one; echo two >&2; printf 'three\\rfour'; exit 3";
        let (finished, lines, log) = run_script(script, LONG, GRACE);
        assert_eq!((finished.ending, finished.stopped), (Ending::Exit(3), None));
        assert_eq!(lines, ["one", "two", "three", "four"]);
        assert_eq!(log, "one\ntwo\nthree\rfour");
    }

    #[test]
    fn a_megabyte_on_both_streams_is_no_trouble() {
        let script = "head -c 1000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero | tr '\\0' \
            y >&2; kill -9 $$";
        let (finished, lines, log) = run_script(script, LONG, GRACE);
        assert_eq!(finished.ending, Ending::Signal(9));
        assert_eq!((log.len(), lines.concat().len()), (2_000_000, 2_000_000));
        assert!(lines.iter().all(|line| line.len() <= log::LONGEST_LINE));
    }

    #[test]
    fn a_program_that_floods_its_log_is_ended_and_the_beginning_of_the_log_stays() {
        for (script, expected) in [
            ("echo first; exec yes", Ending::Signal(15)),
            // Deaf to the first signal, it is not given the grace: it would fill the disk.
            ("trap '' TERM; echo first; yes", Ending::Signal(9)),
        ] {
            let directory = tempfile::tempdir().unwrap();
            let log = directory.path().join("log");
            let interrupt = Interrupt::default();
            let watch = Watch {
                log: &log,
                longest_log: 1 << 20,
                timeout: LONG,
                grace: LONG,
                interrupt: &interrupt,
                on_line: &mut |_| {},
            };
            let finished = run(&shell(script), watch).unwrap();
            assert_eq!((finished.ending, finished.stopped), (expected, Some(Stopped::Flood)));
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(
                log.starts_with("first\ny\n") && log.ends_with("\n[osier: the rest was cut off]\n")
            );
            assert_eq!(log.len(), (1 << 20) + "\n[osier: the rest was cut off]\n".len());
        }
    }

    #[test]
    fn a_flood_keeps_neither_the_time_limit_nor_a_signal_waiting() {
        let script = "while :; do head -c 200000 /dev/zero | tr '\\0' '\\n'; sleep 0.001; done";
        let started = Instant::now();
        let (finished, ..) = run_script(script, Duration::from_millis(300), GRACE);
        assert!(
            matches!(finished.stopped, Some(Stopped::Timeout | Stopped::Flood)),
            "{finished:?}"
        );
        let (finished, ..) = run_script(&format!("echo now; {script}"), LONG, GRACE);
        assert_eq!(finished.stopped, Some(Stopped::Interrupt));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    }

    #[test]
    fn a_log_is_not_written_through_what_lies_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let (log, victim) = (directory.path().join("log"), directory.path().join("victim"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &log).unwrap();
        let interrupt = &Interrupt::default();
        let watch = Watch {
            log: &log,
            longest_log: LONGEST_LOG,
            timeout: LONG,
            grace: GRACE,
            interrupt,
            on_line: &mut |_| {},
        };
        let message = run(&shell("echo text"), watch).unwrap_err().chain();
        assert_eq!(message, format!("creating {}: File exists", log.display()));
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_program_that_takes_too_long_is_asked_to_end() {
        let script = "trap 'echo asked; exit 4' TERM; echo ready; while :; do sleep 0.05; done";
        let (finished, lines, _) = run_script(script, Duration::from_millis(500), GRACE);
        assert_eq!((finished.ending, finished.stopped), (Ending::Exit(4), Some(Stopped::Timeout)));
        // The shell may report the end of its `sleep`.
        assert_eq!(
            (lines.first().map(String::as_str), lines.last().map(String::as_str)),
            (Some("ready"), Some("asked"))
        );
    }

    #[test]
    fn a_program_that_does_not_listen_is_killed_after_the_grace_and_its_children_with_it() {
        let script = "trap '' TERM; sleep 1000 & echo $!; echo now; while :; do sleep 0.05; done";
        let (finished, lines, _) = run_script(script, LONG, Duration::from_millis(300));
        assert_eq!(
            (finished.ending, finished.stopped),
            (Ending::Signal(9), Some(Stopped::Interrupt))
        );
        assert!(finished.time >= Duration::from_millis(300), "{finished:?}");
        assert!(has_gone(&lines[0]), "process {} is still there", lines[0]);
    }

    #[test]
    fn a_second_interrupt_kills_at_once() {
        let script = "trap '' TERM; echo now; echo now; while :; do sleep 0.05; done";
        let (finished, ..) = run_script(script, LONG, LONG);
        assert_eq!(
            (finished.ending, finished.stopped),
            (Ending::Signal(9), Some(Stopped::Interrupt))
        );
        let interrupt = Interrupt::default();
        interrupt.check().unwrap();
        interrupt.raise();
        assert_eq!(interrupt.check().unwrap_err().to_string(), "interrupted");
    }

    /// A killed process may be a zombie for a while, until its new parent notices.
    fn has_gone(process: &str) -> bool {
        (0..100).any(|_| {
            let status =
                std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let alive =
                status.lines().any(|line| line.starts_with("State:") && !line.contains('Z'));
            if alive {
                thread::sleep(Duration::from_millis(20));
            }
            !alive
        })
    }
}
