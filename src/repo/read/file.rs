//! Reading file objects, in every mode.
//!
//! A `.filez` of an archive is `u32be(length of Z)`, four zero bytes, `Z` of type
//! `(tuuuusa(ayay))`, then for regular files a raw deflate stream (docs/format.md, section 7). For
//! the other modes see [`super::bare`].

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use super::bare;
use crate::checksum::{Checksum, Hasher};
use crate::deflate::Inflater;
use crate::error::{During, Error, OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{FileHeader, ObjectName, ObjectType, Xattrs};

use super::objects::MAX_METADATA_SIZE;
use crate::repo::{Repo, RepoMode};

/// An open file object: its header has been read, its content has not.
#[derive(Debug)]
pub struct FileObject {
    /// Owner, mode, xattrs and symlink target.
    pub header: FileHeader,
    /// The length of the content in bytes; 0 for symlinks.
    pub size: u64,
    name: ObjectName,
    content: Content,
}

#[derive(Debug)]
enum Content {
    /// A symlink.
    None,
    /// A symlink in an archive with a size or content. These are never used, but show that the file
    /// is damaged.
    Stray,
    /// The file itself is the content.
    Plain(File),
    /// Deflated; `read_ahead` has been read from it already.
    Deflated { stored: Stored, read_ahead: Vec<u8> },
}

/// Where the bytes of a `.filez` come from.
enum Stored {
    File(File),
    #[cfg(any(feature = "pull", feature = "s3"))]
    Stream(Box<dyn Read + Send>),
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            #[cfg(any(feature = "pull", feature = "s3"))]
            Self::Stream(stream) => stream.read(buffer),
        }
    }
}

impl std::fmt::Debug for Stored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(file) => file.fmt(f),
            #[cfg(any(feature = "pull", feature = "s3"))]
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// The size of the first read of a `.filez`: nearly always the whole header, often the whole file.
const FIRST_READ: usize = 4 << 10;
/// The size of the reads after that.
const READ_SIZE: usize = 128 << 10;

thread_local! {
    /// The decoder and read buffer of this thread.
    static SCRATCH: RefCell<(Inflater, Box<[u8]>)> =
        RefCell::new((Inflater::new(), vec![0; READ_SIZE].into_boxed_slice()));
}

impl Repo {
    /// Opens a file object and reads its header.
    ///
    /// # Errors
    /// [`Error::MissingFile`] when it is neither here nor in a parent; [`Error::MalformedObject`]
    /// when its header is invalid.
    pub fn load_file(&self, checksum: &Checksum) -> Result<FileObject> {
        let name = ObjectName::new(*checksum, ObjectType::File);
        let found = match self.mode() {
            RepoMode::Archive => self.load_archive_file(name)?,
            _ => bare::load(self, name)?.map(|(header, size, file)| FileObject {
                header,
                size,
                name,
                content: file.map_or(Content::None, Content::Plain),
            }),
        };
        match (found, self.parent()) {
            (Some(object), _) => Ok(object),
            (None, Some(parent)) => parent.load_file(checksum),
            (None, None) => Err(Error::missing(name)),
        }
    }

    /// The header of a file object without its xattrs, and the length of its content in bytes. In
    /// bare, bare-user-only and bare-split-xattrs repositories this needs no permission to read the
    /// object.
    ///
    /// # Errors
    /// As [`Repo::load_file`].
    pub fn stat_file(&self, checksum: &Checksum) -> Result<(FileHeader, u64)> {
        let name = ObjectName::new(*checksum, ObjectType::File);
        let found = match self.mode() {
            RepoMode::Archive => {
                self.load_archive_file(name)?.map(|object| (object.header, object.size))
            }
            _ => bare::stat(self, name)?,
        };
        match (found, self.parent()) {
            (Some((header, size)), _) => {
                Ok((FileHeader { xattrs: Xattrs::default(), ..header }, size))
            }
            (None, Some(parent)) => parent.stat_file(checksum),
            (None, None) => Err(Error::missing(name)),
        }
    }

    fn load_archive_file(&self, name: ObjectName) -> Result<Option<FileObject>> {
        let Some(file) = self.open_own_object(&name)? else { return Ok(None) };
        FileObject::of_archive_file(file, name, || self.object_path(&name)).map(Some)
    }
}

impl FileObject {
    /// Reads the header of an open `.filez`; `path` is for messages.
    pub(in crate::repo) fn of_archive_file(
        file: File,
        name: ObjectName,
        path: impl Fn() -> PathBuf,
    ) -> Result<Self> {
        let metadata = file.metadata().during("reading", path())?;
        if !metadata.is_file() {
            return Err(DecodeError::new("not a regular file")).of_object(name);
        }
        let length = metadata.len();
        Self::of_archive(Stored::File(file), Some(length), name).map_err(|error| match error {
            Error::Io { action, source, .. } => Error::Io { action, path: path(), source },
            error => error,
        })
    }

    /// Reads the header of a `.filez` as it comes, of `length` bytes if that is known.
    ///
    /// # Errors
    /// When the header is malformed or `stream` fails.
    #[cfg(any(feature = "pull", feature = "s3"))]
    pub(crate) fn of_archive_stream(
        stream: Box<dyn Read + Send>,
        length: Option<u64>,
        name: ObjectName,
    ) -> Result<Self> {
        Self::of_archive(Stored::Stream(stream), length, name)
    }

    fn of_archive(mut stored: Stored, length: Option<u64>, name: ObjectName) -> Result<Self> {
        let mut start = Vec::with_capacity(FIRST_READ);
        let mut fill = |start: &mut Vec<u8>, most: usize| {
            // Where the length is known, no end of the file has to be looked for.
            let end = (most as u64).min(length.unwrap_or(u64::MAX));
            let missing = end.saturating_sub(start.len() as u64);
            (&mut stored).take(missing).read_to_end(start).during("reading", name.to_string())
        };
        fill(&mut start, FIRST_READ)?;
        let Some(&prefix) = start.first_chunk() else {
            return Err(DecodeError::new("file is too short for a header")).of_object(name);
        };
        let most = length.map_or(MAX_METADATA_SIZE, |length| length.saturating_sub(8));
        let header_size = FileHeader::decode_prefix(prefix, most).of_object(name)?;
        if header_size as u64 > MAX_METADATA_SIZE {
            return Err(DecodeError::new(format!("File header size {header_size} is too large")))
                .of_object(name);
        }
        let header_end = 8 + header_size;
        fill(&mut start, header_end)?;
        let Some(bytes) = start.get(8..header_end) else {
            return Err(DecodeError::new("file is too short for its header")).of_object(name);
        };
        let (header, size) = FileHeader::decode_archive_header(bytes).of_object(name)?;
        let content = if header.is_symlink() {
            let ends = start.len() == header_end && fill(&mut start, header_end + 1)? == 0;
            if size == 0 && ends { Content::None } else { Content::Stray }
        } else {
            start.drain(..header_end);
            Content::Deflated { stored, read_ahead: start }
        };
        Ok(Self { header, size, name, content })
    }

    /// The object's checksum, which has not been compared with the content.
    pub fn checksum(&self) -> &Checksum {
        &self.name.checksum
    }

    /// Passes the content to `sink` piece by piece, in order, and returns its length in bytes.
    ///
    /// # Errors
    /// Those of `sink`; [`Error::MalformedObject`] when the content cannot be inflated, does not
    /// have the length given in the header, or is followed by more bytes.
    pub fn read_chunks(self, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<u64> {
        SCRATCH.with_borrow_mut(|(inflater, buffer)| match self.content {
            Content::None => Ok(0),
            Content::Stray => Err(DecodeError::new("symlink with content")).of_object(self.name),
            Content::Plain(file) => read_plain(file, buffer, &self.name, sink),
            Content::Deflated { stored, read_ahead } => {
                let mut input = Input { stored, buffer, read_ahead };
                read_deflated(&mut input, inflater, &self.name, self.size, sink)
            }
        })
    }

    /// Reads everything and compares it with the checksum; returns the length of the content in
    /// bytes.
    ///
    /// # Errors
    /// [`Error::CorruptedObject`] when the content or header does not match the name, else as
    /// [`FileObject::read_chunks`].
    pub fn verify(self) -> Result<u64> {
        let name = self.name;
        let (actual, size) = self.actual_checksum()?;
        if actual == name.checksum {
            Ok(size)
        } else {
            Err(Error::CorruptedObject { object: name, actual })
        }
    }

    /// Hashes header and content.
    fn actual_checksum(self) -> Result<(Checksum, u64)> {
        let mut hasher = Hasher::new();
        hasher.update(&self.header.content_header());
        let size = self.read_chunks(&mut |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        Ok((hasher.finish(), size))
    }

    /// The bytes of the content as far as they can be read, for `FileReader`, which checks them.
    pub(super) fn into_unchecked_reader(self) -> Box<dyn Read + Send> {
        match self.content {
            Content::None | Content::Stray => Box::new(io::empty()),
            Content::Plain(file) => Box::new(file),
            Content::Deflated { stored, read_ahead } => {
                let stored = io::Cursor::new(read_ahead).chain(stored);
                let buffered = io::BufReader::with_capacity(READ_SIZE, stored);
                Box::new(flate2::bufread::DeflateDecoder::new(buffered).take(self.size))
            }
        }
    }

    /// The open file whose bytes are the content, if the repository stores it that way.
    pub fn plain_file(&self) -> Option<&File> {
        match &self.content {
            Content::Plain(file) => Some(file),
            _ => None,
        }
    }
}

fn read_plain(
    mut file: File,
    buffer: &mut [u8],
    name: &ObjectName,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let mut total = 0;
    loop {
        let length = file.read(buffer).during("reading", name.to_string())?;
        if length == 0 {
            return Ok(total);
        }
        total += length as u64;
        sink(&buffer[..length])?;
    }
}

/// The stored bytes of an object, a piece at a time.
struct Input<'b> {
    stored: Stored,
    buffer: &'b mut [u8],
    read_ahead: Vec<u8>,
}

impl Input<'_> {
    /// The next piece; empty at the end of the file.
    fn next(&mut self, name: &ObjectName) -> Result<&[u8]> {
        let length = if self.read_ahead.is_empty() {
            self.stored.read(self.buffer).during("reading", name.to_string())?
        } else {
            let length = self.read_ahead.len().min(self.buffer.len());
            self.buffer[..length].copy_from_slice(&self.read_ahead[..length]);
            self.read_ahead.drain(..length);
            length
        };
        Ok(&self.buffer[..length])
    }
}

fn read_deflated(
    input: &mut Input<'_>,
    inflater: &mut Inflater,
    name: &ObjectName,
    size: u64,
    sink: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    let malformed =
        |what: String| Error::MalformedObject { object: *name, source: DecodeError::new(what) };
    inflater.begin();
    let mut total = 0;
    loop {
        let mut piece = input.next(name)?;
        if piece.is_empty() {
            return Err(malformed("the deflate stream ends too early".to_owned()));
        }
        loop {
            let step = inflater
                .push(piece)
                .map_err(|error| malformed(format!("cannot be inflated: {error}")))?;
            total += step.output.len() as u64;
            if total > size {
                return Err(malformed(format!(
                    "content is longer than the {size} bytes of its header"
                )));
            }
            if !step.output.is_empty() {
                sink(step.output)?;
            }
            piece = &piece[step.consumed..];
            if step.finished {
                let more = !piece.is_empty() || !input.next(name)?.is_empty();
                return match (more, total == size) {
                    (false, true) => Ok(total),
                    (true, _) => Err(malformed("bytes follow the deflate stream".to_owned())),
                    (false, false) => {
                        Err(malformed(format!("content has {total} bytes, its header says {size}")))
                    }
                };
            }
            if step.needs_input {
                break;
            }
        }
    }
}
