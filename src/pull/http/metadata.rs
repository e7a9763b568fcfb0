//! Metadata objects that have come.

use crate::error::{Error, Result};
use crate::object::ObjectName;
use crate::repo::verify_metadata;

/// Verifies a metadata object, with upstream's words for what is malformed.
pub(super) fn verify(name: &ObjectName, bytes: &[u8]) -> Result<()> {
    verify_metadata(name, bytes).map_err(|error| match error {
        Error::MalformedObject { object, source } => {
            Error::Malformed { what: object.to_string(), source }
        }
        error => error,
    })
}
