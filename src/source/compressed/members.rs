//! Compressed streams one after another in one input.
//!
//! gzip and bzip2 ignore what follows the last member, as libarchive does; what follows a stream of
//! xz must be another stream or padding of zeros in units of four bytes, as the format demands.

use std::io::{self, BufRead, Read};

use bzip2::bufread::BzDecoder;
use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;

use super::input::Input;
use super::{Format, MAGIC_BYTES, MAX_LZMA_MEMORY, Stream};

/// Decodes one member after another.
pub(super) struct Members<D> {
    /// None after the last member.
    decoder: Option<D>,
    /// Goes from a decoder that has reached its end to that of the next member.
    next: fn(D) -> io::Result<Option<D>>,
}

pub(super) fn gzip(input: Input<Stream>) -> Members<GzDecoder<Input<Stream>>> {
    let next = |ended: GzDecoder<Input<Stream>>| {
        let mut input = ended.into_inner();
        let is_another = matches!(Format::of(input.peek(MAGIC_BYTES)?), Some(Format::Gzip));
        Ok(is_another.then(|| GzDecoder::new(input)))
    };
    Members { decoder: Some(GzDecoder::new(input)), next }
}

pub(super) fn bzip2(input: Input<Stream>) -> Members<BzDecoder<Input<Stream>>> {
    let next = |ended: BzDecoder<Input<Stream>>| {
        let mut input = ended.into_inner();
        let is_another = matches!(Format::of(input.peek(MAGIC_BYTES)?), Some(Format::Bzip2));
        Ok(is_another.then(|| BzDecoder::new(input)))
    };
    Members { decoder: Some(BzDecoder::new(input)), next }
}

pub(super) fn xz(input: Input<Stream>) -> Members<XzReader<Input<Stream>>> {
    let decoder = |input| XzReader::new_mem_limit(input, false, MAX_LZMA_MEMORY);
    let next = |ended: XzReader<Input<Stream>>| {
        let mut input = ended.into_inner();
        skip_padding(&mut input)?;
        if input.peek(1)?.is_empty() {
            return Ok(None);
        }
        Ok(Some(XzReader::new_mem_limit(input, false, MAX_LZMA_MEMORY)))
    };
    Members { decoder: Some(decoder(input)), next }
}

fn skip_padding(input: &mut Input<Stream>) -> io::Result<()> {
    let mut skipped = 0;
    loop {
        let available = match input.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            available => available?,
        };
        let zeros = available.iter().take_while(|&&byte| byte == 0).count();
        let is_all = zeros > 0 && zeros == available.len();
        input.consume(zeros);
        skipped += zeros as u64;
        if !is_all {
            break;
        }
    }
    if skipped % 4 == 0 {
        Ok(())
    } else {
        Err(io::Error::other("padding of another length than a multiple of 4"))
    }
}

impl<D: Read> Read for Members<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(decoder) = &mut self.decoder
            && !buffer.is_empty()
        {
            match decoder.read(buffer)? {
                0 => self.decoder = self.decoder.take().map_or(Ok(None), self.next)?,
                count => return Ok(count),
            }
        }
        Ok(0)
    }
}
