//! Signature packets (RFC 9580, section 5.2) of the versions 3 and 4, taken apart.

use pgp::crypto::hash::HashAlgorithm;

use super::id::{Fingerprint, KeyId};
use super::packet::{be, be32, mpi, subpacket_length};

/// Classes of signatures (RFC 9580, section 5.2.1).
pub(super) mod class {
    pub const BINARY: u8 = 0x00;
    pub const TEXT: u8 = 0x01;
    pub const CERTIFICATIONS: std::ops::RangeInclusive<u8> = 0x10..=0x13;
    pub const SUBKEY_BINDING: u8 = 0x18;
    pub const PRIMARY_BINDING: u8 = 0x19;
    pub const DIRECT_KEY: u8 = 0x1f;
    pub const KEY_REVOCATION: u8 = 0x20;
    pub const SUBKEY_REVOCATION: u8 = 0x28;
    pub const CERTIFICATION_REVOCATION: u8 = 0x30;
}

/// Public-key algorithms (RFC 9580, section 9.1).
pub(super) mod algorithm {
    pub const RSA: u8 = 1;
    pub const RSA_SIGN: u8 = 3;
    pub const DSA: u8 = 17;
    pub const ECDSA: u8 = 19;
    pub const EDDSA: u8 = 22;
}

/// Hash algorithms (RFC 9580, section 9.5).
pub(super) mod hash {
    pub const MD5: u8 = 1;
    pub const SHA1: u8 = 2;
    pub const SHA256: u8 = 8;
    pub const SHA384: u8 = 9;
    pub const SHA512: u8 = 10;
    /// Those of gpg 2.2: MD5, SHA-1, RIPEMD-160, SHA-2.
    pub const KNOWN: [u8; 7] = [MD5, SHA1, 3, SHA256, SHA384, SHA512, 11];
}

/// What a signature packet says. Of what is not signed, the area of unhashed subpackets, only the
/// issuer and an embedded signature are read.
#[derive(Clone, Debug)]
pub(super) struct Signature<'b> {
    pub class: u8,
    pub algorithm: u8,
    pub hash: u8,
    /// Seconds since 1970.
    pub created: u32,
    /// For how many seconds the signature is valid; 0 for ever.
    pub lifetime: u32,
    /// For how many seconds the key that is signed is valid; 0 for ever.
    pub key_lifetime: u32,
    /// What the key that is signed may do.
    pub key_flags: Option<u8>,
    /// Whether the user id that is signed is the primary one.
    pub is_primary: bool,
    pub issuer: Option<KeyId>,
    pub issuer_fingerprint: Option<Fingerprint>,
    /// The signature of the subkey over its primary key.
    pub embedded: Option<&'b [u8]>,
    /// Whether all that must be understood is.
    pub is_understood: bool,
    version: u8,
    /// What of the packet is hashed behind that which is signed.
    hashed: &'b [u8],
    /// The first two bytes of the digest.
    beginning: [u8; 2],
    numbers: &'b [u8],
}

impl<'b> Signature<'b> {
    /// Takes the body of a packet apart. One of another version is not understood; `None` where
    /// the packet is not whole.
    pub fn parse(body: &'b [u8]) -> Option<Self> {
        match *body.first()? {
            2 | 3 => Self::parse_v3(body),
            4 => Self::parse_v4(body),
            version => Some(Self { is_understood: false, ..Self::empty(version) }),
        }
    }

    fn empty(version: u8) -> Self {
        Self {
            class: 0,
            algorithm: 0,
            hash: 0,
            created: 0,
            lifetime: 0,
            key_lifetime: 0,
            key_flags: None,
            is_primary: false,
            issuer: None,
            issuer_fingerprint: None,
            embedded: None,
            is_understood: true,
            version,
            hashed: &[],
            beginning: [0; 2],
            numbers: &[],
        }
    }

    fn parse_v3(body: &'b [u8]) -> Option<Self> {
        if *body.get(1)? != 5 {
            return None;
        }
        Some(Self {
            class: *body.get(2)?,
            created: be32(body, 3)?,
            issuer: Some(KeyId(*body.get(7..)?.first_chunk()?)),
            algorithm: *body.get(15)?,
            hash: *body.get(16)?,
            hashed: body.get(2..7)?,
            beginning: *body.get(17..)?.first_chunk()?,
            numbers: body.get(19..)?,
            ..Self::empty(3)
        })
    }

    fn parse_v4(body: &'b [u8]) -> Option<Self> {
        let hashed_end = 6 + be(body.get(4..6)?);
        let unhashed_start = hashed_end + 2;
        let unhashed_end = unhashed_start + be(body.get(hashed_end..unhashed_start)?);
        let mut signature = Self {
            class: *body.get(1)?,
            algorithm: *body.get(2)?,
            hash: *body.get(3)?,
            hashed: body.get(..hashed_end)?,
            beginning: *body.get(unhashed_end..)?.first_chunk()?,
            numbers: body.get(unhashed_end + 2..)?,
            ..Self::empty(4)
        };
        let mut has_created = false;
        for subpacket in Subpackets(body.get(6..hashed_end)?) {
            let (kind, is_critical, value) = subpacket?;
            has_created |= kind == 2;
            signature.take_signed(kind, is_critical, value)?;
        }
        for subpacket in Subpackets(body.get(unhashed_start..unhashed_end)?) {
            let (kind, is_critical, value) = subpacket?;
            signature.take_any(kind, value)?;
            signature.is_understood &= !is_critical || is_known(kind);
        }
        signature.is_understood &= has_created;
        Some(signature)
    }

    /// Takes a subpacket that is signed.
    fn take_signed(&mut self, kind: u8, is_critical: bool, value: &'b [u8]) -> Option<()> {
        match kind {
            2 => self.created = be32(value, 0)?,
            3 => self.lifetime = be32(value, 0)?,
            9 => self.key_lifetime = be32(value, 0)?,
            25 => self.is_primary = value.first().is_some_and(|flag| *flag != 0),
            27 => self.key_flags = Some(value.first().copied().unwrap_or(0)),
            _ => self.take_any(kind, value)?,
        }
        self.is_understood &= !is_critical || is_known(kind);
        Some(())
    }

    /// Takes a subpacket whose truth shows by itself. The first of a kind counts, which is the
    /// signed one if there is any.
    fn take_any(&mut self, kind: u8, value: &'b [u8]) -> Option<()> {
        match kind {
            16 if self.issuer.is_none() => self.issuer = Some(KeyId(*value.first_chunk()?)),
            33 if self.issuer_fingerprint.is_none() && value.first() == Some(&4) => {
                let fingerprint = *value.get(1..)?.first_chunk()?;
                self.issuer_fingerprint = Some(Fingerprint(fingerprint));
            }
            32 if self.embedded.is_none() => self.embedded = Some(value),
            _ => {}
        }
        Some(())
    }

    /// The id of the key that made it, as far as the packet says.
    pub fn key_id(&self) -> Option<KeyId> {
        self.issuer.or_else(|| self.issuer_fingerprint.map(|it| it.key_id()))
    }

    /// Whether that key may have made it.
    pub fn is_by(&self, fingerprint: Fingerprint) -> bool {
        match (self.issuer, self.issuer_fingerprint) {
            (None, None) => false,
            (id, whole) => {
                id.is_none_or(|id| id == fingerprint.key_id())
                    && whole.is_none_or(|whole| whole == fingerprint)
            }
        }
    }

    /// When it expires, in seconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        (self.lifetime != 0).then(|| i64::from(self.created) + i64::from(self.lifetime))
    }

    /// The digest of what was signed, given in parts, and of the signature itself; `None` for an
    /// unknown hash algorithm, or where the digest does not begin as the packet says.
    pub fn digest(&self, parts: &[&[u8]]) -> Option<Vec<u8>> {
        self.checked(digest(self.hash, &[parts, &[self.hashed, &self.trailer()]].concat())?)
    }

    /// The digest if it begins as the packet says.
    pub fn checked(&self, digest: Vec<u8>) -> Option<Vec<u8>> {
        digest.starts_with(&self.beginning).then_some(digest)
    }

    /// What is hashed behind that which is signed.
    pub fn own_parts(&self) -> Vec<u8> {
        [self.hashed, &self.trailer()].concat()
    }

    fn trailer(&self) -> Vec<u8> {
        if self.version < 4 { Vec::new() } else { trailer(self.hashed) }
    }

    /// Whether user ids are hashed with their length, as those of version 4 are.
    pub fn has_user_length(&self) -> bool {
        self.version >= 4
    }

    /// The numbers of the signature, without leading zeros; `None` if there are more or fewer than
    /// the algorithm has.
    pub fn numbers(&self) -> Option<Vec<&'b [u8]>> {
        let count = match self.algorithm {
            algorithm::RSA | algorithm::RSA_SIGN => 1,
            algorithm::DSA | algorithm::ECDSA | algorithm::EDDSA => 2,
            _ => return None,
        };
        let mut rest = self.numbers;
        let mut numbers = Vec::with_capacity(count);
        for _ in 0..count {
            let (number, after) = mpi(rest)?;
            numbers.push(number);
            rest = after;
        }
        rest.is_empty().then_some(numbers)
    }
}

/// What is hashed at the end: how much of the packet was hashed before.
pub(super) fn trailer(hashed: &[u8]) -> Vec<u8> {
    let length = (hashed.len() as u32).to_be_bytes();
    [&[4, 0xff][..], &length].concat()
}

/// A digest; `None` for an algorithm that gpg 2.2 does not have.
pub(super) fn digest(algorithm: u8, parts: &[&[u8]]) -> Option<Vec<u8>> {
    if !hash::KNOWN.contains(&algorithm) {
        return None;
    }
    let mut hasher = HashAlgorithm::from(algorithm).new_hasher().ok()?;
    for part in parts {
        hasher.update(part);
    }
    Some(hasher.finalize().into_vec())
}

/// Subpackets: their type, whether it must be understood, and their value.
struct Subpackets<'b>(&'b [u8]);

impl<'b> Iterator for Subpackets<'b> {
    type Item = Option<(u8, bool, &'b [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.0);
        let split = subpacket_length(bytes)
            .and_then(|(size, length)| bytes.get(size..)?.split_at_checked(length))
            .and_then(|(subpacket, rest)| Some((subpacket.split_first()?, rest)));
        Some(split.map(|((kind, value), rest)| {
            self.0 = rest;
            (kind & 0x7f, kind & 0x80 != 0, value)
        }))
    }
}

/// Subpackets that gpg takes notice of when they are critical.
fn is_known(kind: u8) -> bool {
    matches!(kind, 2..=7 | 9 | 11 | 12 | 16 | 21..=30 | 32 | 33)
}
