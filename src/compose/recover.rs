//! Cleaning up after runs that were killed: the same for each stage. What differs the stage says
//! with functions.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Result;

use super::cleanup;
use super::run::DeadRun;

/// Whether a killed run is a stage's to clean up after.
pub(super) enum Claim {
    /// It is left to another.
    No,
    /// It is.
    Yes,
    /// It is, with the cache of rpm-ostree at that path, and the work directories that lay there
    /// before it.
    WithCache(PathBuf, Vec<String>),
}

/// What a stage knows of killed runs.
pub(super) struct Recovery<'r> {
    /// Whose a run is.
    pub(super) claim: &'r dyn Fn(&DeadRun) -> Claim,
    /// What is to be done when nothing of the run goes on. Returns what the user should know.
    pub(super) finish: &'r dyn Fn(&DeadRun) -> Result<Vec<String>>,
    /// Gets what the user should know.
    pub(super) warn: &'r mut dyn FnMut(String),
}

impl Recovery<'_> {
    /// Cleans up after the killed runs in a work directory that are the stage's. Returns whether
    /// there are any, those of others included.
    ///
    /// # Errors
    /// When the directory is not ours alone or cannot be read, or something cannot be cleaned up.
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
            dead.bury()?;
        }
        Ok(any)
    }
}
