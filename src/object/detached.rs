//! Signatures in detached metadata, `summary.sig` and signed deltas.
//!
//! ```text
//! a{sv}   ostree.sign.ed25519   aay    one element a signature
//!         ostree.gpgsigs        aay
//!         ...                          whatever else there is stays
//! ```
//!
//! A dictionary that was changed is in the order of GLib's hash tables. A file of zero bytes is an
//! empty dictionary, and the other way round: both are what is left when the last signature goes.

use std::collections::BTreeSet;

use crate::gvariant::{Dict, Value};

/// The key under which OpenPGP signatures are stored.
pub const GPG_KEY: &str = "ostree.gpgsigs";

/// The type of the values.
const TYPE: &str = "aay";

/// The signatures under a key; `None` when there is no such key, or its value is of another type.
pub fn signatures<'d>(
    metadata: &'d Dict,
    key: &str,
) -> Option<impl Iterator<Item = &'d [u8]> + use<'d>> {
    let value = metadata.get(key).filter(|value| value.type_string() == TYPE)?;
    Some(value.view().children().filter_map(|element| element.as_bytes()))
}

fn list<'d>(metadata: &'d Dict, key: &str) -> Vec<&'d [u8]> {
    signatures(metadata, key).into_iter().flatten().collect()
}

/// Adds a signature behind those under a key. A value of another type is replaced.
pub fn append(metadata: &Dict, key: &str, signature: &[u8]) -> Dict {
    let mut changed = metadata.in_table_order();
    let mut all = list(&changed, key);
    all.push(signature);
    let value = value(&all);
    changed.push(key, value);
    changed.in_table_order()
}

/// Removes the signatures at those places under a key. When none is left, so is no key.
pub fn remove(metadata: &Dict, key: &str, places: &BTreeSet<usize>) -> Dict {
    let table = metadata.in_table_order();
    let all = list(&table, key);
    let kept: Vec<&[u8]> = (all.iter().enumerate())
        .filter(|(place, _)| !places.contains(place))
        .map(|(_, signature)| *signature)
        .collect();
    if kept.len() == all.len() {
        return metadata.clone();
    }
    let left = table.iter().filter_map(|(name, old)| match name == key {
        false => Some((name, old.clone())),
        true if kept.is_empty() => None,
        true => Some((name, value(&kept))),
    });
    left.collect()
}

fn value(signatures: &[&[u8]]) -> Value {
    Value::array("ay", signatures.iter().map(|bytes| Value::bytes_value(bytes)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ostree.sign.ed25519";

    fn signatures<'d>(metadata: &'d Dict, key: &str) -> Option<Vec<&'d [u8]>> {
        super::signatures(metadata, key).map(Iterator::collect)
    }

    fn dict(entries: &[(&str, Value)]) -> Dict {
        entries.iter().map(|(key, value)| (*key, value.clone())).collect()
    }

    #[test]
    fn a_signature_is_added_at_the_end_and_everything_else_stays() {
        let note = ("note", Value::string("kept"));
        let empty = Dict::decode(b"").unwrap();
        let one = append(&empty, KEY, b"one");
        assert_eq!(signatures(&one, KEY), Some(vec![&b"one"[..]]));
        let metadata = dict(&[note.clone(), (KEY, value(&[b"one"]))]);
        let two = append(&metadata, KEY, b"");
        assert_eq!(signatures(&two, KEY), Some(vec![&b"one"[..], b""]));
        assert_eq!(two.get("note"), Some(&note.1));
        assert_eq!(two, two.in_table_order());
        let twice = append(&append(&empty, KEY, b"same"), KEY, b"same");
        assert_eq!(signatures(&twice, KEY), Some(vec![&b"same"[..], b"same"]));
    }

    #[test]
    fn the_table_decides_the_order() {
        let summary =
            append(&append(&Dict::new(), GPG_KEY, b"packet"), "ostree.sign.dummy", b"text");
        let keys: Vec<&str> = summary.iter().map(|(key, _)| key).collect();
        assert_eq!(keys, ["ostree.sign.dummy", GPG_KEY]);
    }

    #[test]
    fn a_value_of_another_type_counts_as_absent() {
        for other in [Value::string("text"), Value::bytes_value(b"bytes"), Value::strings(["a"])] {
            let metadata = dict(&[(KEY, other)]);
            assert_eq!(signatures(&metadata, KEY), None);
            let signed = append(&metadata, KEY, b"one");
            assert_eq!(signatures(&signed, KEY), Some(vec![&b"one"[..]]));
            assert_eq!(signed.len(), 1);
            let untouched = remove(&metadata, KEY, &BTreeSet::from([0]));
            assert_eq!(untouched, metadata);
        }
    }

    #[test]
    fn the_last_signature_takes_the_key_with_it_and_the_last_key_all_bytes() {
        let metadata = dict(&[(KEY, value(&[b"a", b"b", b"c"]))]);
        let removed = |places: &[usize]| remove(&metadata, KEY, &places.iter().copied().collect());
        assert_eq!(signatures(&removed(&[1]), KEY), Some(vec![&b"a"[..], b"c"]));
        assert_eq!(removed(&[3, 9]), metadata);
        assert_eq!(removed(&[0, 1, 2]).encode(), b"");
        let noted = append(&dict(&[("note", Value::byte(1))]), KEY, b"a");
        let left = remove(&noted, KEY, &BTreeSet::from([0]));
        assert_eq!(left, dict(&[("note", Value::byte(1))]));
        assert_eq!(signatures(&dict(&[(KEY, value(&[]))]), KEY), Some(vec![]));
    }
}
