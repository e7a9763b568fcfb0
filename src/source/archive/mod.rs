//! Archives as entries, one after another: what `commit --tree=tar=` reads. The format, tar or
//! cpio, is recognised by the first bytes; other formats of libarchive are not supported.

mod cpio;
mod tar;

use std::io::{self, Cursor, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::source::compressed::{Decompressed, Stream, decompressed};

/// Extended attributes as an archive lists them: names with values.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// One entry of an archive. Names are as in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path, not resolved: it may be absolute or have `..`.
    pub path: Vec<u8>,
    /// The kind, with what only entries of that kind have.
    pub kind: Kind,
    /// The id of the owning user.
    pub uid: u32,
    /// The id of the owning group.
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
    /// Extended attributes in the order in which libarchive reports them, which is from the last of
    /// the archive to the first; a name that is repeated has its last value.
    pub xattrs: Pairs,
}

/// The kind of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file; its content is read through [`Archive::read_content`].
    Regular {
        /// Bytes of content, holes included.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points.
        target: Vec<u8>,
    },
    /// Another name of a file in the archive.
    HardLink {
        /// The name of that file, as in the archive.
        target: Vec<u8>,
        /// Bytes of content that come with this name; cpio may give them with any name of a file.
        size: u64,
    },
    /// A device or pipe.
    Special,
}

/// An archive that is being read.
pub struct Archive {
    reader: Reader,
    /// Whether anything had to be decompressed.
    is_compressed: bool,
    /// Bytes of the stream, compressed as it is, that have been read.
    bytes_read: Arc<AtomicU64>,
}

enum Reader {
    /// Tar in all its dialects.
    Tar(Box<tar::Archive>),
    /// Cpio: `newc`, with checksums or without, `odc`, and the old binary form in both byte orders.
    Cpio(cpio::Archive),
}

impl Archive {
    /// Opens a stream that may be compressed. One without a single byte is an archive without
    /// entries.
    ///
    /// # Errors
    /// `Unrecognized archive format`, or what the decompression says.
    pub fn open(stream: Stream) -> io::Result<Self> {
        let bytes_read = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: stream, bytes_read: bytes_read.clone() };
        let Decompressed { mut stream, is_compressed } = decompressed(Box::new(counted))?;
        let mut magic = Vec::new();
        stream.by_ref().take(cpio::MAGIC_BYTES).read_to_end(&mut magic)?;
        let format = cpio::Format::of(&magic);
        let stream: Stream = Box::new(Cursor::new(magic).chain(stream));
        let reader = match format {
            Some(format) => Reader::Cpio(cpio::Archive::new(stream, format)),
            None => Reader::Tar(Box::new(tar::Archive::open(stream)?)),
        };
        Ok(Self { reader, is_compressed, bytes_read })
    }

    /// Goes to the next entry, skipping unread content of the previous one.
    ///
    /// # Errors
    /// When the archive is damaged or ends early.
    pub fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        match &mut self.reader {
            Reader::Tar(archive) => archive.next_entry(),
            Reader::Cpio(archive) => archive.next_entry(),
        }
    }

    /// Reads content of the current entry, as [`Read::read`] does.
    ///
    /// # Errors
    /// When the archive ends early.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.reader {
            Reader::Tar(archive) => archive.read_content(buffer),
            Reader::Cpio(archive) => archive.read_content(buffer),
        }
    }

    /// Bytes of the stream, compressed as it is, that have been read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes that are held of entries that came before: cpio has to know the names of files that
    /// more names are expected for.
    pub fn held_bytes(&self) -> u64 {
        match &self.reader {
            Reader::Tar(_) => 0,
            Reader::Cpio(archive) => archive.held_bytes(),
        }
    }

    /// Ends the reading after the last entry. A compressed stream is decoded to its end, so that
    /// one that was cut short behind the last entry, or has a wrong checksum there, is noticed.
    ///
    /// # Errors
    /// What the decompression says.
    pub fn finish(self) -> io::Result<()> {
        if self.is_compressed {
            let mut stream = match self.reader {
                Reader::Tar(archive) => archive.into_stream(),
                Reader::Cpio(archive) => archive.into_stream(),
            };
            io::copy(&mut stream, &mut io::sink())?;
        }
        Ok(())
    }
}

/// A stream whose bytes are counted.
struct Counted {
    inner: Stream,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.bytes_read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
