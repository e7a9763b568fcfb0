//! What the signatures of a key over itself make of it: what is valid, revoked, expired, and which
//! user id is the primary one. As gpg 2.2 decides:
//!
//! * Only signatures of the primary key count (and back signatures of subkeys), and only those that
//!   are right. Certifications by others are not looked at.
//! * Of several the newest counts. A revocation of a key or subkey counts whenever it was made, one
//!   of a user id only when nothing newer certifies it.
//! * Expiry and flags of the primary key come from a signature over the key itself, else from the
//!   newest one over a user id.

use std::sync::{Arc, OnceLock, PoisonError};

use super::key::{Certificate, KeyPacket, User, hashed_header};
use super::signature::{Signature, algorithm, class};
use super::state::{Model, SubkeyState, UserState, has_passed};

/// The flag of keys that may sign data.
const MAY_SIGN: u8 = 0x02;

/// How many signatures over one thing are checked at most, newest first.
const MOST_CHECKED: usize = 100;

impl Certificate {
    /// What its own signatures make of it at a time. The answer is kept for the next question about
    /// the same time.
    pub(super) fn model(&self, now: i64) -> Arc<Model> {
        let mut kept = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(model) if model.now == now => model.clone(),
            _ => kept.insert(Arc::new(Model::new(self, now))).clone(),
        }
    }
}

impl Model {
    pub fn new(certificate: &Certificate, now: i64) -> Self {
        let primary = &certificate.primary;
        let own_parts: [&[u8]; 2] = [&hashed_header(&primary.body), &primary.body];
        let own = Signatures::of(&certificate.signatures, primary);
        let direct = own.newest(primary, &own_parts, now, |it| it == class::DIRECT_KEY);
        let is_revoked = own.any(primary, &own_parts, class::KEY_REVOCATION);

        let mut found: Vec<FoundUser<'_>> = certificate
            .users
            .iter()
            .map(|user| FoundUser::new(user, primary, &own_parts, now))
            .collect();
        let of_users = |wanted: &dyn Fn(&Signature<'_>) -> bool| {
            let certifications = found.iter().filter_map(|user| user.certification.as_ref());
            newest_first(certifications.filter(|it| wanted(it)))
        };
        let mut lifetime = direct.as_ref().map_or(0, |it| it.key_lifetime);
        if lifetime == 0 {
            lifetime = of_users(&|it| it.key_lifetime != 0).map_or(0, |it| it.key_lifetime);
        }
        let flags = direct
            .as_ref()
            .and_then(|it| it.key_flags)
            .or_else(|| of_users(&|it| it.key_flags.is_some()).and_then(|it| it.key_flags));
        let is_valid = direct.is_some() || found.iter().any(|user| user.certification.is_some());

        if let Some(first) = primary_user(&found) {
            let user = found.remove(first);
            found.insert(0, user);
        }
        Self {
            now,
            is_valid,
            is_revoked,
            expires: expiry(primary, lifetime),
            may_sign: can_sign(primary, flags),
            users: found.iter().filter(|user| !user.is_attribute()).map(FoundUser::state).collect(),
            subkeys: certificate.subkeys.iter().map(|_| OnceLock::new()).collect(),
        }
    }

    /// What is known of a subkey, counted from 0. Its signatures are checked when it is asked for.
    pub fn subkey(&self, certificate: &Certificate, number: usize) -> Option<&SubkeyState> {
        let subkey = certificate.subkeys.get(number)?;
        let find = || {
            let primary = &certificate.primary;
            let key = &subkey.key;
            let parts: [&[u8]; 4] = [
                &hashed_header(&primary.body),
                &primary.body,
                &hashed_header(&key.body),
                &key.body,
            ];
            let own = Signatures::of(&subkey.signatures, primary);
            let binding = own.newest(primary, &parts, self.now, |it| it == class::SUBKEY_BINDING);
            let is_revoked = own.any(primary, &parts, class::SUBKEY_REVOCATION);
            let may_sign = binding
                .as_ref()
                .is_some_and(|it| can_sign(key, it.key_flags) && has_signed_back(key, it, &parts));
            SubkeyState {
                is_valid: binding.is_some() && self.is_valid,
                is_revoked,
                expires: expiry(key, binding.map_or(0, |it| it.key_lifetime)),
                may_sign,
            }
        };
        Some(self.subkeys.get(number)?.get_or_init(find))
    }
}

fn expiry(key: &KeyPacket, lifetime: u32) -> Option<i64> {
    (lifetime != 0).then(|| i64::from(key.created) + i64::from(lifetime))
}

/// Whether the algorithm of a key can sign and its flags allow it. Without flags it may.
fn can_sign(key: &KeyPacket, flags: Option<u8>) -> bool {
    let signs = matches!(
        key.algorithm,
        algorithm::RSA | algorithm::RSA_SIGN | algorithm::DSA | algorithm::ECDSA | algorithm::EDDSA
    );
    signs && flags.is_none_or(|flags| flags & MAY_SIGN != 0)
}

/// Whether the binding of a subkey holds the subkey's own signature over its primary key.
fn has_signed_back(key: &KeyPacket, binding: &Signature<'_>, parts: &[&[u8]]) -> bool {
    let back = binding.embedded.and_then(Signature::parse);
    back.is_some_and(|back| back.class == class::PRIMARY_BINDING && key.has_signed(&back, parts))
}

/// The signatures over one thing that the primary key may have made, newest first and of the same
/// time the last one first.
struct Signatures<'s>(Vec<Signature<'s>>);

impl<'s> Signatures<'s> {
    fn of(bodies: &'s [Box<[u8]>], primary: &KeyPacket) -> Self {
        let parsed = bodies.iter().rev().filter_map(|body| Signature::parse(body));
        let mut own: Vec<_> = parsed.filter(|it| it.is_by(primary.fingerprint)).collect();
        own.sort_by_key(|it| std::cmp::Reverse(it.created));
        own.truncate(MOST_CHECKED);
        Self(own)
    }

    /// The newest of these classes that is right and has not expired.
    fn newest(
        &self,
        primary: &KeyPacket,
        parts: &[&[u8]],
        now: i64,
        is_wanted: impl Fn(u8) -> bool,
    ) -> Option<Signature<'s>> {
        let mut candidates = self.0.iter().filter(|it| is_wanted(it.class));
        candidates
            .find(|it| !has_passed(it.expires(), now) && primary.has_signed(it, parts))
            .cloned()
    }

    fn any(&self, primary: &KeyPacket, parts: &[&[u8]], wanted: u8) -> bool {
        self.0.iter().any(|it| it.class == wanted && primary.has_signed(it, parts))
    }
}

/// A user id with the signature that counts.
struct FoundUser<'u> {
    user: &'u User,
    certification: Option<Signature<'u>>,
    is_revoked: bool,
}

impl<'u> FoundUser<'u> {
    fn new(user: &'u User, primary: &KeyPacket, key_parts: &[&[u8]], now: i64) -> Self {
        let marker = if user.is_attribute { 0xd1 } else { 0xb4 };
        let length = (user.body.len() as u32).to_be_bytes();
        let header = [&[marker][..], &length].concat();
        let is_right = |it: &Signature<'_>| {
            let header: &[u8] = if it.has_user_length() { &header } else { &[] };
            primary.has_signed(it, &[key_parts, &[header, &user.body]].concat())
        };
        let own = Signatures::of(&user.signatures, primary);
        let counts = own.0.into_iter().find(|it| {
            let is_of_users = class::CERTIFICATIONS.contains(&it.class)
                || it.class == class::CERTIFICATION_REVOCATION;
            is_of_users && !has_passed(it.expires(), now) && is_right(it)
        });
        let is_revoked =
            counts.as_ref().is_some_and(|it| it.class == class::CERTIFICATION_REVOCATION);
        Self { user, certification: counts.filter(|_| !is_revoked), is_revoked }
    }

    fn is_attribute(&self) -> bool {
        self.user.is_attribute
    }

    fn state(&self) -> UserState {
        UserState {
            text: String::from_utf8_lossy(&self.user.body).into_owned(),
            is_valid: self.certification.is_some(),
            is_revoked: self.is_revoked,
        }
    }
}

fn newest_first<'f, 's: 'f>(
    signatures: impl Iterator<Item = &'f Signature<'s>>,
) -> Option<&'f Signature<'s>> {
    // Of the same time the first.
    signatures.fold(None, |newest: Option<&Signature<'_>>, it| match newest {
        Some(newest) if newest.created >= it.created => Some(newest),
        _ => Some(it),
    })
}

/// The number of the primary user id: a flagged one with the newest certification, else any with
/// the newest; of equal ones the longest, then the last by its bytes, as gpg has it.
fn primary_user(users: &[FoundUser<'_>]) -> Option<usize> {
    let candidates = || users.iter().enumerate().filter(|(_, user)| !user.is_attribute());
    let rank =
        |user: &FoundUser<'_>| user.certification.as_ref().map(|it| (it.is_primary, it.created));
    let best = candidates().filter_map(|(_, user)| rank(user)).max();
    let equal = candidates().filter(|(_, user)| rank(user) == best);
    let by_length_and_bytes =
        |one: &[u8], other: &[u8]| one.len().cmp(&other.len()).then_with(|| one.cmp(other));
    equal
        .max_by(|(_, one), (_, other)| by_length_and_bytes(&one.user.body, &other.user.body))
        .map(|(at, _)| at)
}
