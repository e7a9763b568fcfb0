//! Dictionaries of metadata (`a{sv}`).

use super::{DecodeError, Encoder, Type, Value, Variant, table::HashTable};

/// An `a{sv}`: keys and values in an order that is part of the bytes. Keys may repeat.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Dict(Vec<(String, Value)>);

impl Dict {
    /// The type of every dictionary, in GVariant's notation.
    pub const TYPE: &str = "a{sv}";

    /// A dictionary without entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an entry at the end, even if there is one with the same key.
    pub fn push(&mut self, key: impl Into<String>, value: Value) {
        self.0.push((key.into(), value));
    }

    /// The value of the first entry with that key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }

    /// Whether there is an entry with that key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// The entries in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Serialises the dictionary.
    pub fn encode(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.encode_into(&mut encoder);
        encoder.finish()
    }

    /// Writes the dictionary where the next value belongs.
    pub fn encode_into(&self, encoder: &mut Encoder) {
        let mut array = encoder.begin(8);
        for (key, value) in self.iter() {
            let mut entry = encoder.begin(8);
            encoder.put_text(key);
            entry.end_child(encoder);
            encoder.align(8);
            encoder.put(value.bytes());
            encoder.end_variant(value.type_string());
            encoder.end_tuple(entry);
            array.end_child(encoder);
        }
        encoder.end_array(array);
    }

    /// Reads a serialised dictionary, which must be in normal form (`Not normal form`).
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let view = Variant::decode(Type::trusted(Self::TYPE), bytes)?;
        Ok(Self::of_entries(view))
    }

    /// Copies what a view shows; `None` unless its type is `a{sv}`.
    pub fn from_variant(view: Variant<'_>) -> Option<Self> {
        (view.ty().as_str() == Self::TYPE).then(|| Self::of_entries(view))
    }

    fn of_entries(view: Variant<'_>) -> Self {
        let entry = |entry: Variant<'_>| {
            let mut members = entry.children();
            let key = members.next()?.as_str()?;
            Some((key.to_owned(), members.next()?.as_variant()?.to_value()))
        };
        Self(view.children().filter_map(entry).collect())
    }

    /// The dictionary as a value of type `a{sv}`.
    pub fn to_value(&self) -> Value {
        Value::copied(Variant::new(Type::trusted(Self::TYPE), &self.encode()))
    }

    /// The dictionary after it went through one of GLib's hash tables: in the table's order, with
    /// the last value of each key.
    pub fn in_table_order(&self) -> Self {
        let mut table = HashTable::new();
        for (key, value) in self.iter() {
            table.insert(key, value.clone());
        }
        Self(table.into_iter().collect())
    }
}

impl<K: Into<String>> FromIterator<(K, Value)> for Dict {
    fn from_iter<I: IntoIterator<Item = (K, Value)>>(entries: I) -> Self {
        Self(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}
