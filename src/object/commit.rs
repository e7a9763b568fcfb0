//! Commits, `(a{sv}aya(say)sstayay)`: metadata, parent or nothing, related objects, subject, body,
//! time, root dirtree and root dirmeta.

use super::{COMMIT_TYPE, checksum_in, key};
use crate::checksum::{Checksum, Hasher};
use crate::gvariant::{DecodeError, Dict, Encoder, Type, Variant};

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Keys such as `version` and `ostree.ref-binding`.
    pub metadata: Dict,
    /// The commit before this one.
    pub parent: Option<Checksum>,
    /// Related objects; upstream reads them and never writes any.
    pub related: Vec<(String, Checksum)>,
    /// The first line of the message.
    pub subject: String,
    /// The rest of the message.
    pub body: String,
    /// Seconds since 1970, UTC.
    pub timestamp: u64,
    /// The root directory's content.
    pub root_dirtree: Checksum,
    /// The root directory's metadata.
    pub root_dirmeta: Checksum,
}

impl Commit {
    /// Serialises the commit.
    pub fn encode(&self) -> Vec<u8> {
        let Self {
            metadata,
            parent,
            related,
            subject,
            body,
            timestamp,
            root_dirtree,
            root_dirmeta,
        } = self;
        let mut encoder = Encoder::new();
        let mut tuple = encoder.begin(8);
        metadata.encode_into(&mut encoder);
        tuple.end_child(&encoder);
        encoder.put(parent.as_ref().map_or(&[], |parent| &parent.as_bytes()[..]));
        tuple.end_child(&encoder);
        encode_related(related, &mut encoder);
        tuple.end_child(&encoder);
        for text in [subject, body] {
            encoder.put_text(text);
            tuple.end_child(&encoder);
        }
        encoder.align(8);
        encoder.put(&timestamp.to_be_bytes());
        encoder.put(root_dirtree.as_bytes());
        tuple.end_child(&encoder);
        encoder.put(root_dirmeta.as_bytes());
        encoder.end_tuple(tuple);
        encoder.finish()
    }

    /// Reads a commit. It must be in normal form, its metadata keys not empty and its checksums
    /// whole.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let view = Variant::decode(Type::parse(COMMIT_TYPE)?, bytes)?;
        let mut members = view.children();
        let metadata = members.next().and_then(Dict::from_variant).unwrap_or_default();
        if metadata.iter().any(|(key, _)| key.is_empty()) {
            return Err(DecodeError::new("Empty metadata key"));
        }
        let parent = match members.next() {
            Some(parent) if parent.bytes().is_empty() => None,
            parent => Some(checksum_in(parent)?),
        };
        let related = decode_related(members.next())?;
        let mut text = || {
            members.next().and_then(|member| member.as_str().map(str::to_owned)).unwrap_or_default()
        };
        let (subject, body) = (text(), text());
        let timestamp =
            members.next().and_then(|member| member.as_u64()).map(u64::from_be).unwrap_or_default();
        let (root_dirtree, root_dirmeta) =
            (checksum_in(members.next())?, checksum_in(members.next())?);
        Ok(Self { metadata, parent, related, subject, body, timestamp, root_dirtree, root_dirmeta })
    }

    /// The checksum of the tree alone, equal for all commits of the same content
    /// (`ContentChecksum:`).
    pub fn content_checksum(&self) -> Checksum {
        let mut hasher = Hasher::new();
        hasher.update(self.root_dirtree.as_bytes());
        hasher.update(self.root_dirmeta.as_bytes());
        hasher.finish()
    }

    /// The metadata's `version`, if it is a string.
    pub fn version(&self) -> Option<&str> {
        let version = self.metadata.get("version")?;
        if version.type_string() == "s" { version.view().as_str() } else { None }
    }

    /// The refs that the commit was made for; `None` if it does not say.
    pub fn ref_binding(&self) -> Option<Vec<String>> {
        let binding =
            self.metadata.get(key::REF_BINDING).filter(|value| value.type_string() == "as")?;
        Some(
            binding.view().children().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
        )
    }

    /// The collection that those refs belong to; `None` if it does not say.
    pub fn collection_binding(&self) -> Option<String> {
        self.metadata.get(key::COLLECTION_BINDING)?.view().as_str().map(str::to_owned)
    }
}

fn encode_related(related: &[(String, Checksum)], encoder: &mut Encoder) {
    let mut array = encoder.begin(1);
    for (name, checksum) in related {
        let mut entry = encoder.begin(1);
        encoder.put_text(name);
        entry.end_child(encoder);
        encoder.put(checksum.as_bytes());
        encoder.end_tuple(entry);
        array.end_child(encoder);
    }
    encoder.end_array(array);
}

fn decode_related(member: Option<Variant<'_>>) -> Result<Vec<(String, Checksum)>, DecodeError> {
    let Some(related) = member else { return Ok(Vec::new()) };
    let entry = |entry: Variant<'_>| {
        let mut members = entry.children();
        let name = members.next().and_then(|name| name.as_str()).unwrap_or_default();
        Ok((name.to_owned(), checksum_in(members.next())?))
    };
    related.children().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Value;

    fn minimal() -> Commit {
        let root_dirtree = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        let root_dirmeta = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488";
        Commit {
            metadata: Dict::new(),
            parent: None,
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: 1,
            root_dirtree: Checksum::from_hex(root_dirtree).unwrap(),
            root_dirmeta: Checksum::from_hex(root_dirmeta).unwrap(),
        }
    }

    #[test]
    fn the_minimal_commit_has_the_name_that_upstream_gives_it() {
        let bytes = minimal().encode();
        let name = "f59fd07609c1721e929d2bd4e6ba86718c42d13512f2c04af630994186210b89";
        assert_eq!((bytes.len(), Checksum::of(&bytes).to_hex()), (86, name.to_owned()));
        assert_eq!(Commit::decode(&bytes), Ok(minimal()));
    }

    #[test]
    fn every_member_comes_back() {
        let commit = Commit {
            metadata: Dict::from_iter([("version", Value::string("1.2")), ("x", Value::uint64(7))]),
            parent: Some(Checksum::of(b"parent")),
            related: vec![("a".into(), Checksum::of(b"a")), ("b".into(), Checksum::of(b"b"))],
            subject: "Subject".into(),
            body: "Body\nmore".into(),
            timestamp: u64::MAX - 1,
            ..minimal()
        };
        assert_eq!(Commit::decode(&commit.encode()), Ok(commit.clone()));
        assert_eq!(commit.version(), Some("1.2"));
    }

    #[test]
    fn a_version_that_is_no_string_is_none() {
        let path = Value::object_path("/v").unwrap();
        let commit = Commit { metadata: Dict::from_iter([("version", path)]), ..minimal() };
        assert_eq!(commit.version(), None);
    }

    #[test]
    fn broken_commits_are_refused_in_upstreams_words() {
        let commit = |parent: &[u8], dirmeta: &[u8], metadata: Dict| {
            Value::tuple(vec![
                metadata.to_value(),
                Value::bytes_value(parent),
                Value::array("(say)", Vec::new()),
                Value::string(""),
                Value::string(""),
                Value::uint64(0),
                Value::bytes_value(&[1; 32]),
                Value::bytes_value(dirmeta),
            ])
            .into_bytes()
        };
        let message = |bytes: Vec<u8>| Commit::decode(&bytes).unwrap_err().what;
        let empty_key = Dict::from_iter([("", Value::byte(1))]);
        assert_eq!(message(commit(&[], &[1; 32], empty_key)), "Empty metadata key");
        assert_eq!(
            message(commit(&[1; 31], &[1; 32], Dict::new())),
            "Invalid checksum of length 31 expected 32"
        );
        assert_eq!(
            message(commit(&[], &[], Dict::new())),
            "Invalid checksum of length 0 expected 32"
        );
        assert_eq!(message(vec![0; 85]), "Not normal form");
    }
}
