//! Directory metadata, `(uuua(ayay))`: uid, gid, mode, xattrs.

use super::{DIRMETA_TYPE, S_IFDIR, S_IFMT, Xattrs, check_mode_bits, number_in};
use crate::gvariant::{DecodeError, Encoder, Type, Variant};

/// Owner, mode and extended attributes of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DirMeta {
    /// The id of the owning user.
    pub uid: u32,
    /// The id of the owning group.
    pub gid: u32,
    /// The mode, with `S_IFDIR`.
    pub mode: u32,
    /// The extended attributes.
    pub xattrs: Xattrs,
}

impl DirMeta {
    /// Serialises the metadata, with the xattrs in name order.
    pub fn encode(&self) -> Vec<u8> {
        encode_owner_mode_xattrs([self.uid, self.gid, self.mode], &self.xattrs.sorted())
    }

    /// Reads directory metadata. It must be in normal form, for a directory, the xattrs strictly in
    /// name order.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (uid, gid, mode, xattrs) = decode_owner_mode_xattrs(bytes)?;
        if mode & S_IFMT != S_IFDIR {
            return Err(DecodeError::new(format!(
                "Invalid directory metadata mode {mode}; not a directory"
            )));
        }
        check_mode_bits(mode)?;
        xattrs.check_order()?;
        Ok(Self { uid, gid, mode, xattrs })
    }
}

/// Writes `(uuua(ayay))`, which is also what `user.ostreemeta` holds.
pub(super) fn encode_owner_mode_xattrs(numbers: [u32; 3], xattrs: &Xattrs) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for number in numbers {
        encoder.put(&number.to_be_bytes());
    }
    xattrs.encode_into(&mut encoder);
    encoder.finish()
}

/// Reads `(uuua(ayay))` in normal form.
pub(super) fn decode_owner_mode_xattrs(
    bytes: &[u8],
) -> Result<(u32, u32, u32, Xattrs), DecodeError> {
    let view = Variant::decode(Type::parse(DIRMETA_TYPE)?, bytes)?;
    let mut members = view.children();
    let mut number = || number_in(members.next());
    let (uid, gid, mode) = (number(), number(), number());
    let xattrs = members.next().map_or(Ok(Xattrs::new()), Xattrs::of_variant)?;
    Ok((uid, gid, mode, xattrs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;

    fn meta(mode: u32, names: &[&[u8]]) -> DirMeta {
        let xattrs = names.iter().map(|name| (name.to_vec(), b"1".to_vec())).collect();
        DirMeta { uid: 1000, gid: 1000, mode, xattrs: Xattrs::unchecked(xattrs) }
    }

    #[test]
    fn directory_metadata_serialises_as_in_the_formats_document() {
        let root = DirMeta { uid: 0, gid: 0, ..meta(0o40755, &[]) };
        assert_eq!(root.encode(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x41, 0xed]);
        let name = "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488";
        assert_eq!(Checksum::of(&root.encode()).to_hex(), name);
        let labelled = b"\0\0\x03\xe8\0\0\x03\xe8\0\0\x41\xeduser.n\x001\x07\x09";
        assert_eq!(meta(0o40755, &[b"user.n"]).encode(), labelled);
        assert_eq!(DirMeta::decode(labelled), Ok(meta(0o40755, &[b"user.n"])));
    }

    #[test]
    fn xattrs_are_sorted_when_written() {
        assert_eq!(
            DirMeta::decode(&meta(0o40755, &[b"b", b"a"]).encode()),
            Ok(meta(0o40755, &[b"a", b"b"]))
        );
    }

    #[test]
    fn broken_metadata_is_refused_in_upstreams_words() {
        let unsorted = |names: &[&[u8]]| {
            let meta = meta(0o40755, names);
            encode_owner_mode_xattrs([meta.uid, meta.gid, meta.mode], &meta.xattrs)
        };
        let table = [
            (
                meta(0o100_755, &[]).encode(),
                "Invalid directory metadata mode 33261; not a directory",
            ),
            (meta(0o755, &[]).encode(), "Invalid directory metadata mode 493; not a directory"),
            (meta(0o240_755, &[]).encode(), "Invalid mode 82413; invalid bits in mode"),
            (
                unsorted(&[b"a", b"c", b"b"]),
                "Incorrectly sorted xattr name (prev=c, cur=b), index=2",
            ),
            (unsorted(&[b"a", b"a"]), "Duplicate xattr name, index=1"),
            (vec![0; 11], "Not normal form"),
        ];
        for (bytes, message) in table {
            assert_eq!(DirMeta::decode(&bytes).unwrap_err().what, message);
        }
    }
}
