//! From the bytes of a part to its payload: hashed, decompressed, within limits.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

use lzma_rust2::XzReader;

use super::refused;
use super::spool::Spool;
use crate::checksum::{Checksum, Hasher};
use crate::delta_format::{Compression, PartHeader};
use crate::error::{Error, Result};
use crate::map::FileBytes;
use crate::repo::Repo;

/// What decoding xz may take, in KiB, as upstream. Deltas are made with 32 MiB.
const MAX_XZ_MEMORY: u32 = 100 << 10;
/// A payload may have this many times the bytes of the part and of its objects: patches, names and
/// operations are in it, too. Upstream's tighter limit once broke real deltas.
const MAX_RATIO: u64 = 16;
/// And this many more, in bytes. Tests have no time for as many.
const SPARE: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

const BUFFER: usize = 64 << 10;

/// The bytes of a part.
pub enum PartBytes<'b> {
    /// Its file, which must have the checksum in the header.
    File(&'b mut dyn Read),
    /// A part from the superblock, which has been verified as a whole if at all.
    Inlined(&'b [u8]),
}

/// Reads a part to its end.
///
/// # Errors
/// `Checksum mismatch in static delta part`, which comes before anything that decoding finds;
/// `Invalid compression type 'N'`; upstream's words for broken xz; when the payload is too large
/// or cannot be stored.
pub(super) fn read(
    repo: &Repo,
    header: &PartHeader<'_>,
    bytes: PartBytes<'_>,
) -> Result<FileBytes> {
    match bytes {
        PartBytes::Inlined(bytes) => {
            let mut input = Input::new(bytes);
            decode(repo, header, &mut input)
        }
        PartBytes::File(reader) => {
            let mut input = Input::new(reader);
            let decoded = decode(repo, header, &mut input);
            let actual = input.checksum()?;
            if actual != header.checksum {
                let message = format!(
                    "Checksum mismatch in static delta part; expected={} actual={actual}",
                    header.checksum
                );
                return Err(Error::failed(message));
            }
            decoded
        }
    }
}

/// A part that is being read, with what has been read of it.
struct Input<R>(BufReader<Hashing<R>>);

struct Hashing<R> {
    reader: R,
    hasher: Hasher,
    length: u64,
    /// Why the reader failed, which is no fault of the part.
    failed: Option<io::Error>,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer).inspect_err(|error| {
            if error.kind() != ErrorKind::Interrupted {
                self.failed = Some(io::Error::new(error.kind(), error.to_string()));
            }
        })?;
        self.hasher.update(&buffer[..length]);
        self.length += length as u64;
        Ok(length)
    }
}

impl<R: Read> Input<R> {
    fn new(reader: R) -> Self {
        let hashing = Hashing { reader, hasher: Hasher::new(), length: 0, failed: None };
        Self(BufReader::with_capacity(BUFFER, hashing))
    }

    /// The error of the reader if it failed, else what the failure to decode means.
    fn error(&mut self, error: &io::Error) -> Error {
        match self.0.get_mut().failed.take() {
            Some(failed) => reading(failed),
            None => Error::failed(xz_message(error)),
        }
    }

    /// The checksum of the whole file.
    fn checksum(mut self) -> Result<Checksum> {
        io::copy(&mut self.0, &mut io::sink()).map_err(reading)?;
        Ok(self.0.into_inner().hasher.finish())
    }
}

fn reading(error: io::Error) -> Error {
    Error::During {
        what: "reading a static delta part".to_owned(),
        source: Box::new(Error::failed(crate::error::OsError(error).to_string())),
    }
}

fn decode<R: Read>(
    repo: &Repo,
    header: &PartHeader<'_>,
    input: &mut Input<R>,
) -> Result<FileBytes> {
    let mut first = [0];
    // A part without any byte has the default of its type: bytes that are not compressed.
    let length = input.0.read(&mut first).map_err(reading)?;
    let compression = Compression::of_byte(first[0]).map_err(refused)?;
    let mut spool = Spool::new(repo);
    let mut buffer = vec![0; BUFFER];
    let mut copy = |decoder: &mut dyn Decoder| -> Result<Option<io::Error>> {
        loop {
            let length = match decoder.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Some(error)),
            };
            spool.write(&buffer[..length])?;
            let most = header.content_size.saturating_add(decoder.compressed());
            if spool.len() > most.saturating_mul(MAX_RATIO).saturating_add(SPARE) {
                let message = format!("Delta part has more than {} bytes", spool.len());
                return Err(Error::failed(message));
            }
        }
    };
    let failed = match compression {
        Compression::None => copy(&mut input.0)?,
        Compression::Xz => copy(&mut XzReader::new_mem_limit(&mut input.0, false, MAX_XZ_MEMORY))?,
    };
    if let Some(error) = failed {
        return Err(input.error(&error));
    }
    if length > 0 && !input.0.fill_buf().map_err(reading)?.is_empty() {
        return Err(Error::failed("Delta part has bytes behind its xz stream"));
    }
    spool.finish()
}

/// What yields a payload.
trait Decoder: Read {
    /// How many bytes of the part have been read.
    fn compressed(&self) -> u64;
}

impl<R: Read> Decoder for BufReader<Hashing<R>> {
    fn compressed(&self) -> u64 {
        self.get_ref().length
    }
}

impl<R: Read> Decoder for XzReader<&mut BufReader<Hashing<R>>> {
    fn compressed(&self) -> u64 {
        self.inner().get_ref().length
    }
}

/// What upstream's decoder says.
fn xz_message(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::UnexpectedEof => "Input buffer too small",
        ErrorKind::OutOfMemory => "Exceeded memory limit",
        ErrorKind::Unsupported => "Invalid or unsupported options",
        _ => match error.to_string().as_str() {
            "invalid XZ magic bytes" => "File format not recognized",
            "unsupported filter type found" => "Invalid or unsupported options",
            _ => "Data is corrupt",
        },
    }
}
