//! Signatures that were made elsewhere: by a program, on another machine.

use super::ed25519;
use super::error::SignError;
use super::keys::VerificationKeys;
#[cfg(feature = "gpg")]
use super::openpgp::{self, Keyring, UnknownKeys};
use super::signature_type::SignatureType;
use super::verify::verify;
use crate::error::Result;
#[cfg(feature = "gpg")]
use crate::object::detached;

/// What is known of a signature that was made elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attachable {
    /// It is valid.
    Verified,
    /// There was no key to try it with; it merely has the form of a signature.
    NotTried,
}

/// The public keys that a signature made elsewhere has to be valid with. They say of what type it
/// is, too.
#[derive(Debug)]
pub enum Keys {
    /// Those of an engine. If there are any, one of them must have made the signature.
    Engine(VerificationKeys),
    /// OpenPGP keys.
    #[cfg(feature = "gpg")]
    OpenPgp {
        /// The keys.
        keyring: Keyring,
        /// What becomes of signatures by other keys.
        unknown: UnknownKeys,
        /// The time of the check, in seconds since 1970.
        now: i64,
    },
}

impl Keys {
    /// The name of the signature type, as programs that sign see it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Engine(keys) => keys.engine().signature_type().name(),
            #[cfg(feature = "gpg")]
            Self::OpenPgp { .. } => "gpg",
        }
    }

    /// The key of the dictionary that the signature belongs under.
    pub fn metadata_key(&self) -> &'static str {
        match self {
            Self::Engine(keys) => keys.engine().signature_type().metadata_key(),
            #[cfg(feature = "gpg")]
            Self::OpenPgp { .. } => detached::GPG_KEY,
        }
    }

    /// Checks a signature and returns it as it is stored: an armoured one without the armour.
    ///
    /// # Errors
    /// When it cannot be a signature of that type, or the keys refute it.
    pub fn check(&self, data: &[u8], signature: &[u8]) -> Result<(Vec<u8>, Attachable)> {
        match self {
            Self::Engine(keys) => Ok((signature.to_vec(), check(keys, data, signature)?)),
            #[cfg(feature = "gpg")]
            Self::OpenPgp { keyring, unknown, now } => {
                let (bytes, are_known) =
                    openpgp::attachable(data, signature, keyring, *unknown, *now)?;
                let known = if are_known { Attachable::Verified } else { Attachable::NotTried };
                Ok((bytes, known))
            }
        }
    }
}

/// Checks a signature that was made elsewhere before it is stored: with the keys, if there are any.
///
/// # Errors
/// When it cannot be a signature of the keys' type, or is not valid with any of the keys.
pub fn check(
    keys: &VerificationKeys,
    data: &[u8],
    signature: &[u8],
) -> std::result::Result<Attachable, SignError> {
    let signature_type = keys.engine().signature_type();
    if signature_type == SignatureType::Ed25519 {
        ed25519::check_signature(signature)?;
    }
    if signature.is_empty() {
        return Err(SignError::EmptySignature(signature_type));
    }
    if keys.is_empty() {
        return Ok(Attachable::NotTried);
    }
    let verified = verify(keys, data, [signature]);
    verified.map(|_| Attachable::Verified).map_err(|error| SignError::NotAttached(error.into()))
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Dummy, Engine};
    use super::*;
    use crate::error::Error;

    fn message(error: SignError) -> String {
        Error::from(error).chain()
    }

    #[test]
    fn a_signature_is_attached_when_it_is_valid_or_there_is_no_key_to_try_it_with() {
        let engine = Engine::new(SignatureType::Ed25519, Dummy::Refused).unwrap();
        let (secret, public) = ed25519::pair_of_seed(&[7; 32]);
        let signature = ed25519::sign(&secret, b"data").unwrap();
        let mut keys = VerificationKeys::new(engine);
        assert_eq!(check(&keys, b"data", &[0; 64]).unwrap(), Attachable::NotTried);
        assert_eq!(
            message(check(&keys, b"data", b"-----BEGIN").unwrap_err()),
            "Invalid signature: Ill-formed input: expected 64 bytes, got 10 bytes"
        );
        keys.add_bytes(&public).unwrap();
        assert_eq!(check(&keys, b"data", &signature).unwrap(), Attachable::Verified);
        let error = message(check(&keys, b"other", &signature).unwrap_err());
        assert!(
            error.starts_with(
                "the signature is not attached: ed25519: Signature couldn't be verified with: key '"
            ),
            "{error}"
        );
        // A key that is revoked is a key at hand, and it verifies nothing.
        keys.revoke_bytes(&public).unwrap();
        assert_eq!(
            message(check(&keys, b"data", &signature).unwrap_err()),
            "the signature is not attached: ed25519: no signatures found"
        );
    }

    #[test]
    fn an_empty_signature_is_none() {
        for (ty, expected) in [
            (SignatureType::Spki, "spki: an empty signature"),
            (SignatureType::Dummy, "dummy: an empty signature"),
        ] {
            let keys = VerificationKeys::new(Engine::new(ty, Dummy::Allowed).unwrap());
            assert_eq!(message(check(&keys, b"data", b"").unwrap_err()), expected);
            assert_eq!(check(&keys, b"data", b"x").unwrap(), Attachable::NotTried);
        }
    }
}
