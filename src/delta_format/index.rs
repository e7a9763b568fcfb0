//! The index of the deltas to a commit: an `a{sv}` with one key, whose value is an `a{sv}` from
//! names of deltas to the SHA-256 of their superblocks. A summary has the same map of all deltas.

use super::DeltaName;
use crate::checksum::Checksum;
use crate::gvariant::{DecodeError, Dict, Value};

/// The key of the map from delta names to digests, in the summary and in delta indexes.
pub const STATIC_DELTAS: &str = "ostree.static-deltas";

/// Deltas with the digests of their superblocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaIndex {
    /// In the order in which they are inserted into GLib's hash table.
    pub deltas: Vec<(DeltaName, Checksum)>,
}

impl DeltaIndex {
    /// Reads an index.
    ///
    /// # Errors
    /// For bytes that are not in normal form, and as [`deltas_in_map`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let index = Dict::decode(bytes)?;
        let deltas = match index.get(STATIC_DELTAS).map(|map| Dict::from_variant(map.view())) {
            None => Vec::new(),
            Some(map) => deltas_in_map(&map.ok_or_else(|| {
                DecodeError::new(format!("{STATIC_DELTAS} is not of type 'a{{sv}}'"))
            })?)?,
        };
        Ok(Self { deltas })
    }

    /// Serialises the index.
    pub fn encode(&self) -> Vec<u8> {
        let mut index = Dict::new();
        index.push(STATIC_DELTAS, map_of_deltas(&self.deltas).to_value());
        index.encode()
    }
}

/// The deltas in the map of an index or of a summary.
///
/// # Errors
/// `Invalid rev X` and the like for a name, `Invalid checksum of length N expected 32`; for a
/// digest that is no `ay`.
pub fn deltas_in_map(map: &Dict) -> Result<Vec<(DeltaName, Checksum)>, DecodeError> {
    map.iter()
        .map(|(name, digest)| {
            let name = name.parse().map_err(|error| DecodeError::new(format!("{error}")))?;
            let digest = digest.view();
            if digest.as_bytes().is_none() {
                return Err(DecodeError::new(format!("the digest of {name} is not of type 'ay'")));
            }
            Ok((name, super::checksum_in(Some(digest))?))
        })
        .collect()
}

/// The map of these deltas, in hash-table order as upstream writes it.
pub fn map_of_deltas(deltas: &[(DeltaName, Checksum)]) -> Dict {
    let entry = |(name, digest): &(DeltaName, Checksum)| {
        (name.to_string(), Value::bytes_value(digest.as_bytes()))
    };
    deltas.iter().map(entry).collect::<Dict>().in_table_order()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(deltas: &[(&str, Value)]) -> Vec<u8> {
        let map: Dict = deltas.iter().map(|(name, digest)| (*name, digest.clone())).collect();
        let mut index = Dict::new();
        index.push(STATIC_DELTAS, map.to_value());
        index.encode()
    }

    #[test]
    fn the_index_of_the_formats_document_is_read_and_written() {
        let to = format!("{:062}ab", 0);
        let bytes = index(&[(&to, Value::bytes_value(&[0; 32]))]);
        let read = DeltaIndex::decode(&bytes).unwrap();
        assert_eq!(read.deltas, [(to.parse().unwrap(), Checksum::from_bytes([0; 32]))]);
        assert_eq!(read.encode(), bytes);
        assert!(
            bytes.starts_with(b"ostree.static-deltas\0\0\0\0") && bytes.ends_with(b"a{sv}\x15\x8c")
        );
    }

    #[test]
    fn bad_names_and_digests_are_refused() {
        let message =
            |name: &str, digest| DeltaIndex::decode(&index(&[(name, digest)])).unwrap_err().what;
        let to = "0".repeat(64);
        assert_eq!(message("x", Value::bytes_value(&[0; 32])), "Invalid rev x");
        assert_eq!(
            message(&to, Value::bytes_value(&[0; 31])),
            "Invalid checksum of length 31 expected 32"
        );
        assert_eq!(message(&to, Value::byte(0)), format!("the digest of {to} is not of type 'ay'"));
        assert_eq!(DeltaIndex::decode(b"x").unwrap_err().what, "Not normal form");
        assert_eq!(DeltaIndex::decode(b""), Ok(DeltaIndex::default()));
    }
}
