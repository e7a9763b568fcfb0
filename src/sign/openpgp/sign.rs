//! Signing in this process, with an exported secret key. The packet is byte for byte the one that
//! gpg 2.2 makes with the same key in the same second.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use pgp::packet::PacketHeader;
use pgp::types::{
    EcdsaPublicParams, KeyDetails as _, KeyVersion, Password, PublicParams, SecretParams,
    SignatureBytes, SigningKey as _, Tag,
};
use zeroize::Zeroizing;

use super::armour;
use super::error::GpgError;
use super::key::{Certificate, KeyPacket, public_part, read};
use super::packet::{self, Packet, Packets};
use super::signature::{class, digest, hash, trailer};
use super::verify::KeyState;

/// How a secret key that is elsewhere, on a card or only in another file, is marked.
const GNU_EXTENSION: u8 = 101;

/// An exported secret key: a primary key with its user ids and subkeys.
pub struct SecretKey {
    certificate: Certificate,
    public: Vec<u8>,
    /// What is behind the public part of each key: of the primary one, then of the subkeys.
    secrets: Vec<Zeroizing<Vec<u8>>>,
}

/// Without the secret.
impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({})", self.certificate.fingerprint())
    }
}

impl SecretKey {
    /// Reads what `gpg --export-secret-keys` writes, armoured or not. Of several keys the first is
    /// taken.
    ///
    /// # Errors
    /// When there is no secret key in it.
    pub fn read(exported: &[u8]) -> Result<Self, GpgError> {
        let binary = Zeroizing::new(armour::binary(exported).into_owned());
        let mut public = Vec::new();
        let mut secrets = Vec::new();
        for Packet { tag, body, .. } in Packets::of(&binary).map_while(Result::ok) {
            let key = match tag {
                packet::SECRET_KEY if !secrets.is_empty() => break,
                packet::SECRET_KEY => packet::PUBLIC_KEY,
                packet::SECRET_SUBKEY => packet::PUBLIC_SUBKEY,
                packet::SIGNATURE | packet::USER_ID | packet::USER_ATTRIBUTE => {
                    packet::write(&mut public, tag, body);
                    continue;
                }
                _ => continue,
            };
            // A key of an unknown kind is left out by the reader, too; its signatures belong to no
            // other then.
            let part = public_part(body).unwrap_or_default();
            packet::write(&mut public, key, part);
            if KeyPacket::parse(part).is_some() {
                secrets.push(Zeroizing::new(body.get(part.len()..).unwrap_or_default().to_vec()));
            }
        }
        let origin: Arc<Path> = Arc::from(Path::new(""));
        match read(&public, &origin, 1).pop() {
            Some(certificate) if secrets.len() == 1 + certificate.subkeys.len() => {
                Ok(Self { certificate, public, secrets })
            }
            _ => Err(GpgError::NotASecretKey),
        }
    }

    /// The key without its secret.
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The same as a binary keyring.
    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Signs data and returns the signature packet, binary; `now`, in seconds since 1970, becomes
    /// its time. The newest subkey that may sign does it, or the primary key if there is none, as
    /// gpg chooses.
    ///
    /// # Errors
    /// When no key may sign (any more), its secret is protected by a passphrase, or it is of a kind
    /// that is not known.
    pub fn sign(&self, data: &[u8], now: i64) -> Result<Vec<u8>, GpgError> {
        let (key, secret) = self.signing_key(now).ok_or(GpgError::UnusableSecretKey)?;
        if secret.first() != Some(&0) {
            return Err(GpgError::EncryptedSecretKey);
        }
        let unsupported = || GpgError::SigningFailed("the kind of key is not supported".to_owned());
        let secret = parse(key, secret).ok_or_else(unsupported)?;
        let chosen = hash_for(secret.public_params());
        let created = u32::try_from(now).map_err(|_| GpgError::UnusableSecretKey)?;
        let mut hashed = vec![4, class::BINARY, key.algorithm, chosen];
        hashed.extend([0, 29, 22, 33, 4]);
        hashed.extend(key.fingerprint.0);
        hashed.extend([5, 2]);
        hashed.extend(created.to_be_bytes());
        let digest = digest(chosen, &[data, &hashed, &trailer(&hashed)]).ok_or_else(unsupported)?;
        let signed = secret.sign(&Password::empty(), chosen.into(), &digest);
        let Ok(SignatureBytes::Mpis(numbers)) = signed else { return Err(unsupported()) };
        let mut body = hashed;
        body.extend([0, 10, 9, 16]);
        body.extend(key.fingerprint.key_id().0);
        body.extend(digest.iter().take(2));
        for number in numbers {
            packet::write_mpi(&mut body, number.as_ref());
        }
        let mut signature = Vec::new();
        packet::write(&mut signature, packet::SIGNATURE, &body);
        Ok(signature)
    }

    /// The key that signs, with its secret.
    fn signing_key(&self, now: i64) -> Option<(&KeyPacket, &[u8])> {
        let model = self.certificate.model(now);
        let is_usable = |number: &usize| {
            let state = KeyState::of(&self.certificate, &model, *number);
            let created = self.certificate.key(*number).map(|key| i64::from(key.created));
            state.may_sign
                && !state.has_expired
                && !state.is_revoked
                && created.is_some_and(|created| created <= now)
                && self.secrets.get(*number).is_some_and(|secret| is_here(secret))
        };
        let subkeys = (1..=self.certificate.subkeys.len()).filter(is_usable);
        // Of the same second the first.
        let newest =
            subkeys.rev().max_by_key(|number| self.certificate.key(*number).map(|key| key.created));
        let number = newest.or_else(|| Some(0).filter(is_usable))?;
        Some((self.certificate.key(number)?, self.secrets.get(number)?))
    }
}

/// Whether the secret is in the packet, protected or not.
fn is_here(secret: &[u8]) -> bool {
    match secret {
        [] => false,
        [254 | 255, _, kind, ..] => *kind != GNU_EXTENSION,
        _ => true,
    }
}

/// The key as the arithmetic takes it. Its own parser of packets is not used because it writes the
/// secret to the log.
fn parse(key: &KeyPacket, secret: &[u8]) -> Option<pgp::packet::SecretKey> {
    let header = PacketHeader::new_fixed(Tag::PublicKey, key.body.len().try_into().ok()?);
    let public = pgp::packet::PublicKey::try_from_reader(header, &key.body[..]).ok()?;
    let (algorithm, params) = (public.algorithm(), public.public_params());
    let secret = SecretParams::from_slice(secret, KeyVersion::V4, algorithm, params).ok()?;
    pgp::packet::SecretKey::new(public, secret).ok()
}

/// The hash algorithm that gpg 2.2 takes for a key.
fn hash_for(key: &PublicParams) -> u8 {
    match key {
        PublicParams::RSA(_) => hash::SHA512,
        PublicParams::ECDSA(EcdsaPublicParams::P384 { .. }) => hash::SHA384,
        PublicParams::ECDSA(EcdsaPublicParams::P521 { .. }) => hash::SHA512,
        _ => hash::SHA256,
    }
}
