//! Numbers in text form, read as C's `strtoull` and `strtod` read them.

use super::Span;
use crate::gvariant::{DecodeError, Value};

/// Whether a number is a double when nothing else says what it is.
pub(super) fn reads_as_double(written: &str) -> bool {
    let has_exponent = written.contains('e') && !written.starts_with("0x");
    written.contains('.') || has_exponent || written.contains("inf") || written.contains("nan")
}

/// The value of a number as a type of the class, or none if that is not numeric; the number must be
/// one all the same.
pub(super) fn value(written: &str, class: u8, span: Span) -> Result<Option<Value>, DecodeError> {
    if class == b'd' {
        return double(written, span).map(|number| Some(Value::double(number)));
    }
    let (negative, digits) = match written.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, written),
    };
    let read = unsigned(digits);
    let Some(magnitude) = read.value else {
        return Err(span.error("integer too big for any type"));
    };
    check_end(span, written, written.len() - digits.len() + read.length)?;
    let number = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    if !b"ynqiuxth".contains(&class) {
        return Ok(None);
    }
    match integer(number, class) {
        Some(value) => Ok(Some(value)),
        None => Err(span.error(&format!("number out of range for type '{}'", char::from(class)))),
    }
}

fn integer(number: i128, class: u8) -> Option<Value> {
    Some(match class {
        b'y' => Value::byte(number.try_into().ok()?),
        b'n' => Value::int16(number.try_into().ok()?),
        b'q' => Value::uint16(number.try_into().ok()?),
        b'i' => Value::int32(number.try_into().ok()?),
        b'u' => Value::uint32(number.try_into().ok()?),
        b'x' => Value::int64(number.try_into().ok()?),
        b't' => Value::uint64(number.try_into().ok()?),
        _ => Value::handle(number.try_into().ok()?),
    })
}

/// Requires that a number was read to its end.
fn check_end(span: Span, written: &str, read: usize) -> Result<(), DecodeError> {
    if read == written.len() {
        return Ok(());
    }
    let start = span.start + read;
    Err(Span { start, end: start + 1 }.error("invalid character in number"))
}

/// How much of a text is a number, and which; none if it does not fit.
struct Read<T> {
    value: Option<T>,
    length: usize,
}

/// What `strtoull` reads with base 0: a sign, `0x` or `0` before the digits. A minus wraps around.
fn unsigned(text: &str) -> Read<u64> {
    let signed = text.starts_with(['+', '-']);
    let body = text.get(usize::from(signed)..).unwrap_or_default();
    let hexadecimal = body.strip_prefix("0x").or(body.strip_prefix("0X"));
    let (radix, digits) = match hexadecimal {
        Some(digits) if digits.starts_with(|digit: char| digit.is_ascii_hexdigit()) => (16, digits),
        _ if body.starts_with('0') => (8, body),
        _ => (10, body),
    };
    let count = digits.bytes().take_while(|&digit| char::from(digit).is_digit(radix)).count();
    if count == 0 {
        return Read { value: Some(0), length: 0 };
    }
    let value = digits.get(..count).and_then(|digits| u64::from_str_radix(digits, radix).ok());
    let value = if text.starts_with('-') { value.map(u64::wrapping_neg) } else { value };
    Read { value, length: text.len() - digits.len() + count }
}

fn double(written: &str, span: Span) -> Result<f64, DecodeError> {
    let signed = usize::from(written.starts_with(['+', '-']));
    let body = written.get(signed..).unwrap_or_default();
    let read = special(body).or_else(|| hexadecimal(body)).unwrap_or_else(|| decimal(body));
    let length = if read.length == 0 { 0 } else { signed + read.length };
    let Some(magnitude) = read.value else {
        return Err(span.error("number too big for any type"));
    };
    check_end(span, written, length)?;
    Ok(if written.starts_with('-') { -magnitude } else { magnitude })
}

fn special(body: &str) -> Option<Read<f64>> {
    let (value, length) = if body.starts_with("infinity") {
        (f64::INFINITY, 8)
    } else if body.starts_with("inf") {
        (f64::INFINITY, 3)
    } else if body.starts_with("nan") {
        (f64::NAN, 3)
    } else {
        return None;
    };
    Some(Read { value: Some(value), length })
}

/// The length of the digits at the start.
fn digits(text: &str, radix: u32) -> usize {
    text.bytes().take_while(|&digit| char::from(digit).is_digit(radix)).count()
}

/// The length of `DIGITS[.DIGITS]` at the start; 0 without any digit.
fn mantissa(text: &str, radix: u32) -> usize {
    let whole = digits(text, radix);
    match text.get(whole..).and_then(|rest| rest.strip_prefix('.')) {
        Some(fraction) => match digits(fraction, radix) {
            0 if whole == 0 => 0,
            count => whole + 1 + count,
        },
        None => whole,
    }
}

/// The length of `e[+-]DIGITS` at the start; 0 where the exponent is not complete.
fn exponent(text: &str, letters: [char; 2]) -> usize {
    let Some(rest) = text.strip_prefix(letters) else { return 0 };
    let sign = usize::from(rest.starts_with(['+', '-']));
    match digits(rest.get(sign..).unwrap_or_default(), 10) {
        0 => 0,
        count => 1 + sign + count,
    }
}

fn decimal(body: &str) -> Read<f64> {
    let length = mantissa(body, 10);
    if length == 0 {
        return Read { value: Some(0.0), length: 0 };
    }
    let length = length + exponent(body.get(length..).unwrap_or_default(), ['e', 'E']);
    let value = body.get(..length).and_then(|number| number.parse().ok());
    Read { value: value.and_then(representable), length }
}

/// `0x` and hexadecimal digits, with a point and an exponent of two if need be.
fn hexadecimal(body: &str) -> Option<Read<f64>> {
    let digits = body.strip_prefix("0x").or(body.strip_prefix("0X"))?;
    let length = mantissa(digits, 16);
    if length == 0 {
        return None;
    }
    let exponent_length = exponent(digits.get(length..)?, ['p', 'P']);
    let mut power: i64 = match digits.get(length + 1..length + exponent_length) {
        Some(power) => power.parse().unwrap_or(if power.starts_with('-') {
            i64::from(i32::MIN)
        } else {
            i64::from(i32::MAX)
        }),
        None => 0,
    };
    let mut bits = 0_u64;
    let mut after_point = false;
    for digit in digits.get(..length)?.chars() {
        let Some(digit) = digit.to_digit(16) else {
            after_point = true;
            continue;
        };
        if bits >> 59 == 0 {
            bits = bits << 4 | u64::from(digit);
            power -= if after_point { 4 } else { 0 };
        } else {
            // What no longer fits only decides how to round.
            bits |= u64::from(digit != 0);
            power += if after_point { 0 } else { 4 };
        }
    }
    let power = power.clamp(-4000, 4000) as i32;
    // In two steps, each of which has a power of two that is a double.
    let value = bits as f64 * f64::powi(2.0, power / 2) * f64::powi(2.0, power - power / 2);
    let value = if bits == 0 { Some(0.0) } else { representable(value) };
    Some(Read { value, length: 2 + length + exponent_length })
}

/// Refuses what `strtod` calls out of range, except a result of zero, which GLib lets pass.
fn representable(value: f64) -> Option<f64> {
    (value.is_finite() && !value.is_subnormal()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{double, unsigned};
    use crate::gvariant::text::Span;

    fn read(written: &str) -> Result<f64, String> {
        double(written, Span { start: 0, end: written.len() }).map_err(|error| error.what)
    }

    #[test]
    fn hexadecimal_doubles_have_points_and_powers_of_two() {
        for (written, value) in
            [("0x1.8", 1.5), ("-0x1.8p3", -12.0), ("0x.8", 0.5), ("0xff.8", 255.5), ("0x0.0", 0.0)]
        {
            assert_eq!(read(written), Ok(value), "{written}");
        }
        assert_eq!(read("0x1.p"), Err("4-5:invalid character in number".to_owned()));
    }

    #[test]
    fn doubles_that_lose_their_size_are_too_big_for_any_type() {
        for written in ["1e400", "-1e400", "1e-310", "5e-324"] {
            let length = written.len();
            assert_eq!(
                read(written),
                Err(format!("0-{length}:number too big for any type")),
                "{written}"
            );
        }
        assert_eq!(read("1e-400"), Ok(0.0));
    }

    #[test]
    fn integers_are_read_as_far_as_their_base_goes() {
        for (text, value, length) in
            [("08", 0, 1), ("0x", 0, 1), ("0x1g", 1, 3), ("17a", 17, 2), ("-1", u64::MAX, 2)]
        {
            let read = unsigned(text);
            assert_eq!((read.value, read.length), (Some(value), length), "{text}");
        }
        assert_eq!(unsigned("18446744073709551616").value, None);
    }
}
