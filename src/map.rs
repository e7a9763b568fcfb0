//! Read-only mapping of a repository's own write-once files: the only unsafe code.
//!
//! Objects are never changed after they got their name, so a mapping of one stays what it was; nor
//! is a temporary file without a name that only its owner has open. Input trees are never mapped: a
//! file truncated underneath a mapping kills the process.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::FileExt;

use memmap2::Mmap;

/// Files of at least this many bytes are mapped; below, reading is quicker (measured, see the
/// crate's benches).
const MAP_THRESHOLD: u64 = 1 << 20;

/// The bytes of a whole file, read or mapped.
#[derive(Debug)]
pub enum FileBytes {
    /// The file was small and has been read.
    Read(Vec<u8>),
    /// The file is mapped.
    Mapped(Mmap),
}

/// Files of fewer bytes than this are read with one call, without asking for their size. Nearly all
/// metadata objects are that small.
const SMALL: usize = 4 << 10;

impl FileBytes {
    /// Reads a small file; `None` if it is empty or not small. The position in the file stays where
    /// it is. What is no regular file may be an error.
    pub(crate) fn of_small_object(file: &File) -> io::Result<Option<Self>> {
        let mut buffer = [0; SMALL];
        Ok(match file.read_at(&mut buffer, 0)? {
            length @ 1..SMALL => Some(Self::Read(buffer[..length].to_vec())),
            _ => None,
        })
    }

    /// Reads or maps `file`, a write-once file of the repository that is `size` bytes long.
    pub(crate) fn of_object(mut file: File, size: u64) -> io::Result<Self> {
        if size < MAP_THRESHOLD {
            return read(&mut file, size).map(Self::Read);
        }
        #[expect(unsafe_code, reason = "memmap2 cannot know that nobody changes the file")]
        // SAFETY: the file is an object or summary of the repository: it was complete before it got
        // its name and is only ever replaced by a rename, never written in place. Or it is a file
        // of the repository's `tmp` without a name, which its owner has finished. So the mapped
        // pages stay as they are.
        let map = unsafe { Mmap::map(&file) }?;
        Ok(Self::Mapped(map))
    }
}

/// Reads a file that is complete and not longer than `size`: its end need not be looked for.
fn read(file: &mut File, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..]) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    Ok(bytes)
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Read(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl AsRef<[u8]> for FileBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}
