//! The test suite, one binary; each module is one capability.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod checkout;
mod command_line;
mod compare;
mod completions;
mod compose_image;
mod compose_tree;
mod composefs;
mod cpio_import;
mod damage;
mod deflate;
mod diff;
mod differential;
mod export;
mod fsck;
mod fuzz_replay;
mod golden;
mod gvariant;
mod gvariant_oracle;
mod interruption;
mod json;
mod labels;
mod prune;
mod pull_local;
mod reading;
mod remote;
mod repository;
mod source;
mod stat_cache;
mod summary;
mod support;
mod tar_import;
mod tidy;
mod trees;
mod upstream;
mod variant_text;
