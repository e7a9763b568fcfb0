//! A key that signs, and what it has signed.

use super::public::Public;
use crate::error::{Context, Result};
use crate::gvariant::Dict;
use crate::object::detached;
use crate::signer::{PayloadKind, Signature, Signer};

/// A key, in this process or in a program. No signature of it is used before it is verified.
#[derive(Debug)]
pub(super) struct Key {
    /// What the user knows it by.
    pub(super) label: String,
    /// Its public part.
    pub(super) public: Public,
    signer: Box<dyn Signer>,
}

impl Key {
    pub(super) fn new(label: String, public: Public, signer: impl Signer + 'static) -> Self {
        Self { label, public, signer: Box::new(signer) }
    }

    /// Whether one of the signatures in a dictionary is valid with it.
    pub(super) fn has_signed(&self, payload: &[u8], metadata: &Dict) -> bool {
        let signatures = detached::signatures(metadata, self.public.metadata_key());
        // One by one: a malformed signature does not hide a good one.
        signatures
            .into_iter()
            .flatten()
            .any(|signature| self.public.verify(payload, signature).is_ok())
    }
}

impl Signer for Key {
    fn sign(&self, kind: PayloadKind, payload: &[u8]) -> Result<Signature> {
        let sign = || {
            let signature = self.signer.sign(kind, payload)?;
            self.public.verify(payload, &signature.bytes)?;
            Ok(signature)
        };
        sign().context(|| format!("signing the {} with {}", kind.name(), self.label))
    }
}
