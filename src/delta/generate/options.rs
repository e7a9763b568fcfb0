//! How a delta is made.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use crate::delta_format::ByteOrder;
use crate::signer::Signer;

/// The unit of sizes in upstream's options, in bytes.
const MEGABYTE: u64 = 1_000_000;

/// Options of [`generate`](super::generate). The defaults are upstream's.
#[derive(Clone, Debug)]
pub struct GenerateOptions {
    /// When the delta is made, in seconds since 1970.
    pub timestamp: u64,
    /// Whether the parts are put into the superblock.
    pub inline: bool,
    /// How files are compared whose blocks are not those of an old file.
    pub comparison: Comparison,
    /// Larger files are not in the delta but are to be fetched by themselves; in bytes, 0 for no
    /// limit. Files that are compared with an old one are always in the delta.
    pub min_fallback_size: u64,
    /// A part ends before the object that would make it larger, in bytes before compression.
    pub max_chunk_size: u64,
    /// The byte order of numbers in the superblock.
    pub byte_order: ByteOrder,
    /// The superblock's file, if it is not to be in the repository; parts go beside it.
    pub file: Option<PathBuf>,
    /// The delta is dropped if what a client fetches of it, the superblock left out, is more than
    /// so many hundredths of what the new objects take in the repository.
    pub if_smaller: Option<u64>,
    /// What signs the superblock.
    pub signers: Vec<Arc<dyn Signer>>,
    /// How many threads work; by default as many as there are processors. The delta does not depend
    /// on it.
    pub threads: Option<NonZeroUsize>,
    /// How many bytes of memory the work may take at once, but for some constant need; by default a
    /// quarter of the machine's, at least 1 GiB. A pair of files for which it does not suffice is
    /// not compared.
    pub memory: Option<u64>,
}

/// How files are compared whose blocks are not those of an old file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// With bsdiff, if both files together are not larger than that, in bytes.
    Bsdiff {
        /// See above.
        max_size: u64,
    },
    /// Not at all.
    None,
}

impl GenerateOptions {
    /// The defaults, for a delta that is made at that time (in seconds since 1970).
    pub fn new(timestamp: u64) -> Self {
        Self {
            timestamp,
            inline: false,
            comparison: Comparison::Bsdiff { max_size: 128 * MEGABYTE },
            min_fallback_size: 4 * MEGABYTE,
            max_chunk_size: 32 * MEGABYTE,
            byte_order: ByteOrder::Little,
            file: None,
            if_smaller: None,
            signers: Vec::new(),
            threads: None,
            memory: None,
        }
    }

    /// The memory that may be taken, in bytes.
    pub(super) fn memory_limit(&self) -> u64 {
        const LEAST: u64 = 1 << 30;
        self.memory.unwrap_or_else(|| {
            let info = rustix::system::sysinfo();
            let total = (info.totalram as u64).saturating_mul(u64::from(info.mem_unit));
            LEAST.max(total / 4)
        })
    }
}
