//! Text to a tree of syntax; no types yet.

use super::Span;
use crate::gvariant::{DecodeError, Type};

/// How deep values may be nested, as in GLib.
const MAX_DEPTH: usize = 128;

/// One value as written.
pub(super) struct Node<'t> {
    pub(super) span: Span,
    pub(super) kind: Kind<'t>,
}

pub(super) enum Kind<'t> {
    Array(Vec<Node<'t>>),
    /// `{1: 2, 3: 4}`
    Dictionary(Vec<(Node<'t>, Node<'t>)>),
    /// `{1, 2}`
    Entry(Box<(Node<'t>, Node<'t>)>),
    Tuple(Vec<Node<'t>>),
    Variant(Box<Node<'t>>),
    Maybe(Option<Box<Node<'t>>>),
    Boolean(bool),
    /// As written; what it means depends on its type.
    Number(&'t str),
    Text(String),
    /// Without the NUL that ends it in its serialised form.
    ByteString(Vec<u8>),
    /// `@type value` and `keyword value`; the type is valid and definite.
    Typed(&'t str, Box<Node<'t>>),
}

/// Reads the text from left to right.
pub(super) struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Requires that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(Span::error_at(self.at, "expected end of input")),
        }
    }

    /// Reads one value.
    pub(super) fn value(&mut self) -> Result<Node<'t>, DecodeError> {
        let first = self.peek();
        if self.depth == MAX_DEPTH {
            return Err(Span::error_at(self.at, "variant nested too deeply"));
        }
        self.depth += 1;
        let start = self.at;
        let kind = match first {
            Some(b'[') => self.array(),
            Some(b'(') => self.tuple(),
            Some(b'<') => self.variant(),
            Some(b'{') => self.dictionary(),
            Some(b'@') => self.declared(),
            Some(b'\'' | b'"') => self.string(),
            Some(b'0'..=b'9' | b'-' | b'+' | b'.') => Ok(Kind::Number(
                self.word(|byte| byte.is_ascii_alphanumeric() || b"-+.".contains(&byte)),
            )),
            Some(b'a'..=b'z') => self.keyword(),
            _ => Err(self.expected_value()),
        }?;
        self.depth -= 1;
        Ok(Node { span: Span { start, end: self.at }, kind })
    }

    fn expected_value(&self) -> DecodeError {
        Span::error_at(self.at, "expected value")
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// The next byte that is not white space, which is skipped.
    fn peek(&mut self) -> Option<u8> {
        while self.byte(0).is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
        self.byte(0)
    }

    /// Goes past the given byte if it comes next.
    fn consume(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += 1;
        }
        found
    }

    fn require(&mut self, wanted: u8, otherwise: &str) -> Result<(), DecodeError> {
        if self.consume(wanted) { Ok(()) } else { Err(Span::error_at(self.at, otherwise)) }
    }

    /// Reads while `belongs`, which must accept ASCII only.
    fn word(&mut self, belongs: impl Fn(u8) -> bool) -> &'t str {
        let start = self.at;
        while self.byte(0).is_some_and(&belongs) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or_default()
    }

    fn array(&mut self) -> Result<Kind<'t>, DecodeError> {
        self.at += 1;
        let mut elements = Vec::new();
        if self.consume(b']') {
            return Ok(Kind::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.consume(b']') {
                return Ok(Kind::Array(elements));
            }
            self.require(b',', "expected ',' or ']' to follow array element")?;
        }
    }

    /// A tuple of one has a comma after its member, the others have none after the last.
    fn tuple(&mut self) -> Result<Kind<'t>, DecodeError> {
        self.at += 1;
        let mut members = Vec::new();
        if self.consume(b')') {
            return Ok(Kind::Tuple(members));
        }
        members.push(self.value()?);
        self.require(b',', "expected ',' after first tuple element")?;
        if self.consume(b')') {
            return Ok(Kind::Tuple(members));
        }
        loop {
            members.push(self.value()?);
            if self.consume(b')') {
                return Ok(Kind::Tuple(members));
            }
            self.require(b',', "expected ',' or ')' to follow tuple element")?;
        }
    }

    fn variant(&mut self) -> Result<Kind<'t>, DecodeError> {
        self.at += 1;
        let child = self.value()?;
        self.require(b'>', "expected '>' to follow variant value")?;
        Ok(Kind::Variant(Box::new(child)))
    }

    fn dictionary(&mut self) -> Result<Kind<'t>, DecodeError> {
        self.at += 1;
        let mut entries = Vec::new();
        if self.consume(b'}') {
            return Ok(Kind::Dictionary(entries));
        }
        let key = self.value()?;
        if self.consume(b',') {
            let value = self.value()?;
            self.require(b'}', "expected '}' at end of dictionary entry")?;
            return Ok(Kind::Entry(Box::new((key, value))));
        }
        self.require(b':', "expected ':' or ',' to follow dictionary entry key")?;
        entries.push((key, self.value()?));
        while !self.consume(b'}') {
            self.require(b',', "expected ',' or '}' to follow dictionary entry")?;
            let key = self.value()?;
            self.require(b':', "expected ':' to follow dictionary entry key")?;
            entries.push((key, self.value()?));
        }
        Ok(Kind::Dictionary(entries))
    }

    /// `@type value`
    fn declared(&mut self) -> Result<Kind<'t>, DecodeError> {
        let start = self.at;
        self.at += 1;
        self.type_token();
        let span = Span { start, end: self.at };
        let written = self.text.get(start + 1..self.at).unwrap_or_default();
        check_declaration(written, self.depth - 1).map_err(|what| span.error(what))?;
        Ok(Kind::Typed(written, Box::new(self.value()?)))
    }

    /// Goes to the end of a type: white space, punctuation that may follow a value, or a bracket
    /// that it did not open.
    fn type_token(&mut self) {
        let mut open = 0_usize;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'(' | b'{' => open += 1,
                b')' | b'}' => match open.checked_sub(1) {
                    Some(left) => open = left,
                    None => return,
                },
                b',' | b':' | b'>' | b']' => return,
                _ if byte.is_ascii_whitespace() => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    /// A word that is a value, a maybe or the type of the value that follows.
    fn keyword(&mut self) -> Result<Kind<'t>, DecodeError> {
        if self.byte(0) == Some(b'b') && matches!(self.byte(1), Some(b'\'' | b'"')) {
            self.at += 1;
            return self.bytestring();
        }
        // One letter is no word to GLib, unless it is the first of `just` or `nothing`.
        let begins_maybe = matches!(self.byte(0), Some(b'j' | b'n'));
        if !begins_maybe && !self.byte(1).is_some_and(|byte| byte.is_ascii_alphabetic()) {
            return Err(self.expected_value());
        }
        let start = self.at;
        let word = self.word(|byte| byte.is_ascii_alphanumeric());
        let declared = match word {
            "true" => return Ok(Kind::Boolean(true)),
            "false" => return Ok(Kind::Boolean(false)),
            "inf" | "nan" => return Ok(Kind::Number(word)),
            "nothing" => return Ok(Kind::Maybe(None)),
            "just" => return Ok(Kind::Maybe(Some(Box::new(self.value()?)))),
            "boolean" => "b",
            "byte" => "y",
            "int16" => "n",
            "uint16" => "q",
            "int32" => "i",
            "handle" => "h",
            "uint32" => "u",
            "int64" => "x",
            "uint64" => "t",
            "double" => "d",
            "string" => "s",
            "objectpath" => "o",
            "signature" => "g",
            _ => return Err(Span { start, end: self.at }.error("unknown keyword")),
        };
        Ok(Kind::Typed(declared, Box::new(self.value()?)))
    }

    /// The characters of a string up to its closing quote, told what a backslash and what follows
    /// it mean.
    fn quoted(
        &mut self,
        start: usize,
        mut take: impl FnMut(&mut Self, Piece) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        let quote = self.byte(0).map(char::from);
        self.at += 1;
        let mut characters = self.text.get(self.at..).unwrap_or_default().chars();
        while let Some(character) = characters.next() {
            self.at += character.len_utf8();
            if Some(character) == quote {
                return Ok(());
            }
            match character {
                '\0' => break,
                '\\' => match characters.next() {
                    None => break,
                    Some(escaped) => {
                        self.at += escaped.len_utf8();
                        take(self, Piece::Escaped(escaped))?;
                        characters = self.text.get(self.at..).unwrap_or_default().chars();
                    }
                },
                _ => take(self, Piece::Plain(character))?,
            }
        }
        let end = self.at;
        Err(Span { start, end }.error("unterminated string constant"))
    }

    fn string(&mut self) -> Result<Kind<'t>, DecodeError> {
        let mut string = String::new();
        self.quoted(self.at, |parser, piece| {
            match piece {
                Piece::Plain(character) => string.push(character),
                Piece::Escaped('\n') => {}
                Piece::Escaped('u') => string.push(parser.unicode_escape(4)?),
                Piece::Escaped('U') => string.push(parser.unicode_escape(8)?),
                Piece::Escaped(character) => {
                    string.push(control(character).map_or(character, char::from))
                }
            }
            Ok(())
        })?;
        Ok(Kind::Text(string))
    }

    /// The character whose code stands next in the given number of hexadecimal digits.
    fn unicode_escape(&mut self, digits: usize) -> Result<char, DecodeError> {
        let start = self.at;
        while self.at < start + digits && self.byte(0).is_some_and(|byte| byte.is_ascii_hexdigit())
        {
            self.at += 1;
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        let code =
            if written.len() == digits { u32::from_str_radix(written, 16).ok() } else { None };
        code.filter(|&code| code != 0).and_then(char::from_u32).ok_or_else(|| {
            Span { start, end: self.at }
                .error(&format!("invalid {digits}-character unicode escape"))
        })
    }

    /// Ends, like any C string, at the first NUL that is written in it.
    fn bytestring(&mut self) -> Result<Kind<'t>, DecodeError> {
        let mut string = Vec::new();
        self.quoted(self.at - 1, |parser, piece| {
            match piece {
                Piece::Plain(character) => push_utf8(&mut string, character),
                Piece::Escaped('\n') => {}
                Piece::Escaped(digit @ '0'..='7') => string.push(parser.octal_escape(digit)),
                Piece::Escaped(character) => match control(character) {
                    Some(byte) => string.push(byte),
                    None => push_utf8(&mut string, character),
                },
            }
            Ok(())
        })?;
        if let Some(nul) = string.iter().position(|&byte| byte == 0) {
            string.truncate(nul);
        }
        Ok(Kind::ByteString(string))
    }

    /// A byte of up to three octal digits, the first of which has been read; what does not fit is
    /// cut off.
    fn octal_escape(&mut self, first: char) -> u8 {
        let mut code = first.to_digit(8).unwrap_or_default();
        for _ in 0..2 {
            let Some(digit @ b'0'..=b'7') = self.byte(0) else { break };
            code = code * 8 + u32::from(digit - b'0');
            self.at += 1;
        }
        (code & 0xff) as u8
    }
}

/// One character of a string constant.
enum Piece {
    Plain(char),
    /// What follows a backslash.
    Escaped(char),
}

/// What the one-letter escapes stand for.
fn control(escaped: char) -> Option<u8> {
    Some(match escaped {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        _ => return None,
    })
}

fn push_utf8(bytes: &mut Vec<u8>, character: char) {
    bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Requires a valid and definite type that does not nest too deeply with the values around it.
fn check_declaration(written: &str, around: usize) -> Result<(), &'static str> {
    // An indefinite type is valid where the definite one of the same kind is: `?` is basic, `*` and
    // `r` are not.
    let definite: String = written
        .chars()
        .map(|character| match character {
            '?' => 'i',
            '*' | 'r' => 'v',
            _ => character,
        })
        .collect();
    if Type::parse(&definite).is_err() {
        return Err("invalid type declaration");
    }
    if definite != written {
        return Err("type declarations must be definite");
    }
    let levels = Type::parse(written).map_or(0, levels);
    if around + levels > MAX_DEPTH { Err("type declaration recurses too deeply") } else { Ok(()) }
}

/// How deep a type is nested, one without members counting as one level. No type is deep enough to
/// exhaust the stack.
fn levels(ty: Type<'_>) -> usize {
    1 + ty.element().into_iter().chain(ty.members()).map(levels).max().unwrap_or_default()
}
