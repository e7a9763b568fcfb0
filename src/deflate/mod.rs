//! Raw deflate (RFC 1951, no zlib or gzip wrapper), as in `.filez` objects.
//!
//! [`Deflater`] and [`Inflater`] keep their state and buffers from one file to the next: a worker has one of each.
//! What does not shrink is stored, see [`shrinks`]: deflating it would cost the most and gain nothing.

mod inflate;
mod sample;

use std::io;

use flate2::{Compress, Compression, FlushCompress, Status};

pub use inflate::{Inflater, Progress};
pub use sample::shrinks;

/// How hard to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Compress at the encoder's level.
    Deflate,
    /// Wrap the bytes into stored blocks; the output is larger by 5 bytes for each 65,535.
    Store,
}

/// The most that a stored block can hold.
const MAX_STORED: usize = 65_535;
/// How much room the encoder gets at a time.
const OUTPUT_STEP: usize = 64 << 10;

/// Compresses one stream after another.
pub struct Deflater {
    compress: Compress,
    effort: Effort,
}

impl Deflater {
    /// An encoder of a zlib level, 1 (fastest) to 9 (smallest).
    pub fn new(level: u32) -> Self {
        Self { compress: Compress::new(Compression::new(level), false), effort: Effort::Deflate }
    }

    /// Begins a new stream; what was not finished is forgotten.
    pub fn begin(&mut self, effort: Effort) {
        self.effort = effort;
        self.compress.reset();
    }

    /// Appends the compressed form of `input` to `output`, as far as the encoder gives it out already.
    ///
    /// # Errors
    /// When the encoder fails, which only a defect in it could cause.
    pub fn push(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        match self.effort {
            Effort::Deflate => self.run(input, FlushCompress::None, output),
            Effort::Store => {
                input.chunks(MAX_STORED).for_each(|block| stored_block(block, 0, output));
                Ok(())
            }
        }
    }

    /// Ends the stream, appending what is left of it to `output`.
    ///
    /// # Errors
    /// As [`Deflater::push`].
    pub fn finish(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        match self.effort {
            Effort::Deflate => self.run(&[], FlushCompress::Finish, output),
            Effort::Store => {
                stored_block(&[], 1, output);
                Ok(())
            }
        }
    }

    fn run(&mut self, mut input: &[u8], flush: FlushCompress, output: &mut Vec<u8>) -> io::Result<()> {
        loop {
            if output.capacity() - output.len() < OUTPUT_STEP / 2 {
                output.reserve(OUTPUT_STEP);
            }
            let before = self.compress.total_in();
            let status = self.compress.compress_vec(input, output, flush).map_err(io::Error::other)?;
            let taken = usize::try_from(self.compress.total_in() - before).unwrap_or(input.len());
            input = &input[taken.min(input.len())..];
            let done = match flush {
                FlushCompress::Finish => status == Status::StreamEnd,
                // Room left in the output says that the encoder had no more to give.
                _ => input.is_empty() && output.len() < output.capacity(),
            };
            if done {
                return Ok(());
            }
        }
    }
}

fn stored_block(block: &[u8], final_bit: u8, output: &mut Vec<u8>) {
    let length = u16::try_from(block.len()).expect("callers cut their input into blocks of at most 65,535 bytes");
    output.push(final_bit);
    output.extend_from_slice(&length.to_le_bytes());
    output.extend_from_slice(&(!length).to_le_bytes());
    output.extend_from_slice(block);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(effort: Effort, input: &[u8], step: usize) -> Vec<u8> {
        let mut deflater = Deflater::new(6);
        let mut packed = Vec::new();
        // The first stream is left unfinished: nothing of it may show in the second.
        deflater.begin(Effort::Deflate);
        deflater.push(b"left over", &mut Vec::new()).unwrap();
        deflater.begin(effort);
        input.chunks(step).for_each(|piece| deflater.push(piece, &mut packed).unwrap());
        deflater.finish(&mut packed).unwrap();
        packed
    }

    #[test]
    fn both_efforts_are_read_back_whole() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for effort in [Effort::Deflate, Effort::Store] {
            for step in [1000, 65_535, 1 << 20] {
                let packed = round_trip(effort, &text, step);
                let mut unpacked = Vec::new();
                let mut inflater = Inflater::new();
                inflater.begin();
                let mut taken = 0;
                loop {
                    let progress = inflater.push(&packed[taken..]).unwrap();
                    unpacked.extend_from_slice(progress.output);
                    taken += progress.consumed;
                    if progress.finished {
                        break;
                    }
                }
                assert_eq!(taken, packed.len());
                assert!(unpacked == text, "{effort:?} in steps of {step}");
                assert_eq!(effort == Effort::Deflate, packed.len() < text.len());
            }
        }
    }

    #[test]
    fn an_empty_stream_is_upstreams_two_bytes() {
        assert_eq!(round_trip(Effort::Deflate, b"", 1), [3, 0]);
    }
}
