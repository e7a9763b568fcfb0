//! What RFC 1951 allows a match to be.

/// Matches are nearer than this, in bytes; RFC 1951 would allow it, too.
pub(super) const REACH: usize = 1 << 15;
/// The longest match, in bytes.
pub(super) const MAX_MATCH: usize = 258;
