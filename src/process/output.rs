//! The output of a program that only answers a question.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::MemfdFlags;
use rustix::process::Signal;

use super::call::{Call, shell_line};
use super::interrupt::Interrupt;
use super::log::printable_lines;
use super::{Ending, Group, Stopped, describe};
use crate::error::{During, Error, Result};

/// How long a program may take that only answers a question.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read, in bytes.
const LONGEST_ANSWER: u64 = 8 << 20;

/// The output of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it ended.
    pub ending: Ending,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, fit to be shown.
    pub stderr: String,
}

impl Answer {
    /// The program's own `error:` line, or the last line that it wrote to standard error, or how it
    /// ended.
    pub fn complaint(&self) -> String {
        let lines = || self.stderr.lines().map(str::trim).filter(|line| !line.is_empty());
        match lines().find(|line| line.starts_with("error:")).or_else(|| lines().next_back()) {
            Some(line) => line.to_owned(),
            None => describe(self.ending),
        }
    }
}

/// Runs a program that only answers a question, and reads all it says; nothing is written to disk.
///
/// # Errors
/// When it cannot be started, takes longer than `timeout`, or says more than 8 MiB; `interrupted`,
/// when a signal comes.
pub fn ask(call: &Call, timeout: Duration, interrupt: &Interrupt) -> Result<Answer> {
    listen(call, Stdio::null(), timeout, interrupt)
}

/// The same for a program that reads `input` on its standard input.
///
/// # Errors
/// As of [`ask`].
pub fn ask_with_input(
    call: &Call,
    input: &[u8],
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<Answer> {
    let path = &call.executable;
    // All of it is there before the program starts, so that neither waits for the other.
    let mut stdin = memory(path)?;
    stdin
        .write_all(input)
        .and_then(|()| stdin.seek(SeekFrom::Start(0)))
        .during("writing the input of", path)?;
    listen(call, stdin.into(), timeout, interrupt)
}

/// A file that is nowhere but in memory.
fn memory(program: &Path) -> Result<File> {
    let made = rustix::fs::memfd_create("answer", MemfdFlags::CLOEXEC);
    made.map(File::from).during("running", program)
}

fn listen(call: &Call, stdin: Stdio, timeout: Duration, interrupt: &Interrupt) -> Result<Answer> {
    let path = &call.executable;
    let (mut stdout, mut stderr) = (memory(path)?, memory(path)?);
    let mut command = call.command();
    command
        .stdin(stdin)
        .stdout(stdout.try_clone().during("running", path)?)
        .stderr(stderr.try_clone().during("running", path)?);
    log::debug!("asking {}", shell_line(&call.argv));
    let started = Instant::now();
    let child = command.spawn().during("running", path)?;
    let mut group = Group { child, stopped: None, killed: false, asked: started };
    while !group.has_ended()? {
        let size = |file: &File| {
            file.metadata().map(|metadata| metadata.len()).during("reading the output of", path)
        };
        if size(&stdout)? > LONGEST_ANSWER || size(&stderr)? > LONGEST_ANSWER {
            group.stopped = Some(Stopped::Flood);
            group.signal(Signal::KILL);
        } else if started.elapsed() >= timeout {
            group.stopped = Some(Stopped::Timeout);
            group.signal(Signal::KILL);
        } else if interrupt.count() > 0 {
            group.stopped = Some(Stopped::Interrupt);
            group.signal(Signal::KILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
    let status = group.finish().during("waiting for", path)?;
    match group.stopped {
        None => {}
        Some(Stopped::Interrupt) => return Err(Error::failed("interrupted")),
        Some(Stopped::Timeout) => {
            let what = format!("{} did not answer within {} s", path.display(), timeout.as_secs());
            return Err(Error::failed(what));
        }
        Some(Stopped::Flood) => {
            return Err(Error::failed(format!(
                "{} answered with more than {LONGEST_ANSWER} bytes",
                path.display()
            )));
        }
    }
    let read = |file: &mut File| {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| file.take(LONGEST_ANSWER).read_to_end(&mut bytes))
            .map(|_| bytes)
    };
    let stdout = read(&mut stdout).during("reading the output of", path)?;
    let stderr = read(&mut stderr).during("reading the output of", path)?;
    let stderr = printable_lines(&String::from_utf8_lossy(&stderr));
    Ok(Answer { ending: status.into(), stdout, stderr })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LONG, shell};
    use super::*;

    #[test]
    fn an_answer_that_does_not_end_is_given_up() {
        let none = Interrupt::default();
        for script in ["exec yes", "exec yes >&2"] {
            let error = ask(&shell(script), LONG, &none).unwrap_err().to_string();
            assert!(error.ends_with("sh answered with more than 8388608 bytes"), "{error}");
        }
    }

    #[test]
    fn an_answer_is_read_whole_and_a_silent_program_is_given_up() {
        let none = Interrupt::default();
        let answer =
            ask(&shell("echo yes; echo 'error: no' >&2; echo more >&2; exit 1"), LONG, &none)
                .unwrap();
        assert_eq!((answer.stdout.as_slice(), answer.ending), (&b"yes\n"[..], Ending::Exit(1)));
        assert_eq!(answer.complaint(), "error: no");
        assert_eq!(
            ask(&shell("kill -9 $$"), LONG, &none).unwrap().complaint(),
            "killed by signal 9"
        );
        let error = ask(&shell("sleep 1000"), Duration::from_secs(1), &none).unwrap_err();
        assert!(error.to_string().ends_with("did not answer within 1 s"), "{error}");
    }

    #[test]
    fn a_program_gets_its_input_whole() {
        let input = vec![b'x'; 1 << 20];
        let answer = ask_with_input(&shell("cat"), &input, LONG, &Interrupt::default()).unwrap();
        assert_eq!((answer.stdout == input, answer.ending), (true, Ending::Exit(0)));
        // One that does not want it is none the worse for it.
        let answer = ask_with_input(&shell(":"), &input, LONG, &Interrupt::default()).unwrap();
        assert_eq!(answer.ending, Ending::Exit(0));
    }

    #[test]
    fn a_signal_ends_a_program_that_was_asked() {
        let interrupt = Interrupt::default();
        let error = thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(200));
                interrupt.raise();
            });
            ask(&shell("sleep 1000"), LONG, &interrupt).unwrap_err()
        });
        assert_eq!(error.to_string(), "interrupted");
    }
}
