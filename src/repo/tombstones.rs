//! Tombstones: what is left of commits that were deleted on purpose (docs/format.md, section 11).

use std::path::PathBuf;

use super::{ConfigEdit, Repo};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::tombstone;

impl Repo {
    /// Writes the tombstone of a commit that is about to be deleted; the commit is still there.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_tombstone(&self, commit: &Checksum) -> Result<()> {
        let hex = commit.to_hex();
        let path = PathBuf::from(format!("objects/{}/{}.tombstone-commit", &hex[..2], &hex[2..]));
        self.replace_file(&path, &tombstone(commit).encode())
    }

    /// Notes in the config that deleted commits leave tombstones.
    ///
    /// # Errors
    /// When the config cannot be written.
    pub fn enable_tombstones(&self) -> Result<()> {
        if self.config().tombstone_commits {
            return Ok(());
        }
        self.edit_config(|keyfile| {
            let changed = keyfile.set_bool("core", "tombstone-commits", true);
            changed.map_err(|source| Error::Malformed { what: "config".to_owned(), source })?;
            Ok(ConfigEdit::Write)
        })
    }
}
