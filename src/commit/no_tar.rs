//! Archives as sources, where the library is built without them.

use std::path::Path;

use super::context::Ingest;
use super::options::TarOptions;
use super::tree::Tree;
use crate::error::{Error, Result};

/// Refuses every archive.
pub(super) fn read(
    _: &Ingest<'_, '_>,
    path: Option<&Path>,
    _: &TarOptions,
    _: Tree,
) -> Result<Tree> {
    let name = path.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    Err(Error::failed(format!(
        "the archive {name} cannot be read: osier is built without the feature 'archives'"
    )))
}
