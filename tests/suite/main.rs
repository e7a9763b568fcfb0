//! The test suite, one binary; each module is one capability.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

mod golden;
mod repository;
mod source;
mod support;
mod tidy;
mod upstream;
mod variant_text;
