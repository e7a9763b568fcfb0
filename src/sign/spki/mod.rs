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
use pkcs8::{AlgorithmIdentifierRef, ObjectIdentifier, PrivateKeyInfo, SubjectPublicKeyInfoRef};
use sec1::EcPrivateKey;

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
    if let Ok(info) = PrivateKeyInfo::try_from(secret) {
        return sign_with_info(&info, data);
    }
    if let Ok(key) = RsaPrivateKey::try_from(secret) {
        return rsa::sign(&key, data);
    }
    let key = EcPrivateKey::try_from(secret).map_err(|_| MALFORMED)?;
    let curve = key.parameters.and_then(|parameters| parameters.named_curve());
    ec::sign(curve.ok_or(ec::UNKNOWN_CURVE)?, key.private_key, data)
}

fn sign_with_info(info: &PrivateKeyInfo<'_>, data: &[u8]) -> Result<Vec<u8>, SignError> {
    match info.algorithm.oid {
        RSA => rsa::sign(&info.private_key.try_into().map_err(|_| MALFORMED)?, data),
        EC => {
            let curve = info.algorithm.parameters_oid().map_err(|_| ec::UNKNOWN_CURVE)?;
            let key = EcPrivateKey::try_from(info.private_key).map_err(|_| MALFORMED)?;
            ec::sign(curve, key.private_key, data)
        }
        ed25519::OID => {
            let seed = ed25519::seed_of(info.private_key).ok_or(MALFORMED)?;
            Ok(ed25519::sign_with_seed(&seed, data))
        }
        ED448 => ed448::sign(info.private_key, data).ok_or(MALFORMED),
        _ => Err(UNKNOWN),
    }
}
