//! Kickstart files: the one command in them that ties an image to a tree gets the right values.
//!
//! ```text
//! ostreesetup --osname=NAME [--remote=NAME] --url=URL --ref=REF [--nogpg]
//! ```
//!
//! Every line that is not touched stays as it is, byte for byte. Words, sections and line ends are those of pykickstart,
//! the installer's own parser, so what it takes for a command is one here. Where it would guess or mix (abbreviated
//! options, a second `ostreesetup`), this refuses.

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

/// What the kickstart file is to say.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    /// Where the installer pulls from.
    pub url: &'a str,
    /// The ref that it installs.
    pub reference: &'a RefName,
    /// `None` leaves what the file says.
    pub osname: Option<&'a str>,
    /// `None` leaves what the file says.
    pub remote: Option<&'a str>,
    /// `None` leaves what the file says.
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
    /// What its `ostreesetup` says now.
    pub setup: Setup,
    /// What somebody should look at, each with file and line.
    pub warnings: Vec<String>,
}

/// Puts the values into a kickstart file; `path` names it in messages.
///
/// # Errors
/// With file and line: when there is not exactly one `ostreesetup`, when another file is included, when an option or a
/// section is none that the installer understands, when an `@OSTREE_...@` is left over. Without: when a value cannot be
/// written into a kickstart file.
pub fn rewrite(path: &Path, file: &[u8], values: &Values<'_>) -> Result<Rewritten> {
    check_values(values)?;
    rewrite_lines(file, values, path).map_err(|problem| problem.of(path))
}

fn rewrite_lines(file: &[u8], values: &Values<'_>, path: &Path) -> Result<Rewritten, Problem> {
    let (lines, mut warnings) = lines::classify(file)?;
    let at = find_setup(&lines)?;
    let problem = |what| Problem::at(lines[at].number, what);
    let old = setup::parse_lenient(lines[at].bytes).map_err(problem)?;
    let replacement = Replacement {
        osname: values.osname,
        remote: values.remote,
        url: Some(values.url),
        reference: Some(values.reference.as_str()),
        nogpg: values.nogpg,
    };
    let setup_line = setup::replace(lines[at].bytes, &replacement).map_err(problem)?;
    let wanted = setup::parse(&setup_line).map_err(problem)?;
    for (option, value) in [("--osname", Some(&wanted.osname)), ("--remote", wanted.remote.as_ref())] {
        if let Some(token) = value.and_then(|value| tokens::first_in(value.as_bytes())) {
            return Err(problem(format!("{option} is {token}, and the configuration has no value for it")));
        }
    }
    let tokens = Tokens::new(values, &wanted);
    let mut bytes = Vec::with_capacity(file.len());
    for (index, line) in lines.iter().enumerate() {
        let source = if index == at { &setup_line } else { line.bytes };
        let line_bytes = tokens.replace(source).map_err(|what| Problem::at(line.number, what))?;
        if line.place == Place::Script {
            warnings.extend(leftovers(&line_bytes, &old, &wanted).map(|what| (line.number, what)));
        }
        bytes.extend_from_slice(&line_bytes);
    }
    if wanted.url.starts_with("file:") {
        warnings
            .push((lines[at].number, format!("{} is a path inside the installer, not on this machine", wanted.url)));
    }
    check_result(&bytes, &wanted)?;
    warnings.sort();
    let warnings = warnings.into_iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())).collect();
    Ok(Rewritten { bytes, setup: wanted, warnings })
}

/// The index of the only `ostreesetup`.
fn find_setup(lines: &[Line<'_>]) -> Result<usize, Problem> {
    let mut found: Option<usize> = None;
    let mut other: Option<(usize, String)> = None;
    for (index, line) in lines.iter().enumerate().filter(|(_, line)| line.place == Place::Outside) {
        let words = words::split(line.bytes).map_err(|what| Problem::at(line.number, what))?;
        if setup::is_setup(&words) {
            if let Some(first) = found {
                let message = format!("a second ostreesetup, the first is in line {}", lines[first].number);
                return Err(Problem::at(line.number, message));
            }
            found = Some(index);
        }
        if let Some(word) = words.first().filter(|word| CONFLICTING.contains(&word.value.as_slice())) {
            other.get_or_insert((line.number, word.value.escape_ascii().to_string()));
        }
    }
    match (found, other) {
        (None, _) => Err(Problem { line: None, what: "there is no ostreesetup command".to_owned() }),
        (Some(at), Some((number, command))) => {
            let first = lines[at].number;
            Err(Problem::at(number, format!("{command} cannot stand beside the ostreesetup of line {first}")))
        }
        (Some(at), None) => Ok(at),
    }
}

/// Commands that install a tree too; the installer refuses them beside `ostreesetup`.
const CONFLICTING: [&[u8]; 2] = [b"ostreecontainer", b"bootc"];

/// What a script says about the values that were there before: `ostree admin set-origin` and the like would undo what
/// was rewritten.
fn leftovers<'a>(line: &'a [u8], old: &'a Setup, new: &'a Setup) -> impl Iterator<Item = String> + 'a {
    let url = (old.url.trim_end_matches('/'), new.url.trim_end_matches('/'), "URL");
    let reference = (old.reference.as_str(), new.reference.as_str(), "ref");
    let changed = [url, reference].into_iter().filter(|(old, new, _)| !old.is_empty() && old != new);
    changed
        .filter(|(old, _, _)| tokens::first_in(old.as_bytes()).is_none() && holds(line, old.as_bytes()))
        .map(|(old, _, kind)| format!("the script still has the old {kind} {old}"))
}

/// Whether the name is in the line, and not as a part of a longer one.
fn holds(line: &[u8], name: &[u8]) -> bool {
    let part_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    line.windows(name.len()).enumerate().filter(|(_, window)| *window == name).any(|(at, _)| {
        let before = line[..at].last().is_some_and(|byte| part_of_name(byte) || *byte == b'.');
        let after = line.get(at + name.len()).is_some_and(part_of_name);
        !before && !after
    })
}

/// Holds the result against what was wanted: a value that became a line of its own would show here.
fn check_result(bytes: &[u8], wanted: &Setup) -> Result<(), Problem> {
    let (lines, _) = lines::classify(bytes)?;
    let at = find_setup(&lines)?;
    let found = setup::parse(lines[at].bytes).map_err(|what| Problem::at(lines[at].number, what))?;
    match found == *wanted {
        true => Ok(()),
        false => Err(Problem::at(lines[at].number, "the rewritten ostreesetup does not say what it should")),
    }
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
    // Lower case, as the installer wants it.
    match ["file:", "http:", "https:"].iter().any(|scheme| values.url.starts_with(scheme)) {
        true => Ok(()),
        false => Err(Error::failed(format!("ostree-url: {} does not begin with file:, http: or https:", values.url))),
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

    fn of(self, path: &Path) -> Error {
        let separator = if self.line.is_some() { ":" } else { ": " };
        Error::failed(format!("{}{separator}{self}", path.display()))
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
