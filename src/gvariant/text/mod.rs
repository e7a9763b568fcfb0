//! The text format of GVariant values: what `show --raw` prints and `--add-metadata` reads.
//!
//! ```text
//! {'k': <uint32 42>, 'v': <'text'>}    ('a', 1, true)    [byte 0x01, 0x02]    b'bytes'    @as []    @ms nothing
//! ```
//!
//! The language and the texts of its errors are GLib's ("GVariant Text Format" in its manual); what
//! the manual leaves open was asked of the real library, see `tests/suite/variant_text`.

mod build;
mod number;
mod parse;
mod pattern;
mod print;

pub use print::{Annotate, print};

use super::{DecodeError, Type, Value};

/// Reads one value in text form.
///
/// With a type the text must be a value of it; without one the type is inferred, as GLib does, and
/// must be unambiguous (`[]` is not). Errors carry GLib's words with the byte range they are about
/// (`0-3:unknown keyword`).
pub fn parse(type_hint: Option<Type<'_>>, text: &str) -> Result<Value, DecodeError> {
    let mut parser = parse::Parser::new(text);
    let node = parser.value()?;
    let value = match type_hint {
        Some(hint) => build::as_type(&node, hint)?,
        None => build::inferred(&node)?,
    };
    parser.end()?;
    Ok(value)
}

/// Where in the text something stands, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// The error for this range.
    fn error(self, what: &str) -> DecodeError {
        let what = if self.end > self.start {
            format!("{}-{}:{what}", self.start, self.end)
        } else {
            format!("{}:{what}", self.start)
        };
        DecodeError { what, offset: Some(self.start) }
    }

    /// The error for one place.
    fn error_at(at: usize, what: &str) -> DecodeError {
        Self { start: at, end: at }.error(what)
    }
}
