//! Streams that may be compressed, which is recognised by their first bytes, as in libarchive.

mod input;
mod members;
mod zstd;

use std::error::Error;
use std::io::{self, Cursor, Read};

use lzma_rust2::LzmaReader;

use input::Input;

/// How often a stream may be compressed again: each layer takes memory, and no honest archive has
/// more.
const MAX_LAYERS: usize = 4;

/// What decoders of xz and lzma may take, in KiB. Their highest usual level needs 64 MiB.
const MAX_LZMA_MEMORY: u32 = 1 << 20;

/// Bytes that distinguish the formats.
const MAGIC_BYTES: usize = 14;

/// A stream of bytes that another thread may read.
pub type Stream = Box<dyn Read + Send>;

/// A stream of plain bytes.
pub(super) struct Decompressed {
    pub(super) stream: Stream,
    /// Whether anything had to be decompressed.
    pub(super) is_compressed: bool,
}

/// Decompresses a stream for as long as it looks compressed: gzip, bzip2, xz, lzma or zstd, members
/// one after another.
///
/// # Errors
/// What reading the first bytes of each layer says; later errors come with the bytes, in
/// libarchive's words.
pub(super) fn decompressed(stream: Stream) -> io::Result<Decompressed> {
    let mut stream = stream;
    for layer in 0..MAX_LAYERS {
        let mut magic = Vec::new();
        stream.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
        let format = Format::of(&magic);
        let whole: Stream = Box::new(Cursor::new(magic).chain(stream));
        let input = Input::new(whole);
        stream = match format {
            None => return Ok(Decompressed { stream: Box::new(input), is_compressed: layer > 0 }),
            Some(Format::Gzip) => {
                named(members::gzip(input), "truncated gzip input", "gzip decompression failed")
            }
            Some(Format::Bzip2) => {
                named(members::bzip2(input), "truncated bzip2 input", "bzip decompression failed")
            }
            Some(Format::Xz) => named(members::xz(input), NO_PROGRESS, CORRUPTED),
            Some(Format::Lzma) => match LzmaReader::new_mem_limit(input, MAX_LZMA_MEMORY, None) {
                Ok(decoder) => named(decoder, NO_PROGRESS, CORRUPTED),
                Err(_) => return Err(io::Error::other(CORRUPTED)),
            },
            Some(Format::Zstd) => {
                named(zstd::Frames::new(input), "Truncated zstd input", "Zstd decompression failed")
            }
        };
    }
    Ok(Decompressed { stream, is_compressed: true })
}

const NO_PROGRESS: &str = "Lzma library error:  No progress is possible";
const CORRUPTED: &str = "Lzma library error: Corrupted input data";

enum Format {
    Gzip,
    Bzip2,
    Xz,
    Lzma,
    Zstd,
}

impl Format {
    fn of(magic: &[u8]) -> Option<Self> {
        Some(match magic {
            // The three highest flags are reserved.
            [0x1f, 0x8b, 8, 0..=0x1f, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Self::Bzip2,
            // An empty stream has the end mark at once.
            [b'B', b'Z', b'h', b'1'..=b'9', 0x17, 0x72, 0x45, 0x38, 0x50, 0x90, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            // There is no magic: usual properties, a usual dictionary and an unknown or plausible
            // size.
            [0x5d, 0, 0, _, 0..=8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0] => Self::Lzma,
            [0x5d, 0, 0, _, 0..=8, _, _, _, _, _, 0, 0, 0, 0] => Self::Lzma,
            _ => return None,
        })
    }
}

/// A decoder whose errors are put in libarchive's words.
struct Named<R> {
    decoder: R,
    truncated: &'static str,
    failed: &'static str,
}

fn named<R: Read + Send + 'static>(
    decoder: R,
    truncated: &'static str,
    failed: &'static str,
) -> Stream {
    Box::new(Named { decoder, truncated, failed })
}

impl<R: Read> Read for Named<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            // The operating system's errors are not the decoder's.
            _ if error.raw_os_error().is_some() => error,
            io::ErrorKind::UnexpectedEof => io::Error::other(self.truncated),
            _ if is_end_of_input(&error) => io::Error::other(self.truncated),
            _ => io::Error::other(self.failed),
        })
    }
}

/// Whether an error comes from one that says that the input ended.
fn is_end_of_input(error: &io::Error) -> bool {
    let mut source: Option<&(dyn Error + 'static)> = error.get_ref().map(|inner| inner as _);
    while let Some(inner) = source {
        match inner.downcast_ref::<io::Error>() {
            Some(inner) if inner.kind() == io::ErrorKind::UnexpectedEof => return true,
            _ => source = inner.source(),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read, Write};

    use super::{Stream, decompressed};

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn read(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        let stream: Stream = Box::new(Cursor::new(bytes));
        let mut plain = Vec::new();
        let read = decompressed(stream)
            .and_then(|mut decompressed| decompressed.stream.read_to_end(&mut plain));
        read.map(|_| plain).map_err(|error| error.to_string())
    }

    fn sample() -> Vec<u8> {
        (0..100_000_u32).flat_map(|number| number.wrapping_mul(number).to_le_bytes()).collect()
    }

    #[test]
    fn plain_and_compressed_streams_yield_the_same_bytes() {
        let plain = sample();
        assert_eq!(read(plain.clone()), Ok(plain.clone()));
        for compress in [gzip, bzip2, zstd] {
            assert_eq!(read(compress(&plain)), Ok(plain.clone()));
            let (head, tail) = plain.split_at(1000);
            assert_eq!(read([compress(head), compress(tail)].concat()), Ok(plain.clone()));
            assert_eq!(read(compress(b"")), Ok(Vec::new()));
        }
        assert_eq!(read(gzip(&bzip2(&zstd(&plain)))), Ok(plain));
        assert_eq!(read(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn skippable_frames_of_zstd_are_skipped() {
        let skippable = b"\x50\x2a\x4d\x18\x03\0\0\0abc";
        let frames =
            [skippable.as_slice(), &zstd(b"one"), skippable, &zstd(b"two"), skippable].concat();
        assert_eq!(read(frames), Ok(b"onetwo".to_vec()));
    }

    #[test]
    fn a_truncated_stream_is_named_by_its_format() {
        for (compress, message) in [
            (gzip as fn(&[u8]) -> Vec<u8>, "truncated gzip input"),
            (bzip2, "truncated bzip2 input"),
            (zstd, "Truncated zstd input"),
        ] {
            let mut bytes = compress(&sample());
            bytes.truncate(bytes.len() / 2);
            assert_eq!(read(bytes), Err(message.to_owned()));
        }
    }
}
