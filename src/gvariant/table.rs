//! The order of GLib's hash tables, which is part of the bytes of everything that upstream
//! assembles in one.
//!
//! Open addressing in a table of `2^s` slots: a key's home is its hash times 11, modulo the largest
//! prime not above the table's size; each collision moves on by one slot more than the last.
//! Definition: docs/format.md, section 2.

use std::mem;

/// A map from strings that iterates in the order in which GLib's would.
#[derive(Clone, Debug)]
pub struct HashTable<V> {
    /// log2 of the number of slots.
    bits: u32,
    slots: Vec<Slot<V>>,
    /// Entries.
    count: usize,
    /// Slots that are not [`Slot::Unused`].
    occupied: usize,
}

#[derive(Clone, Debug)]
enum Slot<V> {
    Unused,
    Removed,
    Taken(Entry<V>),
}

#[derive(Clone, Debug)]
struct Entry<V> {
    hash: u32,
    key: String,
    value: V,
}

const MIN_BITS: u32 = 3;

/// The prime for each size of table.
const PRIMES: [u32; 32] = [
    1,
    2,
    3,
    7,
    13,
    31,
    61,
    127,
    251,
    509,
    1021,
    2039,
    4093,
    8191,
    16381,
    32749,
    65521,
    131_071,
    262_139,
    524_287,
    1_048_573,
    2_097_143,
    4_194_301,
    8_388_593,
    16_777_213,
    33_554_393,
    67_108_859,
    134_217_689,
    268_435_399,
    536_870_909,
    1_073_741_789,
    2_147_483_647,
];

impl<V> Default for HashTable<V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<V> HashTable<V> {
    /// A table without entries.
    pub fn new() -> Self {
        Self { bits: MIN_BITS, slots: unused(1 << MIN_BITS), count: 0, occupied: 0 }
    }

    /// Puts a value under a key. A key that is there already keeps its place; its old value is
    /// returned.
    pub fn insert(&mut self, key: impl Into<String>, value: V) -> Option<V> {
        let key = key.into();
        self.insert_hashed(raw_hash(key.as_bytes()), key, value)
    }

    /// The same for keys that are hashed in another way. The table then has no other keys.
    pub(crate) fn insert_hashed(&mut self, hash: u32, key: String, value: V) -> Option<V> {
        let hash = hash.max(FIRST_HASH);
        // GLib's tables keep 0 and 1 for themselves.
        let hash = hash.max(2);
        let index = self.find(hash, &key);
        let entry = Entry { hash, key, value };
        match mem::replace(&mut self.slots[index], Slot::Unused) {
            Slot::Taken(old) => {
                self.slots[index] = Slot::Taken(Entry { key: old.key, ..entry });
                return Some(old.value);
            }
            Slot::Removed => self.slots[index] = Slot::Taken(entry),
            Slot::Unused => {
                self.slots[index] = Slot::Taken(entry);
                self.occupied += 1;
            }
        }
        self.count += 1;
        self.resize_if_needed();
        None
    }

    /// Takes out the value of a key.
    pub fn remove(&mut self, key: &str) -> Option<V> {
        let index = self.find(string_hash(key.as_bytes()), key);
        if !matches!(self.slots[index], Slot::Taken(_)) {
            return None;
        }
        match mem::replace(&mut self.slots[index], Slot::Removed) {
            Slot::Taken(entry) => {
                self.count -= 1;
                self.resize_if_needed();
                Some(entry.value)
            }
            _ => None,
        }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&V> {
        match &self.slots[self.find(string_hash(key.as_bytes()), key)] {
            Slot::Taken(entry) => Some(&entry.value),
            _ => None,
        }
    }

    /// Whether there is such a key.
    pub fn contains_key(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The entries in the order of their slots.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        self.slots.iter().filter_map(|slot| match slot {
            Slot::Taken(entry) => Some((entry.key.as_str(), &entry.value)),
            _ => None,
        })
    }

    /// The slot of a key that is there; else the slot where it would go: the first that a removal
    /// left on the way, or the unused one at its end.
    fn find(&self, hash: u32, key: &str) -> usize {
        let mut index = home(hash, self.bits);
        let mut step = 0;
        let mut removed = None;
        loop {
            match &self.slots[index] {
                Slot::Unused => return removed.unwrap_or(index),
                Slot::Removed => removed = removed.or(Some(index)),
                Slot::Taken(entry) if entry.hash == hash && entry.key == key => return index,
                Slot::Taken(_) => {}
            }
            step += 1;
            index = (index + step) & (self.slots.len() - 1);
        }
    }

    fn resize_if_needed(&mut self) {
        let size = self.slots.len();
        let sparse = size > 4 * self.count && size > 1 << MIN_BITS;
        let full = size <= self.occupied + self.occupied / 16;
        if sparse || full {
            self.resize();
        }
    }

    /// Moves every entry to its place in a table of the right size. Where it lands depends on where
    /// it was.
    fn resize(&mut self) {
        let old_size = self.slots.len();
        // GLib multiplies by the floating-point number 1.333.
        let wanted = self.count as u64 * 1333 / 1000;
        self.bits = MIN_BITS.max(u64::BITS - wanted.leading_zeros());
        let size = 1usize << self.bits;
        self.slots.resize_with(size.max(old_size), || Slot::Unused);
        let mut settled = vec![false; self.slots.len()];
        for old_index in 0..old_size {
            if settled[old_index] {
                continue;
            }
            let mut lifted = mem::replace(&mut self.slots[old_index], Slot::Unused);
            while let Slot::Taken(entry) = lifted {
                let mut index = home(entry.hash, self.bits);
                let mut step = 0;
                while settled[index] {
                    step += 1;
                    index = (index + step) & (size - 1);
                }
                settled[index] = true;
                lifted = mem::replace(&mut self.slots[index], Slot::Taken(entry));
            }
        }
        self.slots.truncate(size);
        self.occupied = self.count;
    }
}

impl<V> IntoIterator for HashTable<V> {
    type Item = (String, V);
    type IntoIter = IntoIter<V>;

    fn into_iter(self) -> IntoIter<V> {
        IntoIter(self.slots.into_iter())
    }
}

/// Pairs of strings in the order of a table whose hash is that of one string XOR that of the other,
/// as upstream has it for refs of collections. Pairs that are given twice come once.
pub fn in_pair_order<'p>(pairs: impl IntoIterator<Item = (&'p str, &'p str)>) -> Vec<usize> {
    let mut table = HashTable::new();
    for (index, (one, other)) in pairs.into_iter().enumerate() {
        let hash = raw_hash(one.as_bytes()) ^ raw_hash(other.as_bytes());
        table.insert_hashed(hash, format!("{one}\0{other}"), index);
    }
    table.into_iter().map(|(_, index)| index).collect()
}

/// The entries of a table in the order of their slots.
#[derive(Debug)]
pub struct IntoIter<V>(std::vec::IntoIter<Slot<V>>);

impl<V> Iterator for IntoIter<V> {
    type Item = (String, V);

    fn next(&mut self) -> Option<(String, V)> {
        self.0.find_map(|slot| match slot {
            Slot::Taken(entry) => Some((entry.key, entry.value)),
            _ => None,
        })
    }
}

fn unused<V>(size: usize) -> Vec<Slot<V>> {
    let mut slots = Vec::new();
    slots.resize_with(size, || Slot::Unused);
    slots
}

/// The first slot to try for a hash.
fn home(hash: u32, bits: u32) -> usize {
    let prime = PRIMES.get(bits as usize).copied().unwrap_or(1);
    (hash.wrapping_mul(11) % prime) as usize
}

/// GLib's tables keep the hashes below for themselves.
const FIRST_HASH: u32 = 2;

/// The hash of a string in a table.
fn string_hash(bytes: &[u8]) -> u32 {
    raw_hash(bytes).max(FIRST_HASH)
}

/// GLib's hash of strings, with which other hashes begin.
pub(crate) fn raw_hash(bytes: &[u8]) -> u32 {
    // Bytes are signed there: those above 127 subtract.
    let add = |hash: u32, &byte: &u8| {
        hash.wrapping_mul(33).wrapping_add_signed(i32::from(byte.cast_signed()))
    };
    bytes.iter().fold(5381, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(keys: &[&str]) -> Vec<String> {
        let mut table = HashTable::new();
        for key in keys {
            table.insert(*key, ());
        }
        table.into_iter().map(|(key, ())| key).collect()
    }

    #[test]
    fn the_orders_of_the_formats_document_come_out() {
        let commit = ["ostree.commit.timestamp", "ostree.commit.version"];
        assert_eq!(order(&commit), ["ostree.commit.version", "ostree.commit.timestamp"]);
        let summary = ["last-modified", "mode", "tombstone-commits", "indexed-deltas"];
        let summary = summary.map(|key| format!("ostree.summary.{key}"));
        let expected = ["mode", "last-modified", "tombstone-commits", "indexed-deltas"];
        let keys: Vec<&str> = summary.iter().map(String::as_str).collect();
        assert_eq!(order(&keys), expected.map(|key| format!("ostree.summary.{key}")));
        let all = [
            "ostree.static-deltas",
            "ostree.summary.last-modified",
            "ostree.summary.mode",
            "ostree.summary.tombstone-commits",
            "ostree.summary.indexed-deltas",
            "ostree.summary.collection-id",
            "ostree.summary.collection-map",
        ];
        let expected = [
            "ostree.summary.mode",
            "ostree.summary.last-modified",
            "ostree.summary.tombstone-commits",
            "ostree.static-deltas",
            "ostree.summary.collection-map",
            "ostree.summary.indexed-deltas",
            "ostree.summary.collection-id",
        ];
        assert_eq!(order(&all), expected);
    }

    #[test]
    fn pairs_have_the_order_in_which_ostree_prints_refs_of_collections() {
        let pairs = [
            ("org.example.Apps", "app1"),
            ("org.example.Apps", "app2"),
            ("org.example.Apps", "app3"),
            ("org.example.Apps", "a-b/c"),
            ("org.example.Apps", "zed"),
            ("org.example.Apps", "nope"),
            ("org.example.Os", "os/main"),
            ("org.example.Os", "os/dev"),
            ("org.example.No", "app1"),
            ("org.example.No", "app2"),
        ];
        assert_eq!(in_pair_order(pairs), [5, 6, 8, 9, 1, 3, 2, 7, 4, 0]);
        assert_eq!(in_pair_order([("a", "b"), ("a", "b")]), [1]);
    }

    #[test]
    fn an_existing_key_keeps_its_place_and_takes_the_new_value() {
        let mut table = HashTable::new();
        assert_eq!(table.insert("a", 1), None);
        assert_eq!(table.insert("b", 2), None);
        assert_eq!(table.insert("a", 3), Some(1));
        assert_eq!(
            (table.len(), table.get("a"), table.get("b"), table.get("c")),
            (2, Some(&3), Some(&2), None)
        );
    }

    #[test]
    fn a_removed_key_is_gone_and_the_others_are_found() {
        let mut table: HashTable<usize> = HashTable::new();
        for number in 0..1000 {
            table.insert(number.to_string(), number);
        }
        for number in (0..1000).filter(|number| number % 3 != 0) {
            assert_eq!(table.remove(&number.to_string()), Some(number));
            assert_eq!(table.remove(&number.to_string()), None);
        }
        assert_eq!(table.len(), 334);
        let mut left: Vec<usize> = table.iter().map(|(_, &number)| number).collect();
        left.sort_unstable();
        assert_eq!(left, (0..1000).step_by(3).collect::<Vec<_>>());
        assert!(
            (0..1000).all(|number| table.contains_key(&number.to_string()) == (number % 3 == 0))
        );
    }
}
