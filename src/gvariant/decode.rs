//! Reading without copying.
//!
//! Every position is checked, so no bytes lead to a panic; what is broken reads as the default
//! value of its type.

use super::framing::{MAX_DEPTH, align, offset_at, split_variant, width_in};
use super::types::Members;
use super::{DecodeError, Type, normal};

/// A view of a serialised value: its type and its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Variant<'a> {
    ty: Type<'a>,
    bytes: &'a [u8],
    /// How many containers enclose this one in the value that the reader started with.
    depth: usize,
}

impl<'a> Variant<'a> {
    /// Looks at `bytes` as a value of type `ty`. What is not in normal form reads as GLib's default
    /// values.
    pub fn new(ty: Type<'a>, bytes: &'a [u8]) -> Self {
        Self::at_depth(ty, bytes, 0)
    }

    /// Looks at `bytes` as a value of type `ty`, which must be in normal form throughout (`Not
    /// normal form`).
    pub fn decode(ty: Type<'a>, bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let value = Self { ty, bytes, depth: 0 };
        if value.is_normal() { Ok(value) } else { Err(DecodeError::not_normal()) }
    }

    fn at_depth(ty: Type<'a>, bytes: &'a [u8], depth: usize) -> Self {
        match ty.fixed_size() {
            Some(size) if size != bytes.len() => Self { ty, bytes: &[], depth },
            _ => Self { ty, bytes, depth },
        }
    }

    /// The type of the value.
    pub fn ty(&self) -> Type<'a> {
        self.ty
    }

    /// The serialised value; empty where a value of fixed size was broken.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the bytes are the ones that serialising the value gives.
    pub fn is_normal(&self) -> bool {
        normal::is_normal(self.ty, self.bytes, self.depth)
    }

    /// The number of children: elements, members, 1 for a variant, 0 or 1 for a maybe, 0 for basic
    /// types.
    pub fn len(&self) -> usize {
        match self.ty.class() {
            b'a' => Elements::new(*self).map_or(0, |elements| elements.count),
            b'(' | b'{' => self.ty.members().count(),
            b'v' => 1,
            b'm' => usize::from(self.as_maybe().flatten().is_some()),
            _ => 0,
        }
    }

    /// Whether there are no children.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One child; in an array this takes the same time for each.
    pub fn child(&self, index: usize) -> Option<Variant<'a>> {
        match self.ty.class() {
            b'a' => Elements::new(*self)?.get(index),
            _ => self.children().nth(index),
        }
    }

    /// The children in order.
    pub fn children(&self) -> Children<'a> {
        Children(match self.ty.class() {
            b'a' => Elements::new(*self).map_or(Kind::One(None), Kind::Elements),
            b'(' | b'{' => Kind::Tuple(TupleMembers::new(*self)),
            b'v' => Kind::One(self.as_variant()),
            b'm' => Kind::One(self.as_maybe().flatten()),
            _ => Kind::One(None),
        })
    }

    /// A boolean; any byte but 0 is true.
    pub fn as_bool(&self) -> Option<bool> {
        (self.ty.class() == b'b').then(|| self.number::<1>() != [0])
    }

    /// A byte (`y`).
    pub fn as_byte(&self) -> Option<u8> {
        (self.ty.class() == b'y').then(|| u8::from_le_bytes(self.number()))
    }

    /// A signed 16-bit number (`n`).
    pub fn as_i16(&self) -> Option<i16> {
        (self.ty.class() == b'n').then(|| i16::from_le_bytes(self.number()))
    }

    /// An unsigned 16-bit number (`q`).
    pub fn as_u16(&self) -> Option<u16> {
        (self.ty.class() == b'q').then(|| u16::from_le_bytes(self.number()))
    }

    /// A signed 32-bit number (`i`), or a handle (`h`).
    pub fn as_i32(&self) -> Option<i32> {
        matches!(self.ty.class(), b'i' | b'h').then(|| i32::from_le_bytes(self.number()))
    }

    /// An unsigned 32-bit number (`u`).
    pub fn as_u32(&self) -> Option<u32> {
        (self.ty.class() == b'u').then(|| u32::from_le_bytes(self.number()))
    }

    /// A signed 64-bit number (`x`).
    pub fn as_i64(&self) -> Option<i64> {
        (self.ty.class() == b'x').then(|| i64::from_le_bytes(self.number()))
    }

    /// An unsigned 64-bit number (`t`).
    pub fn as_u64(&self) -> Option<u64> {
        (self.ty.class() == b't').then(|| u64::from_le_bytes(self.number()))
    }

    /// A floating-point number (`d`).
    pub fn as_f64(&self) -> Option<f64> {
        (self.ty.class() == b'd').then(|| f64::from_le_bytes(self.number()))
    }

    /// A string, object path or signature (`s`, `o`, `g`), without its NUL.
    pub fn as_str(&self) -> Option<&'a str> {
        let class = self.ty.class();
        if !matches!(class, b's' | b'o' | b'g') {
            return None;
        }
        let default = if class == b'o' { "/" } else { "" };
        Some(normal::text(class, self.bytes).unwrap_or(default))
    }

    /// The bytes of an `ay`.
    pub fn as_bytes(&self) -> Option<&'a [u8]> {
        (self.ty.as_str() == "ay").then_some(self.bytes)
    }

    /// What a variant (`v`) holds; `()` if it is broken or nested too deep.
    pub fn as_variant(&self) -> Option<Variant<'a>> {
        if self.ty.class() != b'v' {
            return None;
        }
        let unit = Self { ty: Type::UNIT, bytes: &[0], depth: self.depth + 1 };
        Some(self.content().unwrap_or(unit))
    }

    fn content(&self) -> Option<Variant<'a>> {
        let (ty, bytes) = split_variant(self.bytes)?;
        let measure = ty.measure();
        let depth = self.depth + 1;
        let size_fits = measure.fixed_size.is_none_or(|size| size == bytes.len());
        (size_fits && depth + measure.depth <= MAX_DEPTH).then_some(Self { ty, bytes, depth })
    }

    /// What a maybe (`m`) holds.
    pub fn as_maybe(&self) -> Option<Option<Variant<'a>>> {
        let element = (self.ty.class() == b'm').then(|| self.ty.element())??;
        let bytes = match (element.fixed_size(), self.bytes) {
            (Some(size), bytes) if size == bytes.len() => bytes,
            (Some(_), _) | (None, []) => return Some(None),
            (None, [bytes @ .., _]) => bytes,
        };
        Some(Some(Self::at_depth(element, bytes, self.depth + 1)))
    }

    /// The value of the first entry with this key in an `a{sv}`, taken out of its `v`.
    pub fn lookup(&self, key: &str) -> Option<Variant<'a>> {
        if self.ty.as_str() != "a{sv}" {
            return None;
        }
        let entry = self
            .children()
            .find(|entry| entry.child(0).and_then(|name| name.as_str()) == Some(key))?;
        entry.child(1)?.as_variant()
    }

    fn number<const N: usize>(&self) -> [u8; N] {
        self.bytes.try_into().unwrap_or([0; N])
    }
}

/// The children of a value, see [`Variant::children`].
#[derive(Clone, Debug)]
pub struct Children<'a>(Kind<'a>);

#[derive(Clone, Debug)]
enum Kind<'a> {
    Elements(Elements<'a>),
    Tuple(TupleMembers<'a>),
    One(Option<Variant<'a>>),
}

impl<'a> Iterator for Children<'a> {
    type Item = Variant<'a>;

    fn next(&mut self) -> Option<Variant<'a>> {
        match &mut self.0 {
            Kind::Elements(elements) => elements.next(),
            Kind::Tuple(members) => members.next(),
            Kind::One(child) => child.take(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Kind::Elements(elements) => {
                let left = elements.count.saturating_sub(elements.next);
                (left, Some(left))
            }
            _ => (0, None),
        }
    }
}

/// An array, with what finding its elements takes.
#[derive(Clone, Debug)]
struct Elements<'a> {
    element: Type<'a>,
    bytes: &'a [u8],
    depth: usize,
    layout: ElementLayout,
    count: usize,
    next: usize,
    /// Where the last element taken in order ended; `None` once a framing offset was out of order.
    at: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
enum ElementLayout {
    Fixed { size: usize },
    Framed { alignment: usize, width: usize, body: usize },
}

impl<'a> Elements<'a> {
    fn new(array: Variant<'a>) -> Option<Self> {
        let element = array.ty.element()?;
        let bytes = array.bytes;
        let (layout, count) = match element.fixed_size() {
            Some(size) => {
                let whole = bytes.len().is_multiple_of(size);
                (ElementLayout::Fixed { size }, if whole { bytes.len() / size } else { 0 })
            }
            None => {
                let alignment = element.alignment();
                let width = width_in(bytes.len());
                let body = bytes
                    .len()
                    .checked_sub(width)
                    .and_then(|last| offset_at(bytes, last, width))
                    .unwrap_or(0);
                let frame = bytes
                    .len()
                    .checked_sub(body)
                    .filter(|frame| frame.is_multiple_of(width))
                    .unwrap_or(0);
                (ElementLayout::Framed { alignment, width, body }, frame / width)
            }
        };
        Some(Self { element, bytes, depth: array.depth + 1, layout, count, next: 0, at: Some(0) })
    }

    fn get(&self, index: usize) -> Option<Variant<'a>> {
        if index >= self.count {
            return None;
        }
        let previous_end = if index == 0 { Some(0) } else { self.end_of(index - 1) };
        Some(self.element_after(previous_end, index))
    }

    /// The next element in order. Nothing is read twice: where offsets are out of order, all that
    /// follows is broken. Else few bytes could be made to hold a value without end.
    fn next(&mut self) -> Option<Variant<'a>> {
        let index = self.next;
        if index >= self.count {
            return None;
        }
        self.next += 1;
        let element = self.element_after(self.at, index);
        self.at = self.end_of(index).filter(|&end| self.at.is_some_and(|at| at <= end));
        Some(element)
    }

    fn element_after(&self, previous_end: Option<usize>, index: usize) -> Variant<'a> {
        let bytes = match self.layout {
            ElementLayout::Fixed { size } => self.bytes.get(index * size..(index + 1) * size),
            ElementLayout::Framed { alignment, .. } => {
                let start = previous_end.and_then(|end| align(end, alignment));
                start.zip(self.end_of(index)).and_then(|(start, end)| self.bytes.get(start..end))
            }
        };
        // The size was measured already, so there is no need to look at the type again.
        Variant { ty: self.element, bytes: bytes.unwrap_or_default(), depth: self.depth }
    }

    /// Where an element ends, if that is inside the array's body.
    fn end_of(&self, index: usize) -> Option<usize> {
        match self.layout {
            ElementLayout::Fixed { size } => Some((index + 1) * size),
            ElementLayout::Framed { width, body, .. } => {
                offset_at(self.bytes, body + index * width, width).filter(|&end| end <= body)
            }
        }
    }
}

/// Goes through a tuple or dictionary entry.
#[derive(Clone, Debug)]
struct TupleMembers<'a> {
    members: Members<'a>,
    bytes: &'a [u8],
    depth: usize,
    width: usize,
    /// Where the framing offsets that were not used yet end.
    frame: usize,
    /// Where the last member ended; `None` once a framing offset was broken.
    at: Option<usize>,
}

impl<'a> TupleMembers<'a> {
    fn new(tuple: Variant<'a>) -> Self {
        let Variant { ty, bytes, depth } = tuple;
        let width = width_in(bytes.len());
        Self {
            members: ty.members(),
            bytes,
            depth: depth + 1,
            width,
            frame: bytes.len(),
            at: Some(0),
        }
    }
}

impl<'a> Iterator for TupleMembers<'a> {
    type Item = Variant<'a>;

    fn next(&mut self) -> Option<Variant<'a>> {
        let ty = self.members.next()?;
        let start = self.at.and_then(|at| align(at, ty.alignment()));
        let end = match ty.fixed_size() {
            Some(size) => start.and_then(|start| start.checked_add(size)),
            None if self.members.is_empty() => Some(self.frame),
            None => match self.frame.checked_sub(self.width) {
                Some(frame) => {
                    self.frame = frame;
                    offset_at(self.bytes, frame, self.width)
                }
                None => None,
            },
        };
        let range = start.zip(end).filter(|&(start, end)| start <= end && end <= self.frame);
        self.at = range.map(|(_, end)| end);
        let bytes = range.and_then(|(start, end)| self.bytes.get(start..end)).unwrap_or_default();
        Some(Variant { ty, bytes, depth: self.depth })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Dict;
    use crate::gvariant::Value;

    fn view<'a>(ty: &'a str, bytes: &'a [u8]) -> Variant<'a> {
        Variant::new(Type::parse(ty).unwrap(), bytes)
    }

    #[test]
    fn children_are_found_by_index_and_in_order() {
        let texts = Value::strings(["a", "", "ccc"]);
        let texts = texts.view();
        let read: Vec<_> = texts.children().filter_map(|text| text.as_str()).collect();
        assert_eq!((texts.len(), read), (3, vec!["a", "", "ccc"]));
        assert_eq!(texts.child(2).and_then(|text| text.as_str()), Some("ccc"));
        assert!(texts.child(3).is_none() && texts.child(usize::MAX).is_none());
        let numbers = [1, 0, 2, 0];
        assert_eq!(
            view("aq", &numbers).children().map(|number| number.as_u16()).collect::<Vec<_>>(),
            [Some(1), Some(2)]
        );
    }

    #[test]
    fn a_tuple_reads_its_offsets_from_the_end() {
        let tuple = Value::tuple(vec![
            Value::string("f"),
            Value::uint32(7),
            Value::bytes_value(&[1, 2]),
            Value::variant(Value::just(Value::uint64(9))),
        ]);
        let members: Vec<_> = tuple.view().children().collect();
        assert_eq!(members[0].as_str(), Some("f"));
        assert_eq!(members[1].as_u32(), Some(7));
        assert_eq!(members[1].as_i32(), None);
        assert_eq!(members[2].as_bytes(), Some(&[1, 2][..]));
        let maybe = members[3].as_variant().unwrap();
        assert_eq!(maybe.as_maybe().unwrap().unwrap().as_u64(), Some(9));
        assert_eq!((members.len(), tuple.view().len(), maybe.len()), (4, 4, 1));
    }

    #[test]
    fn the_first_of_equal_keys_is_looked_up() {
        let mut dict = Dict::new();
        dict.push("a", Value::byte(1));
        dict.push("b", Value::string("x"));
        dict.push("b", Value::string("y"));
        let bytes = dict.encode();
        let view = view("a{sv}", &bytes);
        assert_eq!(view.lookup("b").and_then(|value| value.as_str()), Some("x"));
        assert!(view.lookup("c").is_none());
        assert_eq!(Dict::decode(&bytes), Ok(dict));
    }

    #[test]
    fn broken_values_read_as_the_default_of_their_type() {
        assert_eq!(view("u", &[1, 2, 3]).as_u32(), Some(0));
        assert_eq!(view("s", b"no nul").as_str(), Some(""));
        assert_eq!(view("s", b"a\0b\0").as_str(), Some(""));
        assert_eq!(view("s", b"\xff\0").as_str(), Some(""));
        assert_eq!(view("o", b"relative\0").as_str(), Some("/"));
        assert_eq!(view("g", b"ms\0").as_str(), Some(""));
        assert_eq!(view("v", b"\x01\0?").as_variant().unwrap().ty().as_str(), "()");
        assert_eq!(view("v", b"\x01\0u").as_variant().unwrap().ty().as_str(), "()");
        assert_eq!(view("au", &[0; 7]).len(), 0);
        // An end past the body, and one before its start.
        let ends: Vec<_> =
            view("as", b"a\0b\0\x09\x04\x04").children().map(|text| text.as_str()).collect();
        assert_eq!(ends, [Some(""), Some(""), Some("")]);
        let members: Vec<_> =
            view("(sus)", b"a\0").children().map(|member| member.bytes()).collect();
        assert_eq!(members, [b"".as_slice(), b"", b""]);
        assert_eq!(
            view("(sus)", b"a\0").to_value(),
            Value::tuple(vec![Value::string(""), Value::uint32(0), Value::string("")])
        );
    }

    #[test]
    fn a_variant_with_more_members_than_offsets_is_read_without_a_panic() {
        let mut bytes = vec![0; 257];
        bytes.push(0);
        bytes.extend_from_slice(format!("({})", "ay".repeat(130)).as_bytes());
        let content = view("v", &bytes).as_variant().unwrap();
        assert_eq!(content.children().count(), 130);
        assert!(!content.is_normal());
    }

    #[test]
    fn offsets_that_go_back_and_forth_do_not_multiply_what_they_hold() {
        // Every other offset spans the whole body, which is again such an array, and so on.
        let mut bytes = b"x\0".to_vec();
        for _ in 0..40 {
            let body = u8::try_from(bytes.len()).unwrap();
            bytes.extend_from_slice(&[body, 0, body, 0, body]);
        }
        let ty = "a".repeat(40) + "s";
        fn leaves(value: Variant<'_>) -> usize {
            if value.ty().class() == b's' { 1 } else { value.children().map(leaves).sum() }
        }
        // One that was written, and four defaults where the offsets went back.
        assert_eq!(leaves(view(&ty, &bytes)), 5);
        let tuple = |inner: &str| format!("({inner}{inner}{inner})");
        let ty = (0..5).fold("v".to_owned(), |inner, _| tuple(&inner));
        assert!(
            Variant::new(Type::parse(&ty).unwrap(), &[0xff; 200]).to_value().view().is_normal()
        );
    }

    #[test]
    fn variants_nest_127_deep_and_read_as_unit_below() {
        let nested = |depth| (0..depth).fold(Value::byte(7), |value, _| Value::variant(value));
        assert!(nested(127).view().is_normal());
        assert!(!nested(128).view().is_normal());
        let deep = nested(100_000);
        let mut at = deep.view();
        let mut depth = 0;
        while let Some(content) = at.as_variant() {
            at = content;
            depth += 1;
        }
        assert_eq!((depth, at.ty().as_str()), (127, "()"));
    }
}
