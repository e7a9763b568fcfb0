//! What a user names a destination by.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::input::quotable;

/// Where to push to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `file:///PATH`: a directory of this machine.
    Directory(PathBuf),
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, or one that cannot be pushed to.
    pub fn parse(text: &str) -> Result<Self> {
        let refused = |why: &str| Err(Error::failed(format!("'{}': {why}", quotable(text))));
        let Some((scheme, rest)) = text.split_once("://") else {
            return refused("a destination is a URL, such as file:///PATH");
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Directory(decoded(rest))),
            "file" => refused("the path after file:// is not absolute"),
            "s3" | "gs" | "az" => refused("object stores are not supported yet"),
            "ssh" => refused("other machines are not supported yet"),
            "http" | "https" => refused("a web server cannot be pushed to"),
            _ => refused("nothing is known about such URLs"),
        }
    }
}

/// A path with its percent signs resolved.
fn decoded(path: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.first_chunk::<2>().and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match byte.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_named_by_its_url() {
        for (text, path) in [
            ("file:///srv/repo", "/srv/repo"),
            ("file:///a%20b/100%", "/a b/100%"),
            ("file:///%zz%+1%41", "/%zz%+1A"),
        ] {
            assert_eq!(Place::parse(text).unwrap(), Place::Directory(path.into()));
        }
    }

    #[test]
    fn what_cannot_be_pushed_to_is_refused_with_its_name() {
        for (text, message) in [
            ("repo", "'repo': a destination is a URL, such as file:///PATH"),
            ("file://repo", "'file://repo': the path after file:// is not absolute"),
            ("https://example.org", "'https://example.org': a web server cannot be pushed to"),
            ("ftp://example.org", "'ftp://example.org': nothing is known about such URLs"),
        ] {
            assert_eq!(Place::parse(text).unwrap_err().chain(), message);
        }
    }
}
