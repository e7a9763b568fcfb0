//! Verifying the signatures that are stored for some data.

use std::borrow::Cow;

use pgp::crypto::hash::HashAlgorithm;

use super::armour;
use super::error::GpgError;
use super::id::KeyId;
use super::key::{Certificate, KeyPacket};
use super::keyring::Keyring;
use super::packet::{self, Packets};
use super::report::{SigReport, SigState};
use super::signature::{Signature, class, hash};
use super::state::{Model, has_passed};

/// More signature packets than that are refused.
const MOST_SIGNATURES: usize = 1_000;

/// Verifies stored signatures over `data` at a time, in seconds since 1970, and reports on each in
/// the order in which they are stored.
///
/// `elements` are read as one stream of packets; a single one may be armoured.
///
/// # Errors
/// When there are no signatures in them, when anything else is, and when there are too many.
pub fn verify(
    data: &[u8],
    elements: &[&[u8]],
    keyring: &Keyring,
    now: i64,
) -> Result<Vec<SigReport>, GpgError> {
    let stream: Cow<'_, [u8]> = match elements {
        [single] => armour::binary(single),
        several => several.concat().into(),
    };
    let found = signatures(&stream)?;
    let mut starts = Vec::with_capacity(elements.len());
    let mut length = 0;
    for element in elements {
        starts.push(length);
        length += element.len();
    }
    // The data are hashed once with each algorithm, however many signatures there are.
    let mut begun = Vec::new();
    let mut digest = |signature: &Signature<'_>| {
        let wanted = (signature.hash, signature.class);
        if !begun.iter().any(|(of, _)| *of == wanted) {
            let mut hasher = HashAlgorithm::from(signature.hash).new_hasher().ok()?;
            match signature.class {
                class::TEXT => hasher.update(&with_canonical_lines(data)),
                _ => hasher.update(data),
            }
            begun.push((wanted, hasher));
        }
        let (_, hasher) = begun.iter().find(|(of, _)| *of == wanted)?;
        let mut hasher = hasher.box_clone();
        hasher.update(&signature.own_parts());
        signature.checked(hasher.finalize().into_vec())
    };
    let report = |(offset, signature): &(usize, Signature<'_>)| {
        // An empty element begins where the next one does.
        let element =
            if elements.len() == 1 { 1 } else { starts.partition_point(|it| it <= offset) };
        let mut report = blank(element.saturating_sub(1), signature);
        let id = signature.key_id().unwrap_or(KeyId([0; 8]));
        if let Some((certificate, number)) = keyring.find(id, signature.issuer_fingerprint) {
            fill(&mut report, signature, certificate, number, now, &mut digest);
        }
        report
    };
    Ok(found.iter().map(report).collect())
}

/// The signatures of a stream, and where each begins.
pub(super) fn signatures(stream: &[u8]) -> Result<Vec<(usize, Signature<'_>)>, GpgError> {
    let mut found = Vec::new();
    for packet in Packets::of(stream) {
        let packet = packet.map_err(|_| GpgError::NoData)?;
        match packet.tag {
            packet::SIGNATURE if found.len() == MOST_SIGNATURES => {
                return Err(GpgError::TooManySignatures(MOST_SIGNATURES));
            }
            packet::SIGNATURE => {
                let signature = Signature::parse(packet.body).ok_or(GpgError::NoData)?;
                found.push((packet.offset, signature));
            }
            packet::MARKER | packet::TRUST => {}
            _ => return Err(GpgError::NoData),
        }
    }
    if found.is_empty() { Err(GpgError::NoData) } else { Ok(found) }
}

/// What the packet says itself.
fn blank(element: usize, signature: &Signature<'_>) -> SigReport {
    SigReport {
        element,
        state: SigState::Missing,
        key_id: signature.key_id().unwrap_or(KeyId([0; 8])),
        fingerprint: None,
        primary: None,
        created: signature.created.into(),
        expires: signature.expires(),
        algorithm: signature.algorithm,
        hash: signature.hash,
        key_expires: None,
        primary_expires: None,
        user: None,
        keyring: None,
    }
}

/// Adds what the key says of itself and of the signature.
fn fill(
    report: &mut SigReport,
    signature: &Signature<'_>,
    certificate: &Certificate,
    number: usize,
    now: i64,
    digest: &mut dyn FnMut(&Signature<'_>) -> Option<Vec<u8>>,
) {
    let Some(key) = certificate.key(number) else { return };
    let model = certificate.model(now);
    let state = KeyState::of(certificate, &model, number);
    report.fingerprint = Some(key.fingerprint);
    report.primary = Some(certificate.fingerprint());
    report.user = model.users.first().map(|user| user.text.clone());
    report.keyring = Some(certificate.origin().to_owned());
    report.key_expires = state.expires;
    report.primary_expires = model.expires;
    report.state = if !matches!(signature.class, class::BINARY | class::TEXT)
        || !signature.is_understood
        || !state.may_sign
    {
        SigState::Bad
    } else if signature.hash == hash::MD5 || !hash::KNOWN.contains(&signature.hash) {
        SigState::Weak
    } else if !is_right(key, signature, digest) {
        SigState::Bad
    } else if signature.created < key.created || i64::from(key.created) > now {
        SigState::Untimely
    } else if has_passed(signature.expires(), now) {
        SigState::Expired
    } else if state.has_expired {
        SigState::KeyExpired
    } else if state.is_revoked {
        SigState::Revoked
    } else {
        SigState::Valid
    };
}

fn is_right(
    key: &KeyPacket,
    signature: &Signature<'_>,
    digest: &mut dyn FnMut(&Signature<'_>) -> Option<Vec<u8>>,
) -> bool {
    digest(signature).is_some_and(|digest| key.has_signed_digest(signature, &digest))
}

/// What is known of a key that signs, with what its primary key adds to it.
pub(super) struct KeyState {
    /// When it expires by itself.
    pub expires: Option<i64>,
    pub has_expired: bool,
    pub is_revoked: bool,
    pub may_sign: bool,
}

impl KeyState {
    /// Of the primary key, number 0, or of a subkey.
    pub fn of(certificate: &Certificate, model: &Model, number: usize) -> Self {
        let primary = Self {
            expires: model.expires,
            has_expired: model.has_expired(),
            is_revoked: model.is_revoked,
            may_sign: model.is_valid && model.may_sign,
        };
        let Some(number) = number.checked_sub(1) else { return primary };
        match model.subkey(certificate, number) {
            Some(subkey) => Self {
                expires: subkey.expires,
                has_expired: primary.has_expired || has_passed(subkey.expires, model.now),
                is_revoked: primary.is_revoked || subkey.is_revoked,
                may_sign: model.is_valid && subkey.is_valid && subkey.may_sign,
            },
            None => Self { may_sign: false, ..primary },
        }
    }
}

/// Text with a carriage return before every line feed.
fn with_canonical_lines(text: &[u8]) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(text.len());
    let mut last = 0;
    for &byte in text {
        if byte == b'\n' && last != b'\r' {
            canonical.push(b'\r');
        }
        canonical.push(byte);
        last = byte;
    }
    canonical
}
