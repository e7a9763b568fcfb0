//! Decoding.

use std::io;

use flate2::{Decompress, FlushDecompress, Status};

/// The size of the output buffer, in bytes.
const OUTPUT_SIZE: usize = 128 << 10;

/// Decompresses one stream after another, giving out at most 128 KiB at a time.
pub struct Inflater {
    decompress: Decompress,
    output: Box<[u8]>,
}

/// What one step gave.
#[derive(Debug)]
pub struct Progress<'i> {
    /// The next bytes of the content.
    pub output: &'i [u8],
    /// How many bytes of the input have been used up.
    pub consumed: usize,
    /// Whether the stream has ended. What follows in the input does not belong to it.
    pub finished: bool,
    /// Whether there is nothing more to be had without more input.
    pub needs_input: bool,
}

impl Inflater {
    /// A decoder, with its buffer.
    pub fn new() -> Self {
        Self { decompress: Decompress::new(false), output: vec![0; OUTPUT_SIZE].into_boxed_slice() }
    }

    /// Begins a new stream.
    pub fn begin(&mut self) {
        self.decompress.reset(false);
    }

    /// Takes as much of `input` as fits the output buffer. Neither output nor consumed input says
    /// that the stream goes on behind the end of `input`.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the bytes are no deflate stream.
    pub fn push(&mut self, input: &[u8]) -> io::Result<Progress<'_>> {
        let (before_in, before_out) = (self.decompress.total_in(), self.decompress.total_out());
        let status = self
            .decompress
            .decompress(input, &mut self.output, FlushDecompress::None)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let consumed =
            usize::try_from(self.decompress.total_in() - before_in).unwrap_or(input.len());
        let produced = usize::try_from(self.decompress.total_out() - before_out).unwrap_or(0);
        let finished = status == Status::StreamEnd;
        let needs_input = !finished && produced < self.output.len();
        Ok(Progress { output: &self.output[..produced], consumed, finished, needs_input })
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}
