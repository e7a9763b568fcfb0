//! Bits to bytes, the first bit lowest (RFC 1951, section 3.1.1).

/// The bits that do not fill a byte yet, up to 63 while a block is written, up to 7 between blocks.
#[derive(Debug, Default)]
pub(super) struct Bits {
    pending: u64,
    count: u32,
}

impl Bits {
    /// Adds the lowest `count` bits of `bits`; the others must be zero. Between two calls of
    /// [`Bits::flush`] there is room for 56.
    #[inline]
    pub(super) fn put(&mut self, bits: u64, count: u32) {
        debug_assert!(
            self.count + count <= u64::BITS && (count == u64::BITS || bits >> count == 0)
        );
        self.pending |= bits << self.count;
        self.count += count;
    }

    /// How many bits wait.
    #[inline]
    pub(super) fn pending(&self) -> u32 {
        self.count
    }

    /// Hands over the bytes that are full.
    #[inline]
    pub(super) fn flush(&mut self, output: &mut Vec<u8>) {
        let full = self.count / 8;
        // Always appends eight bytes and then truncates: an append of fixed size is one store.
        output.extend_from_slice(&self.pending.to_le_bytes());
        output.truncate(output.len() - 8 + full as usize);
        self.pending = self.pending.checked_shr(full * 8).unwrap_or(0);
        self.count %= 8;
    }

    /// Fills the last byte with zeros and hands it over.
    pub(super) fn align(&mut self, output: &mut Vec<u8>) {
        self.count = self.count.next_multiple_of(8);
        self.flush(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_fill_bytes_from_the_lowest() {
        let (mut bits, mut output) = (Bits::default(), Vec::new());
        bits.put(0b1, 1);
        bits.put(0b10, 2);
        bits.flush(&mut output);
        assert!(output.is_empty(), "three bits are no byte");
        bits.put(0x1ff, 9);
        bits.flush(&mut output);
        assert_eq!(output, [0b1111_1101]);
        bits.align(&mut output);
        assert_eq!(output, [0b1111_1101, 0b0000_1111]);
        bits.align(&mut output);
        assert_eq!(output.len(), 2, "nothing is left to fill up");
        bits.put(0x00ff_ffff_ffff_ffff, 56);
        bits.flush(&mut output);
        assert_eq!(output[2..], [0xff; 7]);
    }
}
