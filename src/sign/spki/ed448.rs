//! Ed448 as in RFC 8032, with an empty context.

use cx448::elliptic_curve::zeroize::Zeroizing;
use cx448::{CompressedEdwardsY, SecretKey, Signature, SigningKey, VerifyingKey};

use super::super::verdict::Verdict;

const KEY_SIZE: usize = 57;

pub(crate) struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Takes a point. One of small order, or in another than the shortest form, is none.
    pub(crate) fn decode(key: &[u8]) -> Option<Self> {
        let bytes: &[u8; KEY_SIZE] = key.try_into().ok()?;
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        is_canonical(bytes).then_some(Self(key))
    }

    pub(crate) fn verify(&self, data: &[u8], signature: &[u8]) -> Verdict {
        let tried = || {
            let point: &[u8; KEY_SIZE] = signature.first_chunk()?;
            let signature = Signature::try_from(signature).ok()?;
            self.0.verify_raw(&signature, data).ok().filter(|()| is_canonical(point))
        };
        Verdict::from(tried().ok_or(()))
    }
}

/// Signs with the private key of a PKCS#8 structure: an octet string of 57 bytes.
pub(crate) fn sign(private_key: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    let seed: &[u8; KEY_SIZE] =
        private_key.strip_prefix(&[0x04, KEY_SIZE as u8])?.try_into().ok()?;
    let seed = Zeroizing::new(SecretKey::from(*seed));
    let key = SigningKey::from(&*seed);
    Some(key.sign_raw(data).to_bytes().to_vec())
}

/// Whether a point is written as it would be written again: its ordinate is below the prime, and
/// the bits that mean nothing are zero.
fn is_canonical(point: &[u8; KEY_SIZE]) -> bool {
    let decoded = Option::from(CompressedEdwardsY(*point).decompress());
    decoded.is_some_and(|decoded: cx448::EdwardsPoint| decoded.compress().0 == *point)
}
