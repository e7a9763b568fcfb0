//! `--version`.

use super::error::Failure;
use super::name::stands_in_for_ostree;
use super::output::Output;

/// The release of ostree whose behaviour osier has.
const OSTREE_VERSION: &str = "2026.4";

/// Those of the features that `ostree --version` may list that osier has.
const FEATURES: &[&str] = &["composefs", "libarchive"];

/// Prints the block that `ostree --version` prints, after osier's own version unless the program is
/// called `ostree`.
///
/// All in one piece: scripts pipe this into programs that stop reading at the first match.
pub(super) fn print(program: &str, out: &Output) -> Result<(), Failure> {
    let mut text = String::new();
    if !stands_in_for_ostree(program) {
        text.push_str(concat!("osier ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    text.push_str(&format!("libostree:\n Version: '{OSTREE_VERSION}'\n Features:\n"));
    for feature in FEATURES {
        text.push_str(&format!("  - {feature}\n"));
    }
    out.write_str(&text)
}
