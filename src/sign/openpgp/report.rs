//! What verification says of one signature, and the words for it.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::id::{Fingerprint, KeyId};
use super::userid::{self, UserId};

/// What came of one signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigState {
    /// The signature is right, and its key may be used.
    Valid,
    /// The key is in none of the keyrings.
    Missing,
    /// The signature is not one of this key over these data.
    Bad,
    /// The digest is one that is no longer trusted, or unknown.
    Weak,
    /// The signature is older than its key, or the key is not of this time yet.
    Untimely,
    /// The signature has expired.
    Expired,
    /// The signing key or its primary key has expired.
    KeyExpired,
    /// The signing key or its primary key was revoked.
    Revoked,
}

/// As in `key expired`.
impl fmt::Display for SigState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Missing => "missing key",
            Self::Bad => "bad",
            Self::Weak => "weak digest",
            Self::Untimely => "older than its key",
            Self::Expired => "expired",
            Self::KeyExpired => "key expired",
            Self::Revoked => "key revoked",
        })
    }
}

/// What is known of one signature. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigReport {
    /// Which of the stored elements it begins in, counted from 0.
    pub element: usize,
    /// What came of it.
    pub state: SigState,
    /// The id of the key that made it, or is said to have.
    pub key_id: KeyId,
    /// That key's fingerprint, unless the key is missing.
    pub fingerprint: Option<Fingerprint>,
    /// The fingerprint of its primary key.
    pub primary: Option<Fingerprint>,
    /// When it was made, as it says itself.
    pub created: i64,
    /// When it expires.
    pub expires: Option<i64>,
    /// The public-key algorithm, by its number in OpenPGP.
    pub algorithm: u8,
    /// The hash algorithm, by its number in OpenPGP. 2 is SHA-1, which deserves a warning.
    pub hash: u8,
    /// When the signing key expires.
    pub key_expires: Option<i64>,
    /// When its primary key expires.
    pub primary_expires: Option<i64>,
    /// The primary user id of the key.
    pub user: Option<String>,
    /// The keyring that the key came from.
    pub keyring: Option<PathBuf>,
}

impl SigReport {
    /// Describes the signature as upstream does, in lines that begin with `prefix`.
    pub fn describe(&self, prefix: &str, zone: &TimeZone) -> String {
        // Of a bad signature upstream knows the id only.
        let is_bad = self.state == SigState::Bad;
        // One verb for both keys, whichever it was that expired.
        let key_expired = self.state == SigState::KeyExpired;
        let (created, algorithm) =
            if is_bad { (0, None) } else { (self.created, Some(self.algorithm)) };
        let key = self.key_id;
        let mut lines = Vec::new();
        lines.push(match format_c(created, zone) {
            Some(time) => {
                let algorithm = algorithm.map_or(UNKNOWN, algorithm_name);
                format!("Signature made {time} using {algorithm} key ID {key}")
            }
            None => format!("Can't check signature: timestamp {created} is invalid"),
        });
        lines.push(self.verdict());
        if self.state == SigState::Missing {
            return joined(&lines, prefix);
        }
        if let Some(primary) = self.primary
            && (is_bad || self.fingerprint != self.primary)
        {
            lines.push(format!("Primary key ID {}", primary.key_id()));
        }
        let mut expiry = |kind: &str, time: Option<i64>, has_expired: bool| {
            let Some(time) = time else { return };
            let verb = if has_expired { "expired" } else { "expires" };
            lines.push(match format_c(time, zone) {
                Some(text) => format!("{kind} {verb} {text}"),
                None => format!("{kind} expiry timestamp ({time}) is invalid"),
            });
        };
        if !is_bad {
            expiry("Signature", self.expires, self.state == SigState::Expired);
            expiry("Key", self.key_expires, key_expired);
        }
        if is_bad || self.fingerprint != self.primary {
            expiry("Primary key", self.primary_expires, key_expired);
        }
        joined(&lines, prefix)
    }

    fn verdict(&self) -> String {
        let from = |what: &str| {
            let UserId { name, mail } = self.user.as_deref().map_or_else(
                || UserId { name: "[unknown name]".into(), mail: "[unknown email]".into() },
                userid::parse,
            );
            format!("{what} signature from \"{name} <{mail}>\"")
        };
        match self.state {
            SigState::Valid => from("Good"),
            SigState::Missing => "Can't check signature: public key not found".to_owned(),
            SigState::Bad | SigState::Weak | SigState::Untimely | SigState::KeyExpired => {
                from("BAD")
            }
            SigState::Expired => from("Expired"),
            SigState::Revoked => "Key revoked".to_owned(),
        }
    }
}

/// The signatures that upstream counts and prints: up to the first bad or expired one.
pub fn counted(reports: &[SigReport]) -> &[SigReport] {
    let is_last = |report: &SigReport| matches!(report.state, SigState::Bad | SigState::Expired);
    let count = reports.iter().position(is_last).map_or(reports.len(), |last| last + 1);
    reports.get(..count).unwrap_or(reports)
}

/// Whether one of the signatures is valid; the others do not matter.
pub fn is_accepted(reports: &[SigReport]) -> bool {
    reports.iter().any(|report| report.state == SigState::Valid)
}

/// What is said where no signature is valid: the descriptions of those that are counted, last
/// first, without the line feed at the end.
pub fn refusal(reports: &[SigReport], zone: &TimeZone) -> String {
    let mut text: String =
        counted(reports).iter().rev().map(|report| report.describe("", zone)).collect();
    text.truncate(text.trim_end_matches('\n').len());
    text
}

/// Prints a time as the C locale's `%c` does in upstream, `Mon Jan  2 03:04:05 2023`, where days of
/// one digit are padded with U+2007. `None` outside the years 1 to 9999.
pub fn format_c(seconds: i64, zone: &TimeZone) -> Option<String> {
    let time = Timestamp::from_second(seconds).ok()?.to_zoned(zone.clone());
    if !(1..=9999).contains(&time.year()) {
        return None;
    }
    let pad = if time.day() < 10 { "\u{2007}" } else { "" };
    let day = time.day();
    Some(format!(
        "{} {pad}{day} {} {}",
        time.strftime("%a %b"),
        time.strftime("%H:%M:%S"),
        time.year()
    ))
}

fn joined(lines: &[String], prefix: &str) -> String {
    lines.iter().map(|line| format!("{prefix}{line}\n")).collect()
}

const UNKNOWN: &str = "[unknown name]";

/// The name of a public-key algorithm, as GPGME has it.
fn algorithm_name(number: u8) -> &'static str {
    match number {
        1 => "RSA",
        2 => "RSA-E",
        3 => "RSA-S",
        16 => "ELG-E",
        17 => "DSA",
        18 => "ECDH",
        19 => "ECDSA",
        20 => "ELG",
        22 => "EdDSA",
        _ => UNKNOWN,
    }
}
