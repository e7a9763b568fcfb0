//! The layout of an image.
//!
//! Inodes follow each other, each at a multiple of 32 bytes, with its xattrs and its *tail* right
//! after it: the part of its data that does not fill a block. As a tail must not cross a block
//! boundary, some inodes have a gap before them. Shared xattrs follow, then whole blocks of data.
//! The rules are libcomposefs', which are not the only ones that EROFS would allow.

use super::tree::{Inode, Kind, Tree};
use crate::error::{Error, Result};

/// Bytes of a block.
pub(super) const BLOCK_SIZE: u64 = 4096;
/// What inodes are aligned to; their numbers are their places in this unit.
pub(super) const SLOT_SIZE: u64 = 32;
/// The positions of the superblock, and of the inodes after it.
pub(super) const SUPERBLOCK: u64 = 1024;
pub(super) const FIRST_INODE: u64 = SUPERBLOCK + 128;
/// Bytes of an inode whose numbers are small, and of any other.
pub(super) const COMPACT_SIZE: u64 = 32;
pub(super) const EXTENDED_SIZE: u64 = 64;
/// Bytes of the place of a chunk.
pub(super) const CHUNK_PLACE_SIZE: u64 = 4;
/// Bytes of an entry of a directory, besides its name.
pub(super) const DIRENT_SIZE: usize = 12;

/// A directory whose last block has more bytes than this has no tail: that block is stored whole.
const MAX_DIRECTORY_TAIL: usize = BLOCK_SIZE as usize / 2;
/// How much larger than a block a chunk may be, as a power of two.
const MAX_CHUNK_BITS: u32 = 31;
/// Addresses of blocks, and places of shared xattrs in units of four bytes, have 32 bits.
const MAX_BLOCKS: u64 = u32::MAX as u64;

/// The layout of an image; all positions are bytes from its start.
pub(super) struct Layout {
    /// Of each inode.
    pub(super) places: Vec<Place>,
    /// Where the shared xattrs begin.
    pub(super) shared_xattrs: u64,
    /// Where blocks of data begin.
    pub(super) data: u64,
    /// How long the image is.
    pub(super) end: u64,
}

/// The position of an inode and its data.
pub(super) struct Place {
    /// Where the inode is.
    pub(super) offset: u64,
    /// Bytes that its xattrs take behind it.
    pub(super) xattrs_size: u64,
    /// Bytes of the tail.
    pub(super) tail_size: u64,
    /// Number of whole blocks, and of the first of them from the beginning of the image.
    pub(super) blocks: u64,
    pub(super) first_block: u64,
    /// What the inode gives as its size in bytes.
    pub(super) size: u64,
    /// Whether it has [`EXTENDED_SIZE`].
    pub(super) is_extended: bool,
}

impl Layout {
    /// # Errors
    /// When the image would be larger than EROFS can address.
    pub(super) fn of(tree: &Tree) -> Result<Self> {
        let mut places = Vec::with_capacity(tree.inodes.len());
        let mut offset = FIRST_INODE;
        for number in 0..tree.inodes.len() {
            let place = Place::of(tree, number, offset)?;
            offset = place.end().next_multiple_of(SLOT_SIZE);
            places.push(place);
        }
        let shared_xattrs = offset;
        let data = (shared_xattrs + tree.xattrs.shared_size()).next_multiple_of(BLOCK_SIZE);
        let mut end = data;
        for place in &mut places {
            if place.blocks > 0 {
                place.first_block = end / BLOCK_SIZE;
                end += place.blocks * BLOCK_SIZE;
            }
        }
        if end / BLOCK_SIZE > MAX_BLOCKS || tree.xattrs.shared_size() > MAX_BLOCKS {
            return Err(Error::failed(format!(
                "a composefs image of {end} bytes, which is more than can be addressed"
            )));
        }
        Ok(Self { places, shared_xattrs, data, end })
    }

    /// The block that the places of shared xattrs are counted from.
    pub(super) fn xattr_block(&self) -> u64 {
        self.shared_xattrs / BLOCK_SIZE
    }
}

impl Place {
    /// Places an inode at `offset` or where its tail can be behind it.
    ///
    /// # Errors
    /// When the places of a file's chunks do not fit into a block; such a file has petabytes.
    fn of(tree: &Tree, number: usize, offset: u64) -> Result<Self> {
        let inode = &tree.inodes[number];
        let xattrs_size = tree.xattrs.inode_size(&inode.xattrs);
        let mut place = Self {
            offset,
            xattrs_size,
            tail_size: 0,
            blocks: 0,
            first_block: 0,
            size: 0,
            is_extended: false,
        };
        match &inode.kind {
            Kind::Directory(_) => {
                let entries = directory(tree, number);
                let blocks = split(&entries);
                let last = blocks.last().map_or(0, |entries| dirents_size(entries));
                let has_tail = last <= MAX_DIRECTORY_TAIL;
                place.blocks = (blocks.len() - usize::from(has_tail)) as u64;
                place.tail_size = if has_tail { last as u64 } else { 0 };
                place.size = place.blocks * BLOCK_SIZE + place.tail_size;
            }
            Kind::Regular(size) => {
                place.size = *size;
                place.tail_size = size.div_ceil(BLOCK_SIZE << chunk_bits(*size)) * CHUNK_PLACE_SIZE;
            }
            Kind::Symlink(target) => {
                place.tail_size = target.len() as u64;
                place.size = place.tail_size;
            }
            Kind::Whiteout => {}
        }
        let large = [inode.uid, inode.gid, links(tree, inode)]
            .into_iter()
            .any(|number| number > u32::from(u16::MAX));
        place.is_extended = large || place.size > u64::from(u32::MAX);
        match &inode.kind {
            // Everything goes into one block; if there is no room then the target is stored as a
            // block.
            Kind::Symlink(_) => {
                if crosses(offset, place.end() - offset) {
                    place.offset = offset.next_multiple_of(BLOCK_SIZE);
                }
                if place.tail_size > 0 && place.end() - place.offset >= BLOCK_SIZE {
                    place.tail_size = 0;
                    place.blocks = 1;
                }
            }
            // The gap is as small as it can be.
            _ if crosses(place.tail_offset(), place.tail_size) => {
                let gap = place.tail_offset().next_multiple_of(BLOCK_SIZE) - place.tail_offset();
                place.offset += gap.next_multiple_of(SLOT_SIZE);
                if crosses(place.tail_offset(), place.tail_size) {
                    // Upstream writes an image that cannot be read.
                    return Err(Error::failed(format!(
                        "{} of {} bytes: File too large",
                        inode.name, place.size
                    )));
                }
            }
            _ => {}
        }
        Ok(place)
    }

    pub(super) fn tail_offset(&self) -> u64 {
        self.offset + if self.is_extended { EXTENDED_SIZE } else { COMPACT_SIZE } + self.xattrs_size
    }

    fn end(&self) -> u64 {
        self.tail_offset() + self.tail_size
    }

    /// The number by which others name the inode.
    pub(super) fn number(&self) -> u64 {
        self.offset / SLOT_SIZE
    }
}

/// Whether a range of bytes crosses a block boundary.
fn crosses(offset: u64, size: u64) -> bool {
    size > 0 && offset / BLOCK_SIZE != (offset + size - 1) / BLOCK_SIZE
}

/// How many directories and names lead to an inode.
pub(super) fn links(tree: &Tree, inode: &Inode) -> u32 {
    match &inode.kind {
        Kind::Directory(children) => {
            let is_directory = |inode: &&Inode| matches!(inode.kind, Kind::Directory(_));
            2 + tree.inodes[children.clone()].iter().filter(is_directory).count() as u32
        }
        _ => 1,
    }
}

/// The chunk size of a file of `size` bytes, as a power of two above a block: one chunk holds it if
/// it can.
pub(super) fn chunk_bits(size: u64) -> u32 {
    let blocks = size.div_ceil(BLOCK_SIZE).max(1);
    (blocks - 1).checked_ilog2().map_or(0, |bits| bits + 1).min(MAX_CHUNK_BITS)
}

/// An entry of a directory: its name and the place of its inode in [`Tree::inodes`].
pub(super) type Dirent<'t> = (&'t str, usize);

/// What the directory holds, with itself and its parent, by name.
pub(super) fn directory(tree: &Tree, number: usize) -> Vec<Dirent<'_>> {
    let inode = &tree.inodes[number];
    let mut entries = vec![(".", number), ("..", inode.parent)];
    if let Kind::Directory(children) = &inode.kind {
        entries.extend(children.clone().map(|child| (&*tree.inodes[child].name, child)));
    }
    entries.sort_unstable();
    entries
}

/// Which entries share a block.
pub(super) fn split<'e, 't>(entries: &'e [Dirent<'t>]) -> Vec<&'e [Dirent<'t>]> {
    let mut blocks = Vec::new();
    let (mut first, mut size) = (0, 0);
    for (index, entry) in entries.iter().enumerate() {
        let entry_size = dirents_size(std::slice::from_ref(entry));
        if size + entry_size > BLOCK_SIZE as usize {
            blocks.push(&entries[first..index]);
            (first, size) = (index, 0);
        }
        size += entry_size;
    }
    blocks.push(&entries[first..]);
    blocks
}

/// Bytes that entries take.
fn dirents_size(entries: &[Dirent<'_>]) -> usize {
    entries.iter().map(|(name, _)| DIRENT_SIZE + name.len()).sum()
}

#[cfg(test)]
mod tests {
    use super::super::xattrs::Pool;
    use super::*;

    fn inode(name: &str, kind: Kind) -> Inode {
        Inode { name: name.into(), parent: 0, kind, mode: 0, uid: 0, gid: 0, xattrs: Vec::new() }
    }

    /// Where the first inode of a tree goes if all up to `offset` is taken and it has an xattr
    /// `user.a` of this many bytes: its place, the bytes of its tail and the number of its blocks.
    fn place(mut inodes: Vec<Inode>, xattr_size: usize, offset: u64) -> (u64, u64, u64) {
        let mut pool = Pool::default();
        if xattr_size > 0 {
            inodes[0].xattrs = vec![pool.add(b"user.a".to_vec(), vec![b'v'; xattr_size])];
        }
        let place = Place::of(&Tree { inodes, xattrs: pool.finish() }, 0, offset).unwrap();
        (place.offset, place.tail_size, place.blocks)
    }

    /// A directory whose entries take this many bytes together.
    fn directory_of(size: usize) -> Vec<Inode> {
        const LONGEST: usize = DIRENT_SIZE + 255;
        // `.` and `..` are there already.
        let mut rest = size - 2 * DIRENT_SIZE - 3;
        let mut inodes = vec![inode("", Kind::Directory(0..0))];
        while rest > 0 {
            // What is left must be enough for an entry.
            let entry = if rest > LONGEST { LONGEST.min(rest - LONGEST / 2) } else { rest };
            inodes.push(inode(&"x".repeat(entry - DIRENT_SIZE), Kind::Whiteout));
            rest -= entry;
        }
        inodes[0].kind = Kind::Directory(1..inodes.len());
        inodes
    }

    #[test]
    fn symlinks_stand_where_mkcomposefs_puts_them() {
        // Length of the target, of an xattr, the offset; as in images of mkcomposefs 1.0.8.
        let table = [
            ((96, 0, 0x2f80), (0x2f80, 96, 0)),
            ((64, 0, 0x2fa0), (0x2fa0, 64, 0)),
            ((65, 0, 0x2fa0), (0x3000, 65, 0)),
            ((31, 0, 0x2fe0), (0x3000, 31, 0)),
            ((31, 0, 0x3000), (0x3000, 31, 0)),
            ((4063, 0, 0x2500), (0x3000, 4063, 0)),
            ((4064, 0, 0x2500), (0x3000, 0, 1)),
            ((4095, 0, 0x2500), (0x3000, 0, 1)),
            ((1000, 3000, 0x2540), (0x3000, 1000, 0)),
            ((3000, 3000, 0x2540), (0x3000, 0, 1)),
            ((10, 4030, 0x2540), (0x3000, 10, 0)),
            ((10, 4040, 0x2540), (0x3000, 0, 1)),
            ((50, 9000, 0x2540), (0x3000, 0, 1)),
        ];
        for ((length, xattr_size, offset), expected) in table {
            let symlink = vec![inode("", Kind::Symlink("t".repeat(length)))];
            assert_eq!(
                place(symlink, xattr_size, offset),
                expected,
                "{length} {xattr_size} {offset:x}"
            );
        }
    }

    #[test]
    fn directories_stand_where_mkcomposefs_puts_them() {
        // Bytes of the entries, of an xattr, the offset.
        let table = [
            ((27, 0, 0x2fe0), (0x2fe0, 27, 0)),
            ((64, 0, 0x2fa0), (0x2fa0, 64, 0)),
            ((65, 0, 0x2fa0), (0x2fe0, 65, 0)),
            ((96, 0, 0x2f80), (0x2f80, 96, 0)),
            ((97, 0, 0x2f80), (0x2fe0, 97, 0)),
            ((2048, 0, 0x1ec0), (0x1fe0, 2048, 0)),
            ((2049, 0, 0x1ec0), (0x1ec0, 0, 1)),
            ((4096, 0, 0x1ec0), (0x1ec0, 0, 1)),
            ((1203, 3500, 0x1ec0), (0x2220, 1203, 0)),
            ((27, 5500, 0x1ec0), (0x1ec0, 27, 0)),
        ];
        for ((size, xattr_size, offset), expected) in table {
            assert_eq!(
                place(directory_of(size), xattr_size, offset),
                expected,
                "{size} {xattr_size} {offset:x}"
            );
        }
    }

    #[test]
    fn the_places_of_chunks_do_not_lie_across_blocks_and_too_many_are_refused() {
        const CHUNK: u64 = 1 << 43;
        let regular = |chunks: u64| vec![inode("big", Kind::Regular(chunks * CHUNK))];
        // Such sizes need an extended inode.
        assert_eq!(place(regular(5), 0, 0x1fa0), (0x1fa0, 20, 0));
        assert_eq!(place(regular(9), 0, 0x1fa0), (0x1fc0, 36, 0));
        assert_eq!(place(regular(1), 0, 0x1fe0), (0x1fe0, 4, 0));
        let tree = Tree { inodes: regular(1025), xattrs: Pool::default().finish() };
        let error = Place::of(&tree, 0, 0x2000).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("big of 9015995347763200 bytes: File too large"));
    }

    #[test]
    fn chunks_are_as_large_as_the_file_and_no_larger_than_they_may_be() {
        let table = [
            (1, 0),
            (4096, 0),
            (4097, 1),
            (65_536, 4),
            (65_537, 5),
            (u64::from(u32::MAX), 20),
            ((1 << 32) + 1, 21),
            (1 << 43, 31),
            ((1 << 43) + 1, 31),
            (u64::MAX, 31),
        ];
        for (size, bits) in table {
            assert_eq!(chunk_bits(size), bits, "{size}");
        }
    }

    #[test]
    fn inodes_are_extended_where_a_number_needs_it() {
        let extended = |change: &dyn Fn(&mut Inode)| {
            let mut inodes = vec![inode("", Kind::Regular(0))];
            change(&mut inodes[0]);
            Place::of(&Tree { inodes, xattrs: Pool::default().finish() }, 0, 0x2000)
                .unwrap()
                .is_extended
        };
        assert!(!extended(&|inode| (inode.uid, inode.gid) = (65_535, 65_535)));
        assert!(extended(&|inode| inode.uid = 65_536));
        assert!(extended(&|inode| inode.gid = 65_536));
        assert!(!extended(&|inode| inode.kind = Kind::Regular(u32::MAX.into())));
        assert!(extended(&|inode| inode.kind = Kind::Regular(1 << 32)));
    }
}
