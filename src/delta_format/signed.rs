//! Signed superblocks: `(taya{sv})`, which are the bytes `OSTSGNDT`, a superblock and signatures
//! over its bytes, in a dictionary as detached metadata has them.

use crate::gvariant::{DecodeError, Dict, Encoder, Type, Variant};

const SIGNED_TYPE: &str = "(taya{sv})";
const MAGIC: [u8; 8] = *b"OSTSGNDT";

/// What the keys of signatures begin with.
pub const SIGNATURE_PREFIX: &str = "ostree.sign.";

/// A signed superblock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The superblock, which is what is signed.
    pub superblock: &'a [u8],
    /// Signatures by type.
    pub signatures: Dict,
}

impl<'a> Signed<'a> {
    /// Whether a file is meant to be a signed superblock.
    pub fn is_signed(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads a signed superblock; `None` when it is not signed.
    ///
    /// # Errors
    /// `no signatures in static-delta`, when there is no signature of any type.
    pub fn decode(bytes: &'a [u8]) -> Result<Option<Self>, DecodeError> {
        if !Self::is_signed(bytes) {
            return Ok(None);
        }
        let view = Variant::new(Type::parse(SIGNED_TYPE)?, bytes);
        let mut members = view.children().skip(1);
        let superblock = super::bytes_in(members.next());
        let signatures = members.next().and_then(Dict::from_variant).unwrap_or_default();
        if !signatures.iter().any(|(key, _)| key.starts_with(SIGNATURE_PREFIX)) {
            return Err(DecodeError::new("no signatures in static-delta"));
        }
        Ok(Some(Self { superblock, signatures }))
    }

    /// Serialises it.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::with_capacity(self.superblock.len() + 256);
        let mut tuple = encoder.begin(8);
        encoder.put(&MAGIC);
        encoder.put(self.superblock);
        tuple.end_child(&encoder);
        encoder.align(8);
        self.signatures.encode_into(&mut encoder);
        encoder.end_tuple(tuple);
        encoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::detached;

    #[test]
    fn what_is_signed_comes_back() {
        let signatures = detached::append(&Dict::new(), "ostree.sign.dummy", b"name");
        let signed = Signed { superblock: b"bytes", signatures };
        let bytes = signed.encode();
        assert_eq!(Signed::decode(&bytes), Ok(Some(signed)));
        assert_eq!(Signed::decode(b"OSTSGND"), Ok(None));
        let none = Signed { superblock: b"bytes", signatures: Dict::new() }.encode();
        for bytes in [&none[..], b"OSTSGNDT", &bytes[..9]] {
            assert_eq!(Signed::decode(bytes).unwrap_err().what, "no signatures in static-delta");
        }
    }
}
