//! SHA-256 checksums, the names of all objects.
//!
//! A checksum is written as 64 lower-case hexadecimal digits in refs, on the command line and in
//! file names, as 32 raw bytes inside objects, and in a modified base64 in the names of static
//! deltas.

mod pair;

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::alphabet::Alphabet;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;
use sha2::{Digest, Sha256};

pub use pair::Messages;

/// A SHA-256 checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checksum([u8; 32]);

/// The text is not 64 lower-case hexadecimal digits; `Display` uses upstream's wording.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidChecksum {
    /// The text is not 64 characters long.
    #[error("Invalid rev {0}")]
    Length(String),
    /// The text holds a character that is not a lower-case hexadecimal digit, given by its code as
    /// upstream prints it.
    #[error("Invalid character '{character}' in rev '{rev}'")]
    Character {
        /// The byte, as a number.
        character: u8,
        /// The whole text that was given for a checksum.
        rev: String,
    },
}

const HEX: &[u8; 16] = b"0123456789abcdef";
/// The entry in [`DIGIT_VALUES`] for a character that is not a digit.
const NO_DIGIT: u8 = 0xff;
/// The value of each character as a digit. A table, because branching on random digits is slow.
const DIGIT_VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[HEX[value as usize] as usize] = value;
        value += 1;
    }
    values
};
/// The base64 of static delta names: `_` replaces `/`, so that the result is a file name. Spare
/// bits of the last character must be zero, else two names would mean the same checksum.
const BASE64: GeneralPurpose = {
    let alphabet =
        Alphabet::new("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+_");
    match alphabet {
        Ok(alphabet) => GeneralPurpose::new(&alphabet, NO_PAD),
        Err(_) => panic!("the alphabet has 64 different characters"),
    }
};
/// Characters of a checksum in base64; the padding is left out.
const BASE64_LENGTH: usize = 43;

impl Checksum {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Takes the 32 raw bytes of a checksum.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Takes a slice as raw bytes; `None` unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Parses 64 lower-case hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, InvalidChecksum> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(InvalidChecksum::Length(text.to_owned()));
        }
        Self::from_hex_digits(digits).ok_or_else(|| {
            let wrong = digits.iter().find(|&&digit| digit_value(digit) == NO_DIGIT);
            InvalidChecksum::Character {
                character: wrong.copied().unwrap_or_default(),
                rev: text.to_owned(),
            }
        })
    }

    /// Takes 64 lower-case hexadecimal digits; `None` for anything else.
    pub(crate) fn from_hex_digits(digits: &[u8]) -> Option<Self> {
        let digits: &[u8; 64] = digits.try_into().ok()?;
        let mut bytes = [0; 32];
        let mut seen = 0;
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let (high, low) = (digit_value(pair[0]), digit_value(pair[1]));
            seen |= high | low;
            *byte = high << 4 | low & 15;
        }
        (seen != NO_DIGIT).then_some(Self(bytes))
    }

    /// The 32 raw bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            text.push(HEX[usize::from(byte >> 4)] as char);
            text.push(HEX[usize::from(byte & 15)] as char);
        }
        text
    }

    /// The 43 characters in the modified base64 of static delta names.
    pub fn to_base64(&self) -> String {
        BASE64.encode(self.0)
    }

    /// Parses what [`Checksum::to_base64`] writes; `None` for anything else.
    pub fn from_base64(text: &str) -> Option<Self> {
        if text.len() != BASE64_LENGTH {
            return None;
        }
        Self::from_slice(&BASE64.decode(text).ok()?)
    }
}

fn digit_value(digit: u8) -> u8 {
    DIGIT_VALUES[usize::from(digit)]
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Checksum {
    type Err = InvalidChecksum;

    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        Self::from_hex(text)
    }
}

/// Hashes bytes as they come.
#[derive(Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// A hasher with no input yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Hashes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes hashed so far.
    pub fn finish(self) -> Checksum {
        Checksum(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_digits_round_trip() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Checksum::of(b"").to_hex(), empty);
        assert_eq!(Checksum::from_hex(empty), Ok(Checksum::of(b"")));
    }

    #[test]
    fn malformed_digits_are_refused_in_upstreams_words() {
        assert_eq!(Checksum::from_hex("abc").unwrap_err().to_string(), "Invalid rev abc");
        let upper = "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let message = format!("Invalid character '69' in rev '{upper}'");
        assert_eq!(Checksum::from_hex(upper).unwrap_err().to_string(), message);
        for (wrong, digits) in [('/', "/0"), (':', "0:"), ('`', "`0"), ('g', "0g"), ('G', "G0")] {
            let message = Checksum::from_hex(&digits.repeat(32)).unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("Invalid character '{}' in rev '", u32::from(wrong))),
                "{message}"
            );
        }
    }

    #[test]
    fn base64_is_that_of_delta_names() {
        let commit =
            Checksum::from_hex("6d7db1e20af1b7bd81fd73677c8179a909059164c9a98637517f636dafa44143")
                .unwrap();
        assert_eq!(commit.to_base64(), "bX2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM");
        assert_eq!(
            Checksum::from_base64("bX2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM"),
            Some(commit)
        );
        assert_eq!(Checksum::from_base64("bX2x4grxt72B/XNnfIF5qQkFkWTJqYY3UX9jba+kQUM"), None);
        assert_eq!(Checksum::from_base64("bX2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUN"), None);
    }

    #[test]
    fn hashing_in_pieces_equals_hashing_at_once() {
        let mut hasher = Hasher::new();
        hasher.update(b"he");
        hasher.update(b"llo");
        assert_eq!(hasher.finish(), Checksum::of(b"hello"));
    }
}
