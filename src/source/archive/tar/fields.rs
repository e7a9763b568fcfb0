//! The parts of headers: numbers, texts, chunks, and their errors.

use std::io;

/// Everything in an archive is padded to this.
pub(super) const BLOCK_BYTES: usize = 512;

/// Bytes of a file that are stored; between chunks are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// No size may be so large that sums of two overflow.
pub(super) fn checked_size(size: u64) -> io::Result<u64> {
    if size > i64::MAX as u64 - BLOCK_BYTES as u64 { Err(damaged()) } else { Ok(size) }
}

/// A text up to its first NUL, unless it is empty.
pub(super) fn text(value: &[u8]) -> Option<Vec<u8>> {
    Some(without_nul(value.to_vec())).filter(|text| !text.is_empty())
}

/// A decimal number.
pub(super) fn number(value: &[u8]) -> io::Result<u64> {
    std::str::from_utf8(value).ok().and_then(|text| text.trim().parse().ok()).ok_or_else(malformed)
}

/// libarchive's words for records that do not follow the format.
pub(super) fn malformed() -> io::Error {
    io::Error::other("Rejecting malformed pax extended attributes")
}

/// Up to the first NUL.
pub(super) fn without_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}

pub(super) fn truncated() -> io::Error {
    io::Error::other("Truncated tar archive")
}

pub(super) fn damaged() -> io::Error {
    io::Error::other("Damaged tar archive")
}
