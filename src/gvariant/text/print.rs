//! Values to text.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::gvariant::Variant;

/// Whether the text names every type that cannot be inferred from the value alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Annotate {
    /// `uint32 42`, `@as []`: the text can be parsed back to the same value.
    Yes,
    /// `42`, `[]`.
    No,
}

/// How deep variants may be nested in each other, as in GLib; what lies deeper prints as `()`.
const MAX_DEPTH: usize = 128;

/// Prints a value as GLib's `g_variant_print` does.
pub fn print(value: Variant<'_>, annotate: Annotate) -> String {
    let mut text = String::new();
    print_value(&mut text, value, annotate, 0);
    text
}

fn print_value(text: &mut String, value: Variant<'_>, annotate: Annotate, depth: usize) {
    if depth > MAX_DEPTH {
        text.push_str("()");
        return;
    }
    match value.ty().class() {
        b'b' => text.push_str(if value.as_bool() == Some(true) { "true" } else { "false" }),
        b'y' => print_number(
            text,
            "byte ",
            annotate,
            format_args!("0x{:02x}", value.as_byte().unwrap_or_default()),
        ),
        b'n' => print_number(text, "int16 ", annotate, value.as_i16().unwrap_or_default()),
        b'q' => print_number(text, "uint16 ", annotate, value.as_u16().unwrap_or_default()),
        b'i' => print_number(text, "", annotate, value.as_i32().unwrap_or_default()),
        b'u' => print_number(text, "uint32 ", annotate, value.as_u32().unwrap_or_default()),
        b'x' => print_number(text, "int64 ", annotate, value.as_i64().unwrap_or_default()),
        b't' => print_number(text, "uint64 ", annotate, value.as_u64().unwrap_or_default()),
        b'h' => print_number(text, "handle ", annotate, value.as_i32().unwrap_or_default()),
        b'd' => text.push_str(&double(value.as_f64().unwrap_or_default())),
        b's' => print_string(text, value.as_str().unwrap_or_default()),
        b'o' => {
            annotation(text, "objectpath ", annotate);
            print_string(text, value.as_str().unwrap_or_default());
        }
        b'g' => {
            annotation(text, "signature ", annotate);
            print_string(text, value.as_str().unwrap_or_default());
        }
        b'v' => {
            text.push('<');
            match value.as_variant() {
                Some(child) => print_value(text, child, Annotate::Yes, depth + 1),
                None => text.push_str("()"),
            }
            text.push('>');
        }
        b'm' => {
            type_annotation(text, value, annotate);
            print_maybe(text, value, depth);
        }
        b'a' => print_array(text, value, annotate, depth),
        b'(' => print_tuple(text, value, annotate, depth),
        _ => print_entry(text, value, annotate, depth),
    }
}

fn annotation(text: &mut String, keyword: &str, annotate: Annotate) {
    if annotate == Annotate::Yes {
        text.push_str(keyword);
    }
}

fn type_annotation(text: &mut String, value: Variant<'_>, annotate: Annotate) {
    if annotate == Annotate::Yes {
        let _ = write!(text, "@{} ", value.ty().as_str());
    }
}

fn print_number(
    text: &mut String,
    keyword: &str,
    annotate: Annotate,
    number: impl std::fmt::Display,
) {
    annotation(text, keyword, annotate);
    let _ = write!(text, "{number}");
}

/// `just` is only written where it is needed: before a `nothing` that is not the outermost maybe's.
fn print_maybe(text: &mut String, value: Variant<'_>, depth: usize) {
    let mut justs = 0;
    let mut inner = value;
    while inner.ty().class() == b'm' {
        match inner.as_maybe().flatten() {
            Some(child) => inner = child,
            None => {
                for _ in 0..justs {
                    text.push_str("just ");
                }
                text.push_str("nothing");
                return;
            }
        }
        justs += 1;
    }
    print_value(text, inner, Annotate::No, depth + 1);
}

fn print_array(text: &mut String, value: Variant<'_>, annotate: Annotate, depth: usize) {
    let element = value.ty().element().map_or(0, |element| element.class());
    if element == b'y'
        && let Some(string) = value.as_bytes().and_then(as_bytestring)
    {
        return print_bytestring(text, string);
    }
    let (open, close) = if element == b'{' { ('{', '}') } else { ('[', ']') };
    if value.is_empty() {
        type_annotation(text, value, annotate);
    }
    text.push(open);
    let mut annotate = annotate;
    for (index, child) in value.children().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        if element == b'{' {
            print_entry_body(text, child, annotate, ": ", depth);
        } else {
            print_value(text, child, annotate, depth + 1);
        }
        // The first element's type is every element's.
        annotate = Annotate::No;
    }
    text.push(close);
}

fn print_tuple(text: &mut String, value: Variant<'_>, annotate: Annotate, depth: usize) {
    text.push('(');
    for (index, child) in value.children().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        print_value(text, child, annotate, depth + 1);
    }
    text.push_str(if value.len() == 1 { ",)" } else { ")" });
}

fn print_entry(text: &mut String, value: Variant<'_>, annotate: Annotate, depth: usize) {
    text.push('{');
    print_entry_body(text, value, annotate, ", ", depth);
    text.push('}');
}

fn print_entry_body(
    text: &mut String,
    value: Variant<'_>,
    annotate: Annotate,
    separator: &str,
    depth: usize,
) {
    for (index, child) in value.children().enumerate() {
        if index > 0 {
            text.push_str(separator);
        }
        print_value(text, child, annotate, depth + 1);
    }
}

/// The bytes before the final NUL, if that is the only one.
fn as_bytestring(bytes: &[u8]) -> Option<&[u8]> {
    let (last, string) = bytes.split_last()?;
    (*last == 0 && !string.contains(&0)).then_some(string)
}

fn print_bytestring(text: &mut String, string: &[u8]) {
    let quote = if string.contains(&b'\'') { '"' } else { '\'' };
    text.push('b');
    text.push(quote);
    for &byte in string {
        match byte {
            0x08 => text.push_str("\\b"),
            0x0c => text.push_str("\\f"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x0b => text.push_str("\\v"),
            // The double quote is escaped inside single quotes too.
            b'\\' | b'"' => text.extend(['\\', char::from(byte)]),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:03o}");
            }
        }
    }
    text.push(quote);
}

fn print_string(text: &mut String, string: &str) {
    let quote = if string.contains('\'') { '"' } else { '\'' };
    text.push(quote);
    for character in string.chars() {
        match character {
            '\x07' => text.push_str("\\a"),
            '\x08' => text.push_str("\\b"),
            '\x0c' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\x0b' => text.push_str("\\v"),
            '\\' => text.push_str("\\\\"),
            _ if character == quote => text.extend(['\\', quote]),
            _ if is_printable(character) => text.push(character),
            _ => {
                let code = u32::from(character);
                let _ = if code < 0x10000 {
                    write!(text, "\\u{code:04x}")
                } else {
                    write!(text, "\\U{code:08x}")
                };
            }
        }
    }
    text.push(quote);
}

/// Whether GLib prints the character itself: all but control, format, surrogate and unassigned
/// ones.
fn is_printable(character: char) -> bool {
    static UNPRINTABLE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^[\p{Cc}\p{Cf}\p{Cn}]").expect("the pattern is constant and valid")
    });
    match character {
        ' '..='~' => true,
        '\0'..='\u{9f}' => false,
        _ => !UNPRINTABLE.is_match(character.encode_utf8(&mut [0; 4])),
    }
}

/// C's `%.17g`, with `.0` appended to what would otherwise read as an integer.
fn double(number: f64) -> String {
    const PRECISION: i32 = 17;
    if number.is_nan() {
        return String::from(if number.is_sign_negative() { "-nan" } else { "nan" });
    }
    if number.is_infinite() {
        return String::from(if number.is_sign_negative() { "-inf" } else { "inf" });
    }
    let scientific = format!("{number:.16e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..PRECISION).contains(&exponent) {
        let decimals = usize::try_from(PRECISION - 1 - exponent).unwrap_or_default();
        let fixed = format!("{number:.decimals$}");
        let short = if fixed.contains('.') {
            fixed.trim_end_matches('0').trim_end_matches('.')
        } else {
            &fixed
        };
        return if short.contains('.') { short.to_owned() } else { format!("{short}.0") };
    }
    let digits = digits.trim_end_matches('0').trim_end_matches('.');
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::double;

    #[test]
    fn doubles_print_as_c_prints_seventeen_significant_digits() {
        for (number, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (0.1, "0.10000000000000001"),
            (-2.5, "-2.5"),
            (1e-4, "0.0001"),
            (1e-5, "1.0000000000000001e-05"),
            (1e16, "10000000000000000.0"),
            (1e17, "1e+17"),
            (1e23, "9.9999999999999992e+22"),
            (123_456_789_012_345_678.0, "1.2345678901234568e+17"),
            (5e-324, "4.9406564584124654e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(double(number), text);
        }
    }
}
