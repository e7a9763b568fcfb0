//! Raw deflate (RFC 1951, no zlib or gzip wrapper), as in `.filez` objects.
//!
//! [`Deflater`] and [`Inflater`] keep their state and buffers from one file to the next: a worker
//! has one of each. There are two encodings of the same content, see [`Encoding`]: the fast one
//! (`quick`), and the bytes that zlib gives (`zlib`).

mod bits;
mod block;
mod huffman;
mod inflate;
mod quick;
mod words;
mod zlib;

pub use inflate::{Inflater, Progress};

/// Which of the many ways to compress the same content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// osier's own encoder: sizes close to those of zlib, in less time.
    #[default]
    Fast,
    /// The bytes that zlib gives, and so ostree, at the same level.
    Zlib,
}

impl Encoding {
    /// The encoding of that name, `fast` or `zlib`.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "fast" => Some(Self::Fast),
            "zlib" => Some(Self::Zlib),
            _ => None,
        }
    }
}

/// What decides about an encoder's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which encoder it is.
    pub encoding: Encoding,
    /// A zlib level, 1 (fastest) to 9 (smallest).
    pub level: u32,
}

/// The most that a stored block can hold.
const MAX_STORED: usize = 65_535;

/// Compresses one stream after another.
pub struct Deflater {
    settings: Settings,
    encoder: Encoder,
}

enum Encoder {
    Fast(Box<quick::Encoder>),
    Zlib(Box<zlib::Encoder>),
}

impl Deflater {
    /// An encoder with its buffers.
    pub fn new(settings: Settings) -> Self {
        let Settings { encoding, level } = settings;
        let encoder = match encoding {
            Encoding::Fast => Encoder::Fast(Box::new(quick::Encoder::new(level))),
            Encoding::Zlib => Encoder::Zlib(Box::new(zlib::Encoder::new(level))),
        };
        Self { settings, encoder }
    }

    /// What it was made with.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Begins a new stream, discarding an unfinished one.
    pub fn begin(&mut self) {
        match &mut self.encoder {
            Encoder::Fast(encoder) => encoder.begin(),
            Encoder::Zlib(encoder) => encoder.begin(),
        }
    }

    /// Appends the compressed form of `input` to `output`, as far as the encoder gives it out
    /// already.
    pub fn push(&mut self, input: &[u8], output: &mut Vec<u8>) {
        match &mut self.encoder {
            Encoder::Fast(encoder) => encoder.push(input, output),
            Encoder::Zlib(encoder) => encoder.push(input, output),
        }
    }

    /// Ends the stream, appending what is left of it to `output`.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        match &mut self.encoder {
            Encoder::Fast(encoder) => encoder.finish(output),
            Encoder::Zlib(encoder) => encoder.finish(output),
        }
    }
}

/// A large array that is never on the stack.
fn boxed<T: Clone + Default, const N: usize>() -> Box<[T; N]> {
    let Ok(array) = vec![T::default(); N].into_boxed_slice().try_into() else {
        unreachable!("it has N elements")
    };
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(encoding: Encoding, input: &[u8], step: usize) -> Vec<u8> {
        let mut deflater = Deflater::new(Settings { encoding, level: 6 });
        let mut packed = Vec::new();
        // The first stream is left unfinished: nothing of it may show in the second.
        deflater.begin();
        deflater.push(b"left over", &mut Vec::new());
        deflater.begin();
        input.chunks(step).for_each(|piece| deflater.push(piece, &mut packed));
        deflater.finish(&mut packed);
        packed
    }

    #[test]
    fn whatever_the_encoding_it_is_read_back_whole() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 7).to_le_bytes()).collect();
        for encoding in [Encoding::Fast, Encoding::Zlib] {
            for step in [1000, 65_535, 1 << 20] {
                let packed = round_trip(encoding, &text, step);
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
                assert!(unpacked == text, "{encoding:?} in steps of {step}");
                assert!(packed.len() < text.len());
            }
        }
    }

    #[test]
    fn an_empty_stream_is_upstreams_two_bytes() {
        for encoding in [Encoding::Fast, Encoding::Zlib] {
            assert_eq!(round_trip(encoding, b"", 1), [3, 0]);
        }
    }
}
