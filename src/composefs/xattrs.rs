//! The extended attributes of an image.
//!
//! Each is `u8 length of the rest of the name, u8 number of the name's prefix, u16le length of the
//! value, rest of the name, value`, filled up to a multiple of four bytes. Those that more than one
//! inode has are *shared*: they are stored once, after the inodes, and inodes refer to their
//! position there. The others follow the inode that has them, after
//!
//! ```text
//! u32le filter   u8 number of shared attributes   7 zero bytes   u32le place of each shared attribute
//! ```
//!
//! Of the filter those bits are zero that a hash of some attribute's name chooses.

use std::collections::HashMap;

use twox_hash::XxHash32;

/// Beginnings of names that are stored as a number. The kernel knows more of them than the images
/// use.
const PREFIXES: [(&[u8], u8); 5] = [
    (b"user.", 1),
    (ACCESS_LIST, 2),
    (DEFAULT_ACCESS_LIST, 3),
    (b"trusted.", 4),
    (b"security.", 6),
];
const ACCESS_LIST: &[u8] = b"system.posix_acl_access";
const DEFAULT_ACCESS_LIST: &[u8] = b"system.posix_acl_default";

/// What the number of the prefix is added to, to seed the hash for the filter.
const FILTER_SEED: u32 = 0x25bb_e08f;

/// Bytes in front of an inode's attributes.
const HEADER_SIZE: usize = 12;
/// Bytes in front of an attribute.
const ENTRY_HEADER_SIZE: usize = 4;
/// Bytes of the place of a shared attribute, and what attributes are filled up to.
const ALIGNMENT: usize = 4;

/// An inode names no more shared attributes than that; further ones it has for itself.
const MAX_SHARED: usize = 128;

/// An attribute, as a place in a [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct XattrId(u32);

/// Collects attributes, equal ones once.
#[derive(Default)]
pub(super) struct Pool {
    known: HashMap<(Vec<u8>, Vec<u8>), XattrId>,
    uses: Vec<u32>,
}

/// All attributes of an image.
pub(super) struct Table {
    xattrs: Vec<Xattr>,
    /// Those that are shared, in the order in which they are stored.
    shared: Vec<XattrId>,
}

struct Xattr {
    /// The whole name.
    name: Vec<u8>,
    value: Vec<u8>,
    /// Where it stands among the shared attributes, in bytes from the first; `None` if it is not
    /// shared.
    shared_at: Option<u64>,
}

impl Pool {
    /// Takes an attribute of one more inode. Names have up to 255 bytes after their prefix, values
    /// up to 65535.
    pub(super) fn add(&mut self, name: Vec<u8>, value: Vec<u8>) -> XattrId {
        let next = XattrId(self.uses.len() as u32);
        let id = *self.known.entry((name, value)).or_insert(next);
        match self.uses.get_mut(id.0 as usize) {
            Some(uses) => *uses = uses.saturating_add(1),
            None => self.uses.push(1),
        }
        id
    }

    /// Decides which attributes are shared and where.
    pub(super) fn finish(self) -> Table {
        let Self { known, uses } = self;
        let mut pairs: Vec<_> = known.into_iter().collect();
        pairs.sort_unstable_by_key(|(_, id)| id.0);
        let mut xattrs: Vec<Xattr> = pairs
            .into_iter()
            .map(|((name, value), _)| Xattr { name, value, shared_at: None })
            .collect();
        let mut shared: Vec<XattrId> =
            (0..uses.len() as u32).map(XattrId).filter(|id| uses[id.0 as usize] > 1).collect();
        // The last name comes first, and of equal names the longest value.
        shared.sort_unstable_by(|left, right| {
            let [left, right] = [left, right].map(|id| &xattrs[id.0 as usize]);
            let key = |xattr: &Xattr| xattr.value.len();
            right
                .name
                .cmp(&left.name)
                .then(key(right).cmp(&key(left)))
                .then_with(|| right.value.cmp(&left.value))
        });
        let mut end = 0;
        for id in &shared {
            let xattr = &mut xattrs[id.0 as usize];
            xattr.shared_at = Some(end);
            end += xattr.size() as u64;
        }
        Table { xattrs, shared }
    }
}

impl Xattr {
    /// The number of the prefix, and what of the name comes after it.
    fn split_name(&self) -> (u8, &[u8]) {
        let found = PREFIXES
            .iter()
            .find_map(|(prefix, number)| Some((*number, self.name.strip_prefix(*prefix)?)));
        found.unwrap_or((0, &self.name))
    }

    /// Bytes that it takes.
    fn size(&self) -> usize {
        (ENTRY_HEADER_SIZE + self.split_name().1.len() + self.value.len())
            .next_multiple_of(ALIGNMENT)
    }

    fn encode_into(&self, bytes: &mut Vec<u8>) {
        let (prefix, rest) = self.split_name();
        let end = bytes.len() + self.size();
        bytes.extend([rest.len() as u8, prefix]);
        bytes.extend((self.value.len() as u16).to_le_bytes());
        bytes.extend(rest);
        bytes.extend(&self.value);
        bytes.resize(end, 0);
    }

    /// The bit of the filter that the name chooses.
    fn filter_bit(&self) -> u32 {
        let (prefix, rest) = self.split_name();
        1 << (XxHash32::oneshot(FILTER_SEED + u32::from(prefix), rest) % u32::BITS)
    }
}

/// How an inode encodes the size of its attributes, given in bytes: 0 for none, else 1 for the
/// header and 1 for each four bytes behind it.
pub(super) fn inode_count(size: u64) -> u16 {
    match size {
        0 => 0,
        size => ((size as usize - HEADER_SIZE) / ALIGNMENT + 1) as u16,
    }
}

impl Table {
    fn get(&self, id: &XattrId) -> &Xattr {
        &self.xattrs[id.0 as usize]
    }

    /// Puts attributes into the order in which an inode has them: that of their names.
    pub(super) fn sort(&self, ids: &mut [XattrId]) {
        ids.sort_unstable_by(|left, right| self.get(left).name.cmp(&self.get(right).name));
    }

    /// Whether any attribute is an access control list, which the image's header records.
    pub(super) fn has_access_lists(&self) -> bool {
        self.xattrs.iter().any(|xattr| [ACCESS_LIST, DEFAULT_ACCESS_LIST].contains(&&*xattr.name))
    }

    /// Of an inode's attributes those that it names in the shared ones, and those that it has for
    /// itself.
    fn split<'i>(&self, ids: &'i [XattrId]) -> (Vec<&'i XattrId>, Vec<&'i XattrId>) {
        let mut shared = 0;
        ids.iter().partition(|id| {
            let is_shared = shared < MAX_SHARED && self.get(id).shared_at.is_some();
            shared += usize::from(is_shared);
            is_shared
        })
    }

    /// Bytes of the attributes of an inode that has these.
    pub(super) fn inode_size(&self, ids: &[XattrId]) -> u64 {
        if ids.is_empty() {
            return 0;
        }
        let (shared, own) = self.split(ids);
        let own: usize = own.into_iter().map(|id| self.get(id).size()).sum();
        (HEADER_SIZE + ALIGNMENT * shared.len() + own) as u64
    }

    /// Writes the attributes of an inode. `start` is where the shared ones begin, in bytes from
    /// where their places are counted.
    pub(super) fn encode_inode(&self, ids: &[XattrId], start: u64, bytes: &mut Vec<u8>) {
        if ids.is_empty() {
            return;
        }
        let (shared, own) = self.split(ids);
        let filter = ids.iter().fold(u32::MAX, |filter, id| filter & !self.get(id).filter_bit());
        bytes.extend(filter.to_le_bytes());
        bytes.push(shared.len() as u8);
        bytes.extend([0; HEADER_SIZE - 5]);
        for id in shared {
            let place = (start + self.get(id).shared_at.unwrap_or_default()) / ALIGNMENT as u64;
            bytes.extend((place as u32).to_le_bytes());
        }
        for id in own {
            self.encode(id, bytes);
        }
    }

    /// Bytes of all shared attributes.
    pub(super) fn shared_size(&self) -> u64 {
        self.shared.iter().map(|id| self.get(id).size() as u64).sum()
    }

    /// The shared attributes in their order.
    pub(super) fn shared(&self) -> &[XattrId] {
        &self.shared
    }

    /// Writes one attribute.
    pub(super) fn encode(&self, id: &XattrId, bytes: &mut Vec<u8>) {
        self.get(id).encode_into(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of attributes with these names and values, each added the given number of times,
    /// and their ids.
    fn table(xattrs: &[(&str, &[u8], usize)]) -> (Table, Vec<XattrId>) {
        let mut pool = Pool::default();
        let mut ids = Vec::new();
        for (name, value, uses) in xattrs {
            for _ in 0..*uses {
                ids.push(pool.add(name.as_bytes().to_vec(), value.to_vec()));
            }
        }
        ids.dedup();
        (pool.finish(), ids)
    }

    #[test]
    fn shared_attributes_stand_in_the_order_of_mkcomposefs() {
        let values: [&[u8]; 7] = [b"a", b"ab", b"", b"aaa", b"\xff", b"\x01\x02", b"b"];
        let mut xattrs = vec![("user.alone", &b"1"[..], 1)];
        for name in ["trusted.k", "user.a", "zz", "user.aa", "security.s"] {
            xattrs.extend(values.map(|value| (name, value, 2)));
        }
        let (table, _) = table(&xattrs);
        let pair = |id| (table.get(id).name.as_slice(), table.get(id).value.as_slice());
        let found: Vec<_> = table.shared().iter().map(pair).collect();
        let mut expected = Vec::new();
        for name in ["zz", "user.aa", "user.a", "trusted.k", "security.s"] {
            let values: [&[u8]; 7] = [b"aaa", b"ab", b"\x01\x02", b"\xff", b"b", b"a", b""];
            expected.extend(values.map(|value| (name.as_bytes(), value)));
        }
        assert_eq!(found, expected);
    }

    #[test]
    fn an_inode_has_a_filter_places_of_shared_attributes_and_its_own_ones() {
        let (table, ids) = table(&[
            ("security.selinux", b"l", 2),
            ("trusted.overlay.opaque", b"y", 1),
            ("weird", b"12345", 1),
        ]);
        let mut bytes = Vec::new();
        table.encode_inode(&ids[1..2], 0x100, &mut bytes);
        // As the roots of golden images have it.
        assert_eq!(bytes, *b"\xff\xff\xef\xff\0\0\0\0\0\0\0\0\x0e\x04\x01\0overlay.opaquey\0");
        bytes.clear();
        table.encode_inode(&ids, 0x100, &mut bytes);
        assert_eq!(bytes[4..12], *b"\x01\0\0\0\0\0\0\0");
        assert_eq!(bytes[12..16], *b"\x40\0\0\0");
        assert_eq!(bytes[16..36], *b"\x0e\x04\x01\0overlay.opaquey\0");
        assert_eq!(bytes[36..], *b"\x05\0\x05\0weird12345\0\0");
        assert_eq!(
            (table.inode_size(&ids), inode_count(table.inode_size(&ids))),
            (bytes.len() as u64, 11)
        );
        assert_eq!((table.inode_size(&[]), inode_count(0)), (0, 0));
    }

    #[test]
    fn an_inode_names_128_shared_attributes_and_has_the_others_for_itself() {
        let names: Vec<String> = (0..130).map(|number| format!("user.{number:03}")).collect();
        let xattrs: Vec<_> = names.iter().map(|name| (name.as_str(), &b"1"[..], 2)).collect();
        let (table, ids) = table(&xattrs);
        assert_eq!((ids.len(), table.shared().len()), (130, 130));
        let mut bytes = Vec::new();
        table.encode_inode(&ids, 0, &mut bytes);
        assert_eq!((bytes[4], bytes.len()), (128, 12 + 4 * 128 + 2 * 8));
        assert_eq!(bytes[12 + 4 * 128..], *b"\x03\x01\x01\x00128\x31\x03\x01\x01\x00129\x31");
    }

    #[test]
    fn only_the_two_names_are_access_control_lists() {
        for (name, expected) in [
            ("system.posix_acl_access", true),
            ("system.posix_acl_default", true),
            ("system.posix_acl_access.more", false),
            ("system.posix", false),
        ] {
            assert_eq!(table(&[(name, b"1", 1)]).0.has_access_lists(), expected, "{name}");
        }
    }
}
