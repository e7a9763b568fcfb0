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
    Some(signing_key(private_key)?.sign_raw(data).to_bytes().to_vec())
}

/// The point that belongs to such a key.
pub(crate) fn public_key(private_key: &[u8]) -> Option<Vec<u8>> {
    Some(signing_key(private_key)?.verifying_key().to_bytes().to_vec())
}

fn signing_key(private_key: &[u8]) -> Option<SigningKey> {
    let seed: &[u8; KEY_SIZE] =
        private_key.strip_prefix(&[0x04, KEY_SIZE as u8])?.try_into().ok()?;
    let seed = Zeroizing::new(SecretKey::from(*seed));
    Some(SigningKey::from(&*seed))
}

/// Whether a point is written as it would be written again: its ordinate is below the prime, and
/// the bits that mean nothing are zero.
fn is_canonical(point: &[u8; KEY_SIZE]) -> bool {
    let decoded = Option::from(CompressedEdwardsY(*point).decompress());
    decoded.is_some_and(|decoded: cx448::EdwardsPoint| decoded.compress().0 == *point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    /// RFC 8032, 7.4: seed, public key, message, signature. The context is empty.
    const VECTORS: [[&str; 4]; 2] = [
        [
            "6c82a562cb808d10d632be89c8513ebf6c929f34ddfa8c9f63c9960ef6e348a3\
             528c8a3fcc2f044e39a3fc5b94492f8f032e7549a20098f95b",
            "5fd7449b59b461fd2ce787ec616ad46a1da1342485a70e1f8a0ea75d80e96778\
             edf124769b46c7061bd6783df1e50f6cd1fa1abeafe8256180",
            "",
            "533a37f6bbe457251f023c0d88f976ae2dfb504a843e34d2074fd823d41a591f\
             2b233f034f628281f2fd7a22ddd47d7828c59bd0a21bfd3980ff0d2028d4b18a\
             9df63e006c5d1c2d345b925d8dc00b4104852db99ac5c7cdda8530a113a0f4db\
             b61149f05a7363268c71d95808ff2e652600",
        ],
        [
            "c4eab05d357007c632f3dbb48489924d552b08fe0c353a0d4a1f00acda2c463a\
             fbea67c5e8d2877c5e3bc397a659949ef8021e954e0a12274e",
            "43ba28f430cdff456ae531545f7ecd0ac834a55d9358c0372bfa0c6c6798c086\
             6aea01eb00742802b8438ea4cb82169c235160627b4c3a9480",
            "03",
            "26b8f91727bd62897af15e41eb43c377efb9c610d48f2335cb0bd0087810f435\
             2541b143c4b981b7e18f62de8ccdf633fc1bf037ab7cd779805e0dbcc0aae1cb\
             cee1afb2e027df36bc04dcecbf154336c19f0af7e0a6472905e799f1953d2a0f\
             f3348ab21aa4adafd1d234441cf807c03a00",
        ],
    ];

    #[test]
    fn the_vectors_of_rfc_8032_come_out() {
        for vector in VECTORS {
            let [seed, public, message, signature] = vector.map(bytes);
            let private_key = [&[4, 57][..], &seed].concat();
            assert_eq!(sign(&private_key, &message), Some(signature.clone()));
            assert_eq!(public_key(&private_key), Some(public.clone()));
            let key = PublicKey::decode(&public).unwrap();
            assert_eq!(key.verify(&message, &signature), Verdict::Valid);
            assert_eq!(key.verify(b"other", &signature), Verdict::NotValid);
            // Bits that mean nothing must be zero, in the key and in both parts of a signature.
            for place in [56, 113] {
                let mut other = signature.clone();
                other[place] ^= 1;
                assert_eq!(key.verify(&message, &other), Verdict::NotValid, "{place}");
            }
            let mut other = public.clone();
            other[56] ^= 1;
            assert!(PublicKey::decode(&other).is_none());
        }
    }

    #[test]
    fn points_of_small_order_are_no_keys() {
        let mut neutral = [0; KEY_SIZE];
        neutral[0] = 1;
        // (0, -1) is of order two: -1 is the prime less one, 2^448 - 2^224 - 2.
        let mut order_two = [0xff; KEY_SIZE];
        (order_two[0], order_two[28], order_two[56]) = (0xfe, 0xfe, 0);
        // (1, 0) and (-1, 0) are of order four.
        let order_four = [0; KEY_SIZE];
        let mut other = order_four;
        other[56] = 0x80;
        for point in [neutral, order_two, order_four, other] {
            assert!(PublicKey::decode(&point).is_none(), "{point:x?}");
        }
        for wrong in [&[][..], &[0; 56], &[0; 58]] {
            assert!(PublicKey::decode(wrong).is_none());
        }
    }
}
