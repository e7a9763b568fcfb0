//! Files of secret keys that the user names.

use std::path::Path;

use osier::sign::SecretKeyFile;

use super::error::{Failure, warn};

/// Opens a file of secret keys, with a warning when others may read it.
pub(super) fn open(path: &Path) -> Result<SecretKeyFile, Failure> {
    let file = SecretKeyFile::open(path).map_err(osier::Error::from)?;
    if let Some(text) = file.warning() {
        warn(&format!("warning: {text}"));
    }
    Ok(file)
}
