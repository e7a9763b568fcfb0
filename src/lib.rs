//! OSTree repository tooling in pure Rust: what the `ostree` command does to a repository, byte for
//! byte, in parallel.
//!
//! # The layers
//!
//! Each uses only modules in rows above its own (`tests/suite/tidy.rs` reads the table and checks
//! it):
//!
//! | what | modules |
//! | --- | --- |
//! | bytes | [`checksum`], [`gvariant`] with the error of all decoders; `dir`: files by directory descriptors |
//! | bytes from outside | [`input`]: as much as is allowed, quoted in errors |
//! | text and formats | [`keyfile`], [`refspec`], [`pattern`], [`date`], [`deflate`], [`units`]; `map`: files in memory |
//! | objects as values, no I/O | [`object`] |
//! | static deltas as values, no I/O | [`delta_format`] |
//! | events and errors, HTTP | [`error`], [`progress`], [`http`] |
//! | helpers | `threads`: the pool; [`process`]: other programs, run and asked; `trial`: what comparing and measuring share |
//! | signatures, without a repository | [`signer`]: what signs |
//! | engines and keys of signatures | [`sign`] |
//! | the repository on disk: opens, reads, writes, lists and moves refs, and nothing else | [`repo`] |
//! | trees as entries and images | [`source`], [`labels`], [`composefs`] |
//! | remotes of a repository, and getting their files | [`remote`] |
//! | the summary of a repository, and of a remote | [`summary`] |
//! | objects as JSON | `json` |
//! | operations, free functions that take a repository | [`commit`], [`checkout`], [`delta`], [`diff`], [`mod@du`], [`export`], [`find_object`], [`fsck`], [`prune`], [`refs`] |
//! | operations on two repositories | [`pull`], [`push`] |
//! | repairing, which is checking and fetching | [`mod@repair`] |
//! | comparing, measuring, packages to a published tree and a disk image, a repository over HTTP | [`mod@compare`], [`mod@bench`], [`compose`], [`serve`] |
//! | the command line, which belongs to the program | `cli` |
//!
//! A tree is walked with [`repo::walk::entries`] and a history with [`repo::walk::history`];
//! [`repo::read_file`] reads one file by its path. `docs/library.md` has an example for each.
//!
//! # Features
//!
//! All but the last two are on unless `default-features = false` is set; without any the library is
//! small.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `archives` | commits of tar and cpio archives, compressed or not |
//! | `bench` | [`mod@bench`] |
//! | `compose` | [`compose`] |
//! | `dates` | [`date`] |
//! | `delta` | [`delta`]: static deltas are applied |
//! | `gpg` | OpenPGP signatures |
//! | `http` | [`http`] |
//! | `sign` | [`sign`]: ed25519 and spki signatures |
//! | `pull` | [`pull::pull_http`] |
//! | `serve` | [`serve`] |
//! | `cli` | the program |
//! | `s3` | [`push`] into object stores |
//! | `tls-ring` | TLS with ring, on processors that graviola does not know |
//!
//! The command line is not part of the library: the program has it for itself, behind the feature
//! `cli`. The library never prints, never ends the process and never reads the environment.
//!
//! # A worked example
//!
//! A tree is committed into a new archive, described by a summary, verified, and checked out again:
//!
//! ```
//! use osier::checkout::{CheckoutOptions, checkout};
//! use osier::commit::{CommitOptions, Description, Source, commit};
//! use osier::fsck::{FsckOptions, fsck};
//! use osier::progress::Silent;
//! use osier::refspec::Refspec;
//! use osier::repo::{Repo, RepoMode};
//! use osier::summary;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let scratch = tempfile::tempdir()?;
//! let (tree, path) = (scratch.path().join("tree"), scratch.path().join("repo"));
//! std::fs::create_dir(&tree)?;
//! std::fs::write(tree.join("hello"), "Hello, world!\n")?;
//!
//! let repo = Repo::create(&path, RepoMode::Archive, None)?;
//! let options = CommitOptions {
//!     branch: Some(Refspec::parse("exampleos/22/x86_64/host")?),
//!     sources: vec![Source::Directory(tree)],
//!     ..CommitOptions::new(Description { subject: "Compose 22.1".to_owned(), ..Description::new(1_700_000_000) })
//! };
//! let committed = commit(&repo, &options, &Silent)?.commit;
//! assert_eq!(repo.resolve_rev("exampleos/22/x86_64/host")?, committed);
//!
//! summary::update(&repo, &summary::UpdateOptions { now: 1_700_000_000, ..Default::default() })?;
//! assert!(!fsck(&repo, &FsckOptions::default(), &Silent)?.corrupted);
//!
//! let options = CheckoutOptions { user_mode: true, ..CheckoutOptions::default() };
//! checkout(&repo, &committed, &scratch.path().join("out"), &options, &Silent)?;
//! assert_eq!(std::fs::read(scratch.path().join("out/hello"))?, b"Hello, world!\n");
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "bench")]
pub mod bench;
pub mod checkout;
pub mod checksum;
pub mod commit;
pub mod compare;
#[cfg(feature = "compose")]
pub mod compose;
pub mod composefs;
#[cfg(feature = "dates")]
pub mod date;
pub mod deflate;
#[cfg(feature = "delta")]
pub mod delta;
pub mod delta_format;
pub mod diff;
mod dir;
pub mod du;
pub mod error;
pub mod export;
pub mod find_object;
pub mod fsck;
pub mod gvariant;
#[cfg(feature = "http")]
pub mod http;
pub mod input;
#[cfg(any(feature = "cli", feature = "serve"))]
pub mod json;
pub mod keyfile;
pub mod labels;
mod map;
pub mod object;
pub mod pattern;
pub mod process;
pub mod progress;
pub mod prune;
pub mod pull;
pub mod push;
pub mod refs;
pub mod refspec;
pub mod remote;
pub mod repair;
pub mod repo;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "sign")]
pub mod sign;
pub mod signer;
pub mod source;
pub mod summary;
mod threads;
mod trial;
pub mod units;

/// The examples of `docs/library.md`, for `cargo test`.
#[cfg(doctest)]
#[doc = include_str!("../docs/library.md")]
struct LibraryPage;

pub use checksum::Checksum;
pub use error::{Error, Result};
