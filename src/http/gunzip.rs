//! A body that comes compressed with gzip.

use std::io::Write;

use bytes::{Buf, Bytes};
use flate2::write::GzDecoder;

/// What is decompressed at a time, in bytes: it becomes a thousand times as much at most.
const STEP: usize = 256;

/// Decompresses a body piece by piece, so that little is in memory whatever it holds.
pub(super) struct Gunzip {
    decoder: GzDecoder<Vec<u8>>,
    input: Bytes,
    has_begun: bool,
}

impl Default for Gunzip {
    fn default() -> Self {
        let decoder = GzDecoder::new(Vec::new());
        Self { decoder, input: Bytes::new(), has_begun: false }
    }
}

impl Gunzip {
    /// Takes more of the body. All before it has been decompressed.
    pub(super) fn feed(&mut self, input: Bytes) {
        self.input = input;
    }

    /// Some bytes of what the body holds; `None` when more of it is needed.
    pub(super) fn step(&mut self) -> Result<Option<Bytes>, String> {
        while !self.input.is_empty() {
            self.has_begun = true;
            let piece = self.input.slice(..self.input.len().min(STEP));
            let taken = self.decoder.write(&piece);
            // It holds back what it has decompressed last.
            let taken = taken.and_then(|taken| self.decoder.flush().map(|()| taken));
            let taken = taken.map_err(|error| error.to_string())?;
            if taken == 0 {
                return Err("bytes follow the compressed body".to_owned());
            }
            self.input.advance(taken);
            let bytes = std::mem::take(self.decoder.get_mut());
            if !bytes.is_empty() {
                return Ok(Some(bytes.into()));
            }
        }
        Ok(None)
    }

    /// Checks that the body ended where its compression does. An empty one is an empty file.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        match self.has_begun {
            true => self.decoder.try_finish().map_err(|error| error.to_string()),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gunzip(bodies: &[&[u8]]) -> Result<Vec<u8>, String> {
        let mut gunzip = Gunzip::default();
        let mut all = Vec::new();
        for body in bodies {
            gunzip.feed(Bytes::copy_from_slice(body));
            while let Some(bytes) = gunzip.step()? {
                assert!(bytes.len() <= STEP * 1100, "{}", bytes.len());
                all.extend_from_slice(&bytes);
            }
        }
        gunzip.finish().map(|()| all)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_compressed_comes_out_whatever_the_pieces() {
        let text: Vec<u8> = (0..5_000u32).flat_map(u32::to_le_bytes).collect();
        let body = gzip(&text);
        assert_eq!(gunzip(&[&body]).unwrap(), text);
        for size in [1, 7, 5000] {
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            assert_eq!(gunzip(&pieces).unwrap(), text, "{size}");
        }
        assert_eq!(gunzip(&[]).unwrap(), b"");
        let zeros = vec![0; 1_000_000];
        assert_eq!(gunzip(&[&gzip(&zeros)]).unwrap(), zeros);
    }

    #[test]
    fn what_is_cut_short_damaged_or_longer_is_refused() {
        let body = gzip(b"some text");
        for end in 1..body.len() {
            assert!(gunzip(&[&body[..end]]).is_err(), "{end}");
        }
        let mut damaged = body.clone();
        damaged[15] ^= 1;
        assert!(gunzip(&[&damaged]).is_err());
        assert!(gunzip(&[&body, b"more"]).is_err());
        assert!(gunzip(&[b"no gzip at all"]).is_err());
    }
}
