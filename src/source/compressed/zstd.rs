//! Frames of zstd one after another; those that are to be skipped are.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window, as of libarchive: 128 MiB.
const MAX_WINDOW: u64 = 1 << 27;

/// Decodes frames, and checks each against its header.
pub(super) struct Frames<R> {
    input: R,
    decoder: FrameDecoder,
    within_frame: bool,
    /// Bytes of the current frame that have been handed out.
    decoded: u64,
}

impl<R: BufRead> Frames<R> {
    pub(super) fn new(input: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(MAX_WINDOW);
        Self { input, decoder, within_frame: false, decoded: 0 }
    }

    /// Goes to the next frame with content; false at the end of the input.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.input.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.input) {
                Ok(()) => {
                    self.decoded = 0;
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    /// Compares a frame that has been read with its checksum and its size, where it states them.
    fn check_frame(&self) -> io::Result<()> {
        let stated = self.decoder.get_checksum_from_data();
        if stated.is_some() && stated != self.decoder.get_calculated_checksum() {
            return Err(io::Error::other("another checksum"));
        }
        // A frame that does not state its size has 0 here.
        let size = self.decoder.content_size();
        if size != 0 && size != self.decoded {
            Err(io::Error::other("another size"))
        } else {
            Ok(())
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !buffer.is_empty() {
            if self.within_frame {
                while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                    let one = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.input, one).map_err(io::Error::other)?;
                }
                match self.decoder.read(buffer)? {
                    0 => {
                        self.check_frame()?;
                        self.within_frame = false;
                    }
                    count => {
                        self.decoded += count as u64;
                        return Ok(count);
                    }
                }
            }
            self.within_frame = self.next_frame()?;
            if !self.within_frame {
                break;
            }
        }
        Ok(0)
    }
}
