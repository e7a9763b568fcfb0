//! Base64 as GLib decodes it, which key files depend on.

use zeroize::Zeroizing;

/// Decodes leniently: what is no digit is skipped, and so is an unfinished group of four at the
/// end. A `=` counts as a digit of value 0; at the third or fourth place of a group it takes a byte
/// away. The result may be a secret.
pub(super) fn decode(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // Room for all, so that no half-written copy is left behind in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 4 * 3 + 3));
    let mut group = Zeroizing::new([0_u8; 4]);
    let mut length = 0;
    for &digit in text.iter().filter(|digit| value(**digit).is_some()) {
        group[length] = digit;
        length += 1;
        if length < group.len() {
            continue;
        }
        length = 0;
        let [a, b, c, d] = group.map(|digit| value(digit).unwrap_or(0));
        bytes.push(a << 2 | b >> 4);
        if group[2] != b'=' {
            bytes.push(b << 4 | c >> 2);
        }
        if group[3] != b'=' {
            bytes.push(c << 6 | d);
        }
    }
    bytes
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        b'=' => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_as_glib_does() {
        let table: [(&str, &[u8]); 12] = [
            ("", b""),
            ("YQ==", b"a"),
            ("YWI=", b"ab"),
            ("YWJj", b"abc"),
            ("YW Jj\r\n", b"abc"),
            ("# YWJj", b"abc"),
            ("Y-W_Jj", b"abc"),
            // Without padding the last group is never finished.
            ("YWJjYQ", b"abc"),
            ("YWJjYQ=", b"abc"),
            ("YQ==YWJj", b"aabc"),
            ("====", &[0]),
            ("A=A=", &[0, 0]),
        ];
        for (text, bytes) in table {
            assert_eq!(*decode(text.as_bytes()), bytes, "{text}");
        }
    }
}
