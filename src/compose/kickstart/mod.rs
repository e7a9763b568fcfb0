//! Kickstart files: sets the values of the command that ties an image to a tree.
//!
//! ```text
//! ostreesetup --osname=NAME [--remote=NAME] --url=URL --ref=REF [--nogpg]
//! ```
//!
//! All other lines are kept byte for byte. Words, sections and line ends follow pykickstart, the
//! installer's own parser, so that both agree on what a command is. Where pykickstart would guess
//! or merge (abbreviated options, a second `ostreesetup`), this is an error.

mod lines;
mod setup;
mod tokens;
mod words;

use std::fmt;
use std::path::Path;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::refspec::RefName;
use lines::{Line, Place};
use setup::Replacement;
use tokens::Tokens;

pub use setup::Setup;

/// The most problems of a file that are reported.
const MAX_REPORTED: usize = 20;

/// The values for the kickstart file.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Where the installer pulls from.
    pub url: &'a str,
    /// The ref that it installs.
    pub reference: &'a RefName,
    /// `None` keeps the file's value.
    pub osname: Option<&'a str>,
    /// `None` keeps the file's value.
    pub remote: Option<&'a str>,
    /// `None` keeps the file's value.
    pub nogpg: Option<bool>,
    /// For `@OSTREE_COMMIT@`.
    pub commit: &'a Checksum,
    /// For `@OSTREE_VERSION@`.
    pub version: Option<&'a str>,
}

/// A kickstart file with its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten {
    /// The file.
    pub bytes: Vec<u8>,
    /// The values of its `ostreesetup` now.
    pub setup: Setup,
    /// Warnings, each with file and line.
    pub warnings: Vec<String>,
}

/// Puts the values into a kickstart file; `path` names it in messages.
///
/// # Errors
/// All errors, with file and line: when there is not exactly one `ostreesetup`, when another file
/// is included, when an option or a section is not one that the installer supports, when an
/// `@OSTREE_...@` is left over. Without file and line: when a value cannot be written into a
/// kickstart file.
pub fn rewrite(path: &Path, file: &[u8], values: &Values<'_>) -> Result<Rewritten> {
    check_values(values)?;
    rewrite_lines(file, values, path).map_err(|mut problems| {
        problems.sort_by_key(|problem| problem.line);
        let mut messages: Vec<String> =
            problems.iter().take(MAX_REPORTED).map(|problem| problem.of(path)).collect();
        if problems.len() > MAX_REPORTED {
            messages.push(format!("and {} more", problems.len() - MAX_REPORTED));
        }
        Error::failed(messages.join("; "))
    })
}

fn rewrite_lines(file: &[u8], values: &Values<'_>, path: &Path) -> Result<Rewritten, Vec<Problem>> {
    let mut problems = Vec::new();
    let (lines, mut warnings) = lines::classify(file, &mut problems);
    let at = find_setup(&lines, &mut problems);
    let change = at.and_then(|at| {
        let change = Change::of(lines[at].bytes, values);
        change.map_err(|what| problems.push(Problem::at(lines[at].number, what))).ok()
    });
    // Without it the other lines can still be checked.
    let change = change.unwrap_or_else(|| Change::unknown(values));
    let tokens = Tokens::new(values, &change.new);
    let mut bytes = Vec::with_capacity(file.len());
    for (index, line) in lines.iter().enumerate() {
        let source = if Some(index) == at { &change.line } else { line.bytes };
        match tokens.replace(source) {
            Ok(line_bytes) => {
                if line.place == Place::Script {
                    let left = leftovers(&line_bytes, &change.old, &change.new);
                    warnings.extend(left.map(|what| (line.number, what)));
                }
                bytes.extend_from_slice(&line_bytes);
            }
            Err(what) => problems.push(Problem::at(line.number, what)),
        }
    }
    let (Some(at), true) = (at, problems.is_empty()) else { return Err(problems) };
    let wanted = change.new;
    if wanted.url.starts_with("file:") {
        warnings.push((
            lines[at].number,
            format!("{} is a path inside the installer, not on this machine", wanted.url),
        ));
    }
    check_result(&bytes, &wanted)?;
    warnings.sort();
    let warnings = warnings
        .into_iter()
        .map(|(line, what)| format!("{}:{line}: {what}", path.display()))
        .collect();
    Ok(Rewritten { bytes, setup: wanted, warnings })
}

/// The rewritten `ostreesetup`.
struct Change {
    old: Setup,
    new: Setup,
    /// The new line.
    line: Vec<u8>,
}

impl Change {
    fn of(line: &[u8], values: &Values<'_>) -> Result<Self, String> {
        let old = setup::parse_lenient(line)?;
        let replacement = Replacement {
            osname: values.osname,
            remote: values.remote,
            url: Some(values.url),
            reference: Some(values.reference.as_str()),
            nogpg: values.nogpg,
        };
        let line = setup::replace(line, &replacement)?;
        let new = setup::parse(&line)?;
        for (option, value) in [("--osname", Some(&new.osname)), ("--remote", new.remote.as_ref())]
        {
            if let Some(token) = value.and_then(|value| tokens::first_in(value.as_bytes())) {
                return Err(format!(
                    "{option} is {token}, and the configuration has no value for it"
                ));
            }
        }
        Ok(Self { old, new, line })
    }

    /// The known values, for a file whose `ostreesetup` is missing or invalid.
    fn unknown(values: &Values<'_>) -> Self {
        let new = Setup {
            url: values.url.to_owned(),
            reference: values.reference.as_str().to_owned(),
            osname: values.osname.unwrap_or("unknown").to_owned(),
            ..Setup::default()
        };
        Self { old: Setup::default(), new, line: Vec::new() }
    }
}

/// The index of the first `ostreesetup`; a missing or second one is added to `problems`, as is a
/// conflicting command.
fn find_setup(lines: &[Line<'_>], problems: &mut Vec<Problem>) -> Option<usize> {
    let mut found: Option<usize> = None;
    let mut others = Vec::new();
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.place == Place::Outside) {
        let Ok(words) = words::split(line.bytes) else { continue };
        if setup::is_setup(&words) {
            if let Some(first) = found {
                let message =
                    format!("a second ostreesetup, the first is in line {}", lines[first].number);
                problems.push(Problem::at(line.number, message));
            } else {
                found = Some(index);
            }
        }
        if let Some(word) =
            words.first().filter(|word| CONFLICTING.contains(&word.value.as_slice()))
        {
            others.push((line.number, word.value.escape_ascii().to_string()));
        }
    }
    match found {
        None => problems
            .push(Problem { line: None, what: "there is no ostreesetup command".to_owned() }),
        Some(at) => problems.extend(others.into_iter().map(|(number, command)| {
            let first = lines[at].number;
            Problem::at(
                number,
                format!("{command} cannot stand beside the ostreesetup of line {first}"),
            )
        })),
    }
    found
}

/// Commands that install a tree too; the installer refuses them beside `ostreesetup`.
const CONFLICTING: [&[u8]; 2] = [b"ostreecontainer", b"bootc"];

/// Warns about scripts that mention the previous values: `ostree admin set-origin` and the like
/// would undo the rewrite.
fn leftovers<'a>(
    line: &'a [u8],
    old: &'a Setup,
    new: &'a Setup,
) -> impl Iterator<Item = String> + 'a {
    let url = (old.url.trim_end_matches('/'), new.url.trim_end_matches('/'), "URL");
    let reference = (old.reference.as_str(), new.reference.as_str(), "ref");
    let changed =
        [url, reference].into_iter().filter(|(old, new, _)| !old.is_empty() && old != new);
    changed
        .filter(|(old, _, _)| {
            tokens::first_in(old.as_bytes()).is_none() && holds(line, old.as_bytes())
        })
        .map(|(old, _, kind)| format!("the script still has the old {kind} {old}"))
}

/// Whether the line contains the name, and not as part of a longer one.
fn holds(line: &[u8], name: &[u8]) -> bool {
    let part_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    line.windows(name.len()).enumerate().filter(|(_, window)| *window == name).any(|(at, _)| {
        let before = line[..at].last().is_some_and(|byte| part_of_name(byte) || *byte == b'.');
        let after = line.get(at + name.len()).is_some_and(part_of_name);
        !before && !after
    })
}

/// Compares the result with the intended values: a value that became a separate line would show
/// here.
fn check_result(bytes: &[u8], wanted: &Setup) -> Result<(), Vec<Problem>> {
    let mut problems = Vec::new();
    let (lines, _) = lines::classify(bytes, &mut problems);
    if let Some(at) = find_setup(&lines, &mut problems) {
        match setup::parse(lines[at].bytes) {
            Ok(found) if found == *wanted => {}
            Ok(_) => {
                let what = "the rewritten ostreesetup does not say what it should";
                problems.push(Problem::at(lines[at].number, what));
            }
            Err(what) => problems.push(Problem::at(lines[at].number, what)),
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn check_values(values: &Values<'_>) -> Result<()> {
    let texts = [
        ("ostree-url", Some(values.url)),
        ("ref", Some(values.reference.as_str())),
        ("osname", values.osname),
        ("remote", values.remote),
    ];
    for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value?))) {
        tokens::check_value(value).map_err(|what| Error::failed(format!("{key}: {what}")))?;
    }
    // Lower case, as the installer requires.
    match ["file:", "http:", "https:"].iter().any(|scheme| values.url.starts_with(scheme)) {
        true => Ok(()),
        false => Err(Error::failed(format!(
            "ostree-url: {} does not begin with file:, http: or https:",
            values.url
        ))),
    }
}

/// What is wrong with a kickstart file.
#[derive(Debug)]
struct Problem {
    line: Option<usize>,
    what: String,
}

impl Problem {
    fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }

    /// The message, for the file with this name.
    fn of(&self, path: &Path) -> String {
        let separator = if self.line.is_some() { ":" } else { ": " };
        format!("{}{separator}{self}", path.display())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

#[cfg(test)]
mod tests;
