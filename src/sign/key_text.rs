//! How keys are written in files.
//!
//! ```text
//! ed25519   one base64 key a line, or (secret ones) PEM as OpenSSL writes it
//! spki      PEM: -----BEGIN PUBLIC KEY----- or -----BEGIN PRIVATE KEY-----; other text is ignored
//! dummy     one text a line
//! ```

use zeroize::Zeroizing;

use super::error::SignError;
use super::signature_type::SignatureType;
use super::{base64, ed25519};
use crate::input::quotable;

/// The bytes of a key, perhaps of a secret one.
pub(super) type KeyBytes = Zeroizing<Vec<u8>>;

/// Which keys a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Public,
    Secret,
}

/// The keys of a text, one after the other. The lengths are not looked at.
///
/// An error is the end, except that an empty line of ed25519 keys can be passed over.
pub(super) fn keys(
    signature_type: SignatureType,
    kind: Kind,
    text: &[u8],
) -> Box<dyn Iterator<Item = Result<KeyBytes, SignError>> + '_> {
    match signature_type {
        SignatureType::Ed25519 if kind == Kind::Secret && lines(text).any(is_pem_header) => {
            let key = |der: KeyBytes| ed25519::secret_of_pkcs8(&der);
            Box::new(Pem { lines: lines(text), kind }.map(move |der| der.and_then(key)))
        }
        SignatureType::Ed25519 => Box::new(lines(text).map(|line| match line {
            [] => Err(SignError::InvalidBlob),
            line => Ok(base64::decode(line)),
        })),
        SignatureType::Spki => Box::new(Pem { lines: lines(text), kind }),
        SignatureType::Dummy => {
            Box::new(lines(text).map(|line| Ok(Zeroizing::new(line.trim_ascii_end().to_vec()))))
        }
    }
}

/// The lines without their ends. What follows the last line feed is a line if it is not empty.
fn lines(text: &[u8]) -> std::slice::Split<'_, u8, fn(&u8) -> bool> {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let mut lines = body.split((|byte| *byte == b'\n') as fn(&u8) -> bool);
    if text.is_empty() {
        lines.next();
    }
    lines
}

fn label<'l>(line: &'l [u8], beginning: &[u8]) -> Option<&'l [u8]> {
    line.trim_ascii().strip_prefix(beginning)?.strip_suffix(b"-----")
}

fn is_pem_header(line: &[u8]) -> bool {
    label(line, b"-----BEGIN ").is_some()
}

/// The contents of the PEM blocks of a text.
struct Pem<'t> {
    lines: std::slice::Split<'t, u8, fn(&u8) -> bool>,
    kind: Kind,
}

impl Iterator for Pem<'_> {
    type Item = Result<KeyBytes, SignError>;

    fn next(&mut self) -> Option<Self::Item> {
        let header = self.lines.find_map(|line| label(line, b"-----BEGIN "))?;
        let mut body = Zeroizing::new(Vec::new());
        // All lines at once, so that nothing is copied while it grows.
        let mut rest = self.lines.clone();
        let size = rest.by_ref().take_while(|line| label(line, b"-----END ").is_none());
        body.reserve_exact(size.map(<[u8]>::len).sum());
        for line in self.lines.by_ref() {
            let Some(trailer) = label(line, b"-----END ") else {
                body.extend_from_slice(line);
                continue;
            };
            let wanted: &[u8] = match self.kind {
                Kind::Public => b"PUBLIC KEY",
                Kind::Secret => b"PRIVATE KEY",
            };
            return Some(if trailer != header {
                Err(SignError::UnmatchedHeader)
            } else if header != wanted {
                let label = quotable(&String::from_utf8_lossy(header));
                Err(SignError::UnexpectedLabel(label))
            } else {
                Ok(base64::decode(&body))
            });
        }
        Some(Err(SignError::NoTrailer))
    }
}
