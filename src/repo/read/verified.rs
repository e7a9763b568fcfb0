//! Metadata objects that match their names.

use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::map::FileBytes;
use crate::object::{Commit, DirMeta, DirTreeReader, ObjectName, ObjectType};
use crate::repo::Repo;

impl Repo {
    /// Loads a metadata object and verifies its checksum, and the structure of a commit, dirtree or
    /// dirmeta. Detached metadata is named after another object and cannot be verified.
    ///
    /// # Errors
    /// As [`Repo::load_metadata`]; [`Error::CorruptedObject`], [`Error::MalformedObject`].
    pub fn load_verified(&self, name: &ObjectName) -> Result<FileBytes> {
        let bytes = self.load_metadata(name)?;
        verify_metadata(name, &bytes)?;
        Ok(bytes)
    }
}

/// Verifies the bytes of a metadata object against its name, and their structure against its type.
///
/// # Errors
/// [`Error::CorruptedObject`], [`Error::MalformedObject`].
pub(crate) fn verify_metadata(name: &ObjectName, bytes: &[u8]) -> Result<()> {
    let actual = Checksum::of(bytes);
    if actual != name.checksum {
        return Err(Error::CorruptedObject { object: *name, actual });
    }
    match name.object_type {
        ObjectType::Commit => Commit::decode(bytes).map(drop),
        ObjectType::DirTree => DirTreeReader::new(bytes).and_then(|reader| reader.check()),
        ObjectType::DirMeta => DirMeta::decode(bytes).map(drop),
        _ => Ok(()),
    }
    .of_object(*name)
}
