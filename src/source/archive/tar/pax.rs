//! Extended headers: records `LENGTH KEYWORD=VALUE\n`, where the length counts the whole record and
//! values may hold any byte.

use std::io;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

use super::fields::{checked_size, malformed, number, text, without_nul};
use super::sparse::PaxSparse;
use crate::source::archive::Pairs;

/// Spare bits of the last digit mean nothing.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, NO_PAD.with_decode_allow_trailing_bits(true));

/// Metadata of an entry from before its header.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link_path: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) sparse: PaxSparse,
    xattrs: Pairs,
}

impl Extensions {
    /// Takes the records of one extended header. Unknown keywords mean nothing to us.
    pub(super) fn add_records(&mut self, records: &[u8]) -> io::Result<()> {
        let mut rest = records;
        while !rest.is_empty() {
            let (record, after) = split_record(rest).ok_or_else(malformed)?;
            if record.0.contains(&0) {
                return Err(io::Error::other("Invalid pax extended attributes"));
            }
            self.add(record.0, record.1)?;
            rest = after;
        }
        Ok(())
    }

    fn add(&mut self, keyword: &[u8], value: &[u8]) -> io::Result<()> {
        match keyword {
            // Where a text is empty, that of the header counts.
            b"path" => self.path = text(value),
            b"linkpath" => self.link_path = text(value),
            b"size" => self.size = Some(number(value).and_then(checked_size)?),
            b"uid" => self.uid = Some(number(value)?),
            b"gid" => self.gid = Some(number(value)?),
            b"RHT.security.selinux" => self.add_xattr(b"security.selinux".to_vec(), value.to_vec()),
            _ => {
                if let Some(name) = keyword.strip_prefix(b"SCHILY.xattr.") {
                    self.add_xattr(name.to_vec(), value.to_vec());
                } else if let Some(name) = keyword.strip_prefix(b"LIBARCHIVE.xattr.") {
                    self.add_encoded_xattr(name, value);
                } else if let Some(keyword) = keyword.strip_prefix(b"GNU.sparse.") {
                    self.sparse.add(keyword, value)?;
                }
            }
        }
        Ok(())
    }

    fn add_xattr(&mut self, name: Vec<u8>, value: Vec<u8>) {
        if !name.is_empty() {
            self.xattrs.push((name, value));
        }
    }

    /// Takes an attribute in libarchive's spelling, whose name ends where it has a NUL.
    fn add_encoded_xattr(&mut self, name: &[u8], value: &[u8]) {
        if !name.is_empty() {
            // One that is empty now is not passed over: it would be refused as the name of an
            // attribute, as it should be.
            self.xattrs.push((without_nul(percent_decoded(name)), base64_decoded(value)));
        }
    }

    /// The extended attributes from the last to the first, which is libarchive's order. Archives of
    /// bsdtar have each twice, in both spellings; no object can hold a name twice, so the last one
    /// counts.
    pub(super) fn into_xattrs(self) -> Pairs {
        let mut seen = std::collections::HashSet::new();
        self.xattrs.into_iter().rev().filter(|(name, _)| seen.insert(name.clone())).collect()
    }
}

/// A keyword and its value.
type Record<'r> = (&'r [u8], &'r [u8]);

/// The first record and what follows it.
fn split_record(records: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let space = records.iter().take(20).position(|&byte| byte == b' ')?;
    let length: usize = std::str::from_utf8(records.get(..space)?).ok()?.parse().ok()?;
    let (record, rest) = records.split_at_checked(length)?;
    let body = record.strip_suffix(b"\n")?.get(space + 1..)?;
    let equals = body.iter().position(|&byte| byte == b'=')?;
    Some(((body.get(..equals)?, body.get(equals + 1..)?), rest))
}

fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::new();
    let mut at = 0;
    while let Some(&byte) = name.get(at) {
        match (byte, digit(name.get(at + 1)), digit(name.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Base64 with or without padding; other characters are passed over, and so are bits that make no
/// byte.
fn base64_decoded(text: &[u8]) -> Vec<u8> {
    let digits = text.iter().copied().take_while(|&byte| byte != b'=');
    let mut digits: Vec<u8> =
        digits.filter(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(byte)).collect();
    if digits.len() % 4 == 1 {
        digits.pop();
    }
    BASE64.decode(digits).expect("there are only digits, and no lone one")
}

#[cfg(test)]
mod tests {
    use super::{Extensions, base64_decoded, percent_decoded};

    fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
        let body = [b" ", keyword.as_bytes(), b"=", value, b"\n"].concat();
        let digits =
            (1..).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap();
        [(body.len() + digits).to_string().as_bytes(), &body].concat()
    }

    #[test]
    fn values_hold_any_byte_and_xattrs_come_last_first() {
        let mut extensions = Extensions::default();
        let records = [
            record("path", b"a\nb"),
            record("SCHILY.xattr.user.x", b"1\n12 path=no\n\0"),
            record("LIBARCHIVE.xattr.user.%41", b"MTI="),
            record("SCHILY.xattr.user.x", b""),
            record("SCHILY.xattr.", b"no name"),
            record("LIBARCHIVE.xattr.user.b%00c", b"MQ"),
            record("linkpath", b""),
            record("RHT.security.selinux", b"t"),
        ];
        extensions.add_records(&records.concat()).unwrap();
        assert_eq!(extensions.path.as_deref(), Some(b"a\nb".as_slice()));
        assert_eq!(extensions.link_path, None);
        let pair = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
        assert_eq!(
            extensions.into_xattrs(),
            [
                pair("security.selinux", "t"),
                pair("user.b", "1"),
                pair("user.x", ""),
                pair("user.A", "12")
            ]
        );
    }

    #[test]
    fn a_keyword_with_a_nul_is_refused_and_a_text_ends_at_one() {
        let mut extensions = Extensions::default();
        for keyword in ["SCHILY.xattr.user.a\0b", "LIBARCHIVE.xattr.a\0", "path\0", "\0"] {
            let error = extensions.add_records(&record(keyword, b"v")).unwrap_err();
            assert_eq!(error.to_string(), "Invalid pax extended attributes", "{keyword:?}");
        }
        extensions
            .add_records(&[record("path", b"a\0b"), record("linkpath", b"\0b")].concat())
            .unwrap();
        assert_eq!(
            (extensions.path.as_deref(), extensions.link_path.as_deref()),
            (Some(&b"a"[..]), None)
        );
    }

    #[test]
    fn records_whose_length_lies_are_refused() {
        for bad in
            ["5 a=b\n", "7 a=b\n", "99 a=b\n", "6a=b\n", " a=b\n", "-6 a=b\n", "6 ab \n", "6"]
        {
            let mut extensions = Extensions::default();
            assert!(extensions.add_records(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn libarchives_spelling_of_xattrs_is_decoded() {
        assert_eq!(percent_decoded(b"user.%41%4g%"), b"user.A%4g%");
        assert_eq!(base64_decoded(b"MTIz"), b"123");
        for (text, bytes) in [
            ("MQ", "1"),
            ("MQ==", "1"),
            ("MR", "1"),
            ("M Q\n", "1"),
            ("MTIzN", "123"),
            ("=MQ", ""),
            ("", ""),
        ] {
            assert_eq!(base64_decoded(text.as_bytes()), bytes.as_bytes(), "{text:?}");
        }
    }
}
