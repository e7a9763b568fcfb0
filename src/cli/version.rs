//! `--version`.

use super::error::Failure;
use super::name::stands_in_for_ostree;
use super::output::Output;

/// The ostree release whose behaviour osier follows.
pub(super) const OSTREE_VERSION: &str = "2026.4";

/// The features of osier among those that `ostree --version` may list.
const FEATURES: &[&str] = &[
    "composefs",
    #[cfg(feature = "gpg")]
    "gpgme",
    #[cfg(feature = "archives")]
    "libarchive",
    "sign-ed25519",
    "sign-spki",
];

/// Prints the block that `ostree --version` prints, after osier's own version unless the program is
/// called `ostree`.
///
/// Written at once, because scripts pipe this into programs that stop reading at the first match.
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
