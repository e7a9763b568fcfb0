//! The programs of an image run: required and optional ones.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::process::log::printable_lines;
use crate::process::{ANSWER_TIMEOUT, Answer, Call, Ending, Interrupt, ask};

use super::super::Surroundings;
use super::super::check::{Findings, Severity};
use super::super::config::ImageConfig;

/// The path of Oz's schema for templates below Python's module directories.
const SCHEMA: &str = "oz/tdl.rng";

/// The language of their messages.
pub(super) const LANGUAGE: &str = "C.UTF-8";

/// The programs of a run.
#[derive(Clone, Debug)]
pub(super) struct Programs {
    pub(super) imagefactory: Call,
    pub(super) qemu_img: Call,
    /// Checks kickstart files, if installed.
    ksvalidator: Option<Call>,
    /// Checks templates, if installed.
    xmllint: Option<Call>,
}

impl Programs {
    /// Looks for them; if one of the first two is missing, that is recorded with `severity`.
    pub(super) fn find(
        image: &ImageConfig,
        surroundings: &Surroundings<'_>,
        severity: Severity,
        findings: &mut Findings,
    ) -> Self {
        let environment = &surroundings.environment;
        let mut needed = |program: &[String], what_for: &str| {
            let found = findings.program(
                Call::new(program, environment),
                what_for,
                severity,
                &surroundings.interrupt,
            );
            found
                .unwrap_or_else(|| Call::unsought(program, environment))
                .variable("LC_ALL", LANGUAGE)
        };
        let imagefactory = needed(&image.program, "building an image");
        let qemu_img = needed(&["qemu-img".to_owned()], "checking an image");
        let optional = |name: &str| {
            Call::new(&[name.to_owned()], environment)
                .ok()
                .map(|call| call.variable("LC_ALL", LANGUAGE))
        };
        let ksvalidator =
            optional("ksvalidator").map(|call| match image.distribution.kickstart_version() {
                Some(version) => call.args(["-v".to_owned(), version]),
                None => call,
            });
        let xmllint = optional("xmllint").map(|call| match schema() {
            Some(schema) => call.args(["--noout", "--relaxng"]).arg(schema),
            None => call.arg("--noout"),
        });
        Self { imagefactory, qemu_img, ksvalidator, xmllint }
    }

    /// The calls that check what is written for ImageFactory, as far as there are programs for it.
    pub(super) fn checks(&self, kickstart: &Path, template: &Path) -> Vec<Call> {
        let with = |call: &Option<Call>, file: &Path| call.clone().map(|call| call.arg(file));
        [with(&self.ksvalidator, kickstart), with(&self.xmllint, template)]
            .into_iter()
            .flatten()
            .collect()
    }
}

/// Errors of ksvalidator that are no reason to refuse a file: that it is older than the
/// distribution, and deprecations.
const NO_REASONS: [&str; 2] = ["is not supported by pykickstart", "deprecated option or command"];

/// Runs a program that checks a file. Acceptable problems are warnings.
///
/// # Errors
/// What is wrong with the file; `interrupted` on a signal.
pub(super) fn check(call: &Call, interrupt: &Interrupt) -> Result<Option<String>> {
    let answer = ask(call, ANSWER_TIMEOUT, interrupt)?;
    if answer.ending == Ending::Exit(0) {
        return Ok(None);
    }
    let name =
        call.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let words = words(&answer);
    match NO_REASONS.iter().any(|reason| words.contains(reason)) {
        true => Ok(Some(format!("{name} does not vouch for the file: {words}"))),
        false => Err(Error::failed(format!("{name} refuses the file: {words}"))),
    }
}

/// Its output, on one line and shortened.
fn words(answer: &Answer) -> String {
    const MOST_LINES: usize = 5;
    let stdout = printable_lines(&String::from_utf8_lossy(&answer.stdout));
    let said: &str = if answer.stderr.trim().is_empty() { &stdout } else { &answer.stderr };
    let lines = said
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("Checking kickstart"));
    let lines: Vec<&str> = lines.take(MOST_LINES).collect();
    if lines.is_empty() { answer.complaint() } else { lines.join("; ") }
}

/// The schema of the Oz that is installed, if there is one.
fn schema() -> Option<PathBuf> {
    let mut pythons = Vec::new();
    for directory in ["/usr/lib", "/usr/local/lib"] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        pythons.extend(entries.map(|entry| entry.path()).filter(|path| {
            path.file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with("python3"))
        }));
    }
    pythons.sort();
    let below = ["dist-packages", "site-packages"];
    let all = pythons.iter().flat_map(|python| below.map(|name| python.join(name).join(SCHEMA)));
    all.into_iter().find(|path| path.is_file())
}
