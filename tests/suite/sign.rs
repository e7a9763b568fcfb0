//! Signatures: engines and keys, held against the real program's signatures and OpenSSL's.

mod bits;
mod golden;
mod openssl;

use osier::sign::{Dummy, Engine, SecretKey, SignatureType, VerificationKeys, sign, verify};

fn engine(signature_type: SignatureType) -> Engine {
    Engine::new(signature_type, Dummy::Allowed).unwrap()
}

/// A key pair of some kind, in the form that the engine takes.
struct Pair {
    /// What kind it is.
    name: String,
    engine: Engine,
    secret: Vec<u8>,
    public: Vec<u8>,
}

impl Pair {
    fn sign(&self, data: &[u8]) -> Vec<u8> {
        let secret = SecretKey::from_bytes(self.engine, &self.secret).unwrap();
        sign(&secret, data).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn verifies(&self, public: &[u8], data: &[u8], signature: &[u8]) -> bool {
        let mut keys = VerificationKeys::new(self.engine);
        keys.add_bytes(public).unwrap();
        verify(&keys, data, [signature]).is_ok()
    }
}
