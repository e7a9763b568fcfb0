//! Static deltas as values: superblocks, parts, operations, patches, signed superblocks, indexes
//! and names. Bytes to values and back, no I/O (docs/format.md, section 14).
//!
//! ```text
//! superblock      (a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))     [`Superblock`], [`PartHeader`], [`Fallback`]
//! signed          (taya{sv})                      "OSTSGNDT", a superblock, signatures     [`Signed`]
//! part file       (yay)                           [`Compression`], then the payload
//! payload         (a(uuu)aa(ayay)ayay)            [`Payload`]: modes, xattrs, blob, operations
//! operations      a letter and varints each       [`Operations`], [`Operation`]
//! patch           what `B` applies, as bsdiff writes it      [`Patch`]
//! index           a{sv}                           [`DeltaIndex`]
//! ```
//!
//! Everything is read as GLib reads untrusted bytes: what is broken has the default value of its
//! type. So a file that is no superblock is one without a checksum, and refused as upstream does.
//! Nothing is allocated from a number in the bytes.
//!
//! # For writers
//!
//! A part is a [`PayloadWriter`] that was filled with operations, or a [`Payload`] made of what was
//! prepared elsewhere; its file is the byte of a [`Compression`] and the compressed bytes. A
//! superblock is a [`Superblock`] whose metadata has, in this order, keys of the user,
//! [`ENDIANNESS`], inlined parts under [`DeltaName::part_path`], and the detached metadata of the
//! commit under [`DeltaName::commitmeta_path`].

mod byte_order;
#[cfg(test)]
mod golden;
mod index;
mod name;
mod operation;
mod part;
mod patch;
mod signed;
mod superblock;

pub use byte_order::{ByteOrder, Endianness};
pub use index::{DeltaIndex, STATIC_DELTAS, deltas_in_map, map_of_deltas};
pub use name::{DeltaName, index_path};
pub use operation::{Operation, Operations, Slice};
pub use part::{Compression, Mode, Payload, PayloadWriter};
pub use patch::{Patch, PatchRecord, put_difference};
pub use signed::{SIGNATURE_PREFIX, Signed};
pub use superblock::{
    ENDIANNESS, Fallback, InlinedParts, ObjectList, PartHeader, SUPERBLOCK_TYPE, Superblock,
};

use crate::checksum::Checksum;
use crate::gvariant::{DecodeError, Variant};
use crate::object::ObjectType;

/// The type of a part file, and of an inlined part.
pub const PART_TYPE: &str = "(yay)";

/// The checksum that an `ay` holds.
fn checksum_in(member: Option<Variant<'_>>) -> Result<Checksum, DecodeError> {
    let bytes = bytes_in(member);
    Checksum::from_slice(bytes).ok_or_else(|| {
        DecodeError::new(format!("Invalid checksum of length {} expected 32", bytes.len()))
    })
}

fn bytes_in<'a>(member: Option<Variant<'a>>) -> &'a [u8] {
    member.and_then(|member| member.as_bytes()).unwrap_or_default()
}

/// The type of an object that a delta may bring.
fn object_type(number: u8) -> Result<ObjectType, DecodeError> {
    ObjectType::from_number(number)
        .filter(|object_type| *object_type <= ObjectType::Commit)
        .ok_or_else(|| DecodeError::new(format!("Invalid object type '{number}'")))
}
