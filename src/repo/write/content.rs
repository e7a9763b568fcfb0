//! Writes file objects.
//!
//! There are three entry points, all with the same result:
//! - [`Transaction::write_bytes`] for content in memory: hashed, and only if it is new
//!   compressed and written;
//! - [`Transaction::write_file`] for content that can be read twice: where it may not be new it is
//!   hashed first, then, only if it is, read again and hashed again, so that a file that changes
//!   meanwhile never gets a wrong name;
//! - [`ContentWriter`] for content that comes once, as from a tar stream.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::Ordering;

use rustix::fs::AtFlags;

use super::adopt::{Adoptable, Candidate};
use super::bare;
use super::encoders::Encoder;
use super::temporary::Temporary;
use super::transaction::{Claim, Transaction};
use crate::checksum::{Checksum, Hasher};
use crate::deflate::{Encoding, Settings};
use crate::dir;
use crate::error::{During, Error, Result};
use crate::object::{FileHeader, ObjectName, ObjectType};
use crate::repo::{FileObject, RepoMode};

/// How much of a file is read at a time, in bytes.
const READ_SIZE: usize = 128 << 10;
/// How much compressed output is collected before it is written, in bytes.
const WRITE_SIZE: usize = 128 << 10;

/// With this many new files for each one already stored, the next one is expected to be new.
const NEW_FOR_EACH_OLD: u64 = 8;

/// A regular file to be stored.
#[derive(Clone, Copy, Debug)]
pub struct SourceFile<'a> {
    /// Open for reading, at its start.
    pub file: &'a std::fs::File,
    /// Its length in bytes.
    pub size: u64,
    /// Its path in messages.
    pub path: &'a Path,
    /// Its location if it may become the object itself, which requires that it is being consumed.
    pub adopt: Option<Adoptable<'a>>,
}

impl<'r> Transaction<'r> {
    /// Stores a symlink, or a regular file whose content is in memory, and returns its checksum.
    ///
    /// # Errors
    /// When it cannot be written; in bare-user-only also for a mode that cannot be stored.
    pub fn write_bytes(&self, header: &FileHeader, content: &[u8]) -> Result<Checksum> {
        let mut hasher = Hasher::new();
        hasher.update(&header.content_header());
        hasher.update(content);
        let checksum = hasher.finish();
        self.write_hashed(header, content, checksum)?;
        Ok(checksum)
    }

    /// [`Transaction::write_bytes`] for content that has been hashed: `checksum` covers header and
    /// content.
    pub(crate) fn write_hashed(
        &self,
        header: &FileHeader,
        content: &[u8],
        checksum: Checksum,
    ) -> Result<()> {
        let name = ObjectName::new(checksum, ObjectType::File);
        if self.begin_content(&name, header, content.len() as u64)? == Claim::Done {
            return Ok(());
        }
        if header.is_symlink() && bare::has_real_symlinks(self.repo.mode()) {
            self.place_symlink(&name, header)?;
        } else {
            let mut temporary = self.create_object(&name)?;
            match self.repo.mode() {
                RepoMode::Archive => {
                    let mut encoder =
                        self.encoders.take(self.deflate_settings(), header, content.len() as u64);
                    if !header.is_symlink() {
                        encoder.push(content);
                        encoder.finish();
                    }
                    let written = temporary.write(&encoder.packed);
                    self.encoders.put(encoder);
                    written?;
                }
                RepoMode::BareUser if header.is_symlink() => {
                    temporary.write(header.symlink_target.as_bytes())?;
                    temporary.write(b"\0")?;
                }
                _ => temporary.write(content)?,
            }
            self.finish_regular(temporary, &name, header)?;
        }
        self.end_content(&name, header, content.len() as u64)
    }

    /// Stores a regular file that is read up to twice: once is enough if it is stored already, or
    /// if it is likely enough to be new that it is stored while it is hashed.
    ///
    /// # Errors
    /// [`Error::SourceChanged`] when the file changed meanwhile; else as
    /// [`Transaction::write_bytes`].
    pub fn write_file(&self, header: &FileHeader, source: SourceFile<'_>) -> Result<Checksum> {
        use std::io::{Seek, SeekFrom};
        let SourceFile { mut file, size, path, adopt } = source;
        let changed = || Error::SourceChanged { path: path.to_owned() };
        let adopt =
            adopt.filter(|_| self.adopts()).map(|place| Candidate::new(file, place)).transpose();
        let adopt = adopt.during("reading", path)?;
        if adopt.is_none() && self.expects_new_content() {
            let mut writer = ContentWriter::begin(self, header.clone(), size)?;
            let read =
                self.for_each_chunk(&mut file.take(size.saturating_add(1)), path, |chunk| {
                    writer.write(chunk)
                })?;
            return if read == size { writer.finish() } else { Err(changed()) };
        }
        let mut hasher = Hasher::new();
        hasher.update(&header.content_header());
        // One byte more than announced shows that the file grew; it may be endless, so no more is
        // read.
        let read = self.for_each_chunk(&mut file.take(size.saturating_add(1)), path, |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        if read != size {
            return Err(changed());
        }
        let name = ObjectName::new(hasher.finish(), ObjectType::File);
        if self.begin_content(&name, header, size)? == Claim::Done {
            return Ok(name.checksum);
        }
        if let Some(candidate) = adopt
            && self.adopt(&name, header, &candidate)?
        {
            self.end_content(&name, header, size)?;
            return Ok(name.checksum);
        }
        file.seek(SeekFrom::Start(0)).during("reading", path)?;
        let mut writer =
            ContentWriter::writing_to(self.create_object(&name)?, self, header.clone(), size);
        let read = self.for_each_chunk(&mut file.take(size.saturating_add(1)), path, |chunk| {
            writer.write(chunk)
        })?;
        if read != size || writer.hasher.clone().finish() != name.checksum {
            return Err(changed());
        }
        writer.finish_new(&name)
    }

    /// Reads `reader` to its end; returns the number of bytes.
    fn for_each_chunk(
        &self,
        reader: &mut impl Read,
        path: &Path,
        mut sink: impl FnMut(&[u8]) -> Result<()>,
    ) -> Result<u64> {
        let mut buffer = self.read_buffers.take().unwrap_or_else(|| vec![0; READ_SIZE]);
        let mut total = 0;
        let result = loop {
            match reader.read(&mut buffer) {
                Ok(0) => break Ok(total),
                Ok(length) => {
                    total += length as u64;
                    if let Err(error) = sink(&buffer[..length]) {
                        break Err(error);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error).during("reading", path),
            }
        };
        self.read_buffers.put(buffer);
        result
    }

    /// Whether nearly all files so far were new, as in the first commit of a tree. Never in an
    /// archive: compressing a file that turns out to be stored costs much more than hashing one
    /// twice.
    fn expects_new_content(&self) -> bool {
        if self.repo.mode() == RepoMode::Archive {
            return false;
        }
        let written = self.counters.content_written.load(Ordering::Relaxed);
        let old = self.counters.content_total.load(Ordering::Relaxed).saturating_sub(written);
        old.saturating_mul(NEW_FOR_EACH_OLD) < written
    }

    /// Uses an object that the caller knows to match its file, without reading it; `false` when it
    /// is missing. The content or symlink target has `unpacked` bytes.
    ///
    /// # Errors
    /// When the operating system cannot determine it.
    pub fn reuse_file(&self, checksum: &Checksum, unpacked: u64) -> Result<bool> {
        let name = ObjectName::new(*checksum, ObjectType::File);
        if !self.is_claimed_or_stored(&name)? {
            return Ok(false);
        }
        self.counters.content_total.fetch_add(1, Ordering::Relaxed);
        if self.records_sizes() {
            self.record_known_size(&name, unpacked)?;
        }
        Ok(true)
    }

    /// Stores the content of `object` under another header.
    ///
    /// # Errors
    /// As [`FileObject::read_chunks`] and [`Transaction::write_bytes`].
    pub fn write_object(&self, header: &FileHeader, object: FileObject) -> Result<Checksum> {
        if header.is_symlink() {
            return self.write_bytes(header, b"");
        }
        let mut writer = ContentWriter::begin(self, header.clone(), object.size)?;
        object.read_chunks(&mut |chunk| writer.write(chunk))?;
        writer.finish()
    }

    /// How the content of new objects is compressed. Where sizes are recorded the compressed size
    /// enters the commit, so zlib's exact output is used.
    fn deflate_settings(&self) -> Settings {
        let config = self.repo.config();
        let encoding = if self.records_sizes() { Encoding::Zlib } else { config.deflate };
        Settings { encoding, level: config.zlib_level }
    }

    /// Counts the object and determines whether it has to be written.
    fn begin_content(&self, name: &ObjectName, header: &FileHeader, size: u64) -> Result<Claim> {
        if self.repo.mode() == RepoMode::BareUserOnly {
            bare::check_user_only_mode(name, header)?;
        }
        self.counters.content_total.fetch_add(1, Ordering::Relaxed);
        let claim = self.claim(name)?;
        match claim {
            Claim::Write => {
                if let Some(space) = &self.space {
                    space.take(size)?;
                }
            }
            Claim::Done if self.records_sizes() => self.record_content_size(name, header, size)?,
            Claim::Done => {}
        }
        Ok(claim)
    }

    /// Reserves space for `size` bytes of content.
    pub(in crate::repo) fn take_space(&self, bytes: u64) -> Result<()> {
        match &self.space {
            Some(space) => space.take(bytes),
            None => Ok(()),
        }
    }

    /// Counts a file object that was copied unchanged, with the bytes of content that count as
    /// written.
    pub(in crate::repo) fn count_copied_file(&self, bytes: u64) {
        self.counters.content_written.fetch_add(1, Ordering::Relaxed);
        self.counters.content_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn end_content(&self, name: &ObjectName, header: &FileHeader, size: u64) -> Result<()> {
        self.counters.content_written.fetch_add(1, Ordering::Relaxed);
        self.counters.content_bytes.fetch_add(size, Ordering::Relaxed);
        if self.records_sizes() { self.record_content_size(name, header, size) } else { Ok(()) }
    }

    fn record_content_size(&self, name: &ObjectName, header: &FileHeader, size: u64) -> Result<()> {
        let unpacked = if header.is_symlink() { header.symlink_target.len() as u64 } else { size };
        self.record_known_size(name, unpacked)
    }

    fn record_known_size(&self, name: &ObjectName, unpacked: u64) -> Result<()> {
        match self.stored_size(name) {
            Ok(stored) => self.record_size(*name, stored, unpacked),
            // Another thread is still writing it, and will record it.
            Err(Error::MissingFile { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn finish_regular(
        &self,
        temporary: Temporary<'_, '_>,
        name: &ObjectName,
        header: &FileHeader,
    ) -> Result<()> {
        bare::apply_metadata(self.repo, &temporary.file, header)
            .during("setting the metadata of", name.to_string())?;
        temporary.place(name)
    }

    fn place_symlink(&self, name: &ObjectName, header: &FileHeader) -> Result<()> {
        let work_dir = self.work_dir();
        let (temporary, ()) = dir::at_free_name(
            || Ok(self.temporary_name()),
            |temporary| bare::create_symlink(self.repo, work_dir, temporary, header),
            |error, temporary| {
                let _ = rustix::fs::unlinkat(work_dir, &temporary, AtFlags::empty());
                Err(error).during("creating the symlink", name.to_string())
            },
        )?;
        self.place(&temporary, name).inspect_err(|_| {
            let _ = rustix::fs::unlinkat(work_dir, &temporary, AtFlags::empty());
        })
    }
}

/// Stores one file whose content comes piece by piece.
pub struct ContentWriter<'t, 'r> {
    transaction: &'t Transaction<'r>,
    header: FileHeader,
    size: u64,
    written: u64,
    hasher: Hasher,
    temporary: Temporary<'t, 'r>,
    /// In archives.
    encoder: Option<Encoder>,
}

impl<'t, 'r> ContentWriter<'t, 'r> {
    /// Begins a regular file of `size` bytes. Its space is reserved even if the object turns out to
    /// exist.
    ///
    /// # Errors
    /// When there is not enough space, or no file can be created.
    pub fn begin(transaction: &'t Transaction<'r>, header: FileHeader, size: u64) -> Result<Self> {
        transaction.take_space(size)?;
        Ok(Self::writing_to(transaction.create_temporary()?, transaction, header, size))
    }

    /// The same for content that is expected to have this name, which no one else is writing; to be
    /// finished by [`ContentWriter::finish_as`].
    ///
    /// # Errors
    /// As [`ContentWriter::begin`].
    pub(crate) fn begin_as(
        name: &ObjectName,
        transaction: &'t Transaction<'r>,
        header: FileHeader,
        size: u64,
    ) -> Result<Self> {
        transaction.take_space(size)?;
        Ok(Self::writing_to(transaction.create_object(name)?, transaction, header, size))
    }

    fn writing_to(
        temporary: Temporary<'t, 'r>,
        transaction: &'t Transaction<'r>,
        header: FileHeader,
        size: u64,
    ) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&header.content_header());
        let encoder = (transaction.repo.mode() == RepoMode::Archive)
            .then(|| transaction.encoders.take(transaction.deflate_settings(), &header, size));
        Self { transaction, header, size, written: 0, hasher, temporary, encoder }
    }

    /// Takes the next piece of the content.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.written += chunk.len() as u64;
        self.hasher.update(chunk);
        let Some(encoder) = &mut self.encoder else { return self.temporary.write(chunk) };
        encoder.push(chunk);
        if encoder.packed.len() >= WRITE_SIZE {
            self.temporary.write(&encoder.packed)?;
            encoder.packed.clear();
        }
        Ok(())
    }

    /// Finishes the file, stores it unless the object exists, and returns its checksum.
    ///
    /// # Errors
    /// When the content did not have the announced length, or cannot be written.
    pub fn finish(self) -> Result<Checksum> {
        let name = ObjectName::new(self.hasher.clone().finish(), ObjectType::File);
        let (transaction, size) = (self.transaction, self.size);
        if self.written != size {
            let message = format!("content has {} bytes where {size} were announced", self.written);
            return Err(Error::failed(message));
        }
        if let Some(space) = &transaction.space {
            // `begin_content` takes it again if the object is new.
            space.give_back(size);
        }
        match transaction.begin_content(&name, &self.header, size)? {
            Claim::Done => {
                if let Some(encoder) = self.encoder {
                    transaction.encoders.put(encoder);
                }
                Ok(name.checksum)
            }
            Claim::Write => self.finish_new(&name),
        }
    }

    /// Finishes the file, and stores it under the name that it was begun with.
    ///
    /// # Errors
    /// [`Error::CorruptedObject`] when it does not match the name; when it cannot be written.
    pub(crate) fn finish_as(self, name: &ObjectName) -> Result<()> {
        let actual = self.hasher.clone().finish();
        if actual != name.checksum {
            return Err(Error::CorruptedObject { object: *name, actual });
        }
        self.finish_new(name).map(drop)
    }

    /// The same, whether or not it matches the name.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish_unverified_as(self, name: &ObjectName) -> Result<()> {
        self.finish_new(name).map(drop)
    }

    fn finish_new(mut self, name: &ObjectName) -> Result<Checksum> {
        if let Some(mut encoder) = self.encoder {
            encoder.finish();
            self.temporary.write(&encoder.packed)?;
            self.transaction.encoders.put(encoder);
        }
        self.transaction.finish_regular(self.temporary, name, &self.header)?;
        self.transaction.end_content(name, &self.header, self.size)?;
        Ok(name.checksum)
    }
}
