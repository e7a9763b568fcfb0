//! Sizes and shares for people; sizes as GLib writes them.

/// Writes a number of bytes in decimal units: `1 byte`, `118 bytes` with a space; `1.0 kB` and
/// larger units with one decimal and a no-break space (U+00A0), which is what `g_format_size`
/// gives.
pub fn format_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    match bytes {
        1 => return "1 byte".to_owned(),
        0..1000 => return format!("{bytes} bytes"),
        _ => {}
    }
    let mut unit = 1000u64;
    let mut names = UNITS.iter();
    let mut name = names.next().expect("the list of units is not empty");
    for next in names {
        if bytes / unit < 1000 {
            break;
        }
        unit = unit.saturating_mul(1000);
        name = next;
    }
    format!("{:.1}\u{a0}{name}", bytes as f64 / unit as f64)
}

/// How many hundredths of the whole a part is, rounded up.
pub fn percent(part: u64, whole: u64) -> u64 {
    let percent = (u128::from(part) * 100).div_ceil(u128::from(whole.max(1)));
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hundredths_are_rounded_up() {
        let cases = [(0, 7, 0), (1, 1000, 1), (50, 100, 50), (7, 3, 234), (5, 0, 500)];
        for (part, whole, expected) in cases {
            assert_eq!(percent(part, whole), expected);
        }
        assert_eq!(percent(u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn sizes_are_written_as_glib_writes_them() {
        let cases = [
            (0, "0 bytes"),
            (1, "1 byte"),
            (999, "999 bytes"),
            (1000, "1.0\u{a0}kB"),
            (999_949, "999.9\u{a0}kB"),
            (1_000_000, "1.0\u{a0}MB"),
            (123_456_789, "123.5\u{a0}MB"),
            (5_000_000_000, "5.0\u{a0}GB"),
            (u64::MAX, "18.4\u{a0}EB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(format_size(bytes), text);
        }
    }
}
