//! Checks that the files of a delta are what they were when it was made, without applying it.

use std::io::Read;

use super::envelope::DeltaFile;
use crate::checksum::{Checksum, Hasher};
use crate::delta_format::DeltaName;
use crate::error::{During, Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;

const BUFFER: usize = 128 << 10;

/// Compares a delta of the repository with its name, and its parts with their checksums. Signatures
/// are not verified; what an inlined part has, only applying it shows.
///
/// # Errors
/// When a file is missing, cannot be read or decoded, or is not what it should be.
pub fn check(repo: &Repo, name: &DeltaName) -> Result<()> {
    let file = DeltaFile::of_repo(repo, name)?;
    let envelope = file.envelope()?;
    let superblock = envelope.superblock()?;
    let found = superblock.name();
    if found != *name {
        return Err(Error::failed(format!("superblock is that of {found}")));
    }
    let actual = Checksum::of(superblock.commit);
    if actual != name.to {
        let object = ObjectName::new(name.to, ObjectType::Commit);
        return Err(Error::CorruptedObject { object, actual });
    }
    let mut buffer = vec![0; BUFFER];
    for (number, part) in superblock.parts.iter().enumerate() {
        if superblock.inlined_part(number).is_some() {
            continue;
        }
        let path = || repo.path().join(name.part_path(number));
        let mut content = file.part(number).during("opening", path())?;
        let mut hasher = Hasher::new();
        loop {
            match content.read(&mut buffer).during("reading", path())? {
                0 => break,
                length => hasher.update(&buffer[..length]),
            }
        }
        let actual = hasher.finish();
        if actual != part.checksum {
            let expected = part.checksum;
            return Err(Error::failed(format!(
                "part {number} is damaged; checksum expected='{expected}' actual='{actual}'"
            )));
        }
    }
    Ok(())
}
