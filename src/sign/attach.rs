//! Signatures that were made elsewhere.

use super::ed25519;
use super::error::SignError;
use super::keys::VerificationKeys;
use super::signature_type::SignatureType;
use super::verify::{Verified, verify};

/// What is known of a signature that was made elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attachable {
    /// It is valid.
    Verified(Verified),
    /// There was no key to try it with; it merely has the right length.
    NotTried,
}

/// Checks a signature that was made elsewhere before it is stored: with the keys, if there are any.
///
/// # Errors
/// When it cannot be a signature of the keys' type, or is not valid with any of the keys.
pub fn check(
    keys: &VerificationKeys,
    data: &[u8],
    signature: &[u8],
) -> Result<Attachable, SignError> {
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
    verified.map(Attachable::Verified).map_err(|error| SignError::NotAttached(error.into()))
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
        let verified = Verified { signature_type: SignatureType::Ed25519, key: public.to_vec() };
        assert_eq!(check(&keys, b"data", &signature).unwrap(), Attachable::Verified(verified));
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
