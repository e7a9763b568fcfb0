//! Writes what [`Metalink`](super::Metalink) reads, as MirrorManager does.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256, Sha512};

use super::{Digest, MAX_TEXT, MAX_URLS};
use crate::error::{Error, Result};
use crate::http::{Scheme, Url};
use crate::input::quotable;

/// A place where a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// The URL of the file.
    pub url: String,
    /// The country, in two letters. Clients demand one.
    pub location: String,
    /// From 1 to 100; clients that look at it take the highest first.
    pub preference: u8,
}

/// What a metalink is written about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The name of the file.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
    /// Its digests.
    pub digests: [Digest; 2],
    /// When it was made, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// Where it is, best first.
    pub mirrors: Vec<Mirror>,
}

/// An unknown country.
const NOWHERE: &str = "ZZ";
/// The preference of the first mirror; each one after it has one less, and 1 is the lowest.
const HIGHEST: u8 = 100;

impl Mirror {
    /// Reads `URL [LOCATION [PREFERENCE]]`, where the URL is that of a repository which has the
    /// file. It is number `index`, counted from 0, which decides its preference.
    ///
    /// # Errors
    /// When it is of another form, or clients could not use it.
    pub fn parse(text: &str, index: usize, file: &str) -> Result<Self> {
        let wrong = |what: &str| Err(Error::failed(format!("mirror '{}': {what}", quotable(text))));
        let mut words = text.split_ascii_whitespace();
        let url = words.next().unwrap_or_default();
        let parsed = match Url::parse(url) {
            Ok(parsed) if matches!(parsed.scheme(), Scheme::Http | Scheme::Https) => parsed,
            _ => return wrong("clients take http and https URLs only"),
        };
        if parsed.credentials().is_some() {
            return wrong("everybody would see the password in the URL");
        }
        if url.contains(['?', '#']) {
            return wrong("the URL of a repository has neither '?' nor '#'");
        }
        let location = match words.next() {
            None | Some("-") => NOWHERE.to_owned(),
            Some(two) if two.len() == 2 && two.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                two.to_ascii_uppercase()
            }
            Some(_) => return wrong("a location is a country in two letters, or '-'"),
        };
        let usual = HIGHEST.saturating_sub(u8::try_from(index).unwrap_or(HIGHEST)).max(1);
        let preference = match words.next().map(str::parse) {
            None => usual,
            Some(Ok(number)) if (1..=HIGHEST).contains(&number) => number,
            Some(_) => return wrong("a preference is a number from 1 to 100"),
        };
        let url = format!("{}/{file}", url.trim_end_matches('/'));
        match words.next() {
            Some(_) => wrong("it is of the form URL [LOCATION [PREFERENCE]]"),
            None if url.len() > MAX_TEXT => wrong("the URL is too long"),
            None => Ok(Self { url, location, preference }),
        }
    }
}

impl Described {
    /// Describes a file by its content. Mirrors with a higher preference come first, because
    /// clients look at the order alone.
    ///
    /// # Errors
    /// When it is empty, or there are no mirrors or more than clients read.
    pub fn of(
        name: &str,
        content: &[u8],
        timestamp: Option<u64>,
        mut mirrors: Vec<Mirror>,
    ) -> Result<Self> {
        if content.is_empty() {
            return Err(Error::failed(format!("{name} is empty, which clients refuse")));
        }
        if !(1..=MAX_URLS).contains(&mirrors.len()) {
            return Err(Error::failed(format!(
                "{} mirrors: a metalink has at least 1 and at most {MAX_URLS}",
                mirrors.len()
            )));
        }
        mirrors.sort_by_key(|mirror| std::cmp::Reverse(mirror.preference));
        Ok(Self {
            name: name.to_owned(),
            size: content.len() as u64,
            digests: [
                Digest::Sha256(Sha256::digest(content).into()),
                Digest::Sha512(Sha512::digest(content).into()),
            ],
            timestamp,
            mirrors,
        })
    }

    /// The document.
    pub fn document(&self) -> String {
        let Self { name, size, digests, timestamp, mirrors } = self;
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
             <metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\" type=\"dynamic\" \
             generator=\"osier\" xmlns:mm0=\"http://fedorahosted.org/mirrormanager\">\n",
        );
        let mut line = |depth: usize, line: String| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{:depth$}{line}", "", depth = depth);
        };
        line(1, "<files>".to_owned());
        line(2, format!("<file name=\"{}\">", escaped(name)));
        if let Some(timestamp) = timestamp {
            line(3, format!("<mm0:timestamp>{timestamp}</mm0:timestamp>"));
        }
        line(3, format!("<size>{size}</size>"));
        line(3, "<verification>".to_owned());
        for digest in digests {
            let kind = match digest {
                Digest::Sha256(_) => "sha256",
                Digest::Sha512(_) => "sha512",
            };
            line(4, format!("<hash type=\"{kind}\">{}</hash>", digest.to_hex()));
        }
        line(3, "</verification>".to_owned());
        line(3, "<resources maxconnections=\"1\">".to_owned());
        for Mirror { url, location, preference } in mirrors {
            // It was parsed as one of these.
            let protocol = if url.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("https:"))
            {
                "https"
            } else {
                "http"
            };
            line(
                4,
                format!(
                    "<url protocol=\"{protocol}\" type=\"{protocol}\" location=\"{}\" \
                     preference=\"{preference}\">{}</url>",
                    escaped(location),
                    escaped(url)
                ),
            );
        }
        line(3, "</resources>".to_owned());
        line(2, "</file>".to_owned());
        line(1, "</files>".to_owned());
        line(0, "</metalink>".to_owned());
        text
    }
}

/// A text as it stands in XML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::Metalink;
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let texts = ["http://h/a&b'c\"/ - 7", "HTTPS://h/x//  us", "https://[::1]:80/é"];
        let mirrors: Vec<Mirror> = texts
            .iter()
            .zip(0..)
            .map(|(text, index)| Mirror::parse(text, index, "summary").unwrap())
            .collect();
        let described = Described::of("summary", b"content", Some(17), mirrors).unwrap();
        let document = described.document();
        let metalink = Metalink::parse(document.as_bytes(), "summary").unwrap();
        metalink.check(b"content").unwrap();
        let urls =
            ["HTTPS://h/x/summary", "https://[::1]:80/é/summary", "http://h/a&b'c\"/summary"];
        assert_eq!(metalink.urls, urls);
        assert_eq!(metalink.digest, described.digests[1]);
        for part in [
            "<mm0:timestamp>17</mm0:timestamp>",
            "<size>7</size>",
            "<hash type=\"sha256\">ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73<",
            "<url protocol=\"https\" type=\"https\" location=\"US\" preference=\"99\">HTTPS://h/x/",
            "<url protocol=\"http\" type=\"http\" location=\"ZZ\" preference=\"7\">http://h/a&amp;b&apos;c&quot;/",
        ] {
            assert!(document.contains(part), "{part}: {document}");
        }
    }

    #[test]
    fn mirrors_that_clients_cannot_use_are_refused() {
        for (text, what) in [
            ("", "clients take http and https URLs only"),
            ("file:///srv", "clients take http and https URLs only"),
            ("rsync://h/x", "clients take http and https URLs only"),
            ("http://me:secret@h/", "everybody would see the password in the URL"),
            ("http://h/?x", "the URL of a repository has neither '?' nor '#'"),
            ("http://h/ Utopia", "a location is a country in two letters, or '-'"),
            ("http://h/ US 0", "a preference is a number from 1 to 100"),
            ("http://h/ US 101", "a preference is a number from 1 to 100"),
            ("http://h/ US 1 x", "it is of the form URL [LOCATION [PREFERENCE]]"),
        ] {
            let error = Mirror::parse(text, 0, "summary").unwrap_err().to_string();
            assert_eq!(error, format!("mirror '{text}': {what}"));
        }
        let long = format!("http://h/{}", "x".repeat(MAX_TEXT));
        assert!(Mirror::parse(&long, 0, "summary").is_err());
        let many = vec![Mirror::parse("http://h", 300, "summary").unwrap(); MAX_URLS + 1];
        assert_eq!(many[0].preference, 1);
        for mirrors in [Vec::new(), many.clone()] {
            assert!(Described::of("summary", b"x", None, mirrors).is_err());
        }
        assert!(Described::of("summary", b"", None, many[..1].to_vec()).is_err());
    }
}
