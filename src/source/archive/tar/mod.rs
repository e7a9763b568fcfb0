//! Tar archives as entries, one after another.
//!
//! ```text
//! mod      the archive: blocks, headers, what belongs to one entry, content
//! fields   what the headers are made of: numbers, texts, chunks
//! header   one header block
//! pax      extended headers (PAX records)
//! sparse   files with holes: GNU's old format and the three of PAX
//! ```
//!
//! The formats are those of POSIX `pax` and of GNU tar's manual; where archives leave something
//! open, libarchive's reading is ours, and its words are those of the errors. Only headers are held
//! in memory, up to [`MAX_EXTENSION_BYTES`] for one entry; content streams.

mod fields;
mod header;
mod pax;
mod sparse;

use std::io::{self, Read};

use super::{Entry, Kind};
use crate::object::PERMISSION_BITS;
use crate::source::compressed::Stream;
use fields::{BLOCK_BYTES, Chunk, damaged, malformed, truncated, without_nul};
use header::Header;
use pax::Extensions;

/// The most that the extended headers of one entry may take, in bytes. Linux limits the xattrs of a
/// file to far less.
pub const MAX_EXTENSION_BYTES: u64 = 16 << 20;

/// An archive that is being read.
pub(super) struct Archive {
    stream: Stream,
    /// The first block, which was read to recognise the format, or one that was looked at ahead of
    /// its time.
    ahead: Option<[u8; BLOCK_BYTES]>,
    content: Content,
}

/// What is left of the current entry in the stream.
#[derive(Debug, Default)]
struct Content {
    /// Bytes stored.
    stored: u64,
    /// Zeros after them, up to the end of the block.
    padding: u64,
    /// Bytes to hand out, holes included.
    size: u64,
    /// How many of them have been.
    position: u64,
    /// Where the stored bytes belong, from the last to the first.
    chunks: Vec<Chunk>,
}

impl Archive {
    /// An archive from its first byte. A stream without a single byte is an archive without
    /// entries.
    ///
    /// # Errors
    /// `Unrecognized archive format`.
    pub(super) fn open(mut stream: Stream) -> io::Result<Self> {
        let mut block = [0; BLOCK_BYTES];
        let ahead = match fill_block(&mut stream, &mut block)? {
            Filled::None => None,
            Filled::Whole if Header::new(&block).is_valid() || is_zero(&block) => Some(block),
            Filled::Whole | Filled::Partial => {
                return Err(io::Error::other("Unrecognized archive format"));
            }
        };
        Ok(Self { stream, ahead, content: Content::default() })
    }

    /// Goes to the next entry, skipping unread content of the previous one.
    ///
    /// # Errors
    /// When the archive is damaged or ends early.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        let mut extension_bytes = 0;
        loop {
            self.skip_content()?;
            let Some(block) = self.next_header()? else { return Ok(None) };
            let header = Header::new(&block);
            let size = header.size()?;
            if matches!(header.type_flag(), b'x' | b'X' | b'L' | b'K') {
                // Of one kind there may be any number.
                extension_bytes += size;
                if extension_bytes > MAX_EXTENSION_BYTES {
                    return Err(malformed());
                }
            }
            match header.type_flag() {
                b'x' | b'X' => extensions.add_records(&self.read_extension(size)?)?,
                b'L' => extensions.path = Some(without_nul(self.read_extension(size)?)),
                b'K' => extensions.link_path = Some(without_nul(self.read_extension(size)?)),
                // Global headers, access control lists and volume labels say nothing about an
                // entry.
                b'g' | b'A' | b'V' => self.content = Content::stored(size),
                _ => return self.entry(&header, extensions).map(Some),
            }
        }
    }

    /// Reads content of the current entry, as [`Read::read`] does.
    ///
    /// # Errors
    /// When the archive ends early.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let content = &mut self.content;
        let mut wanted = content.size - content.position;
        while let Some(chunk) = content.chunks.last()
            && chunk.offset + chunk.length <= content.position
        {
            content.chunks.pop();
        }
        let in_hole = match content.chunks.last() {
            None => true,
            Some(chunk) if content.position < chunk.offset => {
                wanted = wanted.min(chunk.offset - content.position);
                true
            }
            Some(chunk) => {
                wanted = wanted.min(chunk.offset + chunk.length - content.position);
                false
            }
        };
        let length =
            usize::try_from(wanted).map_or(buffer.len(), |wanted| wanted.min(buffer.len()));
        let buffer = &mut buffer[..length];
        if in_hole {
            buffer.fill(0);
        } else if length > 0 {
            let read = self.stream.read(buffer)?;
            if read == 0 {
                return Err(truncated());
            }
            content.stored -= read as u64;
            content.position += read as u64;
            return Ok(read);
        }
        content.position += length as u64;
        Ok(length)
    }

    /// The stream behind what has been read.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    fn entry(&mut self, header: &Header<'_>, extensions: Extensions) -> io::Result<Entry> {
        let stored = match extensions.size {
            Some(size) => size,
            None => header.size()?,
        };
        let path = extensions.path.clone().unwrap_or_else(|| header.path());
        let link_path = extensions.link_path.clone().unwrap_or_else(|| header.link_path());
        let kind = match header.type_flag() {
            b'1' => {
                self.content = if self.has_no_body(stored)? {
                    Content::default()
                } else {
                    Content::stored(stored)
                };
                Kind::HardLink { target: link_path, size: 0 }
            }
            b'2' => Kind::Symlink { target: link_path },
            b'3' | b'4' | b'6' => Kind::Special,
            b'5' => Kind::Directory,
            b'D' => {
                self.content = Content::stored(stored);
                Kind::Directory
            }
            // A name of an old archive that ends in a slash is a directory's.
            b'0' | 0 if path.ends_with(b"/") => {
                self.content = Content::stored(stored);
                Kind::Directory
            }
            _ => Kind::Regular { size: self.begin_regular(header, stored, &extensions)? },
        };
        Ok(Entry {
            path: extensions.sparse.name.clone().unwrap_or(path),
            kind,
            // Values that do not fit are truncated, as upstream.
            uid: extensions.uid.map_or_else(|| header.uid(), Ok)? as u32,
            gid: extensions.gid.map_or_else(|| header.gid(), Ok)? as u32,
            mode: header.mode()? as u32 & PERMISSION_BITS,
            xattrs: extensions.into_xattrs(),
        })
    }

    /// Prepares the content of a regular file, and returns its size.
    fn begin_regular(
        &mut self,
        header: &Header<'_>,
        stored: u64,
        extensions: &Extensions,
    ) -> io::Result<u64> {
        self.content = Content::stored(stored);
        let sparse = if header.type_flag() == b'S' {
            Some(self.old_gnu_map(header)?)
        } else if extensions.sparse.is_in_content() {
            let (map, map_bytes) = sparse::read_map(&mut self.stream.by_ref().take(stored))?;
            self.content.stored = stored.checked_sub(map_bytes).ok_or_else(truncated)?;
            Some((map, extensions.sparse.size.unwrap_or_default()))
        } else {
            extensions.sparse.map()?
        };
        match sparse {
            None => {
                self.content.size = stored;
                self.content.chunks = vec![Chunk { offset: 0, length: stored }];
            }
            Some((map, size)) => {
                sparse::check(&map, self.content.stored, size)?;
                self.content.size = size;
                self.content.chunks = map.into_iter().rev().collect();
            }
        }
        Ok(self.content.size)
    }

    fn old_gnu_map(&mut self, header: &Header<'_>) -> io::Result<(Vec<Chunk>, u64)> {
        let (mut map, mut is_continued) = header.sparse_map()?;
        while is_continued {
            let block = read_block(&mut self.stream)?.ok_or_else(truncated)?;
            let (more, again) = header::sparse_continuation(&block)?;
            map.extend(more);
            is_continued = again;
            sparse::check_length(&map)?;
        }
        Ok((map, header.real_size()?))
    }

    /// Whether the size of a hard link is only repeated from the file: pax may store the content
    /// again, others do not.
    fn has_no_body(&mut self, stored: u64) -> io::Result<bool> {
        if stored == 0 {
            return Ok(true);
        }
        let Some(block) = read_block(&mut self.stream)? else { return Ok(true) };
        self.ahead = Some(block);
        Ok(Header::new(&block).is_valid() || is_zero(&block))
    }

    /// The next header block; none at the end of the archive.
    fn next_header(&mut self) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
        let block = match self.ahead.take() {
            Some(block) => block,
            None => match read_block(&mut self.stream)? {
                Some(block) => block,
                None => return Ok(None),
            },
        };
        if is_zero(&block) {
            return Ok(None);
        }
        if Header::new(&block).is_valid() { Ok(Some(block)) } else { Err(damaged()) }
    }

    fn read_extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.by_ref().take(size).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < size {
            return Err(truncated());
        }
        self.content = Content { padding: padding(size), ..Content::default() };
        Ok(bytes)
    }

    fn skip_content(&mut self) -> io::Result<()> {
        let content = std::mem::take(&mut self.content);
        let mut left = content.stored + content.padding;
        if left > 0
            && let Some(block) = self.ahead.take()
        {
            // A block of content was taken for what might have been a header.
            left = left.saturating_sub(block.len() as u64);
        }
        let skipped = io::copy(&mut self.stream.by_ref().take(left), &mut io::sink())?;
        if skipped < left {
            let message =
                format!("Truncated input file (needed {left} bytes, only {skipped} available)");
            return Err(io::Error::other(message));
        }
        Ok(())
    }
}

impl Content {
    /// Content that is not handed out.
    fn stored(stored: u64) -> Self {
        Self { stored, padding: padding(stored), ..Self::default() }
    }
}

fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK_BYTES as u64
}

/// How much of a block there was.
enum Filled {
    None,
    Partial,
    Whole,
}

fn fill_block(stream: &mut Stream, block: &mut [u8; BLOCK_BYTES]) -> io::Result<Filled> {
    let mut filled = 0;
    while filled < BLOCK_BYTES {
        match stream.read(&mut block[filled..]) {
            Ok(0) => return Ok(if filled == 0 { Filled::None } else { Filled::Partial }),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Filled::Whole)
}

/// The next block, or none at the end of the stream.
fn read_block(stream: &mut Stream) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
    let mut block = [0; BLOCK_BYTES];
    match fill_block(stream, &mut block)? {
        Filled::None => Ok(None),
        Filled::Partial => Err(truncated()),
        Filled::Whole => Ok(Some(block)),
    }
}

fn is_zero(block: &[u8]) -> bool {
    block.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::Archive;

    /// A header for these bytes, the bytes, and the padding.
    fn entry(kind: u8, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_path("a").unwrap();
        header.set_entry_type(tar::EntryType::new(kind));
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        let mut bytes = [header.as_bytes(), content].concat();
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    #[test]
    fn the_headers_before_one_entry_are_limited_together() {
        let record = |length: usize| {
            format!("{length} comment={}\n", "x".repeat(length - "8000000 comment=\n".len()))
        };
        let third = entry(b'x', record(6_000_000).as_bytes());
        let file = entry(b'0', b"");
        let paths = |parts: &[&[u8]]| {
            let mut archive = Archive::open(Box::new(Cursor::new(parts.concat()))).unwrap();
            let entries = std::iter::from_fn(|| {
                archive.next_entry().map_err(|error| error.to_string()).transpose()
            });
            entries.map(|entry| entry.map(|entry| entry.path)).collect::<Result<Vec<_>, _>>()
        };
        let twice = [&third[..], &third, &file].concat();
        assert_eq!(paths(&[&twice, &twice]), Ok(vec![b"a".to_vec(), b"a".to_vec()]));
        let refused = Err("Rejecting malformed pax extended attributes".to_owned());
        assert_eq!(paths(&[&third, &twice]), refused);
        let long_names = [entry(b'L', b"x\0"), entry(b'K', &vec![b'x'; 10_000_000])].concat();
        assert_eq!(paths(&[&third, &long_names, &third, &file]), refused);
    }
}
