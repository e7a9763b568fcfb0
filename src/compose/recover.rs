//! Cleans up after killed runs, for all stages. The differences between stages are passed as
//! functions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Result;

use super::cleanup;
use super::run::DeadRun;

/// Whether a stage cleans up after a killed run.
pub(super) enum Claim {
    /// Another stage does.
    No,
    /// This stage does.
    Yes,
    /// This stage does, including the cache of rpm-ostree at this path, except for the work
    /// directories that were there before.
    WithCache(PathBuf, Vec<String>),
}

/// A stage's handling of killed runs.
pub(super) struct Recovery<'r> {
    /// Decides who cleans up after a run.
    pub(super) claim: &'r dyn Fn(&DeadRun) -> Claim,
    /// Further cleanup once no process of the run is left. Returns warnings for the user.
    pub(super) finish: &'r dyn Fn(&DeadRun) -> Result<Vec<String>>,
    /// Receives warnings for the user.
    pub(super) warn: &'r mut dyn FnMut(String),
}

impl Recovery<'_> {
    /// Cleans up after the killed runs in a work directory that are the stage's. Returns whether
    /// there are any, including those of other stages.
    ///
    /// # Errors
    /// When others control the directory, when it cannot be read, or something cannot be cleaned
    /// up.
    pub(super) fn run(self, work: &Path, environment: &[(OsString, OsString)]) -> Result<bool> {
        let Self { claim, finish, warn } = self;
        let dead = DeadRun::find(work, warn)?;
        let any = !dead.is_empty();
        for dead in dead {
            let claimed = claim(&dead);
            let cache = match &claimed {
                Claim::No => continue,
                Claim::Yes => None,
                Claim::WithCache(path, before) => Some((path.as_path(), before.as_slice())),
            };
            warn(format!(
                "the run {} was killed at the step `{}`",
                dead.path.display(),
                dead.report.stage
            ));
            cleanup::clean(&dead.temporary(), cache, environment).into_iter().for_each(&mut *warn);
            finish(&dead)?.into_iter().for_each(&mut *warn);
            dead.mark_killed()?;
        }
        Ok(any)
    }
}
