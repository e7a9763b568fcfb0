//! Headers of content objects.
//!
//! `H = (uuuusa(ayay))`: uid, gid, mode, device (always 0), symlink target, xattrs. The checksum of
//! a content object is that of a prefix, `H` with the xattrs in name order, and the content. A file
//! of an archive repository begins with a prefix and `Z = (tuuuusa(ayay))`: the size of the
//! content, then the members of `H`, then the xattrs in whatever order they came. The prefix is the
//! header's length as four bytes, big-endian, and four zero bytes.

use super::dirmeta::{decode_owner_mode_xattrs, encode_owner_mode_xattrs};
use super::{S_IFLNK, S_IFMT, S_IFREG, Xattrs, check_mode_bits, number_in};
use crate::gvariant::{Children, DecodeError, Encoder, Type, Variant};

/// Owner, mode, symlink target and extended attributes of a regular file or symlink.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileHeader {
    /// The id of the owning user.
    pub uid: u32,
    /// The id of the owning group.
    pub gid: u32,
    /// The mode, with the bits of the type.
    pub mode: u32,
    /// Where a symlink points; empty for regular files.
    pub symlink_target: String,
    /// The extended attributes.
    pub xattrs: Xattrs,
}

impl FileHeader {
    /// Length of the prefix before a header.
    pub const PREFIX_BYTES: usize = 8;

    /// Whether this is a symlink and not a regular file.
    pub fn is_symlink(&self) -> bool {
        self.mode & S_IFMT == S_IFLNK
    }

    /// What is hashed before the content: the prefix and `H`, with the xattrs in name order.
    pub fn content_header(&self) -> Vec<u8> {
        let mut encoder = Encoder::new();
        self.encode_members(&self.xattrs.sorted(), &mut encoder);
        with_prefix(&encoder.finish())
    }

    /// The bytes before the compressed content in an archive, for content of `size` bytes (0 for
    /// symlinks): the prefix and `Z`, with the xattrs in their order.
    pub fn archive_header(&self, size: u64) -> Vec<u8> {
        let mut encoder = Encoder::new();
        encoder.put(&size.to_be_bytes());
        self.encode_members(&self.xattrs, &mut encoder);
        with_prefix(&encoder.finish())
    }

    /// Reads `H`, without the prefix.
    pub fn decode_content_header(header: &[u8]) -> Result<Self, DecodeError> {
        let view = Variant::decode(Type::parse("(uuuusa(ayay))")?, header)?;
        Self::of_members(view.children())
    }

    /// Reads `Z`, without the prefix, and returns the size of the content with it.
    pub fn decode_archive_header(header: &[u8]) -> Result<(Self, u64), DecodeError> {
        let view = Variant::decode(Type::parse("(tuuuusa(ayay))")?, header)?;
        let mut members = view.children();
        let size =
            members.next().and_then(|size| size.as_u64()).map(u64::from_be).unwrap_or_default();
        Ok((Self::of_members(members)?, size))
    }

    /// The length of the header that follows a prefix, in a file of `file_bytes` bytes.
    pub fn decode_prefix(
        prefix: [u8; Self::PREFIX_BYTES],
        file_bytes: u64,
    ) -> Result<usize, DecodeError> {
        let [a, b, c, d, ..] = prefix;
        let length = u32::from_be_bytes([a, b, c, d]);
        if length == 0 {
            return Err(DecodeError::new("File header size is zero"));
        }
        if u64::from(length) > file_bytes {
            return Err(DecodeError::new(format!(
                "File header size {length} exceeds size {file_bytes}"
            )));
        }
        usize::try_from(length)
            .map_err(|_| DecodeError::new(format!("File header size {length} is too large")))
    }

    /// What the xattr `user.ostreemeta` holds in bare-user repositories: `(uuua(ayay))`, with the
    /// xattrs in name order.
    pub fn encode_meta(&self) -> Vec<u8> {
        encode_owner_mode_xattrs([self.uid, self.gid, self.mode], &self.xattrs.sorted())
    }

    /// Reads `user.ostreemeta`. The target of a symlink stands elsewhere, so it is left empty.
    pub fn decode_meta(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (uid, gid, mode, xattrs) = decode_owner_mode_xattrs(bytes)?;
        check_file_mode(mode)?;
        Ok(Self { uid, gid, mode, symlink_target: String::new(), xattrs })
    }

    fn encode_members(&self, xattrs: &Xattrs, encoder: &mut Encoder) {
        // The size that may stand before belongs to the same tuple, so its offset counts from the
        // very start.
        let mut tuple = encoder.resume_tuple();
        for number in [self.uid, self.gid, self.mode, 0] {
            encoder.put(&number.to_be_bytes());
        }
        encoder.put_text(&self.symlink_target);
        tuple.end_child(encoder);
        xattrs.encode_into(encoder);
        encoder.end_tuple(tuple);
    }

    fn of_members(mut members: Children<'_>) -> Result<Self, DecodeError> {
        let mut number = || number_in(members.next());
        let (uid, gid, mode, device) = (number(), number(), number(), number());
        check_file_mode(mode)?;
        if device != 0 {
            return Err(DecodeError::new(format!("Corrupted archive file; invalid rdev {device}")));
        }
        let target = members.next().and_then(|target| target.as_str()).unwrap_or_default();
        // Upstream does not look at a regular file's target, so that it is missing when the
        // checksum is verified.
        let symlink_target =
            if mode & S_IFMT == S_IFLNK { target.to_owned() } else { String::new() };
        let xattrs = members.next().map_or(Ok(Xattrs::new()), Xattrs::of_variant)?;
        Ok(Self { uid, gid, mode, symlink_target, xattrs })
    }
}

fn check_file_mode(mode: u32) -> Result<(), DecodeError> {
    if !matches!(mode & S_IFMT, S_IFREG | S_IFLNK) {
        return Err(DecodeError::new(format!("Corrupted archive file; invalid mode {mode}")));
    }
    check_mode_bits(mode)
}

fn with_prefix(header: &[u8]) -> Vec<u8> {
    // Names and values of xattrs are at most 64 KiB each for the kernel; a header does not come
    // near 4 GiB.
    let length = u32::try_from(header.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), &[0; 4], header].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Hasher;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn header(owner: u32, mode: u32, target: &str, xattrs: &[(&[u8], &[u8])]) -> FileHeader {
        let xattrs = xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let xattrs = Xattrs::from_pairs(xattrs).unwrap();
        FileHeader { uid: owner, gid: owner, mode, symlink_target: target.to_owned(), xattrs }
    }

    #[test]
    fn content_headers_and_names_are_those_of_the_formats_document() {
        let table = [
            (
                header(0, 0o100_644, "", &[]),
                "",
                "0000000000000000000081a4000000000011",
                "cc700d46f407c6c5ab2d5dde474366a928b7398277e61162e7f8ec06f469f07e",
            ),
            (
                header(0, 0o120_777, "a", &[]),
                "",
                "00000000000000000000a1ff00000000610012",
                "438802d990f25270d36f902bc9ce9d0737b88f9ae0b41ed59ec9e47c28523e0a",
            ),
            (
                header(1000, 0o100_644, "", &[(b"user.k", b"v")]),
                "hi\n",
                "000003e8000003e8000081a40000000000757365722e6b0076070911",
                "df195ee88a6f56232adbe52ba4cc71cbfec409ccbed4ee536d3f493760523796",
            ),
        ];
        for (header, content, bytes, name) in table {
            let encoded = header.content_header();
            assert_eq!(hex(&encoded), format!("{:08x}00000000{bytes}", bytes.len() / 2));
            assert_eq!(FileHeader::decode_content_header(&encoded[8..]), Ok(header));
            let mut hasher = Hasher::new();
            hasher.update(&encoded);
            hasher.update(content.as_bytes());
            assert_eq!(hasher.finish().to_hex(), name);
        }
    }

    #[test]
    fn archive_headers_are_those_of_the_formats_document() {
        let link = header(0, 0o120_777, "a", &[]);
        assert_eq!(
            hex(&link.archive_header(0)),
            "0000001b00000000000000000000000000000000000000000000a1ff0000000061001a"
        );
        let file = header(0, 0o100_644, "", &[(b"user.k", b"v")]);
        let encoded = file.archive_header(3);
        let bytes = "0000002400000000000000000000000300000000000000000000\
                     81a40000000000757365722e6b0076070919";
        assert_eq!(hex(&encoded), bytes);
        assert_eq!(FileHeader::decode_archive_header(&encoded[8..]), Ok((file.clone(), 3)));
        assert_eq!(hex(&file.encode_meta()), "0000000000000000000081a4757365722e6b00760709");
        assert_eq!(FileHeader::decode_meta(&file.encode_meta()), Ok(file));
    }

    #[test]
    fn xattrs_are_sorted_for_the_checksum_and_left_alone_in_the_archive() {
        let unsorted = header(0, 0o100_644, "", &[(b"b", b""), (b"a", b"")]);
        let sorted = header(0, 0o100_644, "", &[(b"a", b""), (b"b", b"")]);
        assert_eq!(FileHeader::decode_content_header(&unsorted.content_header()[8..]), Ok(sorted));
        assert_eq!(
            FileHeader::decode_archive_header(&unsorted.archive_header(1)[8..]),
            Ok((unsorted, 1))
        );
    }

    #[test]
    fn broken_headers_are_refused_in_upstreams_words() {
        let message = |mode| {
            let header = header(0, mode, "", &[]).content_header();
            FileHeader::decode_content_header(&header[8..]).unwrap_err().what
        };
        assert_eq!(message(0o40_755), "Corrupted archive file; invalid mode 16877");
        assert_eq!(message(0o20_644), "Corrupted archive file; invalid mode 8612");
        assert_eq!(message(0o300_644), "Invalid mode 98724; invalid bits in mode");
        let mut device = header(0, 0o100_644, "", &[]).content_header();
        device[8 + 15] = 5;
        let error = FileHeader::decode_content_header(&device[8..]).unwrap_err();
        assert_eq!(error.what, "Corrupted archive file; invalid rdev 5");
        assert_eq!(
            FileHeader::decode_archive_header(&device[8..]).unwrap_err().what,
            "Not normal form"
        );
    }

    #[test]
    fn a_prefix_is_held_against_the_size_of_the_file() {
        let message = |prefix, size| FileHeader::decode_prefix(prefix, size).unwrap_err().what;
        assert_eq!(message([0; 8], 30), "File header size is zero");
        assert_eq!(message([0xff; 8], 38), "File header size 4294967295 exceeds size 38");
        assert_eq!(FileHeader::decode_prefix([0, 0, 0, 26, 1, 0, 0, 0], 26), Ok(26));
    }

    #[test]
    fn the_target_of_a_regular_file_is_not_looked_at() {
        let odd = header(0, 0o100_644, "xx", &[]).content_header();
        let read = FileHeader::decode_content_header(&odd[8..]);
        assert_eq!(read, Ok(header(0, 0o100_644, "", &[])));
    }
}
