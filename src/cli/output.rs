//! Standard output behind a buffer.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, LineWriter, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Failure;

/// The output of commands. Clones share it, so that progress and results keep their order.
///
/// `writeln!(context.out, ...)?` fails with a [`Failure`]; where the library wants a [`Write`], it
/// is one.
#[derive(Clone)]
pub(super) struct Output {
    writer: Arc<Mutex<Box<dyn Write + Send>>>,
}

impl Output {
    /// Standard output: flushed after each line on a terminal, in large pieces otherwise.
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        let writer: Box<dyn Write + Send> = match stdout.is_terminal() {
            true => Box::new(LineWriter::new(stdout)),
            false => Box::new(BufWriter::with_capacity(64 * 1024, stdout)),
        };
        Self { writer: Arc::new(Mutex::new(writer)) }
    }

    /// Called by `write!` and `writeln!`.
    pub(super) fn write_fmt(&self, text: fmt::Arguments<'_>) -> Result<(), Failure> {
        self.lock().write_fmt(text).map_err(Failure::Output)
    }

    /// Writes a text.
    pub(super) fn write_str(&self, text: &str) -> Result<(), Failure> {
        self.write_bytes(text.as_bytes())
    }

    /// Writes bytes, such as a file name.
    pub(super) fn write_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.lock().write_all(bytes).map_err(Failure::Output)
    }

    /// Flushes everything to the operating system.
    pub(super) fn flush(&self) -> Result<(), Failure> {
        self.lock().flush().map_err(Failure::Output)
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn Write + Send>> {
        // A panic while printing leaves at most an incomplete line.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.lock().flush()
    }
}
