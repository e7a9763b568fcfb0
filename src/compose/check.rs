//! The findings of all checks before a run; both stages add to the list.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::process::log::printable_lines;
use crate::process::{ANSWER_TIMEOUT, Call, Ending, Interrupt, ask};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The run cannot start.
    Error,
    /// The run can start; the user should know.
    Warning,
}

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its severity.
    pub severity: Severity,
    /// One line.
    pub message: String,
}

/// All findings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// The findings, in the order in which they were made.
    pub list: Vec<Finding>,
    /// The programs that were found.
    pub programs: BTreeMap<String, FoundProgram>,
    /// The public keys of what signs, with their types.
    pub signers: Vec<String>,
    /// What static deltas are made from, as phrases.
    pub deltas: Vec<String>,
}

/// A program that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundProgram {
    /// Its path.
    pub path: PathBuf,
    /// The version that it reports.
    pub version: String,
}

impl Findings {
    /// Records an error.
    pub fn error(&mut self, message: impl Into<String>) {
        self.list.push(Finding { severity: Severity::Error, message: message.into() });
    }

    /// Records a warning.
    pub fn warning(&mut self, message: impl Into<String>) {
        self.list.push(Finding { severity: Severity::Warning, message: message.into() });
    }

    /// Records the error of a result, and returns its value.
    pub fn take<T>(&mut self, result: Result<T>) -> Option<T> {
        result.map_err(|error| self.error(error.chain())).ok()
    }

    /// The messages of that severity.
    pub fn messages(&self, severity: Severity) -> impl Iterator<Item = &str> {
        self.list
            .iter()
            .filter(move |finding| finding.severity == severity)
            .map(|finding| finding.message.as_str())
    }

    /// Names and versions, as a report has them.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.programs.iter().map(|(name, found)| (name.clone(), found.version.clone())).collect()
    }

    /// # Errors
    /// All errors that were found, in one.
    pub fn into_result(self) -> Result<Self> {
        let errors: Vec<&str> = self.messages(Severity::Error).collect();
        if errors.is_empty() { Ok(self) } else { Err(Error::failed(errors.join("; "))) }
    }

    /// As a document.
    pub fn to_json(&self) -> Value {
        let messages = |severity| self.messages(severity).collect::<Vec<_>>();
        let programs: BTreeMap<_, _> = self
            .programs
            .iter()
            .map(|(name, found)| {
                (name, json!({ "path": found.path.to_string_lossy(), "version": found.version }))
            })
            .collect();
        json!({
            "errors": messages(Severity::Error), "warnings": messages(Severity::Warning),
            "programs": programs, "signers": self.signers, "deltas": self.deltas,
        })
    }

    /// Looks for a program and asks for its version (`call` with `--version`, whose first line with
    /// a digit counts). `needed_for` says what it is for; if it is missing, that is recorded with
    /// `severity`.
    pub fn program(
        &mut self,
        call: Result<Call>,
        needed_for: &str,
        severity: Severity,
        interrupt: &Interrupt,
    ) -> Option<Call> {
        let found = call.and_then(|call| {
            Ok((ask(&call.clone().arg("--version"), ANSWER_TIMEOUT, interrupt)?, call))
        });
        let (answer, call) = match found {
            Ok(found) => found,
            Err(error) => {
                let message = format!("{}, needed for {needed_for}", error.chain());
                self.list.push(Finding { severity, message });
                return None;
            }
        };
        let name =
            call.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if answer.ending != Ending::Exit(0) {
            let message =
                format!("{name} --version: {}, needed for {needed_for}", answer.complaint());
            self.list.push(Finding { severity, message });
            return None;
        }
        let text = printable_lines(&String::from_utf8_lossy(&answer.stdout)) + &answer.stderr;
        let version = version_in(&text).unwrap_or_else(|| "unknown".to_owned());
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        self.programs.insert(name, FoundProgram { path: call.executable.clone(), version });
        Some(call)
    }
}

/// The first word that begins with a digit, as in `qemu-img version 10.0.2 (Debian)` or ` Version:
/// '2025.1'`.
fn version_in(text: &str) -> Option<String> {
    let is_separator = |c: char| c.is_whitespace() || "'\"(),;".contains(c);
    let word = text.split(is_separator).map(|word| word.strip_prefix('v').unwrap_or(word));
    word.into_iter().find(|word| word.starts_with(|c: char| c.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, version) in [
            ("rpm-ostree:\n Version: '2025.1'\n Git: abcdef\n", Some("2025.1")),
            (
                "qemu-img version 10.0.2 (Debian 1:10.0.2)\nCopyright (c) 2003-2025\n",
                Some("10.0.2"),
            ),
            ("bubblewrap 0.8.0\n", Some("0.8.0")),
            ("tool v1.2\n", Some("1.2")),
            ("no number\n", None),
        ] {
            assert_eq!(version_in(text).as_deref(), version, "{text}");
        }
    }

    #[test]
    fn findings_are_told_together() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("tool");
        std::fs::write(&program, "#!/bin/sh\necho tool 3.1\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let environment =
            [("PATH".into(), format!("{}:/usr/bin:/bin", directory.path().display()).into())];
        let look_for = |findings: &mut Findings, name: &str, needed_for: &str, severity| {
            let call = Call::new(&[name.to_owned()], &environment);
            findings.program(call, needed_for, severity, &Interrupt::default())
        };
        let mut findings = Findings::default();
        assert!(look_for(&mut findings, "tool", "tests", Severity::Error).is_some());
        assert!(look_for(&mut findings, "none", "tests", Severity::Error).is_none());
        assert!(look_for(&mut findings, "nothing", "comfort", Severity::Warning).is_none());
        assert!(look_for(&mut findings, "false", "tests", Severity::Error).is_none());
        assert_eq!(findings.take(Err::<(), _>(Error::failed("odd"))), None);
        assert_eq!(findings.versions(), BTreeMap::from([("tool".to_owned(), "3.1".to_owned())]));
        let warnings: Vec<_> = findings.messages(Severity::Warning).map(str::to_owned).collect();
        assert_eq!(warnings, ["there is no program `nothing` on PATH, needed for comfort"]);
        let expected = "there is no program `none` on PATH, needed for tests; \
                        false --version: exit status 1, needed for tests; odd";
        assert_eq!(findings.to_json()["warnings"], json!(warnings));
        assert_eq!(findings.into_result().unwrap_err().to_string(), expected);
    }
}
