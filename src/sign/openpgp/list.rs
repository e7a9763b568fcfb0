//! The list of keys as `remote gpg-list-keys` prints it, with the addresses where a Web Key
//! Directory would have them (draft-koch-openpgp-webkey-service).

use jiff::tz::TimeZone;

use super::key::{Certificate, KeyPacket};
use super::keyring::Keyring;
use super::report::format_c;
use super::signature::{digest, hash};
use super::state::has_passed;
use super::userid;

/// Lists the keys of a keyring as they are at a time, in seconds since 1970. Without keys the text
/// is empty.
pub fn list(keyring: &Keyring, now: i64, zone: &TimeZone) -> String {
    keyring.certificates().iter().map(|certificate| describe(certificate, now, zone)).collect()
}

fn describe(certificate: &Certificate, now: i64, zone: &TimeZone) -> String {
    let model = certificate.model(now);
    let state = State::of((model.is_valid, model.is_revoked, model.has_expired()));
    let mut text = format!("Key: {}", key(&certificate.primary, model.expires, state, zone, ""));
    for user in &model.users {
        let is_revoked = user.is_revoked || model.is_revoked;
        let state = State::of((user.is_valid || is_revoked, is_revoked, false));
        let (advanced, direct) = urls(userid::mailbox(&user.text).unwrap_or_default());
        text += &format!("  UID: {}{}\n", user.text, state.suffix());
        text += &format!("  Advanced update URL: {advanced}\n  Direct update URL: {direct}\n");
    }
    for (number, subkey) in certificate.subkeys.iter().enumerate() {
        let Some(found) = model.subkey(certificate, number) else { continue };
        let has_expired = model.has_expired() || has_passed(found.expires, now);
        let is_revoked = model.is_revoked || found.is_revoked;
        let state = State::of((found.is_valid, is_revoked, has_expired));
        text += &format!("  Subkey: {}", key(&subkey.key, found.expires, state, zone, "  "));
    }
    text
}

/// The fingerprint of a key and the lines about its times.
fn key(
    key: &KeyPacket,
    expires: Option<i64>,
    state: State,
    zone: &TimeZone,
    indent: &str,
) -> String {
    let time = |seconds| format_c(seconds, zone).unwrap_or_default();
    let mut text = format!("{}{}\n", key.fingerprint, state.suffix());
    text += &format!("{indent}  Created: {}\n", time(key.created.into()));
    if let Some(expires) = expires {
        let verb = if state == State::Expired { "Expired" } else { "Expires" };
        text += &format!("{indent}  {verb}: {}\n", time(expires));
    }
    text
}

/// The one thing that gpg says of a key in a list.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Invalid,
    Revoked,
    Expired,
    Good,
}

impl State {
    /// Of whether the key is valid, revoked and expired.
    fn of(facts: (bool, bool, bool)) -> Self {
        match facts {
            (false, ..) => Self::Invalid,
            (true, true, _) => Self::Revoked,
            (true, false, true) => Self::Expired,
            (true, false, false) => Self::Good,
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Invalid => " (invalid)",
            Self::Revoked => " (revoked)",
            Self::Expired | Self::Good => "",
        }
    }
}

/// Where the key of an address would be, all in lower case: with a host of its own, and without.
/// Both are empty where there is no address.
fn urls(mailbox: &str) -> (String, String) {
    let mailbox = mailbox.to_ascii_lowercase();
    let Some((local, domain)) = mailbox.split_once('@') else { return Default::default() };
    let hash = digest(hash::SHA1, &[local.as_bytes()]).unwrap_or_default();
    let (hash, local) = (z_base_32(&hash), percent_escaped(local));
    (
        format!("https://openpgpkey.{domain}/.well-known/openpgpkey/{domain}/hu/{hash}?l={local}"),
        format!("https://{domain}/.well-known/openpgpkey/hu/{hash}?l={local}"),
    )
}

/// Five bits a letter, the last ones padded with zeros.
fn z_base_32(bytes: &[u8]) -> String {
    const LETTERS: [char; 32] = [
        'y', 'b', 'n', 'd', 'r', 'f', 'g', '8', 'e', 'j', 'k', 'm', 'c', 'p', 'q', 'x', 'o', 't',
        '1', 'u', 'w', 'i', 's', 'z', 'a', '3', '4', '5', 'h', '7', '6', '9',
    ];
    let mut text = String::new();
    let (mut value, mut bits) = (0_u32, 0);
    for &byte in bytes {
        value = value << 8 | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(LETTERS[(value >> bits & 31) as usize]);
        }
        value &= (1 << bits) - 1;
    }
    if bits > 0 {
        text.push(LETTERS[(value << (5 - bits) & 31) as usize]);
    }
    text
}

fn percent_escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped += &format!("%{other:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_become_urls_of_a_web_key_directory() {
        let (advanced, direct) = urls("Good+1@Example.com");
        let hash = z_base_32(&digest(hash::SHA1, &[b"good+1"]).unwrap());
        assert_eq!(
            advanced,
            format!(
                "https://openpgpkey.example.com/.well-known/openpgpkey/example.com/hu/{hash}?l=good%2B1"
            )
        );
        assert_eq!(
            direct,
            format!("https://example.com/.well-known/openpgpkey/hu/{hash}?l=good%2B1")
        );
        assert!(urls("good@example.com").0.contains("/9ocuddqtgrwchfbwjwdgkrfjoeujajy5?"));
        assert_eq!(urls(""), Default::default());
    }
}
