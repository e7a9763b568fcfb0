//! Reading the log of an external program, while it grows and after its end.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::{During, Result};
use crate::units::format_size;

/// The longest part of a log that is looked at when something went wrong, in bytes.
const LONGEST_TAIL: u64 = 64 << 10;
/// The longest piece of a line that is quoted, in characters.
const LONGEST_QUOTE: usize = 1000;
/// How much of a log is read at once, in bytes: time and signals are looked at in between.
const PASS: usize = 256 << 10;
/// A reader that is farther behind than this many bytes leaves out what is between.
const FARTHEST_BEHIND: u64 = 4 << 20;
/// Where it goes on then, in bytes before the end.
const NEAR_THE_END: u64 = 64 << 10;

/// Reads a log while it grows.
pub(super) struct Follower {
    file: File,
    path: PathBuf,
    position: u64,
    buffer: Vec<u8>,
    line: Vec<u8>,
}

/// A line that is longer is given in pieces of this many bytes.
pub(super) const LONGEST_LINE: usize = 4096;

/// How far a pass came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// To the end of the log as it was.
    Whole,
    /// There is more.
    Part,
}

impl Follower {
    /// Starts at the beginning of a log, which is open for reading.
    pub(super) fn new(file: File, path: &Path) -> Self {
        Self { file, path: path.to_owned(), position: 0, buffer: vec![0; PASS], line: Vec::new() }
    }

    /// How far the log was read, in bytes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes of the log now.
    pub(super) fn size(&self) -> Result<u64> {
        Ok(self.file.metadata().during("reading", &self.path)?.len())
    }

    /// Gives the lines that have come since, up to a limit.
    pub(super) fn read_lines(&mut self, on_line: &mut dyn FnMut(&str)) -> Result<Pass> {
        let size = self.size()?;
        // The program may have cut its log.
        self.position = self.position.min(size);
        if size - self.position > FARTHEST_BEHIND {
            let next = size - NEAR_THE_END;
            self.finish(on_line);
            let (skipped, log) = (format_size(next - self.position), self.path.display());
            on_line(&format!("[{skipped} of output are only in {log}]"));
            self.position = next;
        }
        let length =
            self.file.read_at(&mut self.buffer, self.position).during("reading", &self.path)?;
        self.position += length as u64;
        for &byte in &self.buffer[..length] {
            // Programs with a progress bar go back to the start of the line.
            if matches!(byte, b'\n' | b'\r') || self.line.len() >= LONGEST_LINE {
                on_line(&printable(&String::from_utf8_lossy(&self.line)));
                self.line.clear();
            }
            if !matches!(byte, b'\n' | b'\r') {
                self.line.push(byte);
            }
        }
        Ok(if self.position >= size || length == 0 { Pass::Whole } else { Pass::Part })
    }

    /// Gives what is left, which has no end of a line.
    pub(super) fn finish(&mut self, on_line: &mut dyn FnMut(&str)) {
        if !self.line.is_empty() {
            on_line(&printable(&String::from_utf8_lossy(&self.line)));
            self.line.clear();
        }
    }
}

/// A text of a program as it may be shown: what would steer a terminal, or turn the direction of
/// writing, is escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        let turns = matches!(
            c,
            '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        );
        c.is_control() && c != '\t' || turns
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match steers(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// The same for a text of more than one line.
pub fn printable_lines(text: &str) -> String {
    text.split_inclusive('\n').fold(String::new(), |mut shown, line| {
        let (words, end) = line.strip_suffix('\n').map_or((line, ""), |words| (words, "\n"));
        shown.push_str(&printable(words.strip_suffix('\r').unwrap_or(words)));
        shown.push_str(end);
        shown
    })
}

/// The end of a log: at most `count` lines, in their order, fit to be shown. Empty when there is no
/// log.
///
/// # Errors
/// When the log cannot be read.
pub fn last_lines(log: &Path, count: usize) -> Result<Vec<String>> {
    // What a program put into its place is none. Opening alone may do something to a device, so the
    // first look comes before.
    if !fs::symlink_metadata(log).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(Vec::new());
    }
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(log)
        .during("opening", log)?;
    let metadata = file.metadata().during("reading", log)?;
    if !metadata.is_file() {
        return Ok(Vec::new());
    }
    let size = metadata.len();
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(size.saturating_sub(LONGEST_TAIL)))
        .and_then(|_| file.take(LONGEST_TAIL).read_to_end(&mut bytes))
        .during("reading", log)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let shown = lines[lines.len().saturating_sub(count)..].iter().map(|line| {
        match line.char_indices().nth(LONGEST_QUOTE) {
            Some((end, _)) => format!("{}...", printable(&line[..end])),
            None => printable(line).into_owned(),
        }
    });
    Ok(shown.collect())
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
        std::fs::write(&log, format!("\u{1b}]0;x\u{7}\n{}", "y".repeat(2000))).unwrap();
        assert_eq!(
            last_lines(&log, 9).unwrap(),
            ["\\u{1b}]0;x\\u{7}".to_owned(), format!("{}...", "y".repeat(1000))]
        );
        std::fs::remove_file(&log).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &log).unwrap();
        assert_eq!(last_lines(&log, 3).unwrap(), [""; 0]);
    }

    #[test]
    fn a_pass_is_bounded_and_a_reader_that_is_far_behind_goes_on_near_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let mut lines = Vec::new();
        std::fs::write(&log, "x\n".repeat(PASS)).unwrap();
        let mut follower = Follower::new(File::open(&log).unwrap(), &log);
        let mut passes = 0;
        while follower.read_lines(&mut |line| lines.push(line.to_owned())).unwrap() == Pass::Part {
            passes += 1;
        }
        assert_eq!((passes, lines.len()), (1, PASS));
        lines.clear();
        std::fs::write(&log, "x\n".repeat(6 << 20)).unwrap();
        while follower.read_lines(&mut |line| lines.push(line.to_owned())).unwrap() == Pass::Part {}
        assert_eq!(lines[0], format!("[12.0\u{a0}MB of output are only in {}]", log.display()));
        assert_eq!(lines.len() as u64, 1 + NEAR_THE_END / 2);
        // A log that was cut is read from where it ends now.
        std::fs::write(&log, "").unwrap();
        assert_eq!(follower.read_lines(&mut |_| unreachable!()).unwrap(), Pass::Whole);
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_obeyed() {
        for (text, shown) in [
            ("caf\u{e9} \u{1f980}\ttab", "caf\u{e9} \u{1f980}\ttab"),
            ("\u{1b}[2J\u{9b}31m\u{7f}", "\\u{1b}[2J\\u{9b}31m\\u{7f}"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
        ] {
            assert_eq!(printable(text), shown);
        }
        assert_eq!(printable_lines("a\r\n\u{1b}c\n\nb"), "a\n\\u{1b}c\n\nb");
    }
}
