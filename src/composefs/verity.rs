//! The fs-verity digest of a file, as the kernel computes it with SHA-256, blocks of 4096 bytes and
//! no salt.
//!
//! The file is cut into blocks, the last one filled up with zeros, and each block is hashed. These
//! hashes, one after the other, are cut into blocks and hashed in the same way, until one hash is
//! left: the root hash (32 zero bytes for an empty file). The digest is the SHA-256 of a descriptor
//! that holds it (`Documentation/filesystems/fsverity.rst` of Linux):
//!
//! ```text
//! u8 1 (version)  u8 1 (SHA-256)  u8 12 (log2 of the block size)  u8 0 (length of the salt)  4 zero bytes
//! u64le size in bytes  root hash, 64 bytes  salt, 32 bytes  144 zero bytes
//! ```

use crate::checksum::{Checksum, Hasher};

/// Bytes of a block.
const BLOCK_SIZE: usize = 4096;
/// Bytes of the descriptor.
const DESCRIPTOR_SIZE: usize = 256;

/// Computes the digest of bytes as they come, in memory that does not depend on how many they are.
#[derive(Default)]
pub struct VerityHasher {
    size: u64,
    /// The file's own blocks first, then the blocks of hashes over each other.
    levels: Vec<Level>,
}

/// The block that is being filled, and what came before it.
#[derive(Default)]
struct Level {
    hasher: Hasher,
    /// Bytes in the block so far; less than a whole block.
    filled: usize,
    /// Whole blocks before it.
    blocks: u64,
    /// The hash of the last of them.
    last: Option<Checksum>,
}

impl Level {
    /// Takes bytes that fit into the block; returns the block's hash if it is full then.
    fn update(&mut self, bytes: &[u8]) -> Option<Checksum> {
        self.hasher.update(bytes);
        self.filled += bytes.len();
        (self.filled == BLOCK_SIZE).then(|| self.close())
    }

    /// Fills the block up with zeros and begins another.
    fn close(&mut self) -> Checksum {
        let mut hasher = std::mem::take(&mut self.hasher);
        hasher.update(&[0; BLOCK_SIZE][self.filled..]);
        let hash = hasher.finish();
        self.filled = 0;
        self.blocks += 1;
        self.last = Some(hash);
        hash
    }
}

impl VerityHasher {
    /// A hasher with no input yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = BLOCK_SIZE - self.levels.first().map_or(0, |level| level.filled);
            let (now, rest) = bytes.split_at(room.min(bytes.len()));
            self.push(0, now);
            bytes = rest;
        }
    }

    /// Gives bytes to a level, and the hashes of what they complete to those above it.
    fn push(&mut self, level: usize, bytes: &[u8]) {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        if let Some(hash) = self.levels[level].update(bytes) {
            self.push(level + 1, hash.as_bytes());
        }
    }

    /// The digest of all bytes hashed.
    pub fn finish(mut self) -> Checksum {
        let mut root = [0; 32];
        let mut number = 0;
        while let Some(level) = self.levels.get_mut(number) {
            if level.filled > 0 {
                let hash = level.close();
                self.push(number + 1, hash.as_bytes());
            }
            let Level { blocks, last, .. } = &self.levels[number];
            if let (1, Some(last)) = (blocks, last) {
                root = *last.as_bytes();
                break;
            }
            number += 1;
        }
        let mut descriptor = [0; DESCRIPTOR_SIZE];
        descriptor[..4].copy_from_slice(&[1, 1, BLOCK_SIZE.ilog2() as u8, 0]);
        descriptor[8..16].copy_from_slice(&self.size.to_le_bytes());
        descriptor[16..48].copy_from_slice(&root);
        Checksum::of(&descriptor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8], piece: usize) -> String {
        let mut hasher = VerityHasher::new();
        for piece in bytes.chunks(piece) {
            hasher.update(piece);
        }
        hasher.finish().to_hex()
    }

    /// Bytes without a period that a block could hide.
    fn sample(length: usize) -> Vec<u8> {
        (0..251).map(|number| (number * 7 % 251) as u8).cycle().take(length).collect()
    }

    #[test]
    fn digests_are_those_of_the_fsverity_program() {
        let table = [
            (0, "3d248ca542a24fc62d1c43b916eae5016878e2533c88238480b26128a1f1af95"),
            (1, "b803429503d95915829b29fdbc8bbad142f3abfd11b1cadf5526582e685c0551"),
            (4095, "f7c044deee0d5af15f6478c08b8a0c03931d9963beb30220eeca8bdd03e1c7e4"),
            (4096, "258b680fa93e3bfc1586d9b439d29a2172bd0db550fe7da1272fd8120d801182"),
            (4097, "0328cc6ed983dc0df3103b9651098ab305e4adfae46a1a5814b6602b0630293d"),
            // 128 blocks fill one block of hashes.
            (524_288, "e1389416027616e5a91f01961c0d159871f5c6afaf577d6e3b9d815f916fbde0"),
            (524_289, "00023924223dbf3c1f1095d9f0fb02546dc2d8ea7032445ad216eab168faa3bb"),
            (2_097_152, "6961e00078b6570cdc59db64a353c532f2666607e9b87834fede811fb43a18e5"),
        ];
        for (length, expected) in table {
            assert_eq!(digest(&sample(length), 128 << 10), expected, "{length}");
        }
    }

    #[test]
    fn how_the_bytes_come_does_not_matter() {
        let bytes = sample(20_000);
        for piece in [1, 7, 4095, 4097, 20_000] {
            assert_eq!(digest(&bytes, piece), digest(&bytes, 4096), "{piece}");
        }
    }
}
