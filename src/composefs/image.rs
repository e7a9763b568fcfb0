//! The bytes of an image: EROFS as libcomposefs writes it.
//!
//! ```text
//! 0      composefs's own header: u32le magic, 1, flags, version of the format; zeros
//! 1024   the superblock
//! 1152   inodes, each with its xattrs and tail
//! ...    shared xattrs
//! ...    blocks of directories and of long symlinks
//! ```
//!
//! All numbers are little-endian. The structures are those of Linux' `fs/erofs/erofs_fs.h`; its
//! documentation describes them on the pages about EROFS. Regular files have no data here: their
//! chunks are holes, and xattrs point overlayfs to the content.

use super::layout::{
    BLOCK_SIZE, DIRENT_SIZE, Dirent, Layout, SUPERBLOCK, chunk_bits, directory, links, split,
};
use super::tree::{Kind, Tree};
use super::xattrs::inode_count;
use crate::error::Result;

const COMPOSEFS_MAGIC: u32 = 0xd078_629a;
const COMPOSEFS_HEADER_VERSION: u32 = 1;
/// The flag of images with access control lists.
const HAS_ACCESS_LISTS: u32 = 1;
/// Version 1 is for trees with whiteouts of their own, which no commit has.
const COMPOSEFS_FORMAT: u32 = 0;

const EROFS_MAGIC: u32 = 0xe0f5_e1e2;
/// Inodes have the superblock's time unless they have one; inodes with xattrs have a filter.
const EROFS_FEATURES: u32 = 0x2 | 0x4;

/// All data is in blocks.
const LAYOUT_PLAIN: u16 = 0;
/// Data is in blocks and a tail.
const LAYOUT_INLINE: u16 = 2;
/// Data is in chunks, whose places stand where the tail would be.
const LAYOUT_CHUNKS: u16 = 4;
/// The place of a chunk that is a hole.
const HOLE: u8 = 0xff;

/// Takes the bytes of an image, from the first to the last.
pub(super) type Sink<'s> = dyn FnMut(&[u8]) -> Result<()> + 's;

/// How much is collected before it is passed to the sink.
const BUFFER_SIZE: usize = 64 << 10;

/// Writes the image of a tree.
///
/// # Errors
/// Those of the sink; when the image would be larger than EROFS can address.
pub(super) fn write(tree: &Tree, sink: &mut Sink<'_>) -> Result<()> {
    let layout = Layout::of(tree)?;
    let mut output = Output { sink, buffer: Vec::with_capacity(2 * BUFFER_SIZE), flushed: 0 };
    header(tree, &mut output.buffer);
    output.pad_to(SUPERBLOCK)?;
    superblock(tree, &layout, &mut output.buffer);
    for number in 0..tree.inodes.len() {
        output.pad_to(layout.places[number].offset)?;
        inode(tree, &layout, number, &mut output.buffer);
    }
    output.pad_to(layout.shared_xattrs)?;
    for xattr in tree.xattrs.shared() {
        tree.xattrs.encode(xattr, &mut output.buffer);
        output.flush_if_full()?;
    }
    output.pad_to(layout.data)?;
    for (number, place) in layout.places.iter().enumerate().filter(|(_, place)| place.blocks > 0) {
        let mut end = place.first_block * BLOCK_SIZE;
        let data = data(tree, &layout, number);
        for block in &data[..place.blocks as usize] {
            output.buffer.extend(block);
            end += BLOCK_SIZE;
            output.pad_to(end)?;
        }
    }
    output.finish()
}

/// Bytes on their way to the sink.
struct Output<'o, 's> {
    sink: &'o mut Sink<'s>,
    buffer: Vec<u8>,
    /// How many bytes were passed to the sink.
    flushed: u64,
}

impl Output<'_, '_> {
    /// Writes zeros up to a place, which is reached or ahead.
    fn pad_to(&mut self, offset: u64) -> Result<()> {
        let length = (offset - self.flushed) as usize;
        debug_assert!(length >= self.buffer.len(), "the layout has room for everything");
        self.buffer.resize(length, 0);
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<()> {
        if self.buffer.len() < BUFFER_SIZE {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        (self.sink)(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.flush()
    }
}

/// Writes a number of any width.
macro_rules! put {
    ($bytes:expr, $($number:expr),+ $(,)?) => { $($bytes.extend(($number).to_le_bytes());)+ };
}

fn header(tree: &Tree, bytes: &mut Vec<u8>) {
    let flags = if tree.xattrs.has_access_lists() { HAS_ACCESS_LISTS } else { 0 };
    put!(bytes, COMPOSEFS_MAGIC, COMPOSEFS_HEADER_VERSION, flags, COMPOSEFS_FORMAT);
}

fn superblock(tree: &Tree, layout: &Layout, bytes: &mut Vec<u8>) {
    let root = layout.places[0].number() as u16;
    // The checksum is not used.
    put!(bytes, EROFS_MAGIC, 0_u32, EROFS_FEATURES, BLOCK_SIZE.ilog2() as u8, 0_u8, root);
    // The time of all inodes is 0: seconds and nanoseconds.
    put!(bytes, tree.inodes.len() as u64, 0_u64, 0_u32);
    // Inode numbers count from the first block.
    put!(bytes, (layout.end / BLOCK_SIZE) as u32, 0_u32, layout.xattr_block() as u32);
    // Volume id and name, further features and tables are left at zero.
}

fn inode(tree: &Tree, layout: &Layout, number: usize, bytes: &mut Vec<u8>) {
    let (inode, place) = (&tree.inodes[number], &layout.places[number]);
    let links = links(tree, inode);
    let (data_layout, data_place) = match &inode.kind {
        Kind::Regular(size) if *size > 0 => (LAYOUT_CHUNKS, chunk_bits(*size)),
        _ if place.tail_size > 0 => (LAYOUT_INLINE, place.first_block as u32),
        _ => (LAYOUT_PLAIN, place.first_block as u32),
    };
    let format = u16::from(place.is_extended) | data_layout << 1;
    let xattrs = inode_count(place.xattrs_size);
    put!(bytes, format, xattrs, inode.mode as u16);
    if place.is_extended {
        put!(bytes, 0_u16, place.size, data_place, number as u32, inode.uid, inode.gid);
        // The time: seconds and nanoseconds.
        put!(bytes, 0_u64, 0_u32, links, 0_u128);
    } else {
        put!(bytes, links as u16, place.size as u32, 0_u32, data_place, number as u32);
        put!(bytes, inode.uid as u16, inode.gid as u16, 0_u32);
    }
    let start = layout.shared_xattrs - layout.xattr_block() * BLOCK_SIZE;
    tree.xattrs.encode_inode(&inode.xattrs, start, bytes);
    match &inode.kind {
        Kind::Regular(_) => bytes.resize(bytes.len() + place.tail_size as usize, HOLE),
        _ if place.tail_size > 0 => {
            bytes.extend(data(tree, layout, number).pop().unwrap_or_default())
        }
        _ => {}
    }
}

/// The data of a directory or symlink, cut into blocks, of which the last may be the tail.
fn data(tree: &Tree, layout: &Layout, number: usize) -> Vec<Vec<u8>> {
    match &tree.inodes[number].kind {
        Kind::Directory(_) => {
            let entries = directory(tree, number);
            split(&entries).into_iter().map(|entries| dirents(tree, layout, entries)).collect()
        }
        Kind::Symlink(target) => vec![target.as_bytes().to_vec()],
        Kind::Regular(_) | Kind::Whiteout => Vec::new(),
    }
}

/// A block of a directory: for each entry the number and type of its inode and where its name is,
/// then the names.
fn dirents(tree: &Tree, layout: &Layout, entries: &[Dirent<'_>]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(BLOCK_SIZE as usize);
    let mut name_offset = (entries.len() * DIRENT_SIZE) as u16;
    for &(name, number) in entries {
        let file_type: u8 = match tree.inodes[number].kind {
            Kind::Regular(_) => 1,
            Kind::Directory(_) => 2,
            Kind::Whiteout => 3,
            Kind::Symlink(_) => 7,
        };
        put!(bytes, layout.places[number].number(), name_offset, file_type, 0_u8);
        name_offset += name.len() as u16;
    }
    for (name, _) in entries {
        bytes.extend(name.as_bytes());
    }
    bytes
}
