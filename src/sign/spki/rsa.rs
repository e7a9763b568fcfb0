//! RSA as in PKCS#1 v1.5, with SHA-256.

use pkcs8::der::Encode as _;
use rsa::pkcs1::{self, UintRef};
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPrivateKey, RsaPublicKey};

use super::super::error::SignError;
use super::super::verdict::Verdict;
use crate::checksum::Checksum;

/// The largest modulus, in bits, as OpenSSL's. A larger one would keep the processor busy for long.
const MAX_MODULUS: usize = 16384;

const MALFORMED: SignError = SignError::UnusableKey { reason: "" };
const TOO_LARGE: SignError = SignError::UnusableKey { reason: "RSA of more than 16384 bits" };

pub(crate) struct PublicKey(RsaPublicKey);

impl PublicKey {
    /// Takes the RSAPublicKey of PKCS#1 apart.
    pub(crate) fn decode(der: &[u8]) -> Result<Self, SignError> {
        let key = pkcs1::RsaPublicKey::try_from(der).map_err(|_| MALFORMED)?;
        let (modulus, exponent) = (number(key.modulus)?, number(key.public_exponent)?);
        match RsaPublicKey::new_with_max_size(modulus, exponent, MAX_MODULUS) {
            Ok(key) => Ok(Self(key)),
            Err(_) => Err(MALFORMED),
        }
    }

    pub(crate) fn verify(&self, data: &[u8], signature: &[u8]) -> Verdict {
        if signature.len() != self.0.size() {
            return Verdict::NotValid;
        }
        let digest = Checksum::of(data);
        self.0.verify(Pkcs1v15Sign::new::<Sha256>(), digest.as_bytes(), signature).into()
    }
}

/// Signs with the RSAPrivateKey of PKCS#1.
pub(crate) fn sign(key: &pkcs1::RsaPrivateKey<'_>, data: &[u8]) -> Result<Vec<u8>, SignError> {
    let [modulus, exponent, secret] =
        [key.modulus, key.public_exponent, key.private_exponent].map(number);
    let mut primes = vec![number(key.prime1)?, number(key.prime2)?];
    for other in key.other_prime_infos.iter().flat_map(|others| others.iter()) {
        primes.push(number(other.prime)?);
    }
    // The arithmetic takes steps of the first prime, so that must not be a tiny one.
    primes.sort_unstable_by(|one, other| other.cmp(one));
    let key = RsaPrivateKey::from_components(modulus?, exponent?, secret?, primes)
        .map_err(|_| MALFORMED)?;
    let digest = Checksum::of(data);
    // Random numbers keep the time that it takes from telling about the key. The result is tried
    // before it is given away.
    key.sign_with_rng(&mut OsRng, Pkcs1v15Sign::new::<Sha256>(), digest.as_bytes())
        .map_err(|_| SignError::UnusableKey { reason: "it does not sign" })
}

/// The RSAPublicKey of PKCS#1 that belongs to an RSAPrivateKey.
pub(crate) fn public_key(key: &pkcs1::RsaPrivateKey<'_>) -> Result<Vec<u8>, SignError> {
    key.public_key().to_der().map_err(|_| MALFORMED)
}

/// A number of a key, none of which is larger than the modulus may be.
fn number(number: UintRef<'_>) -> Result<BigUint, SignError> {
    let bytes = number.as_bytes();
    match bytes.len() <= MAX_MODULUS / 8 {
        true => Ok(BigUint::from_bytes_be(bytes)),
        false => Err(TOO_LARGE),
    }
}
