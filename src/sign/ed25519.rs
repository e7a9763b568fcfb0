//! Ed25519 with bare keys, as in RFC 8032.
//!
//! ```text
//! secret key   32 bytes seed, 32 bytes public key     (only the seed is looked at)
//! public key   32 bytes
//! signature    64 bytes
//! ```

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use zeroize::Zeroizing;

use super::error::SignError;
use super::verdict::Verdict;

/// The name of the algorithm in a key that says what it is for (RFC 8410).
pub(super) const OID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

const SEED_SIZE: usize = 32;
const SECRET_SIZE: usize = 64;
const PUBLIC_SIZE: usize = 32;
const SIGNATURE_SIZE: usize = 64;

/// Checks the length of a secret key.
pub(super) fn check_secret(key: &[u8]) -> Result<(), SignError> {
    check_length("Invalid ed25519 secret key", SECRET_SIZE, key)
}

/// Checks the length of a public key.
pub(super) fn check_public(key: &[u8]) -> Result<(), SignError> {
    check_length("Invalid ed25519 public key", PUBLIC_SIZE, key)
}

/// Checks the length of a key that is not to be trusted any longer.
pub(super) fn check_revoked(key: &[u8]) -> Result<(), SignError> {
    check_length("Incorrect ed25519 revoked key", PUBLIC_SIZE, key)
}

/// Checks the length of a signature.
pub(super) fn check_signature(signature: &[u8]) -> Result<(), SignError> {
    check_length("Invalid signature", SIGNATURE_SIZE, signature)
}

/// A new key pair from a random seed: the secret key, the public key.
pub(super) fn pair_of_seed(seed: &[u8; SEED_SIZE]) -> (Zeroizing<Vec<u8>>, [u8; PUBLIC_SIZE]) {
    let key = SigningKey::from_bytes(seed);
    (Zeroizing::new(key.to_keypair_bytes().to_vec()), key.verifying_key().to_bytes())
}

/// The secret key in a PKCS#8 structure, which is how OpenSSL writes it.
pub(super) fn secret_of_pkcs8(der: &[u8]) -> Result<Zeroizing<Vec<u8>>, SignError> {
    let info = PrivateKeyInfo::try_from(der).ok().filter(|info| info.algorithm.oid == OID);
    let seed = info.and_then(|info| seed_of(info.private_key)).ok_or(SignError::NotEd25519)?;
    Ok(pair_of_seed(&seed).0)
}

/// The seed in the private key of a PKCS#8 structure: an octet string.
pub(super) fn seed_of(private_key: &[u8]) -> Option<Zeroizing<[u8; SEED_SIZE]>> {
    let seed = private_key.strip_prefix(&[0x04, SEED_SIZE as u8])?;
    Some(Zeroizing::new(seed.try_into().ok()?))
}

/// Signs with a secret key, always in the same way.
pub(super) fn sign(secret: &[u8], data: &[u8]) -> Result<Vec<u8>, SignError> {
    Ok(sign_with_seed(&*seed_in(secret)?, data))
}

/// The public key that its signatures are valid with.
pub(super) fn public_key(secret: &[u8]) -> Result<Vec<u8>, SignError> {
    Ok(pair_of_seed(&*seed_in(secret)?).1.to_vec())
}

fn seed_in(secret: &[u8]) -> Result<Zeroizing<[u8; SEED_SIZE]>, SignError> {
    check_secret(secret)?;
    let mut seed = Zeroizing::new([0; SEED_SIZE]);
    seed.copy_from_slice(&secret[..SEED_SIZE]);
    Ok(seed)
}

/// Signs with the seed of a secret key.
pub(super) fn sign_with_seed(seed: &[u8; SEED_SIZE], data: &[u8]) -> Vec<u8> {
    SigningKey::from_bytes(seed).sign(data).to_bytes().to_vec()
}

/// Tries a signature, strictly: keys of small order and encodings that are not the only ones are
/// refused.
pub(super) fn verify(public: &[u8], data: &[u8], signature: &[u8]) -> Verdict {
    let tried = || {
        let public = VerifyingKey::from_bytes(public.try_into().ok()?).ok()?;
        let signature = Signature::from_slice(signature).ok()?;
        public.verify_strict(data, &signature).ok()
    };
    Verdict::from(tried().ok_or(()))
}

fn check_length(what: &'static str, expected: usize, bytes: &[u8]) -> Result<(), SignError> {
    match bytes.len() {
        found if found == expected => Ok(()),
        found => Err(SignError::WrongLength { what, expected, found }),
    }
}
