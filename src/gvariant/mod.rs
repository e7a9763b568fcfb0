//! GVariant, the serialisation of all metadata: reading, writing, normal form and GLib's dictionary
//! order.
//!
//! [`Type`] is a parsed type string, [`Variant`] a view of serialised bytes that copies nothing,
//! [`Value`] an owned value, [`Dict`] an `a{sv}` whose order is kept, [`Encoder`] writes containers
//! in one pass, [`table::HashTable`] iterates in the order of GLib's hash tables. The format is the
//! little-endian one of the GVariant specification.
//!
//! | type | bytes |
//! | --- | --- |
//! | numbers | little-endian, aligned to their size |
//! | `s` `o` `g` | UTF-8 and a NUL |
//! | `v` | the value, a NUL, its type string |
//! | `mT` | nothing; or the value, and a NUL unless its size is fixed |
//! | tuple, dict entry | members, aligned; then the ends of the variable ones but the last, in reverse |
//! | `aT` | elements, aligned; then the end of each, unless their size is fixed |
//!
//! The ends ("framing offsets") are as wide as the length of the whole container demands: 1, 2, 4
//! or 8 bytes.
//!
//! [`Variant::new`] reads any bytes by GLib's rule that a broken value reads as its type's default;
//! [`Variant::decode`] accepts only normal form, and is what bytes from outside go through.

mod decode;
mod dict;
mod encode;
mod framing;
mod normal;
pub mod table;
pub mod text;
mod types;
mod value;

pub use decode::{Children, Variant};
pub use dict::Dict;
pub(crate) use encode::offset_width;
pub use encode::{Encoder, Framing};
pub(crate) use framing::{offset_at, width_in};
pub use types::{Members, Type};
pub use value::Value;

/// Bytes or text that do not follow their format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DecodeError {
    /// What is wrong, in upstream's words where it has some (`Not normal form`).
    pub what: String,
    /// Where, in bytes from the start of the value, when that helps.
    pub offset: Option<usize>,
}

impl DecodeError {
    /// An error without a position.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), offset: None }
    }

    /// Upstream's message for bytes that are not in normal form.
    pub(crate) fn not_normal() -> Self {
        Self::new("Not normal form")
    }
}
