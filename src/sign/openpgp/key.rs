//! Keys as they stand in a keyring: a primary key, its user ids and its subkeys, each with the
//! signatures over it; nothing of it is trusted yet (see [`super::model`]).

use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use pgp::packet::PacketHeader;
use pgp::types::{Mpi, SignatureBytes, Tag, VerifyingKey as _};

use super::id::Fingerprint;
use super::packet::{self, Packet, Packets, be32, mpi};
use super::signature::{Signature, algorithm, digest, hash};
use super::state::Model;

/// A public key packet of version 4.
#[derive(Debug)]
pub(super) struct KeyPacket {
    pub body: Box<[u8]>,
    pub fingerprint: Fingerprint,
    /// Seconds since 1970.
    pub created: u32,
    pub algorithm: u8,
    parsed: OnceLock<Option<pgp::packet::PublicKey>>,
}

impl KeyPacket {
    /// Takes the body of a packet; `None` for other versions and for what is not whole.
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (version, created, algorithm) = (*body.first()?, be32(body, 1)?, *body.get(5)?);
        if version != 4 {
            return None;
        }
        let fingerprint = digest(hash::SHA1, &[&hashed_header(body), body])?;
        Some(Self {
            body: body.into(),
            fingerprint: Fingerprint(*fingerprint.first_chunk()?),
            created,
            algorithm,
            parsed: OnceLock::new(),
        })
    }

    /// Whether this key made a signature over what the parts are together.
    pub fn has_signed(&self, signature: &Signature<'_>, parts: &[&[u8]]) -> bool {
        signature.digest(parts).is_some_and(|digest| self.has_signed_digest(signature, &digest))
    }

    /// Whether this key made a signature with that digest.
    pub fn has_signed_digest(&self, signature: &Signature<'_>, digest: &[u8]) -> bool {
        self.try_verify(signature, digest).is_some()
    }

    fn try_verify(&self, signature: &Signature<'_>, digest: &[u8]) -> Option<()> {
        if !signature.is_understood
            || without_usage(self.algorithm) != without_usage(signature.algorithm)
        {
            return None;
        }
        let numbers = signature.numbers()?;
        // A zero is in no signature, and what divides by it need not be tried.
        if numbers.iter().any(|number| number.is_empty()) {
            return None;
        }
        let mut numbers: Vec<Mpi> = numbers.into_iter().map(Mpi::from_slice).collect();
        if self.body.get(6..).is_some_and(|numbers| numbers.starts_with(&SECP256K1))
            && let [_, s] = &mut numbers[..]
        {
            *s = Mpi::from_slice(&lower_half(s.as_ref())?);
        }
        let key = self.parsed()?;
        let algorithm = signature.hash.into();
        key.verify(algorithm, digest, &SignatureBytes::Mpis(numbers)).ok()
    }

    /// The key as the arithmetic takes it.
    fn parsed(&self) -> Option<&pgp::packet::PublicKey> {
        let parse = || {
            if !has_sane_numbers(self.algorithm, self.body.get(6..)?) {
                return None;
            }
            let length = self.body.len().try_into().ok()?;
            let header = PacketHeader::new_fixed(Tag::PublicKey, length);
            pgp::packet::PublicKey::try_from_reader(header, &self.body[..]).ok()
        };
        self.parsed.get_or_init(parse).as_ref()
    }
}

/// The public part of the body of a secret key, which is in front of the secret one; `None` for
/// algorithms whose numbers are unknown.
pub(super) fn public_part(body: &[u8]) -> Option<&[u8]> {
    let numbers = body.get(6..).filter(|_| body.first() == Some(&4))?;
    let point = |numbers| -> Option<&[u8]> {
        let (length, rest): (&u8, &[u8]) = <[u8]>::split_first(numbers)?;
        Some(mpi(rest.get(usize::from(*length)..)?)?.1)
    };
    let skip = |count| (0..count).try_fold(numbers, |rest, _| Some(mpi(rest)?.1));
    let rest = match *body.get(5)? {
        algorithm::RSA | 2 | algorithm::RSA_SIGN => skip(2)?,
        algorithm::DSA => skip(4)?,
        16 | 20 => skip(3)?,
        algorithm::ECDSA | algorithm::EDDSA => point(numbers)?,
        18 => {
            let (length, rest) = point(numbers)?.split_first()?;
            rest.get(usize::from(*length)..)?
        }
        _ => return None,
    };
    body.get(..body.len() - rest.len())
}

/// What is hashed in front of a key.
pub(super) fn hashed_header(body: &[u8]) -> [u8; 3] {
    let [high, low] = (body.len() as u16).to_be_bytes();
    [0x99, high, low]
}

/// RSA keys are the same whatever they were made for.
fn without_usage(of: u8) -> u8 {
    if of == algorithm::RSA_SIGN || of == 2 { algorithm::RSA } else { of }
}

/// How the numbers of a key on the curve secp256k1 begin: the length of its object identifier, and
/// the identifier.
const SECP256K1: [u8; 6] = [5, 0x2b, 0x81, 0x04, 0x00, 0x0a];

/// The second number of a signature on secp256k1 as the arithmetic wants it: of `s` and `n - s`,
/// which are equally right, the lower one. gpg writes either.
fn lower_half(s: &[u8]) -> Option<[u8; 32]> {
    /// The order of the curve's group.
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xfe, 0xba, 0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36,
        0x41, 0x41,
    ];
    let mut whole = [0; 32];
    whole.get_mut(32_usize.checked_sub(s.len())?..)?.copy_from_slice(s);
    let mut other = [0; 32];
    let mut borrow = false;
    for ((difference, n), s) in other.iter_mut().zip(N).zip(whole).rev() {
        let (first, one) = n.overflowing_sub(s);
        let (second, two) = first.overflowing_sub(u8::from(borrow));
        (*difference, borrow) = (second, one || two);
    }
    // What is not below the order is no number of a signature.
    (!borrow).then(|| whole.min(other))
}

/// Whether numbers of a key are such that the arithmetic takes little time and has an answer.
fn has_sane_numbers(of: u8, numbers: &[u8]) -> bool {
    let bits = |number: &[u8]| {
        number.first().map_or(0, |first| number.len() * 8 - first.leading_zeros() as usize)
    };
    let check = || match of {
        algorithm::DSA => {
            let (p, rest) = mpi(numbers)?;
            let (q, rest) = mpi(rest)?;
            let (g, rest) = mpi(rest)?;
            let (y, _) = mpi(rest)?;
            let is_odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
            let (p_bits, q_bits) = (bits(p), bits(q));
            let fits = (512..=4096).contains(&p_bits) && (160..=512).contains(&q_bits);
            Some(fits && is_odd(p) && is_odd(q) && bits(g) > 1 && bits(y) > 1)
        }
        algorithm::RSA | algorithm::RSA_SIGN | 2 => {
            let (n, rest) = mpi(numbers)?;
            let (e, _) = mpi(rest)?;
            Some(bits(n) >= 512 && n.last()? & 1 == 1 && (2..=32).contains(&bits(e)))
        }
        algorithm::ECDSA | algorithm::EDDSA => Some(true),
        _ => None,
    };
    check().unwrap_or(false)
}

/// A user id or, without a text, another user attribute.
#[derive(Debug)]
pub(super) struct User {
    pub is_attribute: bool,
    pub body: Box<[u8]>,
    pub signatures: Vec<Box<[u8]>>,
}

/// A subkey.
#[derive(Debug)]
pub(super) struct Subkey {
    pub key: KeyPacket,
    pub signatures: Vec<Box<[u8]>>,
}

/// A primary key with all that belongs to it.
#[derive(Debug)]
pub struct Certificate {
    pub(super) primary: KeyPacket,
    /// Signatures over the primary key itself.
    pub(super) signatures: Vec<Box<[u8]>>,
    pub(super) users: Vec<User>,
    pub(super) subkeys: Vec<Subkey>,
    origin: Arc<Path>,
    pub(super) model: Mutex<Option<Arc<Model>>>,
}

impl Certificate {
    /// The fingerprint of the primary key.
    pub fn fingerprint(&self) -> Fingerprint {
        self.primary.fingerprint
    }

    /// The file that it came from.
    pub fn origin(&self) -> &Path {
        &self.origin
    }

    /// The primary key, number 0, or a subkey.
    pub(super) fn key(&self, number: usize) -> Option<&KeyPacket> {
        match number.checked_sub(1) {
            None => Some(&self.primary),
            Some(subkey) => self.subkeys.get(subkey).map(|subkey| &subkey.key),
        }
    }
}

/// Reads the public keys of a stream of packets, up to the first that cannot be read and at most
/// `most`. What belongs to a key of another version or kind is left out with it.
pub(super) fn read(bytes: &[u8], origin: &Arc<Path>, most: usize) -> Vec<Certificate> {
    let mut found: Vec<Certificate> = Vec::new();
    let mut place = Place::Nowhere;
    for Packet { tag, body, .. } in Packets::of(bytes).map_while(Result::ok) {
        match (tag, found.last_mut()) {
            (packet::PUBLIC_KEY, _) => {
                if found.len() == most {
                    break;
                }
                place = Place::Nowhere;
                if let Some(primary) = KeyPacket::parse(body) {
                    place = Place::Primary;
                    found.push(Certificate {
                        primary,
                        signatures: Vec::new(),
                        users: Vec::new(),
                        subkeys: Vec::new(),
                        origin: origin.clone(),
                        model: Mutex::new(None),
                    });
                }
            }
            (packet::USER_ID | packet::USER_ATTRIBUTE, Some(certificate))
                if place != Place::Nowhere =>
            {
                place = Place::User;
                let is_attribute = tag == packet::USER_ATTRIBUTE;
                let user = User { is_attribute, body: body.into(), signatures: Vec::new() };
                certificate.users.push(user);
            }
            (packet::PUBLIC_SUBKEY, Some(certificate)) if place != Place::Nowhere => {
                place = Place::Unread;
                if let Some(key) = KeyPacket::parse(body) {
                    place = Place::Subkey;
                    certificate.subkeys.push(Subkey { key, signatures: Vec::new() });
                }
            }
            (packet::SIGNATURE, Some(certificate)) => {
                let signatures = match place {
                    Place::Primary => Some(&mut certificate.signatures),
                    Place::User => certificate.users.last_mut().map(|user| &mut user.signatures),
                    Place::Subkey => certificate.subkeys.last_mut().map(|key| &mut key.signatures),
                    Place::Unread | Place::Nowhere => None,
                };
                if let Some(signatures) = signatures {
                    signatures.push(body.into());
                }
            }
            (packet::SECRET_KEY, _) => place = Place::Nowhere,
            // Trust packets are the business of the keyring that they come from; what is unknown
            // does not end a key.
            _ => {}
        }
    }
    found
}

/// What a signature packet belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Primary,
    User,
    Subkey,
    /// A subkey that is not read.
    Unread,
    /// No key that is read.
    Nowhere,
}
