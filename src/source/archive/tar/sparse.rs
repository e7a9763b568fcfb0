//! Files with holes: which chunks of a file an archive stores.

use std::io::{self, Read};

use super::fields::{
    BLOCK_BYTES, Chunk, checked_size, damaged, malformed, number, text, truncated,
};

/// The most chunks of a file; more are a sign of a hostile archive, and this many take 16 MiB.
const MAX_CHUNKS: usize = 1 << 20;

/// What PAX records say about a sparse file, in any of GNU tar's versions 0.0, 0.1 and 1.0 of them.
#[derive(Debug, Default)]
pub(super) struct PaxSparse {
    /// The name, where the one in the header is made up.
    pub(super) name: Option<Vec<u8>>,
    /// Bytes with holes.
    pub(super) size: Option<u64>,
    major: u64,
    chunks: Option<Vec<Chunk>>,
    /// An offset whose length has not come yet.
    offset: Option<u64>,
}

impl PaxSparse {
    /// Takes a record `GNU.sparse.KEYWORD`.
    pub(super) fn add(&mut self, keyword: &[u8], value: &[u8]) -> io::Result<()> {
        match keyword {
            b"name" => self.name = text(value),
            b"major" => self.major = number(value)?,
            b"size" | b"realsize" => self.size = Some(number(value).and_then(checked_size)?),
            // Each chunk has two records of its own in version 0.0.
            b"offset" => self.offset = Some(number(value).and_then(checked_size)?),
            b"numbytes" => {
                let offset = self.offset.take().ok_or_else(malformed)?;
                let length = number(value).and_then(checked_size)?;
                let chunks = self.chunks.get_or_insert_default();
                chunks.push(Chunk { offset, length });
                check_length(chunks)?;
            }
            // `OFFSET,LENGTH,OFFSET,LENGTH` in version 0.1.
            b"map" => {
                let mut numbers = Vec::new();
                for field in value.split(|&byte| byte == b',').filter(|field| !field.is_empty()) {
                    numbers.push(number(field).and_then(checked_size)?);
                }
                self.chunks = Some(pairs(&numbers)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the map stands before the content, as in version 1.0.
    pub(super) fn is_in_content(&self) -> bool {
        self.major == 1 && self.size.is_some()
    }

    /// The map and the size, if the file is sparse.
    pub(super) fn map(&self) -> io::Result<Option<(Vec<Chunk>, u64)>> {
        match (&self.chunks, self.size) {
            (Some(chunks), Some(size)) => Ok(Some((chunks.clone(), size))),
            (Some(_), None) => Err(malformed()),
            (None, _) => Ok(None),
        }
    }
}

/// Reads the map of version 1.0: decimal numbers, each on a line, the number of chunks first,
/// padded to a whole block. Returns how many bytes that was.
pub(super) fn read_map(content: &mut impl Read) -> io::Result<(Vec<Chunk>, u64)> {
    let mut lines = Lines { content, block: Vec::new(), position: 0, blocks: 0 };
    let count = lines.number()?;
    let count =
        usize::try_from(count).ok().filter(|&count| count <= MAX_CHUNKS).ok_or_else(damaged)?;
    let mut chunks = Vec::new();
    for _ in 0..count {
        chunks.push(Chunk { offset: lines.number()?, length: lines.number()? });
    }
    Ok((chunks, lines.blocks * BLOCK_BYTES as u64))
}

struct Lines<'r, R> {
    content: &'r mut R,
    block: Vec<u8>,
    position: usize,
    blocks: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> io::Result<u64> {
        let mut digits = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => return number(&digits).and_then(checked_size),
                digit @ b'0'..=b'9' if digits.len() < 20 => digits.push(digit),
                _ => return Err(damaged()),
            }
        }
    }

    fn byte(&mut self) -> io::Result<u8> {
        if self.position == self.block.len() {
            self.block = vec![0; BLOCK_BYTES];
            self.content.read_exact(&mut self.block).map_err(|_| truncated())?;
            self.position = 0;
            self.blocks += 1;
        }
        let byte = self.block.get(self.position).copied().ok_or_else(truncated)?;
        self.position += 1;
        Ok(byte)
    }
}

/// Requires that the chunks follow each other within the file, and that all of them are stored.
pub(super) fn check(chunks: &[Chunk], stored: u64, size: u64) -> io::Result<()> {
    let mut end = 0;
    let mut sum = 0;
    for chunk in chunks {
        if chunk.offset < end {
            return Err(damaged());
        }
        end = chunk
            .offset
            .checked_add(chunk.length)
            .filter(|&end| end <= size)
            .ok_or_else(damaged)?;
        sum += chunk.length;
    }
    if sum > stored { Err(damaged()) } else { Ok(()) }
}

/// Refuses a map that is too long.
pub(super) fn check_length(chunks: &[Chunk]) -> io::Result<()> {
    if chunks.len() > MAX_CHUNKS { Err(damaged()) } else { Ok(()) }
}

fn pairs(numbers: &[u64]) -> io::Result<Vec<Chunk>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    let chunks: Vec<Chunk> =
        pairs.iter().map(|&[offset, length]| Chunk { offset, length }).collect();
    check_length(&chunks)?;
    Ok(chunks)
}
