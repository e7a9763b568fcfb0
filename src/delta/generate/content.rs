//! The content of files, in memory or mapped.

use crate::checksum::Checksum;
use crate::delta::spool::Spool;
use crate::error::{During, Result};
use crate::map::FileBytes;
use crate::object::FileHeader;
use crate::repo::Repo;

/// The header of a file and its content: mapped where the repository keeps it as it is, else
/// inflated, if it is large into a file without a name.
pub(super) fn load(repo: &Repo, checksum: &Checksum) -> Result<(FileHeader, FileBytes)> {
    let object = repo.load_file(checksum)?;
    let header = object.header.clone();
    if let Some(file) = object.plain_file() {
        let bytes = file.try_clone().and_then(|file| FileBytes::of_object(file, object.size));
        return Ok((header, bytes.during("reading", format!("{checksum}.file"))?));
    }
    let mut spool = Spool::new(repo);
    object.read_chunks(&mut |chunk| spool.write(chunk))?;
    Ok((header, spool.finish()?))
}
