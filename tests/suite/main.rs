//! The test suite, one binary; each module is one capability. It needs all of the default features.
#![cfg(all(
    feature = "cli",
    feature = "archives",
    feature = "bench",
    feature = "compose",
    feature = "gpg",
    feature = "http",
    feature = "sign"
))]
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod archives;
mod bench;
mod checkout;
mod checkout_layers;
mod command_line;
mod compare;
mod completions;
mod compose_image;
mod compose_tree;
mod composefs;
mod contention;
mod cookies;
mod cpio_import;
mod create_usb;
mod damage;
mod deflate;
mod delta;
mod delta_generate;
mod delta_hostile;
mod delta_pairs;
mod delta_segments;
mod depth;
mod diff;
mod differential;
mod du;
mod export;
mod find_object;
mod find_remotes;
mod fsck;
mod fuzz_replay;
mod golden;
mod gpg_keys;
mod gvariant;
mod gvariant_oracle;
mod http;
mod interruption;
mod json;
mod labels;
mod library;
mod metalink;
mod progress;
mod prune;
mod prune_policy;
mod pull_http;
mod pull_limits;
mod pull_local;
mod pull_resume;
mod pull_seen;
mod pull_space;
mod push;
mod reading;
mod remote;
mod repair;
mod repository;
mod serve;
mod sign;
mod sign_cli;
mod sign_gpg;
mod signing;
mod source;
mod stat_cache;
mod summary;
mod support;
mod swapped;
mod tar_import;
mod threads;
mod tidy;
mod trees;
mod trivial_httpd;
mod unreadable;
mod upstream;
mod variant_text;
