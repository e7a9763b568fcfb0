//! Reads one group of the configuration key by key; invalid values are recorded and reading
//! continues.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::keyfile::KeyFile;
use crate::units::parse_duration;

/// Reads a group.
pub(super) struct Reader<'c> {
    keyfile: &'c KeyFile,
    group: &'static str,
    directory: &'c Path,
    problems: &'c mut Vec<String>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(
        keyfile: &'c KeyFile,
        group: &'static str,
        directory: &'c Path,
        problems: &'c mut Vec<String>,
    ) -> Self {
        Self { keyfile, group, directory, problems }
    }

    /// Records unknown keys.
    pub(super) fn only(&mut self, known: &[&str]) {
        for key in self.keyfile.keys(self.group) {
            if !known.contains(&key) {
                self.problems.push(format!("[{}] unknown key {key}", self.group));
            }
        }
    }

    /// Whether a key is present.
    pub(super) fn has_key(&self, key: &str) -> bool {
        self.keyfile.get_raw(self.group, key).is_some()
    }

    /// Whether a key is present and not empty.
    pub(super) fn has_value(&self, key: &str) -> bool {
        self.keyfile
            .get(self.group, key)
            .is_ok_and(|text| text.is_some_and(|text| !text.trim().is_empty()))
    }

    /// Records that the group has nothing in it that counts, unless another error in it has been
    /// recorded.
    pub(super) fn empty(&mut self, what: &str) {
        let start = format!("[{}]", self.group);
        if !self.problems.iter().any(|problem| problem.starts_with(&start)) {
            self.problems.push(format!("{start}: {what}"));
        }
    }

    /// Records an error of a key, and returns no value.
    pub(super) fn wrong<T>(&mut self, key: &str, what: &str) -> Option<T> {
        self.problems.push(format!("[{}] {key}: {what}", self.group));
        None
    }

    /// A text. An empty one is an error: the key should be left out instead.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        match self.keyfile.get(self.group, key) {
            Ok(Some(text)) if text.trim().is_empty() => self.wrong(key, "is empty"),
            Ok(Some(text)) => Some(text.trim_end().to_owned()),
            Ok(None) => None,
            Err(error) => self.wrong(key, &error.what),
        }
    }

    /// A required text; empty if missing.
    pub(super) fn required(&mut self, key: &str) -> String {
        if self.keyfile.get_raw(self.group, key).is_none() {
            self.wrong::<()>(key, "is missing");
            return String::new();
        }
        self.text(key).unwrap_or_default()
    }

    /// A required value that `parse` accepts.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.required(key);
        match parse(&text) {
            Ok(value) => Some(value),
            // Already recorded.
            Err(_) if text.is_empty() => None,
            Err(message) => self.wrong(key, &message),
        }
    }

    /// A required path.
    pub(super) fn required_path(&mut self, key: &str) -> PathBuf {
        let text = self.required(key);
        self.relative(&text)
    }

    /// A path relative to the file.
    pub(super) fn relative(&self, path: &str) -> PathBuf {
        self.directory.join(path)
    }

    /// A list, empty if the key is missing.
    pub(super) fn list(&mut self, key: &str) -> Vec<String> {
        match self.keyfile.get_list(self.group, key) {
            Ok(members) => members
                .unwrap_or_default()
                .into_iter()
                .filter(|member| !member.is_empty())
                .collect(),
            Err(error) => {
                self.wrong::<()>(key, &error.what);
                Vec::new()
            }
        }
    }

    pub(super) fn boolean(&mut self, key: &str, default: bool) -> bool {
        self.optional_boolean(key).unwrap_or(default)
    }

    /// An optional boolean.
    pub(super) fn optional_boolean(&mut self, key: &str) -> Option<bool> {
        self.keyfile.get_bool(self.group, key).unwrap_or_else(|_| {
            let raw = self.keyfile.get_raw(self.group, key).unwrap_or_default().to_owned();
            self.wrong(key, &format!("`{raw}` is neither true nor false"))
        })
    }

    /// A decimal number.
    pub(super) fn number(&mut self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        let Some(text) = self.text(key) else { return default };
        match digits(&text).filter(|number| range.contains(number)) {
            Some(number) => number,
            None => {
                let (least, most) = range.into_inner();
                self.wrong::<()>(key, &format!("`{text}` is no number from {least} to {most}"));
                default
            }
        }
    }

    /// An optional decimal number.
    pub(super) fn optional_number(&mut self, key: &str) -> Option<u64> {
        let text = self.text(key)?;
        digits(&text).or_else(|| self.wrong(key, &format!("`{text}` is no number")))
    }

    /// An optional decimal number in a range.
    pub(super) fn optional_in(&mut self, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        self.has_key(key).then(|| self.number(key, *range.start(), range))
    }

    /// A number with its unit: `90s`, `30m`, `4h`, `2d`, `1w`.
    pub(super) fn duration(&mut self, key: &str, default: Duration) -> Duration {
        let Some(text) = self.text(key) else { return default };
        match parse_duration(&text) {
            Some(duration) => duration,
            None => {
                self.wrong::<()>(
                    key,
                    &format!("`{text}` is no duration; write 90s, 30m, 4h or 2d"),
                );
                default
            }
        }
    }

    /// An octal number.
    pub(super) fn umask(&mut self, key: &str, default: u32) -> u32 {
        let Some(text) = self.text(key) else { return default };
        let is_octal = text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(&text, 8).ok().filter(|mask| is_octal && *mask <= 0o777) {
            Some(mask) => mask,
            None => {
                self.wrong::<()>(key, &format!("`{text}` is no octal number up to 0777"));
                default
            }
        }
    }

    /// A program with leading arguments, split at blanks. A name is looked for on PATH, a path is
    /// relative to the file.
    pub(super) fn program(&mut self, key: &str, default: &str) -> Vec<String> {
        let text = self.text(key).unwrap_or_else(|| default.to_owned());
        self.words(&text)
    }

    /// An optional program with leading arguments.
    pub(super) fn optional_program(&mut self, key: &str) -> Option<Vec<String>> {
        let text = self.text(key)?;
        Some(self.words(&text))
    }

    fn words(&self, text: &str) -> Vec<String> {
        let mut words: Vec<String> = text.split_ascii_whitespace().map(str::to_owned).collect();
        if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
            *program = self.relative(program).to_string_lossy().into_owned();
        }
        words
    }
}

/// A number of digits alone: no sign, no blank.
fn digits(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
