//! What a command gets to work with.

use std::path::PathBuf;

use super::builtins::RepoOption;
use super::error::Failure;
use super::options::Parsed;
use super::output::Output;

/// What a command gets to work with.
pub(super) struct Context {
    /// Standard output.
    pub(super) out: Output,
    /// The value of `--repo`.
    pub(super) repo: Option<PathBuf>,
}

impl Context {
    /// For a command that is about to run.
    pub(super) fn new(out: Output, parsed: &Parsed, repo: RepoOption) -> Self {
        let repo = match repo {
            RepoOption::Known => parsed.matches.get_one::<std::ffi::OsString>("repo").map(PathBuf::from),
            RepoOption::Unknown => None,
        };
        Self { out, repo }
    }

    /// The repository's path: `--repo`, else what the current directory or the system offers.
    pub(super) fn repo_path(&self) -> Result<PathBuf, Failure> {
        self.repo.clone().ok_or_else(|| Failure::usage("Command requires a --repo argument"))
    }
}
