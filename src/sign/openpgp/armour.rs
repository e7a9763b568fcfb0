//! Armour: binary packets as lines of base64 (RFC 9580, section 6).

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

/// The base64 of armour without its padding. Spare bits of the last digit mean nothing.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

const BEGIN: &[u8] = b"-----BEGIN PGP ";

/// The binary packets of keys or signatures that may be armoured. Bytes that begin as a packet does
/// are taken as they are.
pub(super) fn binary(bytes: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    if bytes.first().is_none_or(|first| first & 0x80 != 0) {
        bytes.into()
    } else {
        dearmour(bytes).into()
    }
}

/// The bytes of all armoured blocks in a text, one after the other. A block that cannot be decoded
/// or does not match its checksum is left out.
pub(super) fn dearmour(text: &[u8]) -> Vec<u8> {
    let mut binary = Vec::new();
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    while lines.any(|line| line.starts_with(BEGIN) && line.ends_with(b"-----")) {
        // Headers end at an empty line.
        let _ = lines.by_ref().find(|line| line.is_empty());
        let (mut digits, mut checksum, mut ended) = (Vec::new(), None, false);
        for line in lines.by_ref() {
            match line.strip_prefix(b"=") {
                _ if line.starts_with(b"-----") => {
                    ended = true;
                    break;
                }
                Some(sum) if sum.len() == 4 => checksum = Some(decode(sum)),
                _ => digits.extend_from_slice(line),
            }
        }
        let Some(block) = decode(&digits).filter(|_| ended) else { continue };
        let expected = crc24(&block).to_be_bytes();
        if checksum.is_none_or(|sum| sum.as_deref() == expected.get(1..)) {
            binary.extend(block);
        }
    }
    binary
}

fn decode(digits: &[u8]) -> Option<Vec<u8>> {
    let padding = digits.iter().rev().take_while(|byte| **byte == b'=').count();
    BASE64.decode(digits.get(..digits.len() - padding)?).ok()
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
    fn the_checksum_is_that_of_the_standard() {
        // The check value of CRC-24/OPENPGP.
        assert_eq!(crc24(b"123456789"), 0x21cf02);
    }

    #[test]
    fn blocks_are_found_among_other_text_and_checked() {
        // `mAFL` and `=9mvO` are what `gpg --enarmor` makes of these three bytes.
        let block = |checksum: &str| {
            format!(
                "text\n-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\nmAFL\n{checksum}-----END PGP PUBLIC KEY BLOCK-----\n"
            )
        };
        let twice = [block("=9mvO\n"), block("")].concat();
        assert_eq!(dearmour(twice.as_bytes()), b"\x98\x01K\x98\x01K");
        assert_eq!(dearmour(twice.replace('\n', "\r\n").as_bytes()), b"\x98\x01K\x98\x01K");
        assert_eq!(dearmour(block("=9mvP\n").as_bytes()), b"");
        assert_eq!(dearmour(block("=****\n").as_bytes()), b"");
        assert_eq!(dearmour(b"mAFL"), b"");
        assert_eq!(dearmour(b"-----BEGIN PGP MESSAGE-----\n\nmAFL\n"), b"");
        assert_eq!(binary(b"\x98\x01K").as_ref(), b"\x98\x01K");
    }
}
