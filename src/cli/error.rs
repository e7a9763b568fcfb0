//! How commands fail, and how failures are reported.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use osier::Error;

use super::interrupt;

/// Why a command ended early.
pub(super) enum Failure {
    /// The command got the wrong arguments: its help and a blank line are printed before the
    /// message.
    Usage(String),
    /// There is no command or no repository to run it on: the help is printed right before the
    /// message.
    Incomplete(String),
    /// The operation failed.
    Error(Error),
    /// The command has already reported everything, and ends with this status.
    Status(u8),
    /// The command was interrupted and has cleaned up: the program ends by this signal.
    Signal(i32),
    /// Writing to standard output failed.
    Output(io::Error),
    /// The inner failure, for a command whose status 1 is an answer: it ends with 2.
    Trouble(Box<Failure>),
}

/// The status of every failure, those of usage included.
const FAILURE_STATUS: u8 = 1;
/// The status of [`Failure::Trouble`], as that of `cmp` and `diff`.
const TROUBLE_STATUS: u8 = 2;
/// The status that a shell shows for a program ended by SIGPIPE, which is how `ostree` ends when
/// its output is closed.
const BROKEN_PIPE_STATUS: u8 = 128 + 13;

impl Failure {
    /// An error that prints the command's help first.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::Usage(message.into())
    }

    /// A failure with this message.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::Error(Error::failed(message))
    }
    #[cfg(feature = "pull")]
    /// What is reported on standard error, if anything is.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::Error(error) => Some(error.chain()),
            Self::Usage(message) | Self::Incomplete(message) => Some(message.clone()),
            Self::Trouble(failure) => failure.message(),
            Self::Status(_) | Self::Signal(_) | Self::Output(_) => None,
        }
    }

    /// Prints the help text to standard error if this failure asks for it.
    pub(super) fn after_help(self, help: impl FnOnce() -> String) -> Self {
        match self {
            Self::Usage(_) => to_stderr(&format!("{}\n", help())),
            Self::Incomplete(_) => to_stderr(&help()),
            Self::Trouble(failure) => return Self::Trouble(Box::new(failure.after_help(help))),
            Self::Error(_) | Self::Output(_) | Self::Status(_) | Self::Signal(_) => {}
        }
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Reports a failure on standard error, and turns the result into the program's exit status.
pub(super) fn exit_code(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => report(failure, FAILURE_STATUS).into(),
    }
}

/// Reports the failure and returns the exit status: `status` unless the failure has its own.
fn report(failure: Failure, status: u8) -> u8 {
    let message = match failure {
        Failure::Status(status) => return status,
        Failure::Signal(signal) => {
            interrupt::die_of(signal);
            // As a shell shows it.
            return u8::try_from(128 + signal).unwrap_or(status);
        }
        Failure::Trouble(failure) => return report(*failure, TROUBLE_STATUS),
        Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => {
            return BROKEN_PIPE_STATUS;
        }
        Failure::Error(error) if error.io_kind() == Some(ErrorKind::BrokenPipe) => {
            return BROKEN_PIPE_STATUS;
        }
        Failure::Output(error) => {
            format!("writing to standard output: {}", osier::error::OsError(error))
        }
        Failure::Error(error) => error.chain(),
        Failure::Usage(message) | Failure::Incomplete(message) => message,
    };
    let (bold_red, plain) =
        if io::stderr().is_terminal() { ("\x1b[31m\x1b[1m", "\x1b[22m\x1b[0m") } else { ("", "") };
    to_stderr(&format!("{bold_red}error:{plain} {}\n", printable(&message)));
    status
}

/// Prints a warning to standard error.
pub(super) fn warn(message: &str) {
    to_stderr(&format!("{}\n", printable(message)));
}

/// A message without terminal control characters: names and texts in it are untrusted.
fn printable(message: &str) -> Cow<'_, str> {
    let is_command = |character: char| character.is_control() && !matches!(character, '\n' | '\t');
    if !message.contains(is_command) {
        return Cow::Borrowed(message);
    }
    let mut text = String::new();
    for character in message.chars() {
        match is_command(character) {
            true => text.extend(character.escape_default()),
            false => text.push(character),
        }
    }
    Cow::Owned(text)
}

fn to_stderr(text: &str) {
    // When standard error is closed too, the failure cannot be reported.
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_takes_nothing_in_a_message_for_a_command() {
        assert_eq!(printable("two\nlines\tand é"), "two\nlines\tand é");
        assert_eq!(printable("\u{1b}[31mred\r\u{9b}x"), "\\u{1b}[31mred\\r\\u{9b}x");
    }
}
