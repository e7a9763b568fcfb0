//! XML as upstream's parser reads it, with its positions and messages.
//!
//! Nothing is expanded but the five entities of XML and character references, and nothing is
//! fetched. A document that ends too early just ends: upstream does not notice either.

use quick_xml::Reader;
use quick_xml::errors::{Error, IllFormedError};
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

use super::MetalinkError;

/// Elements in elements, at most; a metalink has five levels.
const MAX_DEPTH: usize = 1000;
const UNCLOSED_REFERENCE: &str = "did not end with a semicolon; most likely you used an ampersand \
    character without intending to start an entity — escape ampersand as &amp;";

/// One step through a document.
pub(super) enum Markup<'d> {
    /// An element begins.
    Start(Element<'d>),
    /// The innermost element ends.
    End,
    /// A part of a text; the next part, if any, follows at once.
    Text(String),
    /// A comment, an instruction or the like.
    Other,
}

/// The start of an element.
pub(super) struct Element<'d> {
    tag: BytesStart<'d>,
    /// Where upstream sees problems of the element, in bytes from the start of the document.
    position: usize,
}

/// A document, read from its start to its end.
pub(super) struct Parser<'d> {
    document: &'d str,
    reader: Reader<&'d [u8]>,
    depth: usize,
    /// Whether the element that just began has no content.
    is_empty: bool,
}

impl<'d> Parser<'d> {
    pub(super) fn new(document: &'d [u8]) -> Result<Self, MetalinkError> {
        let text = str::from_utf8(document).map_err(|error| {
            at(document, error.valid_up_to(), "Invalid UTF-8 encoded text".to_owned())
        })?;
        let parser =
            Self { document: text, reader: Reader::from_str(text), depth: 0, is_empty: false };
        match text.starts_with('\u{feff}') {
            true => Err(parser.no_element(0)),
            false => Ok(parser),
        }
    }

    /// The next step; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Markup<'d>>, MetalinkError> {
        if std::mem::take(&mut self.is_empty) {
            self.depth -= 1;
            return Ok(Some(Markup::End));
        }
        let start = self.position();
        let event = match self.reader.read_event() {
            Ok(event) => event,
            Err(Error::Syntax(_)) if self.position() == self.document.len() => return Ok(None),
            Err(error) => return Err(self.malformed(start, error)),
        };
        Ok(Some(match event {
            Event::Eof => return Ok(None),
            Event::Start(tag) => Markup::Start(self.start(start, tag)?),
            Event::Empty(tag) => {
                self.is_empty = true;
                Markup::Start(self.start(start, tag)?)
            }
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                Markup::End
            }
            Event::Text(text) => {
                let text = text.into_inner();
                let blanks = text.len() - text.trim_start_matches([' ', '\t', '\r', '\n']).len();
                if self.depth == 0 && blanks < text.len() {
                    return Err(self.no_element(start + blanks));
                }
                Markup::Text(text.into_owned())
            }
            Event::GeneralRef(_) if self.depth == 0 => return Err(self.no_element(start)),
            Event::GeneralRef(entity) => Markup::Text(
                resolve(&entity.into_inner())
                    .map_err(|what| on_line(self.document.as_bytes(), start, &what))?
                    .to_string(),
            ),
            _ => Markup::Other,
        }))
    }

    /// The values of exactly these attributes.
    pub(super) fn attributes<const N: usize>(
        &self,
        element: &Element<'d>,
        names: [&str; N],
    ) -> Result<[String; N], MetalinkError> {
        let own_name = element.name();
        let mut values = [const { None }; N];
        let mut extra = None;
        for attribute in element.tag.attributes().with_checks(false).flatten() {
            let name = attribute.key.into_inner();
            match names.iter().position(|known| *known == name) {
                Some(index) if values[index].is_none() => {
                    // It has been unescaped before.
                    values[index] = unescape(&attribute.value).ok();
                }
                Some(_) if extra.is_none() => {
                    extra = Some(format!(
                        "attribute '{name}' given multiple times for element '{own_name}'"
                    ));
                }
                None if extra.is_none() => {
                    extra = Some(format!("attribute '{name}' invalid for element '{own_name}'"));
                }
                _ => {}
            }
        }
        if let Some((name, _)) = names.iter().zip(&values).find(|(_, value)| value.is_none()) {
            let what = format!("element '{own_name}' requires attribute '{name}'");
            return Err(self.refuse(element, what));
        }
        match extra {
            Some(what) => Err(self.refuse(element, what)),
            None => Ok(values.map(Option::unwrap_or_default)),
        }
    }

    /// The error that an element is wrong.
    pub(super) fn refuse(&self, element: &Element<'d>, what: String) -> MetalinkError {
        at(self.document.as_bytes(), element.position, what)
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.buffer_position()).unwrap_or(usize::MAX)
    }

    /// Checks a tag that begins at `start` with `<`.
    fn start(&mut self, start: usize, tag: BytesStart<'d>) -> Result<Element<'d>, MetalinkError> {
        let document = self.document.as_bytes();
        let position = self.position() - usize::from(self.is_empty);
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(at(document, position, "elements are nested too deeply".to_owned()));
        }
        let name = tag.name().into_inner();
        if name.is_empty() {
            let found = self.document.get(start + 1..).and_then(|rest| rest.chars().next());
            return Err(at(
                document,
                start + 1,
                format!(
                    "“{}” is not a valid character following a “<” character; it may not begin an \
                     element name",
                    found.unwrap_or_default()
                ),
            ));
        }
        if !is_name(name) {
            let what = format!("“{name}” is not a valid name");
            return Err(at(document, start + name.len() + 2, what));
        }
        for attribute in tag.attributes().with_checks(false) {
            let attribute = attribute.map_err(|_| {
                at(document, position, format!("malformed attributes of element “{name}”"))
            })?;
            unescape(&attribute.value).map_err(|(offset, what)| {
                let value = self.offset_of(&attribute.value).unwrap_or(start);
                on_line(document, value + offset, &what)
            })?;
        }
        Ok(Element { tag, position })
    }

    /// Where a part of the document is in it.
    fn offset_of(&self, part: &str) -> Option<usize> {
        let offset = part.as_ptr().addr().checked_sub(self.document.as_ptr().addr())?;
        (offset <= self.document.len()).then_some(offset)
    }

    fn no_element(&self, position: usize) -> MetalinkError {
        let what = "Document must begin with an element (e.g. <book>)".to_owned();
        at(self.document.as_bytes(), position, what)
    }

    fn malformed(&self, start: usize, error: Error) -> MetalinkError {
        let document = self.document.as_bytes();
        let closed = |name, then| format!("Element “{name}” was closed, {then}");
        let what = match error {
            Error::IllFormed(IllFormedError::MismatchedEndTag { expected, found }) => {
                closed(found, format!("but the currently open element is “{expected}”"))
            }
            Error::IllFormed(IllFormedError::UnmatchedEndTag(found)) => {
                closed(found, "no element is currently open".to_owned())
            }
            Error::IllFormed(IllFormedError::UnclosedReference) => {
                return on_line(document, start, &format!("Entity {UNCLOSED_REFERENCE}"));
            }
            other => other.to_string(),
        };
        at(document, self.position().saturating_sub(1), what)
    }
}

impl Element<'_> {
    pub(super) fn name(&self) -> &str {
        self.tag.name().into_inner()
    }
}

fn is_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_alphabetic() || matches!(first, '_' | ':'))
        && characters.all(|other| other.is_alphanumeric() || matches!(other, '.' | '-' | '_' | ':'))
}

/// Replaces the entities in the value of an attribute; the error has its offset in it.
fn unescape(raw: &str) -> Result<String, (usize, String)> {
    let mut text = String::new();
    let mut rest = raw;
    while let Some(ampersand) = rest.find('&') {
        text.push_str(&rest[..ampersand]);
        let offset = raw.len() - rest.len() + ampersand;
        let (entity, behind) = rest[ampersand + 1..]
            .split_once(';')
            .ok_or_else(|| (offset, format!("Entity {UNCLOSED_REFERENCE}")))?;
        text.push(resolve(entity).map_err(|what| (offset, what))?);
        rest = behind;
    }
    text.push_str(rest);
    Ok(text)
}

/// What an entity or a character reference, given without `&` and `;`, stands for.
fn resolve(entity: &str) -> Result<char, String> {
    if let Some(number) = entity.strip_prefix('#') {
        let (digits, radix) = match number.strip_prefix('x') {
            Some(digits) => (digits, 16),
            None => (number, 10),
        };
        if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
            return Err(format!("Character reference {UNCLOSED_REFERENCE}"));
        }
        let character = u32::from_str_radix(digits, radix).ok().and_then(char::from_u32);
        return character
            .filter(|character| !matches!(character, '\0' | '\u{fffe}' | '\u{ffff}'))
            .ok_or_else(|| {
                format!("Character reference “{digits}” does not encode a permitted character")
            });
    }
    if entity.is_empty() {
        let known = "&amp; &quot; &lt; &gt; &apos;";
        return Err(format!("Empty entity “&;” seen; valid entities are: {known}"));
    }
    if !is_name(entity) {
        return Err(format!("Entity {UNCLOSED_REFERENCE}"));
    }
    let known = resolve_xml_entity(entity).and_then(|known| known.chars().next());
    known.ok_or_else(|| format!("Entity name “{entity}” is not known"))
}

fn at(document: &[u8], position: usize, what: String) -> MetalinkError {
    let (line, char) = place(document, position);
    MetalinkError::Invalid(format!("Error on line {line} char {char}: {what}"))
}

fn on_line(document: &[u8], position: usize, what: &str) -> MetalinkError {
    let (line, _) = place(document, position);
    MetalinkError::Invalid(format!("Error on line {line}: {what}"))
}

/// Line and character of a position as upstream counts them: a line feed is the first character of
/// the line that it begins, and one at the very start of the document begins none.
fn place(document: &[u8], position: usize) -> (usize, usize) {
    let position = position.min(document.len());
    let seen = &document[..document.len().min(position + 1)];
    let is_line_feed = |&(offset, byte): &(usize, &u8)| offset > 0 && *byte == b'\n';
    let line_feeds = seen.iter().enumerate().filter(is_line_feed);
    let (count, last) = line_feeds.fold((0, 0), |(count, _), (offset, _)| (count + 1, offset));
    let is_start = |byte: &&u8| **byte & 0xc0 != 0x80;
    (count + 1, document[last..position].iter().filter(is_start).count() + 1)
}
