//! Reads an image as the kernel would, from the structures in Linux' `erofs_fs.h`, and checks what
//! it relies on.

use std::collections::{BTreeMap, BTreeSet};

const BLOCK: usize = 4096;

/// What an image says about a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    pub size: u64,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Of symlinks.
    pub target: String,
}

/// Everything in an image by path; the root is the empty one.
pub fn decode(image: &[u8]) -> BTreeMap<String, Found> {
    let image = Image { bytes: image };
    assert_eq!(image.u32(0), 0xd078_629a, "magic of composefs");
    assert_eq!(image.u32(1024), 0xe0f5_e1e2, "magic of EROFS");
    assert_eq!(image.u32(1024 + 36) as usize * BLOCK, image.bytes.len(), "number of blocks");
    let root = u64::from(image.u16(1024 + 14));
    let mut walk = Walk { image, found: BTreeMap::new(), numbers: BTreeSet::new() };
    walk.inode(root, root, String::new());
    assert_eq!(walk.image.u64(1024 + 16), walk.found.len() as u64, "number of inodes");
    walk.found
}

struct Image<'i> {
    bytes: &'i [u8],
}

impl<'i> Image<'i> {
    fn slice(&self, offset: usize, length: usize) -> &'i [u8] {
        &self.bytes[offset..offset + length]
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.slice(offset, 2).try_into().unwrap())
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.slice(offset, 4).try_into().unwrap())
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_le_bytes(self.slice(offset, 8).try_into().unwrap())
    }

    /// An xattr and the bytes that it takes.
    fn xattr(&self, offset: usize) -> (Vec<u8>, Vec<u8>, usize) {
        let (length, prefix) = (usize::from(self.bytes[offset]), self.bytes[offset + 1]);
        let value_length = usize::from(self.u16(offset + 2));
        let prefix = match prefix {
            0 => "",
            1 => "user.",
            2 => "system.posix_acl_access",
            3 => "system.posix_acl_default",
            4 => "trusted.",
            6 => "security.",
            other => panic!("prefix {other}"),
        };
        let name = [prefix.as_bytes(), self.slice(offset + 4, length)].concat();
        let value = self.slice(offset + 4 + length, value_length).to_vec();
        (name, value, (4 + length + value_length).next_multiple_of(4))
    }

    /// The xattrs between an inode and its tail.
    fn xattrs(&self, offset: usize, count: u16) -> (BTreeMap<Vec<u8>, Vec<u8>>, usize) {
        let mut xattrs = BTreeMap::new();
        if count == 0 {
            return (xattrs, offset);
        }
        let end = offset + 12 + 4 * (usize::from(count) - 1);
        let shared = usize::from(self.bytes[offset + 4]);
        let mut next = offset + 12;
        for _ in 0..shared {
            let block = self.u32(1024 + 44) as usize;
            let (name, value, _) = self.xattr(block * BLOCK + 4 * self.u32(next) as usize);
            assert_eq!(xattrs.insert(name, value), None);
            next += 4;
        }
        while next < end {
            let (name, value, size) = self.xattr(next);
            assert_eq!(xattrs.insert(name, value), None);
            next += size;
        }
        assert_eq!(next, end, "end of the xattrs");
        (xattrs, end)
    }
}

struct Walk<'i> {
    image: Image<'i>,
    found: BTreeMap<String, Found>,
    numbers: BTreeSet<u32>,
}

impl Walk<'_> {
    fn inode(&mut self, nid: u64, parent: u64, path: String) {
        let image = Image { bytes: self.image.bytes };
        let offset = nid as usize * 32;
        let (format, count, mode) =
            (image.u16(offset), image.u16(offset + 2), u32::from(image.u16(offset + 4)));
        let number;
        let (mut found, place, header) = if format & 1 == 1 {
            number = image.u32(offset + 20);
            let [uid, gid, links] = [24, 28, 44].map(|at| image.u32(offset + at));
            let size = image.u64(offset + 8);
            assert_eq!((image.u64(offset + 32), image.u32(offset + 40)), (0, 0), "{path}: time");
            (Found { mode, uid, gid, links, size, ..Found::default() }, image.u32(offset + 16), 64)
        } else {
            number = image.u32(offset + 20);
            let [links, uid, gid] = [6, 24, 26].map(|at| u32::from(image.u16(offset + at)));
            let size = u64::from(image.u32(offset + 8));
            (Found { mode, uid, gid, links, size, ..Found::default() }, image.u32(offset + 16), 32)
        };
        assert!(self.numbers.insert(number), "{path}: inode number {number} is taken");
        let tail;
        (found.xattrs, tail) = image.xattrs(offset + header, count);
        let data = match format >> 1 {
            0 => image.slice(place as usize * BLOCK, found.size as usize).to_vec(),
            2 => {
                let (whole, rest) = (found.size as usize / BLOCK, found.size as usize % BLOCK);
                assert!(
                    rest > 0 && tail / BLOCK == (tail + rest - 1) / BLOCK,
                    "{path}: tail at {tail:x}, {rest} bytes"
                );
                [image.slice(place as usize * BLOCK, whole * BLOCK), image.slice(tail, rest)]
                    .concat()
            }
            4 => {
                assert_eq!(mode & 0o170_000, 0o100_000, "{path}: only regular files have chunks");
                assert!((BLOCK as u64) << place >= found.size, "{path}: one chunk is enough");
                assert_eq!(image.u32(tail), u32::MAX, "{path}: a hole");
                Vec::new()
            }
            other => panic!("{path}: layout {other}"),
        };
        match mode & 0o170_000 {
            0o040_000 => {
                self.directory(&data, [nid, parent], &path);
                found.size = 0;
            }
            0o120_000 => found.target = String::from_utf8(data).unwrap(),
            _ => {}
        }
        self.found.insert(path, found);
    }

    fn directory(&mut self, data: &[u8], [own, parent]: [u64; 2], path: &str) {
        let mut names = Vec::new();
        for block in data.chunks(BLOCK) {
            let block = Image { bytes: block };
            let count = usize::from(block.u16(8)) / 12;
            for index in 0..count {
                let start = usize::from(block.u16(12 * index + 8));
                let end = if index + 1 < count {
                    usize::from(block.u16(12 * index + 20))
                } else {
                    block.bytes.len()
                };
                // The last name of a block may be followed by zeros.
                let name = block.slice(start, end - start).split(|byte| *byte == 0).next().unwrap();
                let name = String::from_utf8(name.to_vec()).unwrap();
                names.push(name.clone());
                let nid = block.u64(12 * index);
                match name.as_str() {
                    "." => assert_eq!(nid, own, "{path}: ."),
                    ".." => assert_eq!(nid, parent, "{path}: .."),
                    _ => {
                        self.inode(nid, own, format!("{path}/{name}"));
                        let mode = self.found[&format!("{path}/{name}")].mode;
                        let expected = match mode & 0o170_000 {
                            0o100_000 => 1,
                            0o040_000 => 2,
                            0o020_000 => 3,
                            _ => 7,
                        };
                        assert_eq!(block.bytes[12 * index + 10], expected, "{path}/{name}: type");
                    }
                }
            }
        }
        assert!(names.is_sorted(), "{path}: the kernel searches names by halves");
        assert!(
            [".", ".."].iter().all(|name| names.iter().any(|other| other == name)),
            "{path}: . and .."
        );
    }
}
