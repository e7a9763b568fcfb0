//! A program that is talked with over its standard input and output, as ssh is.
//!
//! It stays in our process group, so that it may ask the user for a password, and ends by the same
//! key. Its standard error is passed on line by line. What it leaves running, such as a connection
//! that others share, may keep that open: nothing waits for its end.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStderr, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::call::{Call, shell_line};
use super::log::{LONGEST_LINE, printable};
use super::{Ending, describe};
use crate::error::{During, Error, Result};

/// How often an ending program is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// How long the last lines of a program that has ended may take.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Gets each line that the program writes to standard error, without its end.
pub type OnLine = Box<dyn Fn(&str) + Send>;

/// A running program. It is killed if it is still there when this is dropped.
#[derive(Debug)]
pub struct Partner {
    child: Child,
    last_line: Arc<Mutex<String>>,
    /// Is closed at the end of standard error.
    lines: Receiver<()>,
}

impl Partner {
    /// Starts a program; returns it with its standard input and output.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(call: &Call, on_line: OnLine) -> Result<(Self, File, File)> {
        let mut command = call.attended();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        log::debug!("talking with {}", shell_line(&call.argv));
        let mut child = command.spawn().during("running", &call.executable)?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
            return Err(Error::failed("a program was started without its pipes"));
        };
        let last_line = Arc::new(Mutex::new(String::new()));
        let (end, lines) = mpsc::channel();
        let last = Arc::clone(&last_line);
        let listener = move || {
            let _end = end;
            pass_on(stderr, &last, &on_line);
        };
        let partner = Self { child, last_line, lines };
        let spawned = thread::Builder::new().name("stderr".to_owned()).spawn(listener);
        spawned.during("listening to", &call.executable)?;
        Ok((partner, OwnedFd::from(stdin).into(), OwnedFd::from(stdout).into()))
    }

    /// Waits for its end, at most that long; then it is killed.
    pub fn end(&mut self, patience: Duration) -> Option<Ending> {
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status.into());
            }
            thread::sleep(POLL_INTERVAL);
        }
        self.kill();
        None
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// What there is to say when it has gone: how it ended, and its last line of standard error.
    pub fn last_words(&mut self, patience: Duration) -> String {
        let ending = self.end(patience).map_or_else(|| "it was killed".to_owned(), describe);
        let _ = self.lines.recv_timeout(LAST_LINES);
        let line = self.last_line.lock().unwrap_or_else(PoisonError::into_inner);
        match line.as_str() {
            "" => ending,
            line => format!("{ending}: {line}"),
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.kill();
    }
}

fn pass_on(mut stderr: ChildStderr, last: &Mutex<String>, on_line: &OnLine) {
    let say = |line: &mut Vec<u8>| {
        let text = String::from_utf8_lossy(line);
        let text = printable(text.trim_end());
        if !text.is_empty() {
            on_line(&text);
            *last.lock().unwrap_or_else(PoisonError::into_inner) = text.into_owned();
        }
        line.clear();
    };
    let (mut buffer, mut line) = ([0; 4096], Vec::new());
    while let Ok(length @ 1..) = stderr.read(&mut buffer) {
        for &byte in &buffer[..length] {
            match byte {
                b'\n' | b'\r' => say(&mut line),
                byte => line.push(byte),
            }
            if line.len() >= LONGEST_LINE {
                say(&mut line);
            }
        }
    }
    say(&mut line);
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::tests::{LONG, shell};
    use super::*;

    #[test]
    fn a_partner_answers_and_its_last_words_are_known() {
        let (heard, lines) = mpsc::channel();
        let on_line: OnLine = Box::new(move |line| drop(heard.send(line.to_owned())));
        let script = "read x; echo got $x; echo one >&2; echo two >&2; exit 3";
        let (mut partner, mut stdin, mut stdout) = Partner::start(&shell(script), on_line).unwrap();
        stdin.write_all(b"this\n").unwrap();
        let mut answer = String::new();
        stdout.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "got this\n");
        assert_eq!(partner.last_words(LONG), "exit status 3: two");
        assert_eq!(lines.iter().collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn what_a_partner_leaves_running_is_not_waited_for() {
        let started = Instant::now();
        let script = "sleep 1000 </dev/null >/dev/null & echo $!; echo gone >&2";
        let (mut partner, _stdin, mut stdout) =
            Partner::start(&shell(script), Box::new(|_| ())).unwrap();
        let mut number = String::new();
        stdout.read_to_string(&mut number).unwrap();
        assert_eq!(partner.last_words(LONG), "exit status 0: gone");
        drop(partner);
        assert!(started.elapsed() < LONG, "{started:?}");
        let number = number.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(number.unwrap(), rustix::process::Signal::KILL).unwrap();
    }
}
