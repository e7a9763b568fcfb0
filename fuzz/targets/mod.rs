//! What each fuzz target does with its bytes. Errors are fine; a panic, a hang, memory out of
//! proportion, or a value that does not come back is a bug.
//!
//! The programs in `fuzz_targets` call these, and so does the test that replays every file of
//! `corpus`.

mod archive;
mod compose;
mod deflate;
mod delta;
mod gvariant;
mod objects;
mod openpgp;
mod oracle;
mod remote;
mod sign;
mod stat_cache;
mod text;

pub use archive::{archive, pax};
pub use compose::kickstart;
pub use deflate::deflate;
pub use delta::{bspatch, delta_index, delta_part, delta_superblock, xz};
pub use gvariant::{gvariant, typed, variant_text};
pub use objects::{commit, detached, dirmeta, dirtree, filez, summary};
pub use openpgp::openpgp;
pub use oracle::gvariant_oracle;
pub use remote::metalink;
pub use sign::{key_file, signatures, spki};
pub use stat_cache::stat_cache;
pub use text::{config, date, file_contexts, overrides, refspec};

/// What takes the fuzzer's bytes.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 29] = [
    ("archive", archive),
    ("bspatch", bspatch),
    ("commit", commit),
    ("config", config),
    ("date", date),
    ("deflate", deflate),
    ("delta_index", delta_index),
    ("delta_part", delta_part),
    ("delta_superblock", delta_superblock),
    ("detached", detached),
    ("dirmeta", dirmeta),
    ("dirtree", dirtree),
    ("file_contexts", file_contexts),
    ("filez", filez),
    ("gvariant", gvariant),
    ("gvariant_oracle", gvariant_oracle),
    ("key_file", key_file),
    ("kickstart", kickstart),
    ("metalink", metalink),
    ("openpgp", openpgp),
    ("overrides", overrides),
    ("pax", pax),
    ("refspec", refspec),
    ("signatures", signatures),
    ("spki", spki),
    ("stat_cache", stat_cache),
    ("summary", summary),
    ("variant_text", variant_text),
    ("xz", xz),
];
