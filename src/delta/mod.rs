//! Static deltas: made, applied, described and verified. What they look like is in
//! [`delta_format`](crate::delta_format); their names and indexes in a repository are in
//! [`repo::deltas`](crate::repo::deltas).
//!
//! # For those who fetch deltas
//!
//! A superblock that has been fetched is taken apart by [`Envelope::decode`], which also knows
//! signed ones, and [`Superblock::decode`](crate::delta_format::Superblock::decode), which checks
//! all of its structure. Left to the caller: the digest of the file (`Invalid checksum for static
//! delta NAME`), that the delta is the one that was asked for, that the commit to start from is
//! complete, the fallbacks ([`Fallback::file`](crate::delta_format::Fallback::file)), the free
//! space, and [`apply_commit`], once the commit has been verified and marked as partial.
//!
//! Then, for each part of [`Superblock::parts`](crate::delta_format::Superblock) in order:
//!
//! ```no_run
//! # fn fetch(path: &str, _size: u64) -> std::io::Result<std::fs::File> { std::fs::File::open(path) }
//! use osier::delta::{self, PartBytes};
//! use osier::delta_format::Superblock;
//! use osier::repo::Transaction;
//!
//! # fn example(transaction: &Transaction, superblock: &Superblock) -> Result<(), Box<dyn std::error::Error>> {
//! for (number, header) in superblock.parts.iter().enumerate() {
//!     if delta::is_present(transaction, header)? {
//!         continue;
//!     }
//!     match superblock.inlined_part(number) {
//!         Some(part) => delta::apply_part(transaction, header, PartBytes::Inlined(part))?,
//!         None => {
//!             // At most this many bytes belong to it.
//!             let mut file = fetch(&superblock.name().part_path(number), header.size)?;
//!             delta::apply_part(transaction, header, PartBytes::File(&mut file))?
//!         }
//!     };
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The bytes are decompressed while they come and hashed at the same time; not an operation is
//! executed before the whole file has the checksum of the header. A payload of more than 32 MiB
//! goes through a file without a name in `tmp`. Every object is verified before it is stored, so a
//! wrong delta stores nothing wrong; it may store less than its headers say, which a scan of the
//! commit finds. Parts may be applied from several threads at once, as long as none of them reads
//! files that another one makes; no known generator makes such deltas.

mod apply;
mod check;
mod complete;
mod cost;
mod envelope;
mod generate;
mod machine;
mod parts;
mod payload;
mod show;
mod source;
mod spool;
#[cfg(test)]
mod tests;
mod units;

pub use apply::{ApplyOptions, Requirement, apply_commit, apply_offline};
pub use check::check;
pub use cost::{DeltaCost, cost};
pub use envelope::{DeltaFile, Envelope, verify};
pub use generate::{Comparison, GenerateOptions, GenerateStats, KindStats, Target, generate};
pub use machine::PartStats;
pub use parts::{ApplyStats, apply_part, is_present};
pub use payload::PartBytes;
pub use show::{DeltaDescription, OperationCounts, PartDescription, PayloadDescription, describe};

use crate::error::Error;
use crate::gvariant::DecodeError;

/// What is wrong with a delta, in upstream's words.
fn refused(error: DecodeError) -> Error {
    Error::failed(error.what)
}
