//! Cpio archives.
//!
//! ```text
//! format            header                                                        name and content padded to
//! newc 070701       13 numbers of 8 hexadecimal digits after the magic               4 bytes
//! crc  070702       the same, with a sum of the content's bytes                      4 bytes
//! odc  070707       octal digits: dev ino mode uid gid nlink rdev (6 each), mtime (11), name size (6), size (11)   1
//! binary 0o070707   13 words of 16 bits in either byte order; 32-bit numbers have their high word first            2
//! ```
//!
//! The formats are described in cpio(5) of the BSDs and in the kernel's `buffer-format.rst`. A file
//! with several names is an entry for each of them, with the same device and inode, and its content
//! comes with some or all of them.

use std::collections::HashMap;
use std::io::{self, Read};

use super::{Entry, Kind};
use crate::object::{S_IFDIR, S_IFLNK, S_IFMT, S_IFREG};
use crate::source::compressed::Stream;

/// The number of bytes that identify the format.
pub(super) const MAGIC_BYTES: u64 = 6;

/// The name of the entry after the last.
const TRAILER: &[u8] = b"TRAILER!!!";

/// The longest name or link target that is taken, in bytes, as of libarchive; what may be committed
/// is shorter.
const MAX_TEXT_BYTES: u64 = 1 << 20;

/// What a file that more names are expected for takes in memory besides its name, in bytes.
const LINKED_BYTES: u64 = 128;

/// The encoding of headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// `newc` and `crc`.
    Hexadecimal,
    /// `odc`.
    Octal,
    /// The old binary form, least significant byte first.
    LittleEndian,
    /// The old binary form, most significant byte first.
    BigEndian,
}

impl Format {
    /// The format of an archive that starts with these bytes, if it is cpio.
    pub(super) fn of(magic: &[u8]) -> Option<Self> {
        Some(match magic {
            b"070701" | b"070702" => Self::Hexadecimal,
            b"070707" => Self::Octal,
            [0xc7, 0x71, ..] => Self::LittleEndian,
            [0x71, 0xc7, ..] => Self::BigEndian,
            _ => return None,
        })
    }

    /// Length of a header in bytes.
    fn header_bytes(self) -> usize {
        match self {
            Self::Hexadecimal => 110,
            Self::Octal => 76,
            Self::LittleEndian | Self::BigEndian => 26,
        }
    }

    /// Names (with the header before them) and contents are filled up to a multiple of this.
    fn alignment(self) -> u64 {
        match self {
            Self::Hexadecimal => 4,
            Self::Octal => 1,
            Self::LittleEndian | Self::BigEndian => 2,
        }
    }

    fn padding(self, bytes: u64) -> u64 {
        bytes.wrapping_neg() & (self.alignment() - 1)
    }
}

/// The numbers of a header that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    /// Device: one number, or major and minor.
    device: (u64, u64),
    inode: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    links: u64,
    size: u64,
    name_bytes: u64,
}

impl Header {
    /// Reads a header, magic included; `None` if it is none.
    fn decode(format: Format, bytes: &[u8]) -> Option<Self> {
        match format {
            Format::Hexadecimal => {
                let (magic, digits) = bytes.split_at_checked(6)?;
                if !matches!(magic, b"070701" | b"070702") {
                    return None;
                }
                let mut fields = [0; 13];
                for (field, digits) in fields.iter_mut().zip(digits.chunks_exact(8)) {
                    *field = number(digits, 16)?;
                }
                let [inode, mode, uid, gid, links, _, size, major, minor, _, _, name_bytes, _] =
                    fields;
                Self::of((major, minor), [inode, mode, uid, gid, links, size, name_bytes])
            }
            Format::Octal => {
                const WIDTHS: [usize; 11] = [6, 6, 6, 6, 6, 6, 6, 6, 11, 6, 11];
                let mut rest = bytes;
                let mut fields = [0; 11];
                for (field, width) in fields.iter_mut().zip(WIDTHS) {
                    let (digits, after) = rest.split_at_checked(width)?;
                    (*field, rest) = (number(digits, 8)?, after);
                }
                let [magic, device, inode, mode, uid, gid, links, _, _, name_bytes, size] = fields;
                (magic == 0o070_707).then(|| {
                    Self::of((device, 0), [inode, mode, uid, gid, links, size, name_bytes])
                })?
            }
            Format::LittleEndian | Format::BigEndian => {
                let mut words = [0; 13];
                for (word, &pair) in words.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    let read = if format == Format::LittleEndian {
                        u16::from_le_bytes
                    } else {
                        u16::from_be_bytes
                    };
                    *word = u64::from(read(pair));
                }
                let [magic, device, inode, mode, uid, gid, links, _, _, _, name_bytes, high, low] =
                    words;
                let size = high << 16 | low;
                (magic == 0o070_707).then(|| {
                    Self::of((device, 0), [inode, mode, uid, gid, links, size, name_bytes])
                })?
            }
        }
    }

    fn of(
        device: (u64, u64),
        [inode, mode, uid, gid, links, size, name_bytes]: [u64; 7],
    ) -> Option<Self> {
        let narrow = |number| u32::try_from(number).ok();
        let (mode, uid, gid) = (narrow(mode)?, narrow(uid)?, narrow(gid)?);
        Some(Self { device, inode, mode, uid, gid, links, size, name_bytes })
    }
}

/// A number of nothing but digits.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    digits.iter().try_fold(0, |value: u64, &digit| {
        let digit = char::from(digit).to_digit(radix)?;
        value.checked_mul(u64::from(radix))?.checked_add(u64::from(digit))
    })
}

/// A file that more names are expected for.
struct Linked {
    name: Vec<u8>,
    names_left: u64,
}

/// A cpio archive that is being read.
pub(super) struct Archive {
    stream: Stream,
    format: Format,
    /// Bytes of the current entry's content that have not been read.
    content: u64,
    /// Bytes after it up to the next header.
    padding: u64,
    /// By device and inode.
    linked: HashMap<((u64, u64), u64), Linked>,
    /// Bytes that `linked` takes.
    linked_bytes: u64,
    ended: bool,
}

impl Archive {
    /// An archive of this format from its first byte.
    pub(super) fn new(stream: Stream, format: Format) -> Self {
        Self {
            stream,
            format,
            content: 0,
            padding: 0,
            linked: HashMap::new(),
            linked_bytes: 0,
            ended: false,
        }
    }

    /// Goes to the next entry, skipping unread content of the previous one.
    ///
    /// # Errors
    /// When the archive is damaged or ends early: the end has an entry of its own.
    pub(super) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if self.ended {
            return Ok(None);
        }
        self.skip(self.content + self.padding)?;
        (self.content, self.padding) = (0, 0);
        let mut bytes = vec![0; self.format.header_bytes()];
        self.stream.read_exact(&mut bytes).map_err(ended_early)?;
        let header = Header::decode(self.format, &bytes).ok_or_else(damaged)?;
        let mut name = self.read_text(header.name_bytes)?;
        self.skip(self.format.padding(bytes.len() as u64 + header.name_bytes))?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        if name == TRAILER {
            self.ended = true;
            return Ok(None);
        }
        (self.content, self.padding) = (header.size, self.format.padding(header.size));
        let kind = self.kind(&header, &name)?;
        let Header { mode, uid, gid, .. } = header;
        Ok(Some(Entry { path: name, kind, uid, gid, mode: mode & !S_IFMT, xattrs: Vec::new() }))
    }

    /// The stream behind what has been read.
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    /// Bytes that files take that more names are expected for.
    pub(super) fn held_bytes(&self) -> u64 {
        self.linked_bytes
    }

    fn kind(&mut self, header: &Header, name: &[u8]) -> io::Result<Kind> {
        let kind = match header.mode & S_IFMT {
            S_IFREG => Kind::Regular { size: header.size },
            S_IFDIR => Kind::Directory,
            S_IFLNK => {
                let target = self.read_text(header.size)?;
                self.content = 0;
                Kind::Symlink { target }
            }
            _ => Kind::Special,
        };
        Ok(match self.first_name(header, name) {
            None => kind,
            Some(target) => match kind {
                Kind::Regular { size } => Kind::HardLink { target, size },
                Kind::Symlink { .. } => Kind::HardLink { target, size: 0 },
                // Directories have one name.
                _ => Kind::Special,
            },
        })
    }

    /// The name under which the file came before, if it did.
    fn first_name(&mut self, header: &Header, name: &[u8]) -> Option<Vec<u8>> {
        if header.links < 2 {
            return None;
        }
        let key = (header.device, header.inode);
        match self.linked.get_mut(&key) {
            None => {
                self.linked_bytes += LINKED_BYTES + name.len() as u64;
                self.linked
                    .insert(key, Linked { name: name.to_owned(), names_left: header.links - 1 });
                None
            }
            // Inode numbers that did not fit the header repeat, so a file's names are counted.
            Some(Linked { names_left: 1, .. }) => {
                let name = self.linked.remove(&key)?.name;
                self.linked_bytes =
                    self.linked_bytes.saturating_sub(LINKED_BYTES + name.len() as u64);
                Some(name)
            }
            Some(linked) => {
                linked.names_left -= 1;
                Some(linked.name.clone())
            }
        }
    }

    /// Reads content of the current entry, as [`Read::read`] does.
    ///
    /// # Errors
    /// When the archive ends early.
    pub(super) fn read_content(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length =
            usize::try_from(self.content).map_or(buffer.len(), |left| left.min(buffer.len()));
        if length == 0 {
            return Ok(0);
        }
        let read = self.stream.read(&mut buffer[..length])?;
        if read == 0 {
            return Err(truncated());
        }
        self.content -= read as u64;
        Ok(read)
    }

    fn read_text(&mut self, bytes: u64) -> io::Result<Vec<u8>> {
        if bytes > MAX_TEXT_BYTES {
            return Err(io::Error::other(
                "Rejecting malformed cpio archive: a name or symlink target is too long",
            ));
        }
        let mut text = Vec::new();
        self.stream.by_ref().take(bytes).read_to_end(&mut text)?;
        if (text.len() as u64) < bytes { Err(truncated()) } else { Ok(text) }
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.stream.by_ref().take(bytes), &mut io::sink())?;
        if skipped < bytes { Err(truncated()) } else { Ok(()) }
    }
}

fn ended_early(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof { truncated() } else { error }
}

fn truncated() -> io::Error {
    io::Error::other("Truncated cpio archive")
}

fn damaged() -> io::Error {
    io::Error::other("Damaged cpio archive")
}
