//! Metalinks: documents that say where a file is, how long it is and what its digest is.
//!
//! ```xml
//! <metalink><files><file name="summary">
//!   <size>1234</size>
//!   <verification><hash type="sha256">DIGEST</hash></verification>
//!   <resources>
//!     <url protocol="http" type="http" location="US" preference="100">http://h/repo/summary</url>
//!   </resources>
//! </file></files></metalink>
//! ```
//!
//! Names are compared as they are written, prefixes included, and unknown elements are skipped with
//! everything in them. `preference` is not looked at: the order is that of the document.

mod markup;
mod write;

use sha2::{Digest as _, Sha256, Sha512};

use crate::http::Url;

use markup::{Element, Markup, Parser};

pub use write::{Described, Mirror};

/// No document has more URLs that are worth a try.
const MAX_URLS: usize = 1000;
/// A longer text, in bytes, is no size, no digest and no URL.
const MAX_TEXT: usize = 8192;

/// What a metalink says about one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metalink {
    /// The size of the file, in bytes.
    pub size: u64,
    /// The digest of its content.
    pub digest: Digest,
    /// Where it is, best first: `http` and `https` URLs, at least one and at most 1000.
    pub urls: Vec<String>,
}

/// The digest of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    /// SHA-256.
    Sha256([u8; 32]),
    /// SHA-512.
    Sha512([u8; 64]),
}

/// Why a metalink cannot be used, or why a file is not the one that it describes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetalinkError {
    /// It has other files only, which is no error when the file is an optional one.
    #[error("No <file name='{0}'> found")]
    NotListed(String),
    /// It is malformed or lacks something.
    #[error("{0}")]
    Invalid(String),
    /// The file has another size.
    #[error("Expected size is {expected} bytes but content is {actual} bytes")]
    Size {
        /// What the metalink says, in bytes.
        expected: u64,
        /// What was received, in bytes.
        actual: u64,
    },
    /// The file has another digest.
    #[error("Expected checksum is {expected} but actual is {actual}")]
    Digest {
        /// What the metalink says, in hexadecimal digits.
        expected: String,
        /// That of what was received.
        actual: String,
    },
}

impl Metalink {
    /// Reads what a document says about the file of that name.
    ///
    /// # Errors
    /// In upstream's words when the document is malformed, does not list the file, or says too
    /// little about it.
    pub fn parse(document: &[u8], file: &str) -> Result<Self, MetalinkError> {
        let mut parser = Parser::new(document)?;
        let mut rules = Rules::new(file);
        while let Some(markup) = parser.next()? {
            match markup {
                Markup::Text(part) => rules.text(&part),
                Markup::Start(element) => {
                    rules.end_text();
                    rules.start(&parser, &element)?;
                }
                Markup::End => {
                    rules.end_text();
                    rules.end();
                }
                Markup::Other => rules.end_text(),
            }
        }
        rules.end_text();
        rules.finish()
    }

    /// Makes sure that this is the content of the file.
    ///
    /// # Errors
    /// In upstream's words when size or digest differ.
    pub fn check(&self, content: &[u8]) -> Result<(), MetalinkError> {
        let actual = content.len() as u64;
        if actual != self.size {
            return Err(MetalinkError::Size { expected: self.size, actual });
        }
        let actual = match self.digest {
            Digest::Sha256(_) => Digest::Sha256(Sha256::digest(content).into()),
            Digest::Sha512(_) => Digest::Sha512(Sha512::digest(content).into()),
        };
        match actual == self.digest {
            true => Ok(()),
            false => {
                let (expected, actual) = (self.digest.to_hex(), actual.to_hex());
                Err(MetalinkError::Digest { expected, actual })
            }
        }
    }
}

impl Digest {
    /// Its lower-case hexadecimal digits.
    pub fn to_hex(&self) -> String {
        let bytes: &[u8] = match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The elements that mean something, each only in the one above it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Document,
    Metalink,
    Files,
    File,
    Size,
    Verification,
    Hash(Option<HashType>),
    Resources,
    /// Whether its protocol is one that is used.
    Url(bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum HashType {
    Sha256,
    Sha512,
}

/// What has been read so far. Sizes and digests stay when a file ends without URLs and another one
/// of its name begins.
struct Rules<'f> {
    file: &'f str,
    place: Place,
    /// How deep the parser is in elements that are skipped.
    skipped: usize,
    /// The text since the last markup, as far as it is wanted and not too long.
    text: String,
    has_file: bool,
    has_wanted_file: bool,
    size: u64,
    last_hash_type: Option<HashType>,
    sha256: Option<String>,
    sha512: Option<String>,
    urls: Vec<String>,
}

impl<'f> Rules<'f> {
    fn new(file: &'f str) -> Self {
        Self {
            file,
            place: Place::Document,
            skipped: 0,
            text: String::new(),
            has_file: false,
            has_wanted_file: false,
            size: 0,
            last_hash_type: None,
            sha256: None,
            sha512: None,
            urls: Vec::new(),
        }
    }

    fn start(&mut self, parser: &Parser<'_>, element: &Element<'_>) -> Result<(), MetalinkError> {
        let below = match (self.place, element.name()) {
            _ if self.skipped > 0 => None,
            (Place::Document, "metalink") => Some(Place::Metalink),
            (Place::Metalink, "files") => Some(Place::Files),
            (Place::Files, "file") => self.start_file(parser, element)?,
            (Place::File, "size") => Some(Place::Size),
            (Place::File, "verification") => Some(Place::Verification),
            (Place::File, "resources") => Some(Place::Resources),
            (Place::Verification, "hash") => Some(self.start_hash(parser, element)?),
            (Place::Resources, "url") => Some(self.start_url(parser, element)?),
            _ => None,
        };
        match below {
            Some(place) => self.place = place,
            None => self.skipped += 1,
        }
        Ok(())
    }

    fn start_file(
        &mut self,
        parser: &Parser<'_>,
        element: &Element<'_>,
    ) -> Result<Option<Place>, MetalinkError> {
        let [name] = parser.attributes(element, ["name"])?;
        self.has_file = true;
        let is_wanted = name == self.file && self.urls.is_empty();
        self.has_wanted_file |= is_wanted;
        Ok(is_wanted.then_some(Place::File))
    }

    fn start_hash(
        &mut self,
        parser: &Parser<'_>,
        element: &Element<'_>,
    ) -> Result<Place, MetalinkError> {
        let [hash_type] = parser.attributes(element, ["type"])?;
        self.last_hash_type = match hash_type.as_str() {
            "sha256" => Some(HashType::Sha256),
            "sha512" => Some(HashType::Sha512),
            _ => None,
        };
        Ok(Place::Hash(self.last_hash_type))
    }

    fn start_url(
        &mut self,
        parser: &Parser<'_>,
        element: &Element<'_>,
    ) -> Result<Place, MetalinkError> {
        if self.size == 0 {
            let what = "No <size> element found or it is zero";
            return Err(parser.refuse(element, what.to_owned()));
        }
        if self.last_hash_type.is_none() {
            let what = "No <verification> element with known <hash type=> found";
            return Err(parser.refuse(element, what.to_owned()));
        }
        let names = ["protocol", "type", "location", "preference"];
        let [protocol, ..] = parser.attributes(element, names)?;
        Ok(Place::Url(matches!(protocol.as_str(), "http" | "https")))
    }

    fn end(&mut self) {
        if self.skipped > 0 {
            self.skipped -= 1;
            return;
        }
        self.place = match self.place {
            Place::Document | Place::Metalink => Place::Document,
            Place::Files => Place::Metalink,
            Place::File => Place::Files,
            Place::Size | Place::Verification | Place::Resources => Place::File,
            Place::Hash(_) => Place::Verification,
            Place::Url(_) => Place::Resources,
        };
    }

    fn text(&mut self, part: &str) {
        let is_wanted = matches!(self.place, Place::Size | Place::Hash(Some(_)) | Place::Url(true));
        if self.skipped == 0 && is_wanted && self.text.len() <= MAX_TEXT {
            // One that is too long gets longer than allowed and stays so.
            let missing = (MAX_TEXT + 1).saturating_sub(self.text.len());
            self.text.extend(part.chars().take(missing));
        }
    }

    /// Upstream gets texts in parts, one between two pieces of markup each.
    fn end_text(&mut self) {
        let text = std::mem::take(&mut self.text);
        if text.is_empty() {
            return;
        }
        match self.place {
            Place::Size => self.size = number(&text),
            Place::Hash(Some(HashType::Sha256)) => self.sha256 = Some(text),
            Place::Hash(Some(HashType::Sha512)) => self.sha512 = Some(text),
            Place::Url(true) if self.urls.len() < MAX_URLS && is_url(&text) => self.urls.push(text),
            _ => {}
        }
    }

    fn finish(self) -> Result<Metalink, MetalinkError> {
        let invalid = |what: &str| Err(MetalinkError::Invalid(what.to_owned()));
        if !self.has_file {
            return invalid("No <file> element found");
        }
        if !self.has_wanted_file {
            return Err(MetalinkError::NotListed(self.file.to_owned()));
        }
        // Both must be digests, though the longer one decides.
        let sha256 = self.sha256.map(|digits| from_hex(&digits).ok_or("sha256")).transpose();
        let sha512 = self.sha512.map(|digits| from_hex(&digits).ok_or("sha512")).transpose();
        let digest = match (sha256, sha512) {
            (Err(name), _) | (_, Err(name)) => {
                return invalid(&format!("Invalid hash digest for {name}"));
            }
            (_, Ok(Some(bytes))) => Digest::Sha512(bytes),
            (Ok(Some(bytes)), Ok(None)) => Digest::Sha256(bytes),
            (Ok(None), Ok(None)) => {
                return invalid("No <verification> hash for sha256 or sha512 found");
            }
        };
        if self.urls.is_empty() {
            return invalid("No <url method='http'> elements found");
        }
        Ok(Metalink { size: self.size, digest, urls: self.urls })
    }
}

fn is_url(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.contains(char::is_control) && Url::parse(text).is_ok()
}

/// The number that a text begins with, as `strtoull` reads it; 0 without one.
fn number(text: &str) -> u64 {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix('+').unwrap_or(text).bytes().take_while(u8::is_ascii_digit);
    digits.fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    })
}

/// Takes exactly `2 * N` lower-case hexadecimal digits.
fn from_hex<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
