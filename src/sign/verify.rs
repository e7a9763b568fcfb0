//! Whether bytes are signed: every signature with every key.

use std::fmt;

use super::error::{self, SignError};
use super::keys::VerificationKeys;
use super::signature_type::SignatureType;
use super::verdict::Verdict;
use super::{dummy, ed25519, spki};
use crate::gvariant::Dict;
use crate::object::detached;

/// A signature that is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its type.
    pub signature_type: SignatureType,
    /// The public key that it was verified with.
    pub key: Vec<u8>,
}

impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.signature_type {
            SignatureType::Dummy => f.write_str("dummy: Signature verified"),
            other => {
                let key = error::hex(&self.key);
                write!(f, "{other}: Signature verified successfully with key '{key}'")
            }
        }
    }
}

/// Verifies bytes with the signatures of the keys' type in a dictionary.
///
/// # Errors
/// When there are none; as [`verify`].
pub fn verify_detached(
    keys: &VerificationKeys,
    data: &[u8],
    metadata: &Dict,
) -> Result<Verified, SignError> {
    let signature_type = keys.engine().signature_type();
    let signatures = detached::signatures(metadata, signature_type.metadata_key())
        .ok_or(SignError::NoSignaturesOfType(signature_type))?;
    verify(keys, data, signatures)
}

/// Verifies bytes with signatures: each of them in order is tried with each key, the newest key
/// first, until one is valid.
///
/// # Errors
/// When none is valid. Before that, when an ed25519 signature is not 64 bytes long, or an spki key
/// is none.
pub fn verify<'s>(
    keys: &VerificationKeys,
    data: &[u8],
    signatures: impl IntoIterator<Item = &'s [u8]>,
) -> Result<Verified, SignError> {
    let signature_type = keys.engine().signature_type();
    let keys = keys.iter().map(|key| Key { bytes: key, decoded: None });
    let mut keys: Vec<Key<'_>> = keys.collect();
    let (mut attempts, mut tried) = (0, Vec::new());
    for signature in signatures {
        if signature_type == SignatureType::Ed25519 {
            ed25519::check_signature(signature)?;
        }
        for key in &mut keys {
            let verdict = match signature_type {
                SignatureType::Ed25519 => ed25519::verify(key.bytes, data, signature),
                SignatureType::Spki => key.decoded()?.verify(data, signature),
                SignatureType::Dummy => dummy::verify(key.bytes, signature),
            };
            if verdict == Verdict::Valid {
                return Ok(Verified { signature_type, key: key.bytes.to_vec() });
            }
            attempts += 1;
            if attempts <= error::MOST_NAMED_KEYS {
                tried.push(key.bytes.to_vec());
            }
        }
    }
    match attempts {
        0 => Err(SignError::NothingTried(signature_type)),
        _ => Err(SignError::NotVerified { signature_type, tried, attempts }),
    }
}

/// A public key; one that says itself what it is for is taken apart when it is first needed.
struct Key<'k> {
    bytes: &'k [u8],
    decoded: Option<spki::PublicKey>,
}

impl Key<'_> {
    fn decoded(&mut self) -> Result<&spki::PublicKey, SignError> {
        match self.decoded {
            Some(ref decoded) => Ok(decoded),
            None => Ok(self.decoded.insert(spki::PublicKey::decode(self.bytes)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Dummy, Engine};
    use super::super::secret::{SecretKey, sign};
    use super::*;

    const DATA: &[u8] = b"data";

    fn engine(ty: SignatureType) -> Engine {
        Engine::new(ty, Dummy::Allowed).unwrap()
    }

    /// The keys of seeds of one repeated byte, and what the last of them signs.
    fn ed25519_keys(seeds: &[u8]) -> (VerificationKeys, Vec<String>, Vec<u8>) {
        let mut keys = VerificationKeys::new(engine(SignatureType::Ed25519));
        let pairs: Vec<_> = seeds.iter().map(|seed| ed25519::pair_of_seed(&[*seed; 32])).collect();
        for (_, public) in &pairs {
            keys.add_bytes(public).unwrap();
        }
        let signature = ed25519::sign(&pairs[pairs.len() - 1].0, DATA).unwrap();
        (keys, pairs.iter().map(|(_, public)| error::hex(public)).collect(), signature)
    }

    fn message(keys: &VerificationKeys, data: &[u8], signatures: &[&[u8]]) -> String {
        match verify(keys, data, signatures.iter().copied()) {
            Ok(verified) => verified.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn names_and_keys_of_the_types() {
        let names = SignatureType::ALL.map(SignatureType::name);
        assert_eq!(names, ["ed25519", "spki", "dummy"]);
        for ty in SignatureType::ALL {
            assert_eq!(SignatureType::parse(ty.name()).unwrap(), ty);
            assert_eq!(ty.metadata_key(), format!("ostree.sign.{ty}"));
        }
        let error = SignatureType::parse("gpg").unwrap_err();
        assert_eq!(error.to_string(), "Requested signature type is not implemented");
        let error = Engine::new(SignatureType::Dummy, Dummy::Refused).unwrap_err();
        assert_eq!(error.to_string(), "dummy signature type is only for ostree testing");
    }

    #[test]
    fn the_newest_key_is_tried_first_and_three_are_named() {
        let (keys, hex, good) = ed25519_keys(&[1, 2, 3]);
        let verified = format!("ed25519: Signature verified successfully with key '{}'", hex[2]);
        assert_eq!(message(&keys, DATA, &[&good]), verified);
        assert_eq!(
            message(&keys, b"other", &[&good]),
            format!(
                "ed25519: Signature couldn't be verified with: key '{}'; key '{}'; key '{}'",
                hex[2], hex[1], hex[0]
            )
        );
        assert_eq!(
            message(&keys, b"other", &[&good, &good]),
            "ed25519: Signature couldn't be verified; tried 6 keys"
        );
        // A key that is added again stays in its place.
        let (mut keys, hex, _) = ed25519_keys(&[1, 2]);
        let first = keys.iter().last().unwrap().to_vec();
        keys.add_bytes(&first).unwrap();
        assert_eq!(
            message(&keys, DATA, &[&[0; 64]]),
            format!(
                "ed25519: Signature couldn't be verified with: key '{}'; key '{}'",
                hex[1], hex[0]
            )
        );
    }

    #[test]
    fn an_ed25519_signature_of_another_length_is_an_error_unless_one_before_it_is_valid() {
        let (keys, _, good) = ed25519_keys(&[1]);
        let wrong = "Invalid signature: Ill-formed input: expected 64 bytes, got 3 bytes";
        assert_eq!(message(&keys, DATA, &[b"bad", &good]), wrong);
        assert!(message(&keys, DATA, &[&good, b"bad"]).contains("verified successfully"));
        let none = VerificationKeys::new(engine(SignatureType::Ed25519));
        assert_eq!(message(&none, DATA, &[b"bad"]), wrong);
        assert_eq!(message(&none, DATA, &[&good]), "ed25519: no signatures found");
        assert_eq!(message(&keys, DATA, &[]), "ed25519: no signatures found");
    }

    #[test]
    fn a_revoked_key_is_not_tried() {
        let (mut keys, hex, good) = ed25519_keys(&[1, 2]);
        let [newest, oldest] = [0, 1].map(|place| keys.iter().nth(place).unwrap().to_vec());
        keys.revoke_bytes(&newest).unwrap();
        assert_eq!(
            message(&keys, DATA, &[&good]),
            format!("ed25519: Signature couldn't be verified with: key '{}'", hex[0])
        );
        keys.revoke_bytes(&oldest).unwrap();
        assert_eq!(message(&keys, DATA, &[&good]), "ed25519: no signatures found");
        let error = keys.revoke_bytes(b"short").unwrap_err().to_string();
        assert_eq!(
            error,
            "Incorrect ed25519 revoked key: Ill-formed input: expected 32 bytes, got 5 bytes"
        );
    }

    #[test]
    fn signatures_of_another_type_or_none_are_reported() {
        for (ty, expected) in [
            (SignatureType::Ed25519, "ed25519: commit have no signatures of my type"),
            (SignatureType::Spki, "spki: commit have no signatures of my type"),
            (SignatureType::Dummy, "signature: dummy: commit have no signatures of my type"),
        ] {
            let keys = VerificationKeys::new(engine(ty));
            let metadata = detached::append(&Dict::new(), detached::GPG_KEY, b"packet");
            let error = verify_detached(&keys, DATA, &metadata).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn dummy_signatures_are_the_key_up_to_its_first_nul() {
        let dummy = engine(SignatureType::Dummy);
        let secret = SecretKey::parse(dummy, "same").unwrap();
        assert_eq!(sign(&secret, DATA).unwrap(), b"same");
        let mut keys = VerificationKeys::new(dummy);
        assert_eq!(message(&keys, DATA, &[b"same"]), "signature: dummy: no signatures");
        keys.add_inline("same").unwrap();
        for (signature, expected) in [
            (&b"same"[..], "dummy: Signature verified"),
            (b"same\0tail", "dummy: Signature verified"),
            (b"samet", "signature: dummy: incorrect signatures found: 1"),
            (b"", "signature: dummy: incorrect signatures found: 1"),
        ] {
            assert_eq!(message(&keys, DATA, &[signature]), expected);
        }
    }

    #[test]
    fn an_spki_key_that_is_none_is_an_error() {
        let spki = engine(SignatureType::Spki);
        let mut keys = VerificationKeys::new(spki);
        keys.add_inline("bm8ga2V5").unwrap();
        let expected = "openssl: Failed to initialize spki key";
        assert_eq!(message(&keys, DATA, &[b""]), expected);
        let secret = SecretKey::parse(spki, "bm8ga2V5").unwrap();
        assert_eq!(sign(&secret, DATA).unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_secret_key_is_not_shown() {
        let secret = SecretKey::from_bytes(engine(SignatureType::Ed25519), &[b'K'; 64]).unwrap();
        assert_eq!(format!("{secret:?}"), "SecretKey(ed25519, ...)");
        let error = SecretKey::parse(engine(SignatureType::Ed25519), "S0tL").unwrap_err();
        assert_eq!(
            error.to_string(),
            "Invalid ed25519 secret key: Ill-formed input: expected 64 bytes, got 3 bytes"
        );
    }

    #[test]
    fn ed25519_keys_of_small_order_verify_nothing() {
        // The neutral element, with which a signature of zeros is valid for any data unless the
        // verification is strict.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut keys = VerificationKeys::new(engine(SignatureType::Ed25519));
        keys.add_bytes(&neutral).unwrap();
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(message(&keys, DATA, &[&signature]).contains("couldn't be verified"));
    }
}
