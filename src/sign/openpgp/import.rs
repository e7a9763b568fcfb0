//! Importing keys into a keyring: the bytes of both in, those of the new keyring out.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::armour;
use super::error::GpgError;
use super::files::MAX_KEYRING_SIZE;
use super::id::Fingerprint;
use super::key::{KeyPacket, public_part};
use super::keyring::{Keyring, MOST_KEYS};
use super::packet::{self, Packet, Packets};

/// GPGME looks for no key by less, in bytes.
const SHORTEST_ID: usize = 8;

/// What came of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The new keyring, binary: the old keys with what was added to them, then the new ones.
    pub keyring: Vec<u8>,
    /// How many primary keys are new.
    pub new_keys: usize,
}

/// Adds the public keys of `source`, armoured or binary, to a keyring: all of them, or those that
/// `ids` choose. Keys that are there already get what is new about them. A key without a valid
/// signature over itself is left out, as gpg does.
///
/// # Errors
/// When there is no key in the source, when one of the ids does not stand for exactly one, and when
/// the keyring would be too large.
pub fn import(existing: &[u8], source: &[u8], ids: &[&str]) -> Result<Imported, GpgError> {
    let source = armour::binary(source);
    let (mut found, is_whole) = blocks(&source);
    if !is_whole {
        // gpg stops there and forgets the key that it was reading.
        found.pop();
    }
    let mut keyring = Keyring::default();
    keyring.add_binary(&found.iter().flat_map(Block::bytes).collect::<Vec<u8>>(), Path::new(""));
    let chosen = chosen(&keyring, ids)?;
    if found.is_empty() {
        return Err(GpgError::NoKeys);
    }
    let (mut merged, _) = blocks(existing);
    let mut places: HashMap<Fingerprint, usize> = HashMap::new();
    for (place, block) in merged.iter().enumerate() {
        places.extend(block.fingerprint.map(|fingerprint| (fingerprint, place)));
    }
    let mut new_keys = 0;
    for block in found {
        let Some(fingerprint) = block.fingerprint.filter(|it| chosen.contains(it)) else {
            continue;
        };
        match places.get(&fingerprint).and_then(|place| merged.get_mut(*place)) {
            Some(known) => known.merge(block),
            None => {
                new_keys += 1;
                places.insert(fingerprint, merged.len());
                // Merged with nothing: what is in it twice is kept once.
                let mut fresh = Block { fingerprint: Some(fingerprint), parts: Vec::new() };
                fresh.merge(block);
                merged.push(fresh);
            }
        }
    }
    let keyring: Vec<u8> = merged.iter().flat_map(Block::bytes).collect();
    if merged.len() > MOST_KEYS || keyring.len() as u64 > MAX_KEYRING_SIZE {
        return Err(GpgError::TooLarge);
    }
    Ok(Imported { keyring, new_keys })
}

/// The valid keys that the ids choose; without ids all.
fn chosen(keyring: &Keyring, ids: &[&str]) -> Result<HashSet<Fingerprint>, GpgError> {
    let mut chosen = HashSet::new();
    for id in ids {
        if id.len() < SHORTEST_ID {
            return Err(GpgError::KeyIdTooShort((*id).to_owned()));
        }
        match keyring.resolve(id)[..] {
            [] => return Err(GpgError::KeyNotFound((*id).to_owned())),
            [only] => chosen.insert(only.fingerprint()),
            _ => return Err(GpgError::AmbiguousKeyId((*id).to_owned())),
        };
    }
    // At the beginning of time nothing has expired: gpg imports expired keys, too.
    let valid = keyring.certificates().iter().filter(|it| it.model(0).is_valid);
    let valid = valid.map(|certificate| certificate.fingerprint());
    Ok(valid.filter(|it| ids.is_empty() || chosen.contains(it)).collect())
}

/// A primary key with what belongs to it, as packets.
struct Block<'b> {
    fingerprint: Option<Fingerprint>,
    /// The primary key first, then user ids and subkeys.
    parts: Vec<Part<'b>>,
}

/// A key or user id with the signatures over it.
#[derive(Clone)]
struct Part<'b> {
    tag: u8,
    body: &'b [u8],
    signatures: Vec<&'b [u8]>,
}

impl<'b> Block<'b> {
    /// Adds what the other has and this has not.
    fn merge(&mut self, other: Block<'b>) {
        let places = self.parts.iter().enumerate().map(|(at, part)| ((part.tag, part.body), at));
        let mut places: HashMap<_, _> = places.collect();
        for part in other.parts {
            let place = *places.entry((part.tag, part.body)).or_insert(self.parts.len());
            match self.parts.get_mut(place) {
                Some(known) => {
                    let mut there: HashSet<&[u8]> = known.signatures.iter().copied().collect();
                    known.signatures.extend(part.signatures.iter().filter(|it| there.insert(it)));
                }
                None => {
                    let mut there = HashSet::new();
                    let mut signatures = part.signatures;
                    signatures.retain(|signature| there.insert(*signature));
                    self.parts.push(Part { signatures, ..part });
                }
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // User ids stand in front of the subkeys, whichever came first.
        let (subkeys, others): (Vec<_>, Vec<_>) =
            self.parts.iter().partition(|part| part.tag == packet::PUBLIC_SUBKEY);
        for part in others.into_iter().chain(subkeys) {
            packet::write(&mut bytes, part.tag, part.body);
            for signature in &part.signatures {
                packet::write(&mut bytes, packet::SIGNATURE, signature);
            }
        }
        bytes
    }
}

/// The keys in a stream of packets, up to the first that cannot be read, and whether there is none
/// such. Of secret keys the public part is taken.
fn blocks(bytes: &[u8]) -> (Vec<Block<'_>>, bool) {
    let mut found: Vec<Block<'_>> = Vec::new();
    let mut inside = false;
    for packet in Packets::of(bytes) {
        let Ok(Packet { tag, body, .. }) = packet else { return (found, false) };
        let (tag, body) = match tag {
            packet::SECRET_KEY => (packet::PUBLIC_KEY, public_part(body)),
            packet::SECRET_SUBKEY => (packet::PUBLIC_SUBKEY, public_part(body)),
            tag => (tag, Some(body)),
        };
        let part = body.map(|body| Part { tag, body, signatures: Vec::new() });
        match (tag, found.last_mut().filter(|_| inside)) {
            (packet::PUBLIC_KEY, _) => {
                inside = part.is_some();
                found.extend(part.map(|part| {
                    let fingerprint = KeyPacket::parse(part.body).map(|key| key.fingerprint);
                    Block { fingerprint, parts: vec![part] }
                }));
            }
            (packet::USER_ID | packet::USER_ATTRIBUTE | packet::PUBLIC_SUBKEY, Some(block)) => {
                block.parts.extend(part);
            }
            (packet::SIGNATURE, Some(block)) => {
                if let Some((last, body)) = block.parts.last_mut().zip(body) {
                    last.signatures.push(body);
                }
            }
            // Trust packets are the business of the keyring that they come from.
            _ => {}
        }
    }
    (found, true)
}
