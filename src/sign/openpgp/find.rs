//! Finding keys by what users call them.

use super::id::Fingerprint;
use super::key::Certificate;
use super::keyring::Keyring;
use super::report::SigReport;
use super::userid;

impl Keyring {
    /// The keys that a key id stands for, as gpg has it: a fingerprint (40 hexadecimal digits), a
    /// long or a short id (16 or 8 digits), of the primary key or of a subkey, each with or without
    /// `0x` in front; `<MAIL>` or `@MAIL` a whole address or a part of one; `=TEXT` a whole user
    /// id; any other text a part of a user id, in any case.
    pub fn resolve(&self, id: &str) -> Vec<&Certificate> {
        let wanted = Wanted::parse(id);
        self.certificates().iter().filter(|certificate| wanted.is(certificate)).collect()
    }

    /// The primary key that an id stands for, if it is exactly one.
    pub fn resolve_one(&self, id: &str) -> Option<Fingerprint> {
        match self.resolve(id)[..] {
            [only] => Some(only.fingerprint()),
            _ => None,
        }
    }
}

/// The stored elements that hold a signature by a primary key or one of its subkeys, in order and
/// each once, whatever its state.
pub fn elements_by(reports: &[SigReport], primary: Fingerprint) -> Vec<usize> {
    let by_key = reports.iter().filter(|report| report.primary == Some(primary));
    let mut elements: Vec<usize> = by_key.map(|report| report.element).collect();
    elements.dedup();
    elements
}

/// Whether an id is one in hexadecimal digits, not a pattern for user ids.
pub(super) fn is_hexadecimal(id: &str) -> bool {
    matches!(Wanted::parse(id), Wanted::Digits(_))
}

enum Wanted {
    /// The end of a fingerprint, in upper-case digits.
    Digits(String),
    Mail(String),
    PartOfMail(String),
    Whole(String),
    Part(String),
}

impl Wanted {
    fn parse(id: &str) -> Self {
        let id = id.trim();
        let digits: String = id.chars().filter(|character| *character != ' ').collect();
        // An exclamation mark asks for that very subkey, which makes no difference here.
        let digits = digits.strip_suffix('!').unwrap_or(&digits);
        let digits = digits.strip_prefix("0x").or(digits.strip_prefix("0X")).unwrap_or(digits);
        let digits = match digits.len() {
            9 | 17 | 41 => digits.strip_prefix('0').unwrap_or(digits),
            _ => digits,
        };
        if matches!(digits.len(), 8 | 16 | 40) && digits.bytes().all(|it| it.is_ascii_hexdigit()) {
            return Self::Digits(digits.to_ascii_uppercase());
        }
        match id.split_at_checked(1) {
            Some(("=", text)) => Self::Whole(text.to_owned()),
            Some(("@", text)) => Self::PartOfMail(text.to_lowercase()),
            Some(("*", text)) => Self::Part(text.to_lowercase()),
            Some(("<", text)) => Self::Mail(text.strip_suffix('>').unwrap_or(text).to_lowercase()),
            _ => Self::Part(id.to_lowercase()),
        }
    }

    fn is(&self, certificate: &Certificate) -> bool {
        if let Self::Digits(digits) = self {
            let subkeys = certificate.subkeys.iter().map(|subkey| subkey.key.fingerprint);
            let mut all = std::iter::once(certificate.fingerprint()).chain(subkeys);
            return all.any(|fingerprint| fingerprint.to_string().ends_with(digits.as_str()));
        }
        certificate.users.iter().filter(|user| !user.is_attribute).any(|user| {
            let text = String::from_utf8_lossy(&user.body);
            let mail = || userid::parse(&text).mail.to_lowercase();
            match self {
                Self::Digits(_) => false,
                Self::Mail(wanted) => mail() == *wanted,
                Self::PartOfMail(wanted) => mail().contains(wanted.as_str()),
                Self::Whole(wanted) => text == *wanted,
                Self::Part(wanted) => {
                    !wanted.is_empty() && text.to_lowercase().contains(wanted.as_str())
                }
            }
        })
    }
}
