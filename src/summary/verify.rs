//! Whether a summary of a remote has the signatures that the remote's configuration demands.

use crate::error::{Error, Result};
use crate::gvariant::Dict;
use crate::sign::{Policy, PolicyError};

/// Who asks; upstream's messages differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A pull.
    Pull,
    /// A command that shows the summary.
    Viewer,
}

const FOR_PULL: &str = "(use gpg-verify-summary=false in remote config to disable)";
const FOR_VIEWER: &str = "(check that the configured URL in remote config is correct)";

/// Verifies the bytes of a summary with those of its `summary.sig`.
///
/// # Errors
/// In upstream's words when one of them is missing, or a demanded signature is.
pub fn verify(
    policy: &Policy,
    summary: Option<&[u8]>,
    signature: Option<&[u8]>,
    asker: Asker,
) -> Result<()> {
    let failed = |text: String| Err(Error::failed(text));
    if policy.demands_gpg() {
        match (summary, signature, asker) {
            (None, _, Asker::Pull) => {
                return failed(format!(
                    "GPG verification enabled, but no summary found {FOR_PULL}"
                ));
            }
            (None, _, Asker::Viewer) => {
                return failed(format!(
                    "GPG verification enabled, but no summary found {FOR_VIEWER}"
                ));
            }
            (Some(_), None, Asker::Pull) => {
                return failed(format!(
                    "GPG verification enabled, but no summary.sig found {FOR_PULL}"
                ));
            }
            (Some(_), None, Asker::Viewer) => {
                return failed(format!(
                    "GPG verification enabled, but no summary signatures found {FOR_PULL}"
                ));
            }
            (Some(_), Some(_), _) => {}
        }
    }
    if !policy.engines.is_empty() {
        let to_disable = "(use sign-verify-summary=false in remote config to disable)";
        match (summary, signature, asker) {
            (Some(_), Some(_), _) => {}
            // With OpenPGP signatures demanded as well, theirs are looked at first.
            (_, _, Asker::Pull) => {
                return failed(format!(
                    "Signatures verification enabled, but no summary.sig found {to_disable}"
                ));
            }
            (None, _, Asker::Viewer) => {
                return failed(format!(
                    "Signature verification enabled, but no summary found {FOR_VIEWER}"
                ));
            }
            (Some(_), None, Asker::Viewer) => {
                return failed(format!(
                    "Signature verification enabled, but no summary signatures found {to_disable}"
                ));
            }
        }
    }
    let (Some(summary), Some(signature)) = (summary, signature) else { return Ok(()) };
    // What cannot be read has no signatures.
    let signatures = Dict::decode(signature).unwrap_or_default();
    policy
        .verify(summary, Some(&signatures))
        .map(drop)
        .map_err(|error: PolicyError| Error::failed(error.to_string()))
}
