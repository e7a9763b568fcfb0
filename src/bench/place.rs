//! The directories in which the steps of a round work.

use std::path::{Path, PathBuf};

use super::child;
use crate::error::Result;
use crate::progress::Progress;

/// The directory and inputs of a program in a round.
pub(super) struct Place<'p> {
    pub(super) program: &'p Path,
    pub(super) directory: &'p Path,
    /// The tree to commit.
    pub(super) tree: &'p Path,
    /// The repository to copy for the step `prune`.
    pub(super) prunable: &'p Path,
    /// Refs in the summary.
    pub(super) refs: usize,
    pub(super) progress: &'p dyn Progress,
}

impl Place<'_> {
    /// A path that belongs to the program in this round.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Runs the program without keeping the figures.
    pub(super) fn run(&self, repo: &str, arguments: &[String]) -> Result<()> {
        child::run(self.program, &self.path(repo), arguments, self.progress).map(drop)
    }
}
