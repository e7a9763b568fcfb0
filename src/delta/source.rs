//! Files of the repository that operations read from.

use super::spool::Spool;
use crate::checksum::Checksum;
use crate::error::{Context, During, Error, Result};
use crate::map::FileBytes;
use crate::repo::{FileObject, Transaction};

/// How many bytes are added at a time.
const PIECE: usize = 64 << 10;

/// The content of a file object, to be read at any position.
pub(super) struct Source {
    name: Checksum,
    content: FileBytes,
}

impl Source {
    /// Opens a file object that is in the repository or that the transaction has written.
    pub(super) fn open(transaction: &Transaction<'_>, name: Checksum) -> Result<Self> {
        let opened = || {
            let object = match transaction.repo().load_file(&name) {
                Err(Error::MissingFile { .. }) => transaction.view()?.load_file(&name)?,
                loaded => loaded?,
            };
            content(transaction, object)
        };
        let content = opened().context(|| format!("Opening content object {name}"))?;
        Ok(Self { name, content })
    }

    /// These bytes.
    ///
    /// # Errors
    /// `Unexpected EOF reading object HEX`
    pub(super) fn read(&self, offset: u64, length: u64) -> Result<&[u8]> {
        let start = usize::try_from(offset).ok();
        let end = offset.checked_add(length).and_then(|end| usize::try_from(end).ok());
        let bytes = start.zip(end).and_then(|(start, end)| self.content.get(start..end));
        bytes.ok_or_else(|| Error::failed(format!("Unexpected EOF reading object {}", self.name)))
    }

    /// Adds the bytes at a position to those of `diff`, and passes the sums on. What lies outside
    /// of the file counts as 0.
    pub(super) fn add(
        &self,
        position: i64,
        diff: &[u8],
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut sums = [0; PIECE];
        for (number, piece) in diff.chunks(PIECE).enumerate() {
            let sums = &mut sums[..piece.len()];
            sums.copy_from_slice(piece);
            let begin = i128::from(position) + (number * PIECE) as i128;
            let outside = usize::try_from(-begin).unwrap_or(0).min(piece.len());
            let start = usize::try_from(begin.max(0)).unwrap_or(usize::MAX);
            let old = self.content.get(start..).unwrap_or_default();
            for (sum, old) in sums[outside..].iter_mut().zip(old) {
                *sum = sum.wrapping_add(*old);
            }
            sink(sums)?;
        }
        Ok(())
    }
}

/// The content: mapped, or inflated where it is compressed. A symlink has none.
fn content(transaction: &Transaction<'_>, object: FileObject) -> Result<FileBytes> {
    let size = object.size;
    if let Some(file) = object.plain_file() {
        let during = || object.checksum().to_string();
        let file = file.try_clone().during("opening", during())?;
        return FileBytes::of_object(file, size).during("reading", during());
    }
    let mut spool = Spool::new(transaction.repo());
    object.read_chunks(&mut |chunk| spool.write(chunk))?;
    spool.finish()
}
