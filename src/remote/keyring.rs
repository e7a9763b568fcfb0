//! Keyrings of remotes: OpenPGP public keys, one binary packet after the other, in
//! `NAME.trustedkeys.gpg`.
//!
//! Only as much of OpenPGP (RFC 9580) is read here as importing needs: the armour and the packets'
//! tags and lengths.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use crate::error::{During, Error, Result};
use crate::input;
use crate::repo::Repo;

/// The tags of packets that make up a public key: signature, public key, trust (left out), user id,
/// public subkey, user attribute.
const SIGNATURE: u8 = 2;
const PUBLIC_KEY: u8 = 6;
const USER_ID: u8 = 13;
const PUBLIC_SUBKEY: u8 = 14;
const USER_ATTRIBUTE: u8 = 17;

/// The base64 of armour without its padding. Spare bits of the last digit mean nothing.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// The largest keyring that is read, in bytes.
const MAX_KEYRING_SIZE: usize = 64 << 20;

/// Where a remote's keyring is.
pub(super) fn path(repo: &Repo, remote: &str) -> PathBuf {
    repo.path().join(file_name(remote))
}

pub(super) fn file_name(remote: &str) -> String {
    format!("{remote}.trustedkeys.gpg")
}

/// Adds public keys, armoured or binary, to a remote's keyring and returns how many there were.
/// Keys that the keyring has byte for byte already are counted, and not added again.
///
/// # Errors
/// When there is no public key in them, or the keyring cannot be written.
pub fn import_keys(repo: &Repo, remote: &str, keys: &[u8]) -> Result<usize> {
    let binary = if keys.first().is_some_and(|first| first & 0x80 != 0) {
        keys.to_vec()
    } else {
        dearmour(keys)
    };
    let certificates = certificates(&binary).filter(|found| !found.is_empty());
    let certificates =
        certificates.ok_or_else(|| Error::failed("GPG: Unable to export keys: GPGME: No data"))?;
    let path = path(repo, remote);
    let mut keyring =
        match input::read_stored(repo.dir(), file_name(remote), MAX_KEYRING_SIZE as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).during("reading", path),
        };
    let known = self::certificates(&keyring).unwrap_or_default();
    let new: Vec<_> =
        certificates.iter().filter(|certificate| !known.contains(certificate)).collect();
    if keyring.len() + keys.len() > MAX_KEYRING_SIZE {
        return Err(Error::failed(format!(
            "the keyring of remote \"{remote}\" would be too large"
        )));
    }
    for certificate in new {
        keyring.extend_from_slice(certificate);
    }
    repo.replace_file(Path::new(&file_name(remote)), &keyring)?;
    Ok(certificates.len())
}

/// The public keys with what belongs to each; `None` when the bytes are no packets.
fn certificates(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    let mut inside = false;
    let mut rest = bytes;
    while !rest.is_empty() {
        let (tag, length) = packet(rest)?;
        let (packet, after) = rest.split_at_checked(length)?;
        match tag {
            PUBLIC_KEY => {
                inside = true;
                found.push(packet.to_vec());
            }
            SIGNATURE | USER_ID | PUBLIC_SUBKEY | USER_ATTRIBUTE if inside => {
                found.last_mut()?.extend_from_slice(packet);
            }
            // A trust packet is the business of the keyring that it comes from; a marker says
            // nothing.
            12 | 10 => {}
            // A secret key, for instance: what follows belongs to it.
            _ => inside = false,
        }
        rest = after;
    }
    Some(found)
}

/// The tag of the first packet and its whole length in bytes.
fn packet(bytes: &[u8]) -> Option<(u8, usize)> {
    let first = *bytes.first()?;
    if first & 0x80 == 0 {
        return None;
    }
    if first & 0x40 != 0 {
        let (header, body) = match *bytes.get(1)? {
            short @ 0..192 => (2, usize::from(short)),
            high @ 192..224 => {
                (3, (usize::from(high - 192) << 8) + usize::from(*bytes.get(2)?) + 192)
            }
            255 => (6, be(bytes.get(2..6)?)),
            // Partial lengths are for data, not for keys.
            _ => return None,
        };
        return Some((first & 0x3f, header + body));
    }
    let size = match first & 3 {
        0 => 1,
        1 => 2,
        2 => 4,
        _ => return None,
    };
    Some((first >> 2 & 15, 1 + size + be(bytes.get(1..1 + size)?)))
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// The bytes of all armoured public key blocks in a text; a block that does not match its checksum
/// is left out.
fn dearmour(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text);
    let mut binary = Vec::new();
    let mut lines = text.lines().map(str::trim_end);
    while lines.any(|line| line == "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        // Headers end at an empty line.
        let _ = lines.by_ref().find(|line| line.is_empty());
        let mut base64 = String::new();
        let mut checksum = None;
        for line in lines.by_ref() {
            match line.strip_prefix('=') {
                _ if line.starts_with("-----END") => break,
                Some(digits) if digits.len() == 4 => checksum = decode_base64(digits),
                _ => base64.push_str(line),
            }
        }
        if let Some(block) = decode_base64(&base64)
            && checksum.is_none_or(|expected| expected == crc24(&block).to_be_bytes()[1..])
        {
            binary.extend(block);
        }
    }
    binary
}

/// Standard base64, padded or not; `None` for anything else.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text.trim_end_matches('=')).ok()
}

/// The checksum of armour (RFC 9580, section 6.1).
fn crc24(bytes: &[u8]) -> u32 {
    let mut crc = 0x00b7_04ce_u32;
    for &byte in bytes {
        crc ^= u32::from(byte) << 16;
        for _ in 0..8 {
            crc <<= 1;
            if crc & 0x0100_0000 != 0 {
                crc ^= 0x0186_4cfb;
            }
        }
    }
    crc & 0x00ff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_and_its_checksum_are_read_as_gpg_writes_them() {
        assert_eq!(decode_base64("Zm9vYg==").unwrap(), b"foob");
        assert_eq!(decode_base64("Zm9vYmE=").unwrap(), b"fooba");
        assert_eq!(decode_base64("Zm9vYmFy").unwrap(), b"foobar");
        assert_eq!(decode_base64("Zm9*"), None);
        // The check value of CRC-24/OPENPGP.
        assert_eq!(crc24(b"123456789"), 0x21cf02);
    }

    #[test]
    fn blocks_are_found_among_other_text_and_checked() {
        // `mAFL` and `=9mvO` are what `gpg --enarmor` makes of these three bytes.
        let block = |checksum: &str| {
            format!(
                "text\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\nmAFL\n\
                 {checksum}-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        let twice = [block("=9mvO\n"), block("")].concat();
        assert_eq!(dearmour(twice.as_bytes()), b"\x98\x01K\x98\x01K");
        assert_eq!(dearmour(block("=9mvP\n").as_bytes()), b"");
        assert_eq!(dearmour(b"mAFL"), b"");
    }

    #[test]
    fn only_public_keys_and_what_belongs_to_them_are_taken() {
        // Old and new headers: key, user id, trust, secret key with user id, key.
        let bytes = b"\x98\x01K\xcd\x01U\xb0\x01T\x94\x01S\xb4\x01V\xc6\x01L";
        assert_eq!(certificates(bytes).unwrap(), [&b"\x98\x01K\xcd\x01U"[..], b"\xc6\x01L"]);
        assert_eq!(certificates(b""), Some(Vec::new()));
        for bad in [
            &b"no packets"[..],
            b"\x98",
            b"\x98\x05K",
            b"\x9b\x01",
            b"\xc6\xe0K",
            b"\xc6\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(certificates(bad), None, "{bad:?}");
        }
    }
}
