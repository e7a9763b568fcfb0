//! Type strings.

use super::DecodeError;

/// How deep GLib lets type strings nest.
const MAX_TYPE_DEPTH: usize = 128;

/// The longest type string that is read. GLib knows no limit; ours keeps the cost of hostile types
/// in proportion.
const MAX_TYPE_LENGTH: usize = 0xffff;

/// The type of a value: one complete, definite type string that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Type<'t>(&'t str);

/// What the layout of a value depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Size of every value of the type, if they all have the same.
    pub fixed_size: Option<usize>,
    /// 1, 2, 4 or 8.
    pub alignment: usize,
    /// How many containers the type nests.
    pub depth: usize,
}

impl<'t> Type<'t> {
    /// `()`, the type of what GLib puts in place of a broken variant's content.
    pub(crate) const UNIT: Type<'static> = Type("()");

    /// Parses a text that is one type and nothing else.
    pub fn parse(text: &'t str) -> Result<Self, DecodeError> {
        match Self::parse_prefix(text)? {
            (parsed, "") => Ok(parsed),
            _ => Err(invalid(text)),
        }
    }

    /// Parses the type at the start of `text`, and returns what follows it.
    pub fn parse_prefix(text: &'t str) -> Result<(Self, &'t str), DecodeError> {
        let end = valid_end(text.as_bytes(), 0, 0).filter(|&end| end <= MAX_TYPE_LENGTH);
        let (head, rest) =
            end.and_then(|end| text.split_at_checked(end)).ok_or_else(|| invalid(text))?;
        Ok((Self(head), rest))
    }

    /// Takes a type string that was put together from checked ones.
    pub(super) fn trusted(text: &'t str) -> Self {
        Self(text)
    }

    /// The type in GVariant's notation, such as `a{sv}`.
    pub fn as_str(self) -> &'t str {
        self.0
    }

    /// The first character of the type string: `(` for tuples, `{` for dictionary entries, `a`,
    /// `m`, `v`, or a basic type.
    pub fn class(self) -> u8 {
        self.0.as_bytes().first().copied().unwrap_or(b'(')
    }

    /// Values start at a multiple of this: 1, 2, 4 or 8.
    pub fn alignment(self) -> usize {
        // A container is aligned as the widest of what it holds.
        self.0.bytes().map(alignment_of).fold(1, usize::max)
    }

    /// The size that every value of the type has, if it is the same for all.
    pub fn fixed_size(self) -> Option<usize> {
        match self.0.as_bytes() {
            [class] => basic_size(*class),
            text if text.iter().any(|&class| is_variable(class)) => None,
            _ => self.measure().fixed_size,
        }
    }

    /// Size, alignment and depth in one pass.
    pub(super) fn measure(self) -> Measure {
        measure(self.0.as_bytes()).0
    }

    /// The type of an array's elements or of what a maybe may hold; `None` for other types.
    pub fn element(self) -> Option<Type<'t>> {
        match self.class() {
            b'a' | b'm' => self.0.get(1..).map(Type),
            _ => None,
        }
    }

    /// The types of the members of a tuple or dictionary entry; none for other types.
    pub fn members(self) -> Members<'t> {
        match self.class() {
            b'(' | b'{' => {
                Members { rest: self.0.get(1..self.0.len().saturating_sub(1)).unwrap_or("") }
            }
            _ => Members { rest: "" },
        }
    }
}

impl std::fmt::Display for Type<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

/// The types of the members of a tuple or dictionary entry, see [`Type::members`].
#[derive(Clone, Debug)]
pub struct Members<'t> {
    rest: &'t str,
}

impl<'t> Members<'t> {
    /// Whether all members were taken.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

impl<'t> Iterator for Members<'t> {
    type Item = Type<'t>;

    fn next(&mut self) -> Option<Type<'t>> {
        let bytes = self.rest.as_bytes();
        let mut end = 0;
        let mut open = 0usize;
        loop {
            let class = *bytes.get(end)?;
            end += 1;
            match class {
                b'(' | b'{' => open += 1,
                b')' | b'}' => open = open.saturating_sub(1),
                b'a' | b'm' => continue,
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
        let (head, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(Type(head))
    }
}

fn invalid(text: &str) -> DecodeError {
    let shown: String = text.chars().take(200).collect();
    DecodeError::new(format!("'{shown}' is not a valid GVariant type string"))
}

/// Where the valid, definite type that starts at `at` ends.
fn valid_end(text: &[u8], mut at: usize, mut depth: usize) -> Option<usize> {
    loop {
        if depth > MAX_TYPE_DEPTH || at > MAX_TYPE_LENGTH {
            return None;
        }
        let class = *text.get(at)?;
        at += 1;
        match class {
            b'a' | b'm' => depth += 1,
            b'(' => {
                while *text.get(at)? != b')' {
                    at = valid_end(text, at, depth + 1)?;
                }
                return Some(at + 1);
            }
            b'{' => {
                if !is_basic(*text.get(at)?) {
                    return None;
                }
                at = valid_end(text, at + 1, depth + 1)?;
                return (*text.get(at)? == b'}').then_some(at + 1);
            }
            b'v' => return Some(at),
            _ => return is_basic(class).then_some(at),
        }
    }
}

fn is_basic(class: u8) -> bool {
    b"bynqiuxthdsog".contains(&class)
}

/// The size of what one character of a type string stands for, if it has one.
fn basic_size(class: u8) -> Option<usize> {
    match class {
        b'y' | b'b' => Some(1),
        b'n' | b'q' => Some(2),
        b'i' | b'u' | b'h' => Some(4),
        b'x' | b't' | b'd' => Some(8),
        _ => None,
    }
}

/// The alignment of what one character of a type string stands for.
fn alignment_of(class: u8) -> usize {
    match class {
        b'n' | b'q' => 2,
        b'i' | b'u' | b'h' => 4,
        b'x' | b't' | b'd' | b'v' => 8,
        _ => 1,
    }
}

/// Whether a character makes the size of every type it stands in vary.
fn is_variable(class: u8) -> bool {
    matches!(class, b's' | b'o' | b'g' | b'v' | b'a' | b'm')
}

/// Measures the type at the start of checked text; also says how long it is.
fn measure(text: &[u8]) -> (Measure, usize) {
    let class = text.first().copied().unwrap_or(b'(');
    let (fixed_size, alignment) = (basic_size(class), alignment_of(class));
    match class {
        b'a' | b'm' => {
            let (element, length) = measure(text.get(1..).unwrap_or_default());
            (
                Measure {
                    fixed_size: None,
                    alignment: element.alignment,
                    depth: element.depth + 1,
                },
                length + 1,
            )
        }
        b'(' | b'{' => {
            let mut at = 1;
            let mut whole = Measure { fixed_size: Some(0), alignment: 1, depth: 0 };
            while text.get(at).is_some_and(|&next| next != b')' && next != b'}') {
                let (member, length) = measure(text.get(at..).unwrap_or_default());
                whole.add_member(member);
                at += length;
            }
            whole.finish_tuple();
            (whole, at + 1)
        }
        b'v' => (Measure { fixed_size, alignment, depth: 1 }, 1),
        _ => (Measure { fixed_size, alignment, depth: 0 }, 1),
    }
}

impl Measure {
    fn add_member(&mut self, member: Measure) {
        self.fixed_size = match (self.fixed_size, member.fixed_size) {
            (Some(size), Some(more)) => Some(size.next_multiple_of(member.alignment) + more),
            _ => None,
        };
        self.alignment = self.alignment.max(member.alignment);
        self.depth = self.depth.max(member.depth);
    }

    fn finish_tuple(&mut self) {
        // The unit type takes one byte, so that arrays of it can be counted.
        self.fixed_size = self.fixed_size.map(|size| size.next_multiple_of(self.alignment).max(1));
        self.depth += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_measured_as_the_format_says() {
        let table = [
            ("y", 1, Some(1)),
            ("b", 1, Some(1)),
            ("n", 2, Some(2)),
            ("u", 4, Some(4)),
            ("t", 8, Some(8)),
            ("s", 1, None),
            ("v", 8, None),
            ("ay", 1, None),
            ("at", 8, None),
            ("mt", 8, None),
            ("()", 1, Some(1)),
            ("(yt)", 8, Some(16)),
            ("(ty)", 8, Some(16)),
            ("(y(n)y)", 2, Some(6)),
            ("{yv}", 8, None),
            ("(uuua(ayay))", 4, None),
            ("a{sv}", 8, None),
            ("(())", 1, Some(1)),
        ];
        for (text, alignment, size) in table {
            let parsed = Type::parse(text).unwrap();
            assert_eq!((parsed.alignment(), parsed.fixed_size()), (alignment, size), "{text}");
        }
    }

    #[test]
    fn only_complete_definite_types_are_accepted() {
        for text in [
            "", "a", "m", "(", "(s", ")", "ss", "*", "a?", "r", "{vs}", "{s}", "{sss}", "é", "aé",
            "(ß)",
        ] {
            let message = format!("'{text}' is not a valid GVariant type string");
            assert_eq!(Type::parse(text).unwrap_err().what, message);
        }
        assert_eq!(Type::parse_prefix("a{sv}ay"), Ok((Type("a{sv}"), "ay")));
        assert_eq!(Type::parse_prefix("sé"), Ok((Type("s"), "é")));
    }

    #[test]
    fn types_nest_128_deep_and_no_deeper() {
        let arrays = |depth| "a".repeat(depth) + "y";
        assert!(Type::parse(&arrays(128)).is_ok());
        assert!(Type::parse(&arrays(129)).is_err());
        assert!(Type::parse(&arrays(1_000_000)).is_err());
    }

    #[test]
    fn members_are_taken_apart() {
        let members: Vec<&str> = Type("(ua{s(tv)}(())may)").members().map(Type::as_str).collect();
        assert_eq!(members, ["u", "a{s(tv)}", "(())", "may"]);
        assert_eq!(Type("as").members().count(), 0);
        assert_eq!(Type("aas").element(), Some(Type("as")));
        assert_eq!(Type("s").element(), None);
    }
}
