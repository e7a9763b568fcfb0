//! Which kinds of signatures may be used.

use super::error::SignError;
use super::signature_type::SignatureType;

impl SignatureType {
    /// The type of that name.
    ///
    /// # Errors
    /// `Requested signature type is not implemented`, when there is none.
    pub fn parse(name: &str) -> Result<Self, SignError> {
        Self::ALL.into_iter().find(|ty| ty.name() == name).ok_or(SignError::UnknownType)
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
