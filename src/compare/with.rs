//! Commits the same tree with another program and with osier, and compares the repositories.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::{CompareOptions, CompareReport, Finding, Outcome, compare};
use crate::error::{During, Result};
use crate::progress::Progress;
use crate::repo::{Repo, RepoMode};
use crate::trial::{self, Scratch, Steps};

/// The options of such a comparison.
#[derive(Clone, Debug)]
pub struct WithOptions {
    /// The other program, an `ostree`. Its repositories are the first ones.
    pub program: PathBuf,
    /// The program to compare it with.
    pub osier: PathBuf,
    /// The directory to commit.
    pub tree: PathBuf,
    /// An existing directory for the repositories. A subdirectory is created in it and removed at
    /// the end.
    pub scratch: PathBuf,
    /// The modes of the repositories.
    pub modes: Vec<RepoMode>,
    /// What counts as a difference.
    pub compare: CompareOptions,
}

impl Default for WithOptions {
    fn default() -> Self {
        Self {
            program: PathBuf::from("ostree"),
            osier: PathBuf::from("osier"),
            tree: PathBuf::from("."),
            scratch: PathBuf::from("/var/tmp"),
            modes: vec![
                RepoMode::Archive,
                RepoMode::Bare,
                RepoMode::BareUser,
                RepoMode::BareUserOnly,
            ],
            compare: CompareOptions::default(),
        }
    }
}

/// The result for one mode.
#[derive(Clone, Debug)]
pub struct ModeReport {
    /// The mode of both repositories.
    pub mode: RepoMode,
    /// The commit id that the other program printed, or its error.
    pub program: Result<String, String>,
    /// The same for osier.
    pub osier: Result<String, String>,
    /// The comparison, if both made a commit.
    pub report: Option<CompareReport>,
}

impl ModeReport {
    /// The verdict: also "different" if only one of the two succeeded. If neither did, it is
    /// undetermined.
    pub fn outcome(&self) -> Outcome {
        match (&self.program, &self.osier, &self.report) {
            (Ok(one), Ok(other), Some(report)) if one == other => report.outcome(),
            (Ok(_), Ok(_), Some(report)) if report.outcome() == Outcome::Unknown => {
                Outcome::Unknown
            }
            (Ok(_), Ok(_), Some(_)) | (Ok(_), Err(_), _) | (Err(_), Ok(_), _) => Outcome::Different,
            _ => Outcome::Unknown,
        }
    }
}

/// The branch that is committed.
const BRANCH: &str = "compare";
/// How much of a program's error message is kept, in bytes.
const MAX_WORDS: usize = 2000;

/// The state of a comparison.
const STEPS_PER_MODE: usize = 3;
/// How often an interruption is checked for.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Takes the findings of all modes.
pub type ModeSink<'s> = dyn FnMut(RepoMode, Finding) -> Result<()> + Send + 's;

/// In every mode, has both programs make a repository, commit the tree and write a summary, and
/// compares.
///
/// # Errors
/// As [`compare`], and when no scratch directory can be created or a program cannot be started;
/// `interrupted`, when the progress requests it. The scratch directory is removed first.
pub fn compare_with(
    options: &WithOptions,
    sink: &mut ModeSink<'_>,
    progress: &dyn Progress,
) -> Result<Vec<ModeReport>> {
    let scratch = Scratch::create(&options.scratch, "osier-compare", progress)?;
    let mut steps = Steps::new(progress, options.modes.len() * STEPS_PER_MODE);
    let mut reports = Vec::new();
    for &mode in &options.modes {
        let path = |side: &str| scratch.path.join(format!("{side}-{mode}"));
        let (first, second) = (path("program"), path("osier"));
        let name = if mode == RepoMode::Archive { "archive" } else { mode.as_str() };
        steps.begin(&format!("{name}: {} commits", options.program.display()))?;
        let program = make(&options.program, &first, mode, &options.tree, progress)?;
        steps.begin(&format!("{name}: osier commits"))?;
        let osier = make(&options.osier, &second, mode, &options.tree, progress)?;
        steps.begin(&format!("{name}: comparing"))?;
        let report = match (&program, &osier) {
            (Ok(_), Ok(_)) => {
                let (first, second) = (Repo::open(&first)?, Repo::open(&second)?);
                Some(compare(
                    &first,
                    &second,
                    &options.compare,
                    &mut |finding| sink(mode, finding),
                    progress,
                )?)
            }
            _ => None,
        };
        reports.push(ModeReport { mode, program, osier, report });
    }
    Ok(reports)
}

/// Creates a repository with the tree in it; returns the id of the commit, or the program's
/// message.
fn make(
    program: &Path,
    repo: &Path,
    mode: RepoMode,
    tree: &Path,
    progress: &dyn Progress,
) -> Result<Result<String, String>> {
    let stdout = repo.with_extension("stdout");
    fs::create_dir(repo).during("creating", repo)?;
    // Everything that a program could choose is given.
    let commit = ["commit", "-b", BRANCH, "--timestamp=@1700000000", "-s", "Compared"];
    let mut source = OsString::from("--tree=dir=");
    source.push(tree);
    let mode = OsString::from(format!("--mode={mode}"));
    let mut id = String::new();
    for (arguments, last) in
        [(&["init"][..], Some(mode)), (&commit, Some(source)), (&["summary", "-u"], None)]
    {
        let mut command = Command::new(program);
        let mut repo_option = OsString::from("--repo=");
        repo_option.push(repo);
        command.arg(repo_option).args(arguments).args(last);
        command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        let trial::Ended { status, stderr, .. } =
            trial::run(&mut command, &stdout, progress, |_| POLL_INTERVAL)?;
        let words = |bytes: &[u8]| {
            String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_WORDS)]).trim().to_owned()
        };
        if !status.success() {
            return Ok(Err(format!("{} failed: {}", arguments[0], words(&stderr))));
        }
        if arguments == commit {
            id = words(&fs::read(&stdout).during("reading", &stdout)?);
        }
    }
    Ok(Ok(id))
}
