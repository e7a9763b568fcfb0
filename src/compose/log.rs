//! Reading the log of an external program, while it grows and after its end.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::error::{During, Result};

/// The longest part of a log that is looked at when something went wrong, in bytes.
const LONGEST_TAIL: u64 = 64 << 10;
/// Reads a log while it grows.
pub(super) struct Follower {
    file: File,
    path: PathBuf,
    buffer: Vec<u8>,
    line: Vec<u8>,
}

/// A line that is longer is given in pieces of this many bytes.
pub(super) const LONGEST_LINE: usize = 4096;

impl Follower {
    /// Starts at the end of the log as it is now.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut file = File::open(path).during("opening", path)?;
        file.seek(SeekFrom::End(0)).during("reading", path)?;
        Ok(Self { file, path: path.to_owned(), buffer: vec![0; 64 << 10], line: Vec::new() })
    }

    /// Gives the lines that have come since.
    pub(super) fn read_lines(&mut self, on_line: &mut dyn FnMut(&str)) -> Result<()> {
        loop {
            let length = self.file.read(&mut self.buffer).during("reading", &self.path)?;
            if length == 0 {
                return Ok(());
            }
            for &byte in &self.buffer[..length] {
                // Programs with a progress bar go back to the start of the line.
                if matches!(byte, b'\n' | b'\r') || self.line.len() >= LONGEST_LINE {
                    on_line(&String::from_utf8_lossy(&self.line));
                    self.line.clear();
                }
                if !matches!(byte, b'\n' | b'\r') {
                    self.line.push(byte);
                }
            }
        }
    }

    /// Gives what is left, which has no end of a line.
    pub(super) fn finish(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            on_line(&String::from_utf8_lossy(&self.line));
        }
    }
}

/// The end of a log: at most `count` lines, in their order. Empty when there is no log.
///
/// # Errors
/// When the log cannot be read.
pub fn last_lines(log: &Path, count: usize) -> Result<Vec<String>> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).during("opening", log),
    };
    let size = file.metadata().during("reading", log)?.len();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(LONGEST_TAIL)))
        .and_then(|_| file.take(LONGEST_TAIL).read_to_end(&mut bytes))
        .during("reading", log)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(count)..].iter().map(|&line| line.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_what_is_shown() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        assert_eq!(last_lines(&log, 3).unwrap(), [""; 0]);
        std::fs::write(&log, (0..100_000).map(|n| format!("{n}\n")).collect::<String>()).unwrap();
        assert_eq!(last_lines(&log, 2).unwrap(), ["99998", "99999"]);
        assert!(last_lines(&log, usize::MAX).unwrap().len() < 20_000);
    }
}
