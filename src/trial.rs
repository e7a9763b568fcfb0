//! Shared by trials of programs: a scratch directory, steps that are announced, and programs that
//! end with them.
//!
//! An interrupted trial ([`Progress::is_interrupted`]) kills the program that runs and removes the
//! scratch directory.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::dir::{self, Dir};
use crate::error::{During, Error, OsError, Result};
use crate::progress::{Event, Progress};

/// How many scratch directories of a process there may be at a time.
const MOST_DIRECTORIES: u32 = 1000;
/// How often removing is tried: a program that was just killed may still have been writing.
const REMOVALS: u32 = 5;
/// How much of a program's standard error is kept, in bytes.
const MAX_STDERR: u64 = 1 << 20;

/// A directory that is removed at the end.
pub(crate) struct Scratch<'p> {
    pub(crate) path: PathBuf,
    /// The directory that holds it, and its name there.
    parent: Dir,
    name: OsString,
    progress: &'p dyn Progress,
}

impl<'p> Scratch<'p> {
    /// Makes `PARENT/PREFIX-PROCESS-NUMBER`.
    pub(crate) fn create(parent: &Path, prefix: &str, progress: &'p dyn Progress) -> Result<Self> {
        let process = std::process::id();
        let opened = Dir::open(parent).during("opening", parent)?;
        for number in 0..MOST_DIRECTORIES {
            let name = format!("{prefix}-{process}-{number}");
            let path = parent.join(&name);
            match dir::make_dir(&opened, &name, 0o777) {
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error).during("creating", path),
                Ok(()) => return Ok(Self { path, parent: opened, name: name.into(), progress }),
            }
        }
        Err(Error::failed(format!("{} is full of scratch directories", parent.display())))
    }
}

impl Drop for Scratch<'_> {
    fn drop(&mut self) {
        let mut removed = dir::remove_all(&self.parent, &self.name);
        for _ in 1..REMOVALS {
            match removed {
                Err(Errno::NOTEMPTY) => removed = dir::remove_all(&self.parent, &self.name),
                _ => break,
            }
        }
        if let Err(error) = removed {
            let error = OsError(error.into());
            // The result is what the user came for; it does not depend on this.
            self.progress.event(Event::Warning(&format!(
                "{} could not be removed: {error}",
                self.path.display()
            )));
        }
    }
}

/// # Errors
/// `interrupted`, when the operation should end early.
pub(crate) fn check_interrupt(progress: &dyn Progress) -> Result<()> {
    if progress.is_interrupted() { Err(Error::failed("interrupted")) } else { Ok(()) }
}

/// Announces one step after the other.
pub(crate) struct Steps<'p> {
    progress: &'p dyn Progress,
    number: u64,
    total: u64,
}

impl<'p> Steps<'p> {
    pub(crate) fn new(progress: &'p dyn Progress, total: usize) -> Self {
        Self { progress, number: 0, total: total as u64 }
    }

    /// # Errors
    /// `interrupted`, instead of going on.
    pub(crate) fn begin(&mut self, what: &str) -> Result<()> {
        check_interrupt(self.progress)?;
        self.number += 1;
        self.progress.event(Event::Step { number: self.number, total: self.total, what });
        Ok(())
    }
}

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// From start to end.
    #[cfg_attr(
        not(feature = "bench"),
        expect(dead_code, reason = "only the benchmark looks at it")
    )]
    pub(crate) time: Duration,
    /// What it printed to standard error.
    pub(crate) stderr: Vec<u8>,
}

/// Runs a program to its end, with its standard output in the file `stdout`. `watch` is called with
/// its process id while it runs, and returns when it wants to be called again.
///
/// # Errors
/// When it cannot be run; `interrupted`, and it is killed then.
pub(crate) fn run(
    command: &mut Command,
    stdout: &Path,
    progress: &dyn Progress,
    watch: impl FnMut(u32) -> Duration + Send,
) -> Result<Ended> {
    check_interrupt(progress)?;
    let program = PathBuf::from(command.get_program());
    let printed = fs::File::create(stdout).during("creating", stdout)?;
    command.stdin(Stdio::null()).stdout(printed).stderr(Stdio::piped());
    // Its own group gets no signal from the terminal, and is killed as a whole.
    command.process_group(0);
    let started = Instant::now();
    let mut child = command.spawn().during("running", &program)?;
    let (process, group, over) = (child.id(), Pid::from_child(&child), AtomicBool::new(false));
    let pipe = child.stderr.take();
    let ended: Result<(Duration, Vec<u8>)> = thread::scope(|scope| {
        let (over, mut watch) = (&over, watch);
        let watcher = move || {
            while !over.load(Ordering::Relaxed) {
                if progress.is_interrupted() {
                    // Its id is still its own, for it is waited for after this thread has ended.
                    let _ = kill_process_group(group, Signal::KILL);
                }
                thread::sleep(watch(process));
            }
        };
        // Where there can be no thread, the program runs unwatched.
        let _ = thread::Builder::new().name("watcher".to_owned()).spawn_scoped(scope, watcher);
        let stderr = pipe.map_or(Ok(Vec::new()), read_to_end);
        let waited = waitid(WaitId::Pid(group), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
        let time = started.elapsed();
        over.store(true, Ordering::Relaxed);
        waited.during("waiting for", &program)?;
        Ok((time, stderr.during("reading from", &program)?))
    });
    let status = child.wait().during("waiting for", &program)?;
    check_interrupt(progress)?;
    let (time, stderr) = ended?;
    Ok(Ended { status, time, stderr })
}

/// Reads to the end, and keeps the beginning.
fn read_to_end(mut pipe: impl Read) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    pipe.by_ref().take(MAX_STDERR).read_to_end(&mut kept)?;
    io::copy(&mut pipe, &mut io::sink())?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::progress::Silent;

    /// Interrupted from the beginning on, or from the first look of a running program on.
    struct Interrupted(AtomicBool);

    impl Progress for Interrupted {
        fn event(&self, _: Event<'_>) {}

        fn is_interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn an_interrupted_program_is_killed_with_all_that_it_has_started() {
        let directory = tempfile::tempdir().unwrap();
        let (stdout, started) = (directory.path().join("stdout"), Instant::now());
        let progress = Interrupted(AtomicBool::new(false));
        let mut command = Command::new("sh");
        // Any process that holds standard error open is waited for.
        command.args(["-c", "sleep 60 & echo $!; wait"]);
        let watch = |_| {
            if fs::metadata(&stdout).is_ok_and(|metadata| metadata.len() > 0) {
                progress.0.store(true, Ordering::Relaxed);
            }
            Duration::from_millis(5)
        };
        let error = run(&mut command, &stdout, &progress, watch).map(drop).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
        let sleeper = fs::read_to_string(&stdout).unwrap();
        let stat = fs::read_to_string(format!("/proc/{}/stat", sleeper.trim())).unwrap_or_default();
        assert!(stat.is_empty() || stat.contains(" Z "), "{stat}");
    }

    #[test]
    fn steps_are_counted_until_an_interruption() {
        let events = Mutex::new(Vec::new());
        let note = |event: Event<'_>| events.lock().unwrap().push(format!("{event:?}"));
        let mut steps = Steps::new(&note, 2);
        steps.begin("one").unwrap();
        steps.begin("other").unwrap();
        let expected = [
            r#"Step { number: 1, total: 2, what: "one" }"#,
            r#"Step { number: 2, total: 2, what: "other" }"#,
        ];
        assert_eq!(*events.lock().unwrap(), expected);
        let interrupted = Interrupted(AtomicBool::new(true));
        assert_eq!(
            Steps::new(&interrupted, 1).begin("none").unwrap_err().to_string(),
            "interrupted"
        );
    }

    #[test]
    fn a_scratch_directory_goes_away_with_everything_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let one = Scratch::create(directory.path(), "osier-trial", &Silent).unwrap();
        let other = Scratch::create(directory.path(), "osier-trial", &Silent).unwrap();
        assert_ne!(one.path, other.path);
        fs::create_dir_all(one.path.join("a/b")).unwrap();
        drop((one, other));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
