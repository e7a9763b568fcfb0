//! Directory trees, `(a(say)a(sayay))`: files with their checksums, then directories with the
//! checksums of their dirtree and dirmeta, each list in the byte order of the names.
//!
//! Large trees have tens of thousands of entries and are read and written all the time, so this
//! goes by the bytes and not through generic values. An entry is `name NUL checksum end`, or `name
//! NUL dirtree dirmeta end end` with the ends in reverse; all is aligned to 1.

use super::{DIRTREE_TYPE, checksum_in};
use crate::checksum::Checksum;
use crate::gvariant::{DecodeError, Encoder, Type, Variant, offset_at, offset_width, width_in};

/// The content of a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirTree {
    /// Names and checksums of regular files and symlinks, in name order.
    pub files: Vec<(String, Checksum)>,
    /// Subdirectories, in name order.
    pub dirs: Vec<DirEntry>,
}

/// A subdirectory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    /// The file name, without a path.
    pub name: String,
    /// The checksum of the dirtree that lists its content.
    pub dirtree: Checksum,
    /// The checksum of the dirmeta with its owner, mode and xattrs.
    pub dirmeta: Checksum,
}

impl DirTree {
    /// Serialises the tree. Both lists must be in name order already.
    pub fn encode(&self) -> Vec<u8> {
        // Two framing offsets of up to 4 bytes are room enough for all but absurd names.
        let files = self.files.iter().map(|(name, _)| name.len() + 1 + 32 + 8);
        let dirs = self.dirs.iter().map(|dir| dir.name.len() + 1 + 64 + 8);
        let mut encoder = Encoder::with_capacity(files.chain(dirs).sum::<usize>() + 8);
        let mut tuple = encoder.begin(1);
        let mut array = encoder.begin(1);
        for (name, checksum) in &self.files {
            put_entry(&mut encoder, name, [checksum]);
            array.end_child(&encoder);
        }
        encoder.end_array(array);
        tuple.end_child(&encoder);
        let mut array = encoder.begin(1);
        for DirEntry { name, dirtree, dirmeta } in &self.dirs {
            put_entry(&mut encoder, name, [dirtree, dirmeta]);
            array.end_child(&encoder);
        }
        encoder.end_array(array);
        encoder.end_tuple(tuple);
        encoder.finish()
    }

    /// Reads a tree. It must be in normal form, names valid and checksums whole; order and
    /// duplicates are not looked at.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let reader = DirTreeReader::new(bytes)?;
        let file = |file: FileRef<'_>| (file.name.to_owned(), Checksum::from_bytes(*file.checksum));
        let dir = |dir: DirRef<'_>| DirEntry {
            name: dir.name.to_owned(),
            dirtree: Checksum::from_bytes(*dir.dirtree),
            dirmeta: Checksum::from_bytes(*dir.dirmeta),
        };
        let mut tree = Self {
            files: Vec::with_capacity(reader.files.count),
            dirs: Vec::with_capacity(reader.dirs.count),
        };
        for entry in reader.files() {
            tree.files.push(file(entry?));
        }
        for entry in reader.dirs() {
            tree.dirs.push(dir(entry?));
        }
        Ok(tree)
    }
}

/// Writes one entry: the name, then the checksums with no offset for the last of them.
fn put_entry<const N: usize>(encoder: &mut Encoder, name: &str, checksums: [&Checksum; N]) {
    let start = encoder.len();
    encoder.put_text(name);
    let name_end = encoder.len() - start;
    for checksum in checksums {
        encoder.put(checksum.as_bytes());
    }
    let width = offset_width(encoder.len() - start, N);
    for before in (0..N).rev() {
        encoder.put_offset(name_end + 32 * before, width);
    }
}

/// Reads a serialised tree without copying.
#[derive(Clone, Copy, Debug)]
pub struct DirTreeReader<'a> {
    bytes: &'a [u8],
    files: Array<'a>,
    dirs: Array<'a>,
}

/// A file in a tree that is read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef<'a> {
    /// The file name, without a path.
    pub name: &'a str,
    /// The checksum of its content object.
    pub checksum: &'a [u8; 32],
}

/// A subdirectory in a tree that is read in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirRef<'a> {
    /// The file name, without a path.
    pub name: &'a str,
    /// The checksum of its content.
    pub dirtree: &'a [u8; 32],
    /// The checksum of its metadata.
    pub dirmeta: &'a [u8; 32],
}

impl<'a> DirTreeReader<'a> {
    /// Looks at a serialised tree. The lists are checked here, the entries as they are read.
    pub fn new(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::split(bytes).ok_or_else(|| explain(bytes))
    }

    fn split(bytes: &'a [u8]) -> Option<Self> {
        let width = width_in(bytes.len());
        let body = bytes.len().checked_sub(width)?;
        if offset_width(body, 1) != width {
            return None;
        }
        let (files, dirs) = bytes.get(..body)?.split_at_checked(offset_at(bytes, body, width)?)?;
        Some(Self { bytes, files: Array::new(files)?, dirs: Array::new(dirs)? })
    }

    /// Checks every entry as [`DirTree::decode`] does.
    pub fn check(&self) -> Result<(), DecodeError> {
        self.files().try_for_each(|file| file.map(drop))?;
        self.dirs().try_for_each(|dir| dir.map(drop))
    }

    /// The files in order, each checked as [`DirTree::decode`] does.
    pub fn files(&self) -> impl Iterator<Item = Result<FileRef<'a>, DecodeError>> + use<'a> {
        let Self { bytes, files, .. } = *self;
        files.entries().map(move |entry| {
            let file = entry.and_then(|entry| {
                let (name, [checksum]) = split_entry(entry)?;
                Some(FileRef { name, checksum })
            });
            file.ok_or_else(|| explain(bytes))
        })
    }

    /// The subdirectories in order, each checked as [`DirTree::decode`] does.
    pub fn dirs(&self) -> impl Iterator<Item = Result<DirRef<'a>, DecodeError>> + use<'a> {
        let Self { bytes, dirs, .. } = *self;
        dirs.entries().map(move |entry| {
            let dir = entry.and_then(|entry| {
                let (name, [dirtree, dirmeta]) = split_entry(entry)?;
                Some(DirRef { name, dirtree, dirmeta })
            });
            dir.ok_or_else(|| explain(bytes))
        })
    }
}

/// One of the two lists.
#[derive(Clone, Copy, Debug)]
struct Array<'a> {
    bytes: &'a [u8],
    width: usize,
    body: usize,
    count: usize,
}

impl<'a> Array<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let width = width_in(bytes.len());
        if bytes.is_empty() {
            return Some(Self { bytes, width, body: 0, count: 0 });
        }
        let body = offset_at(bytes, bytes.len().checked_sub(width)?, width)?;
        let frame = bytes.len().checked_sub(body)?;
        let count = frame / width;
        let fits = count > 0 && frame.is_multiple_of(width) && offset_width(body, count) == width;
        fits.then_some(Self { bytes, width, body, count })
    }

    /// The bytes of each entry; `None` where its framing offset is out of order.
    fn entries(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        let Self { bytes, width, body, count } = self;
        let mut start = 0;
        (0..count).map(move |index| {
            let end = offset_at(bytes, body + index * width, width).filter(|&end| end <= body)?;
            let entry = bytes.get(start..end)?;
            start = end;
            Some(entry)
        })
    }
}

/// Takes an entry apart: a valid name and `N` checksums. `None` if anything about it is wrong.
fn split_entry<const N: usize>(entry: &[u8]) -> Option<(&str, [&[u8; 32]; N])> {
    let width = width_in(entry.len());
    let body = entry.len().checked_sub(N * width)?;
    let name_end = body.checked_sub(N * 32)?;
    if offset_width(body, N) != width {
        return None;
    }
    let (name, checksums) = entry.get(..body)?.split_at_checked(name_end)?;
    let (chunks, _) = checksums.as_chunks::<32>();
    let mut parts = [&[0; 32]; N];
    for (index, (part, chunk)) in parts.iter_mut().zip(chunks).enumerate() {
        // Offsets stand in reverse: the one of the name is the last.
        let end = offset_at(entry, entry.len() - (index + 1) * width, width)?;
        if end != name_end + 32 * index {
            return None;
        }
        *part = chunk;
    }
    let [name @ .., 0] = name else { return None };
    // Names are short: one loop is quicker than a search for each of the bytes that may not be
    // there.
    if name.iter().any(|&byte| byte == 0 || byte == b'/') || matches!(name, b"" | b"." | b"..") {
        return None;
    }
    Some((std::str::from_utf8(name).ok()?, parts))
}

/// Finds the error in a tree that the quick reader rejects, by reading it generically.
#[cold]
fn explain(bytes: &[u8]) -> DecodeError {
    check(bytes).err().unwrap_or_else(DecodeError::not_normal)
}

fn check(bytes: &[u8]) -> Result<(), DecodeError> {
    let ty = Type::parse(DIRTREE_TYPE)?;
    // Text that is not UTF-8 is no normal form either, but upstream has better words for it.
    for entry in Variant::new(ty, bytes).children().flat_map(|list| list.children()) {
        let name = entry.child(0).map(|name| name.bytes()).unwrap_or_default();
        let name = name.strip_suffix(&[0]).unwrap_or(name);
        if std::str::from_utf8(name).is_err() {
            return Err(DecodeError::new(format!(
                "Invalid UTF-8 in filename {}",
                String::from_utf8_lossy(name)
            )));
        }
    }
    for entry in Variant::decode(ty, bytes)?.children().flat_map(|list| list.children()) {
        let mut members = entry.children();
        validate_file_name(members.next().and_then(|name| name.as_str()).unwrap_or_default())?;
        for checksum in members {
            checksum_in(Some(checksum))?;
        }
    }
    Ok(())
}

/// Refuses names that are not allowed in a directory: `.`, `..`, the empty one, and those with a
/// `/`.
pub fn validate_file_name(name: &str) -> Result<(), DecodeError> {
    let what = match name {
        "." => "Invalid self-referential filename '.'".to_owned(),
        ".." => "Invalid path uplink filename '..'".to_owned(),
        // Upstream lets this pass and fails when it comes to use the name.
        "" => "Invalid empty filename".to_owned(),
        _ if name.as_bytes().contains(&b'/') => format!("Invalid / in filename {name}"),
        _ => return Ok(()),
    };
    Err(DecodeError::new(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Value;

    const SUM: Checksum = Checksum::from_bytes([7; 32]);

    fn tree(files: &[&str], dirs: &[&str]) -> DirTree {
        let dir = |name: &&str| DirEntry {
            name: (*name).to_owned(),
            dirtree: SUM,
            dirmeta: Checksum::of(b"m"),
        };
        DirTree {
            files: files.iter().map(|name| ((*name).to_owned(), SUM)).collect(),
            dirs: dirs.iter().map(dir).collect(),
        }
    }

    #[test]
    fn an_empty_directory_is_one_zero_byte() {
        assert_eq!(DirTree::default().encode(), [0]);
        assert_eq!(DirTree::decode(&[0]), Ok(DirTree::default()));
        let name = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(Checksum::of(&[0]).to_hex(), name);
    }

    #[test]
    fn entries_are_framed_as_in_the_formats_document() {
        let bytes = tree(&["a", "l"], &["d"]).encode();
        let file = |name: &[u8]| [name, b"\0", &[7; 32], &[2]].concat();
        let dir = [b"d\0", &[7; 32][..], Checksum::of(b"m").as_bytes(), &[0x22, 2]].concat();
        let expected = [&file(b"a")[..], &file(b"l"), &[0x23, 0x46], &dir, &[0x44, 0x48]].concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn names_of_all_lengths_come_back_and_the_bytes_equal_those_of_generic_values() {
        for length in [1, 188, 189, 190, 191, 220, 221, 222, 223, 255, 66_000] {
            let name = "x".repeat(length);
            let tree = tree(&["a", &name, "ä"], &[&name, "z"]);
            let bytes = tree.encode();
            let sum = |sum: &Checksum| Value::bytes_value(sum.as_bytes());
            let files = tree
                .files
                .iter()
                .map(|(name, checksum)| Value::tuple(vec![Value::string(name), sum(checksum)]));
            let dirs = tree.dirs.iter().map(|DirEntry { name, dirtree, dirmeta }| {
                Value::tuple(vec![Value::string(name), sum(dirtree), sum(dirmeta)])
            });
            let generic = Value::tuple(vec![
                Value::array("(say)", files.collect()),
                Value::array("(sayay)", dirs.collect()),
            ]);
            assert_eq!(bytes, generic.bytes(), "{length}");
            assert_eq!(DirTree::decode(&bytes), Ok(tree), "{length}");
        }
    }

    #[test]
    fn broken_trees_are_refused_in_upstreams_words() {
        let short = Value::tuple(vec![
            Value::array(
                "(say)",
                vec![Value::tuple(vec![Value::string("a"), Value::bytes_value(&[1; 31])])],
            ),
            Value::array("(sayay)", Vec::new()),
        ]);
        let mut not_text = tree(&[], &["ab"]).encode();
        not_text[0] = 0xff;
        let mut gap = tree(&["a"], &[]).encode();
        gap.insert(35, 0);
        let table = [
            (tree(&["."], &[]).encode(), "Invalid self-referential filename '.'"),
            (tree(&[], &[".."]).encode(), "Invalid path uplink filename '..'"),
            (tree(&["a/b"], &[]).encode(), "Invalid / in filename a/b"),
            (tree(&[""], &[]).encode(), "Invalid empty filename"),
            (short.into_bytes(), "Invalid checksum of length 31 expected 32"),
            (not_text, "Invalid UTF-8 in filename \u{fffd}b"),
            (gap, "Not normal form"),
            (Vec::new(), "Not normal form"),
            (vec![1], "Not normal form"),
            // The offset of the first list's only element points at its own end.
            (vec![1, 1], "Not normal form"),
        ];
        for (bytes, message) in table {
            assert_eq!(DirTree::decode(&bytes).unwrap_err().what, message, "{bytes:02x?}");
        }
    }

    #[test]
    fn the_quick_reader_and_the_generic_check_agree_on_every_changed_byte() {
        let good = tree(&["a", "l"], &["d", "e"]).encode();
        for index in 0..good.len() {
            for value in [0, 1, 2, b'/', b'.', 0x22, 0x23, 0x44, 0x7f, 0xff] {
                let mut bytes = good.clone();
                bytes[index] = value;
                assert_eq!(
                    DirTree::decode(&bytes).is_ok(),
                    check(&bytes).is_ok(),
                    "byte {index} = {value}"
                );
            }
        }
    }
}
