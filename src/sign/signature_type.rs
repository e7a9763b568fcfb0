//! Which kinds of signatures there are.

use std::fmt;

/// A kind of signature other than OpenPGP's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SignatureType {
    /// Ed25519 (RFC 8032) with bare keys.
    Ed25519,
    /// What a key of type SubjectPublicKeyInfo usually signs with: RSA, ECDSA, Ed25519, Ed448.
    Spki,
    /// No signature at all: the secret as it is. For tests.
    Dummy,
}

impl SignatureType {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 3] = [Self::Ed25519, Self::Spki, Self::Dummy];

    /// The name in options, configuration and files: `ed25519`, `spki`, `dummy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::Spki => "spki",
            Self::Dummy => "dummy",
        }
    }

    /// The key in detached metadata, `summary.sig` and signed deltas whose value, an `aay`, holds
    /// the signatures of this type.
    pub fn metadata_key(self) -> &'static str {
        match self {
            Self::Ed25519 => "ostree.sign.ed25519",
            Self::Spki => "ostree.sign.spki",
            Self::Dummy => "ostree.sign.dummy",
        }
    }
}

impl fmt::Display for SignatureType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
