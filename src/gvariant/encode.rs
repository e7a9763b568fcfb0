//! Writing in one pass.
//!
//! A container starts at a multiple of its alignment, which is at least that of anything inside, so
//! children can be written where they belong and are never copied again.

/// Writes serialised values, one after the other, into one buffer.
///
/// ```
/// # use osier::gvariant::Encoder;
/// // ['a', 'bc']
/// let mut encoder = Encoder::new();
/// let mut array = encoder.begin(1);
/// for text in ["a", "bc"] {
///     encoder.put_text(text);
///     array.end_child(&encoder);
/// }
/// encoder.end_array(array);
/// assert_eq!(encoder.finish(), b"a\0bc\0\x02\x05");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

/// A container that is being written: where it starts and where its children of variable size end.
#[derive(Clone, Debug)]
#[must_use]
pub struct Framing {
    start: usize,
    ends: Vec<usize>,
}

impl Framing {
    /// Notes that a child ends here: each element of an array, each member of a tuple unless its
    /// size is fixed or it is the last.
    pub fn end_child(&mut self, encoder: &Encoder) {
        self.ends.push(encoder.bytes.len() - self.start);
    }
}

impl Encoder {
    /// An encoder that has written nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// An encoder with room for that many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Writes zero bytes up to a multiple of `alignment`.
    pub fn align(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }

    /// Writes bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Writes a string with its NUL. GVariant ends strings at the first NUL, so what follows one is
    /// dropped.
    pub fn put_text(&mut self, text: &str) {
        let text = text.split_once('\0').map_or(text, |(head, _)| head);
        self.put(text.as_bytes());
        self.bytes.push(0);
    }

    /// Writes what turns the value written last into a variant: a NUL and the value's type.
    pub fn end_variant(&mut self, ty: &str) {
        self.bytes.push(0);
        self.put(ty.as_bytes());
    }

    /// Begins a container of that alignment.
    pub fn begin(&mut self, alignment: usize) -> Framing {
        self.align(alignment);
        Framing { start: self.bytes.len(), ends: Vec::new() }
    }

    /// Goes on with a tuple that began where the encoder did.
    pub(crate) fn resume_tuple(&self) -> Framing {
        Framing { start: 0, ends: Vec::new() }
    }

    /// Ends an array whose elements have no fixed size.
    pub fn end_array(&mut self, framing: Framing) {
        let Framing { start, ends } = framing;
        let width = offset_width(self.bytes.len() - start, ends.len());
        self.bytes.reserve(ends.len() * width);
        for end in ends {
            self.put_offset(end, width);
        }
    }

    /// Ends a tuple or dictionary entry that has no fixed size.
    pub fn end_tuple(&mut self, framing: Framing) {
        let Framing { start, ends } = framing;
        let width = offset_width(self.bytes.len() - start, ends.len());
        for end in ends.into_iter().rev() {
            self.put_offset(end, width);
        }
    }

    /// Writes one framing offset.
    pub(crate) fn put_offset(&mut self, offset: usize, width: usize) {
        let field = (offset as u64).to_le_bytes();
        self.put(field.get(..width).unwrap_or(&field));
    }

    /// Number of bytes written so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Ends the encoding and returns everything that was written.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// The bytes from `start` on, to be changed in place.
    pub(super) fn written_mut(&mut self, start: usize) -> &mut [u8] {
        self.bytes.get_mut(start..).unwrap_or_default()
    }
}

/// The width of `count` framing offsets behind a body: the smallest in which the length of the
/// whole can be written.
pub(crate) fn offset_width(body: usize, count: usize) -> usize {
    let fits = |width: usize, limit: u64| {
        (body as u64).saturating_add((count as u64).saturating_mul(width as u64)) <= limit
    };
    if fits(1, 0xff) {
        1
    } else if fits(2, 0xffff) {
        2
    } else if fits(4, 0xffff_ffff) {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_as_wide_as_the_whole_container_demands() {
        let table = [
            (0, 0, 1),
            (254, 1, 1),
            (255, 1, 2),
            (253, 2, 1),
            (254, 2, 2),
            (65_533, 1, 2),
            (65_534, 1, 4),
            (0xffff_fffb, 1, 4),
            (0xffff_fffc, 1, 8),
        ];
        for (body, count, width) in table {
            assert_eq!(offset_width(body, count), width, "{count} offsets behind {body} bytes");
        }
    }
}
