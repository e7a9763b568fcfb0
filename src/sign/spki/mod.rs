//! Keys that say themselves what they are for: SubjectPublicKeyInfo (RFC 5280) and its secret
//! counterparts, as OpenSSL takes them.
//!
//! ```text
//! key                                 signature
//! RSA                                 PKCS#1 v1.5 with SHA-256, as long as the modulus
//! EC  P-224 P-256 P-384 P-521         ECDSA with SHA-256 for every curve, DER
//!     secp256k1
//! Ed25519                             as in RFC 8032
//! Ed448                               as in RFC 8032, with an empty context
//! ```
//!
//! A secret key is PKCS#8 (RFC 5208), PKCS#1 (RSA) or SEC1 (EC), each in DER without encryption.

mod ec;
mod ed448;
mod rsa;

use ::rsa::pkcs1::RsaPrivateKey;
use pkcs8::der::Encode as _;
use pkcs8::der::asn1::{AnyRef, BitStringRef};
use pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfo, SubjectPublicKeyInfoRef};
use sec1::EcPrivateKey;
use zeroize::Zeroizing;

use super::ed25519;
use super::error::SignError;
use super::verdict::Verdict;

/// The names of algorithms in keys (RFC 3279, RFC 8410).
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED448: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.113");

const UNKNOWN: SignError = SignError::UnusableKey { reason: "unknown algorithm" };
const MALFORMED: SignError = SignError::UnusableKey { reason: "" };

/// A public key that was taken apart once and can be tried with many signatures.
pub(super) enum PublicKey {
    Rsa(rsa::PublicKey),
    Ec(ec::PublicKey),
    Ed25519(Vec<u8>),
    Ed448(ed448::PublicKey),
}

impl PublicKey {
    /// Takes a SubjectPublicKeyInfo apart.
    pub(super) fn decode(der: &[u8]) -> Result<Self, SignError> {
        let info = SubjectPublicKeyInfoRef::try_from(der).map_err(|_| MALFORMED)?;
        let key = info.subject_public_key.as_bytes().ok_or(MALFORMED)?;
        let algorithm = info.algorithm;
        match algorithm.oid {
            RSA if has_no_parameters(algorithm) => Ok(Self::Rsa(rsa::PublicKey::decode(key)?)),
            RSA => Err(MALFORMED),
            EC => {
                let curve = algorithm.parameters_oid().map_err(|_| ec::UNKNOWN_CURVE)?;
                Ok(Self::Ec(ec::PublicKey::decode(curve, key)?))
            }
            ed25519::OID if algorithm.parameters.is_none() => {
                ed25519::check_public(key).map_err(|_| MALFORMED)?;
                Ok(Self::Ed25519(key.to_vec()))
            }
            ED448 if algorithm.parameters.is_none() => {
                Ok(Self::Ed448(ed448::PublicKey::decode(key).ok_or(MALFORMED)?))
            }
            _ => Err(UNKNOWN),
        }
    }

    /// Tries a signature.
    pub(super) fn verify(&self, data: &[u8], signature: &[u8]) -> Verdict {
        match self {
            Self::Rsa(key) => key.verify(data, signature),
            Self::Ec(key) => key.verify(data, signature),
            Self::Ed25519(key) => ed25519::verify(key, data, signature),
            Self::Ed448(key) => key.verify(data, signature),
        }
    }
}

/// Whether an algorithm that takes no parameters has none: nothing at all, or a NULL.
fn has_no_parameters(algorithm: AlgorithmIdentifierRef<'_>) -> bool {
    algorithm.parameters.is_none_or(|parameters| parameters.is_null())
}

/// Signs with a secret key.
pub(super) fn sign(secret: &[u8], data: &[u8]) -> Result<Vec<u8>, SignError> {
    match Secret::decode(secret)? {
        Secret::Rsa(key) => rsa::sign(&key, data),
        Secret::Ec { curve, number } => ec::sign(curve, number, data),
        Secret::Ed25519(seed) => Ok(ed25519::sign_with_seed(&seed, data)),
        Secret::Ed448(key) => ed448::sign(key, data).ok_or(MALFORMED),
    }
}

/// The public key of a secret one, a SubjectPublicKeyInfo.
pub(super) fn public_key(secret: &[u8]) -> Result<Vec<u8>, SignError> {
    let secret = Secret::decode(secret)?;
    let (oid, parameters, key) = match &secret {
        Secret::Rsa(key) => (RSA, Some(AnyRef::NULL), rsa::public_key(key)?),
        Secret::Ec { curve, number } => {
            (EC, Some(AnyRef::from(curve)), ec::public_key(*curve, number)?)
        }
        Secret::Ed25519(seed) => (ed25519::OID, None, ed25519::pair_of_seed(seed).1.to_vec()),
        Secret::Ed448(key) => (ED448, None, ed448::public_key(key).ok_or(MALFORMED)?),
    };
    let info = SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid, parameters },
        subject_public_key: BitStringRef::from_bytes(&key).map_err(|_| MALFORMED)?,
    };
    info.to_der().map_err(|_| MALFORMED)
}

/// A secret key that was taken apart.
enum Secret<'k> {
    Rsa(RsaPrivateKey<'k>),
    Ec {
        curve: ObjectIdentifier,
        number: &'k [u8],
    },
    Ed25519(Zeroizing<[u8; 32]>),
    /// An octet string.
    Ed448(&'k [u8]),
}

impl<'k> Secret<'k> {
    fn decode(secret: &'k [u8]) -> Result<Self, SignError> {
        if let Ok(info) = PrivateKeyInfo::try_from(secret) {
            return Self::of_info(&info);
        }
        if let Ok(key) = RsaPrivateKey::try_from(secret) {
            return Ok(Self::Rsa(key));
        }
        let key = EcPrivateKey::try_from(secret).map_err(|_| MALFORMED)?;
        let curve = key.parameters.and_then(|parameters| parameters.named_curve());
        Ok(Self::Ec { curve: curve.ok_or(ec::UNKNOWN_CURVE)?, number: key.private_key })
    }

    fn of_info(info: &PrivateKeyInfo<'k>) -> Result<Self, SignError> {
        match info.algorithm.oid {
            RSA => Ok(Self::Rsa(info.private_key.try_into().map_err(|_| MALFORMED)?)),
            EC => {
                let curve = info.algorithm.parameters_oid().map_err(|_| ec::UNKNOWN_CURVE)?;
                let key = EcPrivateKey::try_from(info.private_key).map_err(|_| MALFORMED)?;
                Ok(Self::Ec { curve, number: key.private_key })
            }
            ed25519::OID => Ok(Self::Ed25519(ed25519::seed_of(info.private_key).ok_or(MALFORMED)?)),
            ED448 => Ok(Self::Ed448(info.private_key)),
            _ => Err(UNKNOWN),
        }
    }
}
