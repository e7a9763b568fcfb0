//! Writes objects whose names are known before their bytes, wherever these come from: another
//! repository, a web server, a delta.
//!
//! A file is verified while it is written; metadata is if it is [`Trust::Untrusted`]; a `.filez`
//! can be verified once it has been received, and a link only in the repository that it comes from.
//! An object that does not match its name leaves nothing behind. The caller checks whether an
//! object exists already ([`Transaction::was_present`]).

use std::io::Read;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::bare;
use super::content::ContentWriter;
use super::temporary::Temporary;
use super::transaction::Transaction;
use crate::checksum::Hasher;
use crate::error::{During, Error, Result};
use crate::object::{FileHeader, ObjectName, ObjectType};
use crate::repo::{FileObject, Repo, RepoMode, verify_metadata};

/// How much of a `.filez` is copied before its space is taken, in bytes.
const SPACE_STEP: u64 = 16 << 20;

/// Whether the objects of a repository are trusted to match their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// They are trusted, or have been verified already.
    #[default]
    Trusted,
    /// Each checksum is verified first.
    Untrusted,
}

impl<'r> Transaction<'r> {
    /// Stores a metadata object. Detached metadata replaces what was there and cannot be verified,
    /// because it is named after its commit: that must have been verified.
    ///
    /// # Errors
    /// When it does not match its name (unless it is trusted), or cannot be written.
    pub(crate) fn write_metadata_as(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        trust: Trust,
    ) -> Result<()> {
        if trust == Trust::Untrusted {
            verify_metadata(name, bytes)?;
        }
        self.comes_back(name)?;
        self.write_loose(name, bytes)
    }

    /// Stores a file whose content `read` passes on piece by piece, `size` bytes in all; no content
    /// for a symlink.
    ///
    /// # Errors
    /// When it does not match its name, when the repository cannot store it or it cannot be
    /// written, and as `read`.
    pub(crate) fn write_file_as(
        &self,
        name: &ObjectName,
        header: &FileHeader,
        size: u64,
        read: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        if header.is_symlink() {
            self.check_mode(name, header)?;
            // Content of a symlink is not part of the object; it shows that the file was damaged.
            read(&mut |_| Ok(()))?;
            return self.write_symlink_as(name, header);
        }
        self.write_regular_as(name, header, size, read)?.finish_as(name)
    }

    /// [`Transaction::write_file_as`] for a source that is trusted: a regular file gets the name
    /// whatever is in it, as where objects are linked.
    ///
    /// # Errors
    /// As [`Transaction::write_file_as`].
    pub(crate) fn copy_file_as(
        &self,
        name: &ObjectName,
        header: &FileHeader,
        size: u64,
        read: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<()> {
        if header.is_symlink() {
            return self.write_file_as(name, header, size, read);
        }
        self.write_regular_as(name, header, size, read)?.finish_unverified_as(name)
    }

    fn check_mode(&self, name: &ObjectName, header: &FileHeader) -> Result<()> {
        match self.repo.mode() {
            RepoMode::BareUserOnly => bare::check_user_only_mode(name, header),
            _ => Ok(()),
        }
    }

    fn write_regular_as(
        &self,
        name: &ObjectName,
        header: &FileHeader,
        size: u64,
        read: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
    ) -> Result<ContentWriter<'_, 'r>> {
        self.check_mode(name, header)?;
        let mut writer = ContentWriter::begin_as(name, self, header.clone(), size)?;
        read(&mut |chunk| writer.write(chunk))?;
        Ok(writer)
    }

    /// Creates a symlink object, in the form that the mode uses.
    fn write_symlink_as(&self, name: &ObjectName, header: &FileHeader) -> Result<()> {
        let mut hasher = Hasher::new();
        hasher.update(&header.content_header());
        let actual = hasher.finish();
        if actual != name.checksum {
            return Err(Error::CorruptedObject { object: *name, actual });
        }
        self.write_bytes(header, b"").map(drop)
    }

    /// Writes a `.filez` as received, without a name yet, so that no one else can change it.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub(crate) fn receive_filez(
        &self,
        name: &ObjectName,
        filez: &mut impl Read,
    ) -> Result<Filez<'_, 'r>> {
        let mut temporary = self.create_object(name)?;
        // A server decides how long it is, so space is taken as it comes.
        loop {
            let mut next = filez.by_ref().take(SPACE_STEP);
            let copied = std::io::copy(&mut next, &mut temporary.file);
            match copied.during("copying", name.to_string())? {
                0 => break,
                copied => self.take_space(copied)?,
            }
        }
        Ok(Filez { transaction: self, name: *name, temporary })
    }

    /// Hard-links an object of another repository on the same file system into this one. Nothing is
    /// verified. An existing object of that name is left alone.
    ///
    /// # Errors
    /// When there is no such object or it cannot be linked.
    pub(crate) fn link_from(&self, source: &Repo, name: &ObjectName) -> Result<(), Errno> {
        let linked = source.at_object(name, |from, old| {
            self.at_target(name, |to, new| rustix::fs::linkat(from, old, to, new, AtFlags::empty()))
        });
        match linked {
            Err(Errno::EXIST) => Ok(()),
            linked => linked,
        }
    }

    /// Removes the tombstone if the object is a commit: it is about to be restored.
    pub(crate) fn comes_back(&self, name: &ObjectName) -> Result<()> {
        if name.object_type == ObjectType::Commit {
            self.remove_tombstone(&name.checksum)
        } else {
            Ok(())
        }
    }
}

/// A completely received `.filez` that is not an object yet; it is removed unless it is placed.
pub(crate) struct Filez<'t, 'r> {
    transaction: &'t Transaction<'r>,
    name: ObjectName,
    temporary: Temporary<'t, 'r>,
}

impl Filez<'_, '_> {
    /// Reads its header; the content can be read from the result, to verify it or to store it in
    /// another mode.
    ///
    /// # Errors
    /// When the header is malformed.
    pub(crate) fn open(&self) -> Result<FileObject> {
        let directory = || self.transaction.repo.path().join("tmp");
        FileObject::of_archive_file(self.temporary.reopen()?, self.name, directory)
    }

    /// Gives it its name, in an archive. `content` is the number of bytes that count as written.
    ///
    /// # Errors
    /// When it cannot be placed.
    pub(crate) fn place(self, content: u64) -> Result<()> {
        self.temporary.place_readable(&self.name)?;
        self.transaction.count_copied_file(content);
        Ok(())
    }
}
