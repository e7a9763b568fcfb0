//! How containers are laid out, for those who take them apart.

use super::Type;

/// How many containers may enclose each other through variants, counted as GLib does.
pub(super) const MAX_DEPTH: usize = 127;

/// Takes a serialised variant apart: the type, and the bytes of what it holds.
pub(super) fn split_variant(bytes: &[u8]) -> Option<(Type<'_>, &[u8])> {
    let zero = bytes.iter().rposition(|&byte| byte == 0)?;
    let (content, rest) = bytes.split_at_checked(zero)?;
    let text = std::str::from_utf8(rest.get(1..)?).ok()?;
    Some((Type::parse(text).ok()?, content))
}

/// The width of the framing offsets in a container of that many bytes.
#[inline]
pub(crate) fn width_in(length: usize) -> usize {
    match length {
        0..=0xff => 1,
        0x100..=0xffff => 2,
        0x1_0000..=0xffff_ffff => 4,
        _ => 8,
    }
}

/// The framing offset at `at`; `None` if it is not inside the container.
#[inline]
pub(crate) fn offset_at(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    // One arm for each width is much quicker than copying a number of bytes that is not known
    // beforehand.
    match width {
        1 => bytes.get(at).map(|&byte| usize::from(byte)),
        2 => field_at(bytes, at).map(|field| usize::from(u16::from_le_bytes(field))),
        4 => field_at(bytes, at).and_then(|field| usize::try_from(u32::from_le_bytes(field)).ok()),
        _ => field_at(bytes, at).and_then(|field| usize::try_from(u64::from_le_bytes(field)).ok()),
    }
}

/// The next multiple of a power of two. The library's function for any number divides, which is
/// slow.
#[inline]
pub(super) fn align(at: usize, alignment: usize) -> Option<usize> {
    at.checked_add(alignment - 1).map(|end| end & !(alignment - 1))
}

#[inline]
fn field_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}
