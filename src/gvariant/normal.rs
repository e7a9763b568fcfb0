//! The check for normal form: whether bytes are exactly what serialising a value of their type
//! gives.
//!
//! Padding is zero, framing offsets are in order, in bounds and no wider than they must be, there
//! are no gaps, booleans are 0 or 1, strings end in their only NUL and are valid UTF-8, object
//! paths and signatures follow D-Bus' grammar. The time it takes is proportional to the length of
//! the bytes, whatever they are.

use super::encode::offset_width;
use super::framing::{MAX_DEPTH, align, offset_at, split_variant, width_in};
use super::types::{Measure, Type};

/// Whether `bytes` are in normal form for `ty`, in a value that `depth` containers enclose.
pub(super) fn is_normal(ty: Type<'_>, bytes: &[u8], depth: usize) -> bool {
    // The common basic types need no layout.
    match ty.as_str().as_bytes() {
        b"ay" => true,
        [class @ (b's' | b'o' | b'g')] => text(*class, bytes).is_some(),
        _ => Layout::of(ty).is_normal(bytes, depth),
    }
}

/// A type, prepared so that each of many values is checked without reading the type string again.
struct Layout {
    fixed_size: Option<usize>,
    alignment: usize,
    shape: Shape,
}

enum Shape {
    /// Any bytes of the right number are normal: numbers, and arrays and tuples of numbers without
    /// padding.
    AnyBytes,
    Boolean,
    Text(u8),
    Variant,
    Maybe(Box<Layout>),
    Array(Box<Layout>),
    Tuple(Vec<Layout>),
}

impl Layout {
    fn of(ty: Type<'_>) -> Self {
        let Measure { fixed_size, alignment, .. } = ty.measure();
        let shape = match ty.class() {
            b'b' => Shape::Boolean,
            class @ (b's' | b'o' | b'g') => Shape::Text(class),
            b'v' => Shape::Variant,
            class @ (b'a' | b'm') => {
                let element = Box::new(Self::of(ty.element().unwrap_or(Type::UNIT)));
                if class == b'a' { Shape::Array(element) } else { Shape::Maybe(element) }
            }
            b'(' | b'{' => {
                let members: Vec<Layout> = ty.members().map(Layout::of).collect();
                let bare = |member: &Layout| matches!(member.shape, Shape::AnyBytes);
                let sizes =
                    members.iter().try_fold(0, |sum, member| Some(sum + member.fixed_size?));
                // Without padding, and every member takes any bytes: nothing is left to look at.
                let any = fixed_size.is_some() && sizes == fixed_size && members.iter().all(bare);
                if any { Shape::AnyBytes } else { Shape::Tuple(members) }
            }
            _ => Shape::AnyBytes,
        };
        Self { fixed_size, alignment, shape }
    }

    fn is_normal(&self, bytes: &[u8], depth: usize) -> bool {
        if self.fixed_size.is_some_and(|size| size != bytes.len()) {
            return false;
        }
        match &self.shape {
            Shape::AnyBytes => true,
            Shape::Boolean => matches!(bytes, [0 | 1]),
            Shape::Text(class) => text(*class, bytes).is_some(),
            Shape::Variant => variant_is_normal(bytes, depth),
            Shape::Maybe(element) => match bytes {
                [] => true,
                [content @ .., 0] if element.fixed_size.is_none() => {
                    element.is_normal(content, depth + 1)
                }
                _ => element.fixed_size.is_some() && element.is_normal(bytes, depth + 1),
            },
            Shape::Array(element) => match element.fixed_size {
                Some(size) => {
                    bytes.len().is_multiple_of(size)
                        && (matches!(element.shape, Shape::AnyBytes)
                            || bytes
                                .chunks_exact(size)
                                .all(|content| element.is_normal(content, depth + 1)))
                }
                None => bytes.is_empty() || array_is_normal(element, bytes, depth).is_some(),
            },
            Shape::Tuple(members) => tuple_is_normal(self, members, bytes, depth).is_some(),
        }
    }

    /// The child that begins after `at`, if the padding before it is zero and it is normal.
    fn child_is_normal(&self, bytes: &[u8], at: usize, end: usize, depth: usize) -> Option<()> {
        let start = align(at, self.alignment)?;
        let content = bytes.get(start..end)?;
        let padding = bytes.get(at..start)?;
        (padding.iter().all(|&byte| byte == 0) && self.is_normal(content, depth + 1)).then_some(())
    }
}

fn variant_is_normal(bytes: &[u8], depth: usize) -> bool {
    let Some((ty, content)) = split_variant(bytes) else { return false };
    // One character is the usual case, and no container.
    let nested = if ty.as_str().len() == 1 && ty.class() != b'v' { 0 } else { ty.measure().depth };
    depth + 1 + nested <= MAX_DEPTH && is_normal(ty, content, depth + 1)
}

fn array_is_normal(element: &Layout, bytes: &[u8], depth: usize) -> Option<()> {
    let width = width_in(bytes.len());
    let body = offset_at(bytes, bytes.len().checked_sub(width)?, width)?;
    let frame = bytes.len().checked_sub(body)?;
    let count = frame / width;
    // An offset that points at its own end would leave an array of no elements that is not empty.
    if count == 0 || !frame.is_multiple_of(width) || offset_width(body, count) != width {
        return None;
    }
    let mut at = 0;
    for index in 0..count {
        let end = offset_at(bytes, body + index * width, width).filter(|&end| end <= body)?;
        element.child_is_normal(bytes, at, end, depth)?;
        at = end;
    }
    Some(())
}

fn tuple_is_normal(tuple: &Layout, members: &[Layout], bytes: &[u8], depth: usize) -> Option<()> {
    let width = width_in(bytes.len());
    let variable =
        members.iter().rev().skip(1).filter(|member| member.fixed_size.is_none()).count();
    let body = bytes.len().checked_sub(variable.checked_mul(width)?)?;
    if variable > 0 && offset_width(body, variable) != width {
        return None;
    }
    let mut frame = bytes.len();
    let mut at: usize = 0;
    for (index, member) in members.iter().enumerate() {
        let end = match member.fixed_size {
            Some(size) => at.next_multiple_of(member.alignment).checked_add(size)?,
            None if index + 1 == members.len() => body,
            None => {
                frame = frame.checked_sub(width)?;
                offset_at(bytes, frame, width)?
            }
        };
        if end > body {
            return None;
        }
        member.child_is_normal(bytes, at, end, depth)?;
        at = end;
    }
    let rest = bytes.get(at..body)?;
    match tuple.fixed_size {
        Some(_) => rest.iter().all(|&byte| byte == 0).then_some(()),
        None => rest.is_empty().then_some(()),
    }
}

/// The text of a serialised string, object path or signature, if it is valid.
pub(super) fn text(class: u8, bytes: &[u8]) -> Option<&str> {
    let [content @ .., 0] = bytes else { return None };
    if content.contains(&0) {
        return None;
    }
    let text = std::str::from_utf8(content).ok()?;
    let valid = match class {
        b'o' => is_object_path(text),
        b'g' => is_signature(text),
        _ => true,
    };
    valid.then_some(text)
}

/// Whether a text is `/`, or elements of letters, digits and underscores with a `/` before each.
pub(super) fn is_object_path(text: &str) -> bool {
    let is_element = |element: &str| {
        !element.is_empty()
            && element.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text == "/" || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_element))
}

/// Whether a text is any number of types as D-Bus knows them, that is without maybes.
pub(super) fn is_signature(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        match Type::parse_prefix(rest) {
            Ok((_, more)) => rest = more,
            Err(_) => return false,
        }
    }
    !text.contains('m')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serialising_would_not_give_is_not_normal() {
        let table: &[(&str, &[u8], bool)] = &[
            ("b", &[1], true),
            ("b", &[2], false),
            ("u", &[0; 3], false),
            ("()", &[0], true),
            ("()", &[1], false),
            ("(yu)", &[1, 0, 0, 0, 2, 0, 0, 0], true),
            ("(yu)", &[1, 0, 9, 0, 2, 0, 0, 0], false),
            ("(uy)", &[1, 0, 0, 0, 2, 0, 0, 9], false),
            ("a(uy)", &[1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 9], false),
            ("ab", &[0, 1, 1], true),
            ("ab", &[0, 1, 2], false),
            ("au", &[0; 6], false),
            ("s", b"a", false),
            ("s", b"a\0", true),
            ("s", b"a\0a\0", false),
            ("s", b"\xc3\0", false),
            ("s", b"", false),
            ("o", b"/a/b_1\0", true),
            ("o", b"/a-b\0", false),
            ("o", b"/a/\0", false),
            ("o", b"//\0", false),
            ("o", b"\0", false),
            ("g", b"a{sv}(su){sv}\0", true),
            ("g", b"\0", true),
            ("g", b"ms\0", false),
            ("g", b"a\0", false),
            ("v", b"\x01\0y", true),
            ("v", b"\x01\0", false),
            ("v", b"y", false),
            ("v", b"\x01\0yy", false),
            ("v", b"\x01\0?", false),
            ("ms", b"a\0\0", true),
            ("ms", b"a\0\x01", false),
            ("my", &[], true),
            ("my", &[0], true),
            ("my", &[0, 0], false),
            ("as", b"", true),
            ("as", b"a\0b\0\x02\x04", true),
            ("as", b"a\0b\0\x04\x02", false),
            ("as", b"a\0b\0\x02\x05", false),
            ("as", b"a\0", false),
            ("as", b"a\0\x03", false),
            ("as", b"\x01", false),
            ("(ss)", b"a\0b\0\x02", true),
            ("(ss)", b"a\0b\0\x06", false),
            ("(ss)", b"", false),
            ("(su)", b"a\0\0\0\x01\0\0\0\x02", true),
            ("(su)", b"a\0\x01\0\x01\0\0\0\x02", false),
            ("(su)", b"a\0\0\0\x01\0\0\0\0\x02", false),
            ("(a(say)a(sayay))", &[0], true),
            ("(a(say)a(sayay))", &[1], false),
            ("(a(say)a(sayay))", &[], false),
            ("aas", &[0], true),
        ];
        for &(ty, bytes, normal) in table {
            assert_eq!(is_normal(Type::parse(ty).unwrap(), bytes, 0), normal, "{ty} {bytes:02x?}");
        }
    }

    #[test]
    fn offsets_that_are_wider_than_need_be_are_not_normal() {
        let is_normal = |ty, bytes: &[u8]| is_normal(Type::parse(ty).unwrap(), bytes, 0);
        let text = |length: usize| ["a".repeat(length).as_bytes(), b"\0"].concat();
        assert!(is_normal("as", &[&text(253)[..], b"\xfe"].concat()));
        assert!(!is_normal("as", &[&text(253)[..], b"\xfe\0"].concat()));
        assert!(is_normal("as", &[&text(254)[..], b"\xff\0"].concat()));
        assert!(is_normal("(ss)", &[&text(252)[..], b"\0\xfd"].concat()));
        assert!(!is_normal("(ss)", &[&text(252)[..], b"\0\xfd\0"].concat()));
    }
}
