//! The bytes in front of a decoder, with a look ahead.

use std::io::{self, BufRead, Read};

/// The size of the buffer.
const BUFFER_BYTES: usize = 64 << 10;

/// A buffered reader that can show more of the next bytes than one read returned.
pub(super) struct Input<R> {
    inner: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl<R: Read> Input<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, buffer: vec![0; BUFFER_BYTES].into(), start: 0, end: 0 }
    }

    /// The next `count` bytes without consuming them; fewer at the end of the input.
    pub(super) fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        if self.buffer.len() - self.start < count {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        while self.end - self.start < count {
            match self.inner.read(&mut self.buffer[self.end..]) {
                Ok(0) => break,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&self.buffer[self.start..self.end.min(self.start + count)])
    }
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Input<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.end = self.inner.read(&mut self.buffer)?;
            self.start = 0;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    fn consume(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Cursor, Read};

    use super::{BUFFER_BYTES, Input};

    #[test]
    fn bytes_at_the_end_of_the_buffer_are_shown_together_with_those_after_it() {
        let bytes: Vec<u8> = (0..BUFFER_BYTES + 3).map(|number| number as u8).collect();
        let mut input = Input::new(Cursor::new(bytes.clone()));
        input.fill_buf().unwrap();
        input.consume(BUFFER_BYTES - 2);
        assert_eq!(input.peek(4).unwrap(), &bytes[BUFFER_BYTES - 2..BUFFER_BYTES + 2]);
        assert_eq!(input.peek(9).unwrap(), &bytes[BUFFER_BYTES - 2..]);
        let mut rest = Vec::new();
        input.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, &bytes[BUFFER_BYTES - 2..]);
        assert_eq!(input.peek(1).unwrap(), b"");
    }
}
