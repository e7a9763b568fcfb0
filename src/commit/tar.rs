//! Tar archives as sources.

use std::path::Path;

use super::ingest::Ingest;
use super::tree::Tree;
use crate::error::{Error, Result};

/// How a tar archive is read.
#[derive(Clone, Debug, Default)]
pub struct TarOptions {
    /// Make directories that the archive does not list, with mode 0755.
    pub autocreate_parents: bool,
    /// `REGEX,REPLACEMENT`, applied to each path.
    pub pathname_filter: Option<String>,
}

/// Lays an archive over `tree`; no path is standard input.
pub(super) fn read(_ingest: &Ingest<'_, '_>, _path: Option<&Path>, _options: &TarOptions, _tree: Tree) -> Result<Tree> {
    Err(Error::failed("--tree=tar: not supported yet"))
}
