//! The digests that requests are signed with.

use object_store::client::{
    CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm,
};

use crate::checksum::Hasher;

/// SHA-256 and what is made of it.
#[derive(Debug)]
pub(super) struct Crypto;

/// The length of a block of SHA-256 in bytes.
const BLOCK: usize = 64;

impl CryptoProvider for Crypto {
    fn digest(&self, algorithm: DigestAlgorithm) -> object_store::Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Digest::default())),
            other => Err(unknown(&other)),
        }
    }

    fn hmac(
        &self,
        algorithm: DigestAlgorithm,
        secret: &[u8],
    ) -> object_store::Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Hmac::new(secret))),
            other => Err(unknown(&other)),
        }
    }

    fn sign(&self, algorithm: SigningAlgorithm, _: &[u8]) -> object_store::Result<Box<dyn Signer>> {
        Err(unknown(&algorithm))
    }
}

fn unknown(algorithm: &impl std::fmt::Debug) -> object_store::Error {
    object_store::Error::NotSupported { source: format!("{algorithm:?} is not known").into() }
}

#[derive(Default)]
struct Digest {
    hasher: Hasher,
    digest: [u8; 32],
}

impl DigestContext for Digest {
    fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        self.digest = *std::mem::take(&mut self.hasher).finish().as_bytes();
        Ok(&self.digest)
    }
}

/// HMAC (RFC 2104).
struct Hmac {
    inner: Digest,
    outer: Hasher,
}

impl Hmac {
    fn new(secret: &[u8]) -> Self {
        let mut key = [0; BLOCK];
        match secret.len() <= BLOCK {
            true => key[..secret.len()].copy_from_slice(secret),
            false => key[..32].copy_from_slice(crate::Checksum::of(secret).as_bytes()),
        }
        let (mut inner, mut outer) = (Digest::default(), Hasher::default());
        inner.update(&key.map(|byte| byte ^ 0x36));
        outer.update(&key.map(|byte| byte ^ 0x5c));
        Self { inner, outer }
    }
}

impl HmacContext for Hmac {
    fn update(&mut self, data: &[u8]) {
        self.inner.update(data);
    }

    fn finish(&mut self) -> object_store::Result<&[u8]> {
        let inner = DigestContext::finish(&mut self.inner)?.to_vec();
        let mut outer = std::mem::take(&mut self.outer);
        outer.update(&inner);
        self.inner.digest = *outer.finish().as_bytes();
        Ok(&self.inner.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 2 and 6.
    #[test]
    fn hmacs_are_those_of_the_standard() {
        for (key, data, expected) in [
            (
                &b"Jefe"[..],
                &b"what do ya want for nothing?"[..],
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            let mut hmac = Crypto.hmac(DigestAlgorithm::Sha256, key).unwrap();
            let (first, rest) = data.split_at(5);
            hmac.update(first);
            hmac.update(rest);
            let hmac: [u8; 32] = hmac.finish().unwrap().try_into().unwrap();
            assert_eq!(crate::Checksum::from_bytes(hmac).to_hex(), expected);
        }
    }
}
