//! The format of a summary (docs/format.md, section 13).
//!
//! ```text
//! (a(s(taya{sv}))a{sv})
//!    refs, in name order: name, (size of the commit object, commit, metadata of the ref)
//!                  metadata of the repository
//! ```
//!
//! The size is in the host's byte order, unlike every other number. Both kinds of metadata are
//! written in the order of GLib's hash tables; a summary that is read keeps its order.

use crate::checksum::Checksum;
use crate::gvariant::{DecodeError, Dict, Encoder, Type, Value, Variant};

/// The GVariant type of a summary.
pub const SUMMARY_TYPE: &str = "(a(s(taya{sv}))a{sv})";
/// The type of the refs.
const REFS_TYPE: &str = "a(s(taya{sv}))";

/// Keys of the metadata of a ref.
pub mod ref_key {
    /// Seconds since 1970, big-endian (`t`).
    pub const TIMESTAMP: &str = "ostree.commit.timestamp";
    /// The commit's version (`s`).
    pub const VERSION: &str = "ostree.commit.version";
}

/// Keys of the metadata of the repository.
pub mod key {
    /// From the names of static deltas to the digests of their superblocks (`a{sv}`).
    pub const STATIC_DELTAS: &str = crate::repo::deltas::STATIC_DELTAS;
    /// Seconds since 1970, big-endian (`t`).
    pub const LAST_MODIFIED: &str = "ostree.summary.last-modified";
    /// Seconds since 1970, big-endian (`t`); only users write it.
    pub const EXPIRES: &str = "ostree.summary.expires";
    /// The repository's mode, as in its config (`s`).
    pub const MODE: &str = "ostree.summary.mode";
    /// Whether deleted commits leave tombstones (`b`).
    pub const TOMBSTONE_COMMITS: &str = "ostree.summary.tombstone-commits";
    /// Whether there are delta indexes (`b`).
    pub const INDEXED_DELTAS: &str = "ostree.summary.indexed-deltas";
    /// The collection of the refs in the first member (`s`).
    pub const COLLECTION_ID: &str = "ostree.summary.collection-id";
    /// The refs of other collections (`a{sa(s(taya{sv}))}`).
    pub const COLLECTION_MAP: &str = "ostree.summary.collection-map";
}

/// A summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The refs, in name order.
    pub refs: Vec<SummaryRef>,
    /// The metadata of the repository, in file order.
    pub metadata: Dict,
}

/// A ref in a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SummaryRef {
    /// The name of the ref, as it stands in the file.
    pub name: String,
    /// The size of the commit object, in bytes.
    pub commit_size: u64,
    /// The commit that it points to.
    pub commit: Checksum,
    /// Further metadata of the ref, in file order.
    pub metadata: Dict,
}

impl Summary {
    /// Reads a summary file.
    ///
    /// # Errors
    /// When it is not in normal form, or a checksum is not 32 bytes long.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let summary = Variant::decode(Type::parse(SUMMARY_TYPE)?, bytes)?;
        let (Some(refs), Some(metadata)) = (summary.child(0), summary.child(1)) else {
            return Err(DecodeError::new("Not normal form"));
        };
        let metadata =
            Dict::from_variant(metadata).ok_or_else(|| DecodeError::new("Not normal form"))?;
        Ok(Self { refs: decode_refs(refs)?, metadata })
    }

    /// The bytes of the summary file.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        let mut summary = encoder.begin(8);
        encode_refs(&self.refs, &mut encoder);
        summary.end_child(&encoder);
        encoder.align(8);
        self.metadata.encode_into(&mut encoder);
        encoder.end_tuple(summary);
        encoder.finish()
    }

    /// The metadata that a user has added: every key that an update does not write itself.
    pub fn added_metadata(&self) -> Dict {
        let written = [
            key::STATIC_DELTAS,
            key::LAST_MODIFIED,
            key::MODE,
            key::TOMBSTONE_COMMITS,
            key::INDEXED_DELTAS,
            key::COLLECTION_ID,
            key::COLLECTION_MAP,
        ];
        let mut added = Dict::new();
        for (key, value) in self.metadata.iter().filter(|(key, _)| !written.contains(key)) {
            added.push(key, value.clone());
        }
        added
    }

    /// Whether both have the same content, apart from the time and the order of metadata.
    pub fn says_the_same_as(&self, other: &Self) -> bool {
        let facts = |summary: &Self| {
            let mut facts: Vec<(String, Value)> = Vec::new();
            for (key, value) in
                summary.metadata.iter().filter(|(key, _)| *key != key::LAST_MODIFIED)
            {
                facts.push((key.to_owned(), value.clone()));
            }
            facts.sort_by(|(one, _), (two, _)| one.cmp(two));
            facts
        };
        self.refs == other.refs && facts(self) == facts(other)
    }

    /// The refs of other collections, in file order.
    ///
    /// # Errors
    /// When the map has the wrong type, or a checksum is not 32 bytes long.
    pub fn collection_map(&self) -> Result<Vec<(String, Vec<SummaryRef>)>, DecodeError> {
        let Some(map) = self.metadata.get(key::COLLECTION_MAP) else { return Ok(Vec::new()) };
        if map.type_string() != COLLECTION_MAP_TYPE {
            return Err(DecodeError::new(format!(
                "{} has type {}",
                key::COLLECTION_MAP,
                map.type_string()
            )));
        }
        let mut collections = Vec::new();
        for entry in map.view().children() {
            if let (Some(collection), Some(refs)) =
                (entry.child(0).and_then(|id| id.as_str()), entry.child(1))
            {
                collections.push((collection.to_owned(), decode_refs(refs)?));
            }
        }
        Ok(collections)
    }
}

const COLLECTION_MAP_TYPE: &str = "a{sa(s(taya{sv}))}";

/// The value of [`key::COLLECTION_MAP`]; `collections` in name order.
pub(super) fn encode_collection_map(collections: &[(String, Vec<SummaryRef>)]) -> Value {
    let entry = |(collection, refs): &(String, Vec<SummaryRef>)| {
        let mut encoder = Encoder::new();
        encode_refs(refs, &mut encoder);
        let refs =
            Value::from_bytes(REFS_TYPE, encoder.finish()).expect("the encoder writes normal form");
        Value::dict_entry(Value::string(collection), refs)
    };
    Value::array("{sa(s(taya{sv}))}", collections.iter().map(entry).collect())
}

fn decode_refs(refs: Variant<'_>) -> Result<Vec<SummaryRef>, DecodeError> {
    refs.children()
        .map(|entry| decode_ref(entry).ok_or_else(|| DecodeError::new("malformed ref in summary")))
        .collect()
}

fn decode_ref(entry: Variant<'_>) -> Option<SummaryRef> {
    let target = entry.child(1)?;
    Some(SummaryRef {
        name: entry.child(0)?.as_str()?.to_owned(),
        commit_size: target.child(0)?.as_u64()?,
        commit: Checksum::from_slice(target.child(1)?.as_bytes()?)?,
        metadata: Dict::from_variant(target.child(2)?)?,
    })
}

fn encode_refs(refs: &[SummaryRef], encoder: &mut Encoder) {
    let mut array = encoder.begin(8);
    for entry in refs {
        encoder.align(8);
        let mut pair = encoder.begin(8);
        encoder.put_text(&entry.name);
        pair.end_child(encoder);
        encoder.align(8);
        let mut target = encoder.begin(8);
        encoder.put(&entry.commit_size.to_le_bytes());
        encoder.put(entry.commit.as_bytes());
        target.end_child(encoder);
        encoder.align(8);
        entry.metadata.encode_into(encoder);
        encoder.end_tuple(target);
        encoder.end_tuple(pair);
        array.end_child(encoder);
    }
    encoder.end_array(array);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of docs/format.md: one ref `r`, commit size 86, timestamp 1, and only the mode
    /// key.
    fn example() -> (Summary, Vec<u8>) {
        let mut of_ref = Dict::new();
        of_ref.push(ref_key::TIMESTAMP, Value::uint64(1u64.to_be()));
        let mut metadata = Dict::new();
        metadata.push(key::MODE, Value::string("archive-z2"));
        let commit = Checksum::from_bytes([0xcc; 32]);
        let refs = vec![SummaryRef { name: "r".into(), commit_size: 86, commit, metadata: of_ref }];
        let mut bytes = b"r\0\0\0\0\0\0\0V\0\0\0\0\0\0\0".to_vec();
        bytes.extend([0xcc; 32]);
        bytes.extend(b"ostree.commit.timestamp\0\0\0\0\0\0\0\0\x01\0t\x18\x23\x28");
        bytes.extend([2, 0x56, 0]);
        bytes.extend(b"ostree.summary.mode\0\0\0\0\0archive-z2\0\0s\x14\x26\x57");
        (Summary { refs, metadata }, bytes)
    }

    #[test]
    fn the_example_of_the_format_page_is_written_and_read() {
        let (summary, bytes) = example();
        assert_eq!(summary.encode(), bytes);
        assert_eq!(Summary::decode(&bytes), Ok(summary));
    }

    #[test]
    fn an_empty_summary_is_one_offset() {
        assert_eq!(Summary::default().encode(), [0]);
        assert_eq!(Summary::decode(&[0]), Ok(Summary::default()));
    }

    #[test]
    fn garbage_and_short_checksums_are_refused() {
        assert_eq!(Summary::decode(b"garbage").unwrap_err().what, "Not normal form");
        assert_eq!(Summary::decode(b"").unwrap_err().what, "Not normal form");
        let short = Value::tuple(vec![
            Value::array(
                "(s(taya{sv}))",
                vec![Value::tuple(vec![
                    Value::string("r"),
                    Value::tuple(vec![
                        Value::uint64(1),
                        Value::bytes_value(&[1; 31]),
                        Dict::new().to_value(),
                    ]),
                ])],
            ),
            Dict::new().to_value(),
        ]);
        assert_eq!(Summary::decode(short.bytes()).unwrap_err().what, "malformed ref in summary");
    }

    #[test]
    fn the_collection_map_comes_back_as_it_went_in() {
        let (Summary { refs, .. }, _) = example();
        let collections =
            vec![("org.example.A".to_owned(), refs.clone()), ("org.example.B".to_owned(), refs)];
        let mut summary = Summary::default();
        summary.metadata.push(key::COLLECTION_MAP, encode_collection_map(&collections));
        let read = Summary::decode(&summary.encode()).unwrap();
        assert_eq!(read.collection_map(), Ok(collections));
        summary.metadata = Dict::new();
        assert_eq!(summary.collection_map(), Ok(Vec::new()));
        summary.metadata.push(key::COLLECTION_MAP, Value::string("x"));
        assert_eq!(
            summary.collection_map().unwrap_err().what,
            "ostree.summary.collection-map has type s"
        );
    }
}
