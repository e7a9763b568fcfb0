//! One header block.

use std::io;

use tar::{GnuExtSparseHeader, GnuSparseHeader};

use super::fields::{BLOCK_BYTES, Chunk, checked_size, damaged, without_nul};

/// A header block, checked or not.
pub(super) struct Header<'b>(&'b tar::Header);

impl<'b> Header<'b> {
    pub(super) fn new(block: &'b [u8; BLOCK_BYTES]) -> Self {
        Self(tar::Header::from_byte_slice(block))
    }

    /// Whether the block carries the checksum of itself, which old programs computed with signed
    /// bytes.
    pub(super) fn is_valid(&self) -> bool {
        let Ok(expected) = self.0.cksum() else { return false };
        let bytes = self.0.as_bytes();
        let others = || bytes[..148].iter().chain(&bytes[156..]);
        let blanks = 8 * u32::from(b' ');
        let unsigned = others().map(|&byte| u32::from(byte)).sum::<u32>() + blanks;
        let signed =
            others().map(|&byte| i32::from(byte.cast_signed())).sum::<i32>() + blanks.cast_signed();
        expected == unsigned || i32::try_from(expected) == Ok(signed)
    }

    pub(super) fn type_flag(&self) -> u8 {
        self.0.as_old().linkflag[0]
    }

    pub(super) fn path(&self) -> Vec<u8> {
        self.0.path_bytes().into_owned()
    }

    pub(super) fn link_path(&self) -> Vec<u8> {
        without_nul(self.0.as_old().linkname.to_vec())
    }

    pub(super) fn size(&self) -> io::Result<u64> {
        number(&self.0.as_old().size, self.0.entry_size()).and_then(checked_size)
    }

    pub(super) fn uid(&self) -> io::Result<u64> {
        number(&self.0.as_old().uid, self.0.uid())
    }

    pub(super) fn gid(&self) -> io::Result<u64> {
        number(&self.0.as_old().gid, self.0.gid())
    }

    pub(super) fn mode(&self) -> io::Result<u64> {
        number(&self.0.as_old().mode, self.0.mode().map(u64::from))
    }

    /// The size of a sparse file of GNU's old format, holes included.
    pub(super) fn real_size(&self) -> io::Result<u64> {
        let header = self.0.as_gnu().ok_or_else(damaged)?;
        number(&header.realsize, header.real_size()).and_then(checked_size)
    }

    /// The first chunks of a sparse file of GNU's old format, and whether more follow in the next
    /// block.
    pub(super) fn sparse_map(&self) -> io::Result<(Vec<Chunk>, bool)> {
        let header = self.0.as_gnu().ok_or_else(damaged)?;
        Ok((chunks(&header.sparse)?, header.isextended[0] != 0))
    }
}

/// More chunks of a sparse file of GNU's old format, and whether yet more follow.
pub(super) fn sparse_continuation(block: &[u8; BLOCK_BYTES]) -> io::Result<(Vec<Chunk>, bool)> {
    let mut header = GnuExtSparseHeader::new();
    header.as_mut_bytes().copy_from_slice(block);
    Ok((chunks(header.sparse())?, header.isextended[0] != 0))
}

fn chunks(headers: &[GnuSparseHeader]) -> io::Result<Vec<Chunk>> {
    let used = headers.iter().take_while(|header| header.offset[0] != 0);
    let chunk = |header: &GnuSparseHeader| {
        let offset = header.offset().ok().ok_or_else(damaged)?;
        let length = number(&header.numbytes, header.length())?;
        Ok(Chunk { offset, length })
    };
    used.map(chunk).collect()
}

/// A field that holds nothing but blanks and NUL is zero.
fn number(field: &[u8], parsed: io::Result<u64>) -> io::Result<u64> {
    parsed.or_else(|_| {
        if field.iter().all(|byte| matches!(byte, 0 | b' ')) { Ok(0) } else { Err(damaged()) }
    })
}
