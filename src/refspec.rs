//! Names of refs, remotes and collections, parsed and validated once, at the edge.
//!
//! A ref is fragments joined by `/`, each a word character followed by word characters, `-`, `.`
//! and `_`; word characters are Unicode's letters and numbers, and `_`. A refspec is a ref with an
//! optional `remote:` before it. A collection id follows the rules of D-Bus interface names.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex::Regex;

/// A text that is not a name of the wanted kind; `Display` gives upstream's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRefspec {
    /// Neither a ref nor `remote:ref`.
    #[error("Invalid refspec {0}")]
    Refspec(String),
    /// Not a ref.
    #[error("Invalid ref name {0}")]
    RefName(String),
    /// Not the name of a remote.
    #[error("Invalid remote name {0}")]
    RemoteName(String),
    /// Not a collection id.
    #[error("Invalid collection ID {0}")]
    CollectionId(String),
}

/// The name of a ref, as in `exampleos/x86_64/standard`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

impl RefName {
    /// Validates a name.
    pub fn parse(text: &str) -> Result<Self, InvalidRefspec> {
        if text.split('/').all(is_fragment) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRefspec::RefName(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of a remote, as in `origin`: a single fragment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

impl RemoteName {
    /// Validates a name.
    pub fn parse(text: &str) -> Result<Self, InvalidRefspec> {
        if is_fragment(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRefspec::RemoteName(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A ref of this repository, or of a remote: `[remote:]name`. Refspecs sort by their text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Refspec {
    /// The remote's name; `None` for a local ref.
    pub remote: Option<RemoteName>,
    /// The ref's name.
    pub name: RefName,
}

impl Refspec {
    /// Parses `[remote:]name`.
    pub fn parse(text: &str) -> Result<Self, InvalidRefspec> {
        let (remote, name) = match text.split_once(':') {
            Some((remote, name)) => (Some(remote), name),
            None => (None, text),
        };
        let invalid = |_| InvalidRefspec::Refspec(text.to_owned());
        let remote = remote.map(RemoteName::parse).transpose().map_err(invalid)?;
        Ok(Self { remote, name: RefName::parse(name).map_err(invalid)? })
    }

    /// The bytes of the refspec's text.
    fn spelling(&self) -> impl Iterator<Item = u8> + '_ {
        let remote = self.remote.iter().flat_map(|remote| remote.as_str().bytes().chain([b':']));
        remote.chain(self.name.as_str().bytes())
    }
}

impl From<RefName> for Refspec {
    fn from(name: RefName) -> Self {
        Self { remote: None, name }
    }
}

impl Ord for Refspec {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.remote, &other.remote) {
            (None, None) => self.name.cmp(&other.name),
            _ => self.spelling().cmp(other.spelling()),
        }
    }
}

impl PartialOrd for Refspec {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The globally unique id of a collection of refs, as in `org.example.Os`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(String);

/// The longest D-Bus name, in bytes.
const MAX_COLLECTION_ID_LEN: usize = 255;

impl CollectionId {
    /// Validates an id: at least two elements joined by `.`, each ASCII letters, digits and `_`, no
    /// digit first.
    pub fn parse(text: &str) -> Result<Self, InvalidRefspec> {
        let is_element = |element: &str| {
            element.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && element.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        if text.len() <= MAX_COLLECTION_ID_LEN
            && text.contains('.')
            && text.split('.').all(is_element)
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidRefspec::CollectionId(text.to_owned()))
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A ref of a collection.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionRef {
    /// The collection that the ref belongs to.
    pub collection: CollectionId,
    /// The ref's name within it.
    pub name: RefName,
}

/// Whether a text can stand between the slashes of a ref. A file in `refs/` with another name is no
/// ref.
///
/// Upstream's pattern also lets one line feed pass at the very end, which makes a ref that no
/// listing can show; here it is refused.
pub fn is_fragment(text: &str) -> bool {
    text.starts_with(is_word)
        && text.chars().all(|character| matches!(character, '-' | '.') || is_word(character))
}

/// A word character of upstream's pattern (PCRE in Unicode mode): letters, numbers of every kind,
/// `_`.
fn is_word(character: char) -> bool {
    // Names are nearly always ASCII, and compiling Unicode's tables takes longer than most commands
    // run.
    static LETTER_OR_NUMBER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{N}]$").expect("the pattern is constant and legal"));
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || character == '_';
    }
    LETTER_OR_NUMBER.is_match(character.encode_utf8(&mut [0; 4]))
}

/// Prints the ref as upstream does.
impl fmt::Display for Refspec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.remote {
            Some(remote) => write!(f, "{remote}:{}", self.name),
            None => self.name.fmt(f),
        }
    }
}

/// Prints `(collection, name)`, as upstream does.
impl fmt::Display for CollectionRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.collection, self.name)
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RemoteName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for RefName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for RemoteName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for CollectionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for RefName {
    type Err = InvalidRefspec;

    fn from_str(text: &str) -> Result<Self, InvalidRefspec> {
        Self::parse(text)
    }
}

impl FromStr for Refspec {
    type Err = InvalidRefspec;

    fn from_str(text: &str) -> Result<Self, InvalidRefspec> {
        Self::parse(text)
    }
}

impl FromStr for RemoteName {
    type Err = InvalidRefspec;

    fn from_str(text: &str) -> Result<Self, InvalidRefspec> {
        Self::parse(text)
    }
}

impl FromStr for CollectionId {
    type Err = InvalidRefspec;

    fn from_str(text: &str) -> Result<Self, InvalidRefspec> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdicts are those of `ostree refs --create`.
    #[test]
    fn refspecs_are_judged_as_upstream_judges_them() {
        let good = [
            "a", "a/b", "o:a", "o:a/b/c", "a.", "a-", "é", "_x", "٣", "é:é", "x²", "½", "Ⅳ",
            "日本", "a..b",
        ];
        for text in good {
            assert_eq!(Refspec::parse(text).unwrap().to_string(), text);
        }
        let bad = [
            "", ":a", "a:", "a:b:c", "-x", ".x", "a//b", "/a", "a/", "a b", "a@b", "a~", "a/.b",
            "a/-b", "a/..b", "a+b", "o/p:a", ".o:a", "a$", "a\nb", "a\n", "a‿b", "e\u{301}", "😀",
            "a\0",
        ];
        for text in bad {
            assert_eq!(
                Refspec::parse(text),
                Err(InvalidRefspec::Refspec(text.to_owned())),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_refspec_is_split_at_its_colon() {
        let refspec = Refspec::parse("origin:os/x86_64").unwrap();
        assert_eq!(refspec.remote.as_ref().map(RemoteName::as_str), Some("origin"));
        assert_eq!(refspec.name.as_str(), "os/x86_64");
        assert_eq!(Refspec::parse("os").unwrap().remote, None);
    }

    #[test]
    fn refspecs_sort_as_they_are_spelled() {
        let mut texts =
            ["os:a", "os-x:a", "zebra", "alpha", "os", "os:a/b", "os/x", "os.x", "o", "é:a", "é"];
        let mut refspecs = texts.map(|text| Refspec::parse(text).unwrap());
        texts.sort_unstable();
        refspecs.sort_unstable();
        assert_eq!(refspecs.map(|refspec| refspec.to_string()), texts);
    }

    #[test]
    fn collection_ids_follow_d_bus() {
        for text in ["a.b", "a.b.c", "a_b.c", "_._", &format!("{}.b", "a".repeat(253))] {
            assert_eq!(CollectionId::parse(text).unwrap().as_str(), text);
        }
        let too_long = format!("{}.b", "a".repeat(254));
        for text in [
            "", "a", "a.", ".a.b", "a..b", "a.b.", "a.1", "1a.b", "a-b.c", "é.b", "a.b\n",
            &too_long,
        ] {
            assert_eq!(
                CollectionId::parse(text).unwrap_err().to_string(),
                format!("Invalid collection ID {text}")
            );
        }
    }

    #[test]
    fn a_remote_is_named_by_one_fragment() {
        assert_eq!(RemoteName::parse("a-b.c").unwrap().as_str(), "a-b.c");
        for name in ["", ".x", "a/b", "a b", "-b", "a:b"] {
            assert_eq!(
                RemoteName::parse(name).unwrap_err().to_string(),
                format!("Invalid remote name {name}")
            );
        }
        assert_eq!(RefName::parse("a:b").unwrap_err().to_string(), "Invalid ref name a:b");
    }

    #[test]
    fn a_collection_ref_is_printed_as_a_pair() {
        let collection = CollectionId::parse("org.example.Os").unwrap();
        let name = RefName::parse("os/x86_64").unwrap();
        assert_eq!(CollectionRef { collection, name }.to_string(), "(org.example.Os, os/x86_64)");
    }
}
