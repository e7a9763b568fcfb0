//! Which kinds of signatures there are, and which may be used.

use std::fmt;

use super::error::SignError;

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

    /// The type of that name.
    ///
    /// # Errors
    /// `Requested signature type is not implemented`, when there is none.
    pub fn parse(name: &str) -> Result<Self, SignError> {
        Self::ALL.into_iter().find(|ty| ty.name() == name).ok_or(SignError::UnknownType)
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

/// Whether signatures of the type [`SignatureType::Dummy`], which anybody can make, are of any use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dummy {
    /// No: they are neither made nor accepted.
    #[default]
    Refused,
    /// Yes, for tests.
    Allowed,
}

/// A type of signature that may be used. Keys are made for an engine, so there is no way around
/// [`Dummy::Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engine(SignatureType);

impl Engine {
    /// The engine for a type.
    ///
    /// # Errors
    /// `dummy signature type is only for ostree testing`, unless it is allowed.
    pub fn new(ty: SignatureType, dummy: Dummy) -> Result<Self, SignError> {
        match (ty, dummy) {
            (SignatureType::Dummy, Dummy::Refused) => Err(SignError::DummyRefused),
            _ => Ok(Self(ty)),
        }
    }

    /// The type.
    pub fn signature_type(self) -> SignatureType {
        self.0
    }
}
