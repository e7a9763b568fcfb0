//! Sizes, shares and durations for people; sizes as GLib writes them.

use std::time::Duration;

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

/// Reads a number with its unit: `90s`, `30m`, `4h`, `2d`, `12w`. `None` for anything else, for
/// nothing, and for more than a century, so that adding it to the clock does not overflow.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (unit_at, unit) = text.char_indices().next_back()?;
    let seconds_each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        _ => return None,
    };
    let number = &text[..unit_at];
    // No sign and no blank.
    let number: u64 = match number.bytes().all(|byte| byte.is_ascii_digit()) {
        true => number.parse().ok()?,
        false => return None,
    };
    let seconds = number.checked_mul(seconds_each)?;
    (1..=100 * 366 * 86_400).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_one_unit() {
        for (text, seconds) in
            [("90s", 90), ("30m", 1800), ("4h", 14_400), ("2d", 172_800), ("12w", 7_257_600)]
        {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "4",
            "h",
            "0s",
            "-1s",
            "+1s",
            "4 h",
            "1h30m",
            "4é",
            "99999999999999999999d",
            "99999d",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

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
