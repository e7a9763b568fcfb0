//! The two files that change what a commit records: `--statoverride` and `--skip-list`.

use std::collections::HashMap;
use std::path::Path;

use crate::error::{During, Error, Result};
use crate::gvariant::DecodeError;
use crate::input;
use crate::keyfile;

/// Permissions to record instead of, or in addition to, those on disk.
///
/// One `MODE PATH` per line, split at the first blank: the path runs to the end of the line.
/// `=MODE` replaces the permission bits wherever the path turns up; `MODE` and `+MODE` are or-ed to
/// them once, and the path must turn up. MODE is a decimal number, or a hexadecimal one after `0x`:
/// **not octal**. Empty lines are skipped.
///
/// ```text
/// =2541 /usr/bin/su
/// +2048 /usr/bin/sudo
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatOverride {
    pub(super) replaced: HashMap<String, u32>,
    /// In the order of the file.
    pub(super) added: Vec<(String, u32)>,
}

/// Paths to leave out, one per line; a directory goes with everything below it. Empty lines are
/// skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkipList {
    /// In the order of the file.
    pub(super) paths: Vec<String>,
}

impl StatOverride {
    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&read_text(path)?).map_err(|error| Error::failed(error.what))
    }

    /// Parses the text of a file; of two lines of one kind for one path the last counts.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let mut parsed = Self::default();
        let mut positions = HashMap::new();
        for line in text.split('\n').filter(|line| !line.is_empty()) {
            let Some((mode, path)) = line.split_once(' ') else {
                return Err(DecodeError::new("Malformed statoverride file (no space found)"));
            };
            if let Some(mode) = mode.strip_prefix('=') {
                parsed.replaced.insert(path.to_owned(), number(mode));
                continue;
            }
            let position = *positions.entry(path).or_insert(parsed.added.len());
            match parsed.added.get_mut(position) {
                Some((_, added)) => *added = number(mode),
                None => parsed.added.push((path.to_owned(), number(mode))),
            }
        }
        Ok(parsed)
    }
}

impl SkipList {
    /// Reads and parses a file.
    pub fn read(path: &Path) -> Result<Self> {
        Ok(Self::parse(&read_text(path)?))
    }

    /// The paths, in the order of the file.
    pub fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Parses the text of a file.
    pub fn parse(text: &str) -> Self {
        let mut seen = std::collections::HashSet::new();
        let lines = text.split('\n').filter(|line| !line.is_empty() && seen.insert(*line));
        Self { paths: lines.map(str::to_owned).collect() }
    }
}

fn read_text(path: &Path) -> Result<String> {
    let bytes = input::read_named(path).calling("openat", path)?;
    keyfile::text_of(&bytes).map(str::to_owned).map_err(|error| Error::failed(error.what))
}

/// A number as C's `strtod` reads it, turned into an `int`: what does not belong to it is ignored,
/// no number at all is 0, and too large a one becomes the most negative `int`. Upstream reads modes
/// like that, so `0755` is decimal.
fn number(text: &str) -> u32 {
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1.0, &text[1..]),
        Some(b'+') => (1.0, &text[1..]),
        _ => (1.0, text),
    };
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => hex
            .chars()
            .map_while(|digit| digit.to_digit(16))
            .fold(0.0, |sum, digit| sum * 16.0 + f64::from(digit)),
        None => decimal(digits),
    };
    let value: f64 = sign * magnitude;
    // The bounds are exact in floating point, so the conversion loses nothing but the fraction.
    let value = if value.is_nan() || value < f64::from(i32::MIN) || value > f64::from(i32::MAX) {
        i32::MIN
    } else {
        value as i32
    };
    value.cast_unsigned()
}

/// The longest start of the text that is a decimal number (`1`, `1.5`, `1e2`); 0 if there is none.
fn decimal(text: &str) -> f64 {
    let lower = text.to_ascii_lowercase();
    if lower.starts_with("inf") || lower.starts_with("nan") {
        return f64::NAN;
    }
    let length = text
        .bytes()
        .take_while(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
        .count();
    if text.starts_with(['+', '-']) {
        return 0.0;
    }
    (1..=length).rev().find_map(|end| text[..end].parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The modes are those that `ostree commit --statoverride` gave a file of mode 0.
    #[test]
    fn modes_are_read_as_floating_point_numbers() {
        let table = [
            ("384", 0o600),
            ("+1", 1),
            ("0x1ff", 0o777),
            ("0X10", 0o20),
            ("0755", 0o1363),
            ("08", 0o10),
            ("-1", u32::MAX),
            ("", 0),
            ("x", 0),
            ("1x", 1),
            ("0x1g", 1),
            ("0x", 0),
            ("0b1", 0),
            ("1.", 1),
            ("1.9", 1),
            (".5e1", 5),
            (".", 0),
            ("1e", 1),
            ("1e2", 100),
            ("1e+1", 10),
            ("1_0", 1),
            ("++1", 0),
            ("+=1", 0),
            ("2147483647", 0x7fff_ffff),
            ("4294967296", 0x8000_0000),
            ("1e400", 0x8000_0000),
            ("nan", 0x8000_0000),
            ("-inf", 0x8000_0000),
        ];
        for (text, expected) in table {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn a_line_is_split_at_its_first_blank_and_the_last_of_equal_paths_counts() {
        let parsed = StatOverride::parse("1 /a\n\n+2 /b c \n4 /a\n=8 /a\n=16 /a\n 1 /d\n").unwrap();
        let added =
            [("/a", 4), ("/b c ", 2), ("1 /d", 0)].map(|(path, mode)| (path.to_owned(), mode));
        assert_eq!(parsed.added, added);
        assert_eq!(parsed.replaced, HashMap::from([("/a".to_owned(), 16)]));
        for text in ["1\n", "=", "1\t/a", "/a"] {
            assert_eq!(
                StatOverride::parse(text).unwrap_err().what,
                "Malformed statoverride file (no space found)"
            );
        }
    }

    #[test]
    fn a_skip_list_holds_its_lines_as_they_are() {
        assert_eq!(SkipList::parse("/a\n\n /b\r\n/a\n#/c").paths, ["/a", " /b\r", "#/c"]);
    }
}
