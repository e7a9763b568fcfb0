//! What a user names a destination by.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::ssh::Address;
use crate::error::{Error, Result};
use crate::input::quotable;
use crate::repo::Repo;

/// Where to push to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `file:///PATH`: a directory of this machine.
    Directory(PathBuf),
    /// `s3://BUCKET[/PREFIX]`: a store that speaks S3.
    Store {
        /// The bucket.
        bucket: String,
        /// Where in the bucket; empty for the bucket itself.
        prefix: String,
    },
    /// `ssh://[USER@]HOST[:PORT]/PATH`: a directory of another machine.
    Machine(Address),
}

/// A destination as the config of a repository describes it: the group `[push "NAME"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// `url`: the destination.
    pub url: String,
    /// `endpoint`: the URL of the store.
    pub endpoint: Option<String>,
    /// `region`: the region of the bucket.
    pub region: Option<String>,
    /// `profile`: a profile of the AWS tools.
    pub profile: Option<String>,
    /// `instance-credentials`: whether the machine is asked for credentials.
    pub instance_credentials: bool,
    /// `receiver`: the name or path of osier on another machine.
    pub receiver: Option<String>,
}

impl Named {
    /// What a text stands for: a URL, or the name of a group in the config.
    ///
    /// # Errors
    /// When it is neither, or the group has no `url`, a key that is not known, or a malformed
    /// value.
    pub fn find(repo: &Repo, text: &str) -> Result<Self> {
        if text.contains("://") {
            return Ok(Self { url: text.to_owned(), ..Self::default() });
        }
        let group = format!("push \"{text}\"");
        let config = repo.config();
        if !config.keyfile.has_group(&group) {
            return Err(Error::failed(format!(
                "'{}' is neither a URL, such as file:///PATH, nor has the config a group [push \"{}\"]",
                quotable(text),
                quotable(text)
            )));
        }
        const KEYS: [&str; 6] =
            ["url", "endpoint", "region", "profile", "instance-credentials", "receiver"];
        if let Some(key) = config.keyfile.keys(&group).find(|key| !KEYS.contains(key)) {
            return Err(Error::failed(format!("[{group}] has an unknown key '{}'", quotable(key))));
        }
        let malformed = |source| Error::Malformed { what: "config".to_owned(), source };
        let get = |key: &str| config.keyfile.get(&group, key).map_err(malformed);
        let instance = config.keyfile.get_bool(&group, "instance-credentials");
        Ok(Self {
            url: get("url")?.ok_or_else(|| Error::failed(format!("[{group}] has no url")))?,
            endpoint: get("endpoint")?,
            region: get("region")?,
            profile: get("profile")?,
            instance_credentials: instance.map_err(malformed)?.unwrap_or(false),
            receiver: get("receiver")?,
        })
    }
}

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none, or one that cannot be pushed to.
    pub fn parse(text: &str) -> Result<Self> {
        let refused =
            |why: &str| Err(Error::failed(format!("'{}': {why}", quotable(&without_user(text)))));
        let Some((scheme, rest)) = text.split_once("://") else {
            return refused("a destination is a URL, such as file:///PATH");
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Directory(decoded(rest))),
            "file" => refused("the path after file:// is not absolute"),
            "s3" => Self::store(text, rest),
            "gs" | "az" => refused("only stores that speak S3 are supported yet"),
            "ssh" => Address::parse(rest, decoded).map(Self::Machine),
            "http" | "https" => refused("a web server cannot be pushed to"),
            _ => refused("nothing is known about such URLs"),
        }
    }
}

impl Place {
    fn store(text: &str, rest: &str) -> Result<Self> {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let is_name = |name: &str| {
            !name.is_empty() && name.chars().all(is_letter) && !name.chars().all(|c| c == '.')
        };
        match is_name(bucket) && (prefix.is_empty() || prefix.split('/').all(is_name)) {
            true => Ok(Self::Store { bucket: bucket.to_owned(), prefix: prefix.to_owned() }),
            false => Err(Error::failed(format!(
                "'{}': not of the form s3://BUCKET[/PREFIX], of letters, digits, '-', '.' and '_'",
                quotable(&without_user(text))
            ))),
        }
    }
}

/// A URL without the user and the password that it may have.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let place = rest.split('/').next().unwrap_or_default();
    match place.rfind('@') {
        Some(end) => format!("{scheme}://{}", &rest[end + 1..]),
        None => url.to_owned(),
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
    fn a_bucket_may_have_a_prefix() {
        for (text, bucket, prefix) in [
            ("s3://a-bucket.1", "a-bucket.1", ""),
            ("s3://bucket/", "bucket", ""),
            ("s3://bucket/os/stable/", "bucket", "os/stable"),
        ] {
            let place = Place::Store { bucket: bucket.to_owned(), prefix: prefix.to_owned() };
            assert_eq!(Place::parse(text).unwrap(), place);
        }
        for text in ["s3://", "s3:///x", "s3://a b", "s3://a/..", "s3://a/b//c", "s3://u:p@a"] {
            assert!(Place::parse(text).unwrap_err().chain().contains("s3://BUCKET"), "{text}");
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
