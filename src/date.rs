//! Dates: the language of `--timestamp` and `--keep-younger-than`, and how upstream prints them.
//!
//! The language is that of gnulib's parse-datetime (`3 days ago`, `2024-01-02 03:04 CET`,
//! `@1700000000`; its manual calls it "date input formats"). The crate `parse_datetime` reads
//! nearly all of it; what stands before it here is where the real program decides otherwise. Two
//! known differences are left: a local time that a clock change skips or repeats is not refused, or
//! is the earlier one, and `dst` behind the name of a zone is refused.

use std::sync::LazyLock;

use jiff::civil::{self, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};
use regex::{Captures, Regex};

use crate::gvariant::DecodeError;

/// Parses a date and returns its seconds since 1970 (UTC), rounded down. `now`, with its time zone,
/// is what relative dates and local times refer to. The error is `Could not parse 'TEXT'`.
pub fn parse(text: &str, now: &Zoned) -> Result<i64, DecodeError> {
    seconds(text, now).ok_or_else(|| DecodeError::new(format!("Could not parse '{text}'")))
}

/// Prints a time as `log` and `show` do: `2024-01-02 03:04:05 +0000`. `None` outside the years 1 to
/// 9999.
pub fn format_utc(seconds: i64) -> Option<String> {
    let time = utc(seconds)?;
    // Upstream does not pad the year.
    Some(format!("{}-{} +0000", time.year(), time.strftime("%m-%d %H:%M:%S")))
}

/// Prints a time as ISO 8601 has it: `2024-01-02T03:04:05Z`. `None` outside the years 1 to 9999.
pub fn format_iso(seconds: i64) -> Option<String> {
    Some(utc(seconds)?.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// Prints a time in the system's time zone as `summary --view` does: `2024-01-02T04:04:05+01`.
/// `None` where the year, in UTC or there, is not one of 1 to 9999.
pub fn format_local_summary(seconds: i64) -> Option<String> {
    format_in_zone(seconds, &TimeZone::system())
}

fn format_in_zone(seconds: i64, zone: &TimeZone) -> Option<String> {
    let time = utc(seconds)?;
    // At the very end of the range jiff has no timestamps; no zone changes its clocks there.
    let instant = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let offset = zone.to_offset(instant);
    let time =
        in_range(time.checked_add(SignedDuration::from_secs(offset.seconds().into())).ok()?)?;
    let (sign, rest) =
        if offset.is_negative() { ('-', -offset.seconds()) } else { ('+', offset.seconds()) };
    let (hours, minutes, seconds) = (rest / 3600, rest / 60 % 60, rest % 60);
    let mut text = format!("{}-{}{sign}{hours:02}", time.year(), time.strftime("%m-%dT%H:%M:%S"));
    if minutes != 0 || seconds != 0 {
        text.push_str(&format!(":{minutes:02}"));
    }
    if seconds != 0 {
        text.push_str(&format!(":{seconds:02}"));
    }
    Some(text)
}

fn utc(seconds: i64) -> Option<DateTime> {
    in_range(
        civil::date(1970, 1, 1)
            .at(0, 0, 0, 0)
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()?,
    )
}

/// GLib's dates are those of the years 1 to 9999; jiff's end there, too, but begin earlier.
fn in_range(time: DateTime) -> Option<DateTime> {
    (time.year() >= 1).then_some(time)
}

fn seconds(text: &str, now: &Zoned) -> Option<i64> {
    let (rule, items) = split_zone_rule(text.trim_start())?;
    let now = match rule {
        // Upstream reads the clock where it is, and takes what it shows for a time in the zone of
        // the rule.
        Some(rule) => now.datetime().to_zoned(zone_of_rule(&rule)).ok()?,
        None => now.clone(),
    };
    let items = items.trim();
    if let Some(number) = items.strip_prefix('@') {
        return timestamp(number);
    }
    if items
        .chars()
        .all(|character| character.is_ascii_whitespace() || matches!(character, '+' | '-'))
    {
        return Some(now.start_of_day().ok()?.timestamp().as_second());
    }
    if !items.contains(|character: char| character.is_alphanumeric()) {
        return None;
    }
    let items = in_upstreams_reading(items)?;
    // If nothing absolute is asked for, the clock stays as it is now: summer time, or not.
    let now =
        if is_relative(&items) { now.with_time_zone(TimeZone::fixed(now.offset())) } else { now };
    parse_datetime::parse_datetime_at_date(now, items).ok().map(|time| time.unix_epoch_second())
}

/// Splits `TZ="RULE" ITEMS`; within the rule `\` stands before `"` and `\`.
fn split_zone_rule(text: &str) -> Option<(Option<String>, &str)> {
    let Some(quoted) = text.strip_prefix("TZ=\"") else { return Some((None, text)) };
    let mut rule = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Some((Some(rule), &quoted[index + 1..])),
            '\\' => rule.push(
                characters
                    .next()
                    .map(|(_, escaped)| escaped)
                    .filter(|c| matches!(c, '"' | '\\'))?,
            ),
            plain => rule.push(plain),
        }
    }
    None
}

/// The zone of a `TZ` rule: a name, or a POSIX rule. Upstream takes an unknown name for UTC.
fn zone_of_rule(rule: &str) -> TimeZone {
    let rule = rule.strip_prefix(':').unwrap_or(rule);
    TimeZone::get(rule)
        .or_else(|_| TimeZone::posix(rule))
        // When a rule has summer time but does not say when, the C library takes the dates of the
        // USA.
        .or_else(|_| TimeZone::posix(&format!("{rule},M3.2.0,M11.1.0")))
        .unwrap_or(TimeZone::UTC)
}

/// Seconds since 1970, what is behind the decimal point rounded down.
fn timestamp(number: &str) -> Option<i64> {
    let number = number.trim_start();
    let (whole, fraction) =
        number.split_once(['.', ',']).map_or((number, None), |(whole, rest)| (whole, Some(rest)));
    let digits = whole.strip_prefix(['+', '-']).unwrap_or(whole);
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(digits) || !fraction.is_none_or(is_number) {
        return None;
    }
    let seconds: i64 = whole.parse().ok()?;
    let has_fraction = fraction.is_some_and(|fraction| fraction.bytes().any(|digit| digit != b'0'));
    if whole.starts_with('-') && has_fraction { seconds.checked_sub(1) } else { Some(seconds) }
}

/// Rewrites what upstream reads otherwise than the crate does; `None` for what it refuses.
fn in_upstreams_reading(items: &str) -> Option<String> {
    const MONTHS: &str = "(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)";
    // An hour needs its minutes behind a `T`; a number of three or more digits is no day of a
    // month.
    static REFUSED: LazyLock<Regex> =
        LazyLock::new(|| regex(&format!(r"\dt\d{{1,2}}$|(?:^|\s)\d{{3,}}\s*{MONTHS}")));
    static ABBREVIATION: LazyLock<Regex> = LazyLock::new(|| regex(r"\b([a-z]{3})\."));
    // `12:00 +3 days` is noon in the zone +03, and a day later.
    static ZONE_AND_UNIT: LazyLock<Regex> = LazyLock::new(|| {
        regex(
            r"(:\d{2}(?:[.,]\d+)?)\s*([+-])\s*(\d{1,4})\s*((?:year|month|fortnight|week|day|hour|min|sec)[a-z]*)",
        )
    });
    if REFUSED.is_match(items) {
        return None;
    }
    let items = ABBREVIATION.replace_all(items, "$1");
    let items = ZONE_AND_UNIT.replace_all(&items, |found: &Captures<'_>| {
        let (_, [time, sign, zone, unit]) = found.extract();
        format!("{time} {sign}{zone:0>2} 1 {unit}")
    });
    with_military_zones_turned(&items)
}

/// Case-insensitive, ASCII.
fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?i-u){pattern}")).expect("the patterns above are constant and legal")
}

/// Upstream's signs of the one-letter zones are those of RFC 822, where `A` is an hour behind UTC;
/// they have been the other way round since. `J` is none.
fn with_military_zones_turned(items: &str) -> Option<String> {
    const EAST: &[u8] = b"ABCDEFGHIKLM";
    const WEST: &[u8] = b"NOPQRSTUVWXY";
    let bytes = items.as_bytes();
    let mut turned = items.to_owned().into_bytes();
    for (index, letter) in bytes.iter().enumerate() {
        let letter = letter.to_ascii_uppercase();
        let part_of_word = |neighbour: Option<&u8>| {
            neighbour.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'.')
        };
        let before = index.checked_sub(1).and_then(|index| bytes.get(index));
        if !letter.is_ascii_alphabetic()
            || part_of_word(before)
            || part_of_word(bytes.get(index + 1))
        {
            continue;
        }
        let separates_time = letter == b'T'
            && items[index + 1..].trim_start().starts_with(|c: char| c.is_ascii_digit());
        match (
            EAST.iter().position(|east| *east == letter),
            WEST.iter().position(|west| *west == letter),
        ) {
            _ if letter == b'J' => return None,
            (Some(position), _) => turned[index] = WEST[position],
            (_, Some(position)) if !separates_time => turned[index] = EAST[position],
            _ => {}
        }
    }
    String::from_utf8(turned).ok()
}

/// Whether a date only says how far it is from now: `3 days ago`, `next month`, `yesterday`.
fn is_relative(items: &str) -> bool {
    static RELATIVE: LazyLock<Regex> = LazyLock::new(|| {
        let unit = "(?:year|month|fortnight|week|day|hour|min|minute|sec|second)s?";
        let how_many = r"(?:[+-]?\s*\d+|next|last|this|first|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth)";
        regex(&format!(
            r"^(?:\s*(?:now|today|tomorrow|yesterday|(?:{how_many}\s*)?{unit}(?:\s+ago)?)\b)+\s*$"
        ))
    });
    RELATIVE.is_match(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 10:33:20 UTC, a Monday.
    const NOW: i64 = 1_795_430_000;

    fn check(zone: TimeZone, table: &[(&str, Option<i64>)]) {
        let now = Timestamp::from_second(NOW).unwrap().to_zoned(zone);
        for (text, expected) in table {
            assert_eq!(parse(text, &now).ok(), *expected, "{text:?}");
        }
    }

    /// Answers of `ostree commit --timestamp=TEXT` with `TZ=UTC`.
    #[rustfmt::skip]
    const IN_UTC: &[(&str, Option<i64>)] = &[
        ("@0", Some(0)),
        ("@-1", Some(-1)),
        ("@1234567890.9", Some(1234567890)),
        ("@-1.5", Some(-2)),
        ("@ 5", Some(5)),
        ("@1e3", None),
        ("@5 UTC", None),
        ("@253402300800", Some(253402300800)),
        ("@99999999999999999999", None),
        ("2024-01-02", Some(1704153600)),
        ("2024-01-02 03:04:05", Some(1704164645)),
        ("2024-01-02T03:04:05.123456Z", Some(1704164645)),
        ("2024-01-02T03:04:05,5Z", Some(1704164645)),
        ("2024-01-02T03:04:05-05:30", Some(1704184445)),
        ("2024-01-02 03:04:05 +0200", Some(1704157445)),
        ("2024-01-02 03:04:05 EST", Some(1704182645)),
        ("2024-07-02 03:04:05 CEST", Some(1719882245)),
        ("2024-01-02 03:04:05 A", Some(1704168245)),
        ("2024-01-02 03:04:05 J", None),
        ("20240102", Some(1704153600)),
        ("20240102T030405", None),
        ("1/2", Some(1767312000)),
        ("01/02/24", Some(1704153600)),
        ("1/2/69", Some(-31449600)),
        ("2-Jan-2024", Some(1704153600)),
        ("Jan 2, 2024", Some(1704153600)),
        ("Tue, 02 Jan 2024 03:04:05 +0000", Some(1704164645)),
        ("Tue Jan  2 03:04:05 UTC 2024", Some(1704164645)),
        ("Sun Nov 22 10:00:00 PM CET 2026", Some(1795381200)),
        ("2024-01-02 12am", Some(1704153600)),
        ("2024-01-02 13pm", None),
        ("2024-01-02 24:00", None),
        ("2024-01-02 23:59:60", None),
        ("2024-02-30", None),
        ("10000-01-01", Some(253402300800)),
        ("now", Some(1795430000)),
        ("today", Some(1795430000)),
        ("tomorrow", Some(1795516400)),
        ("yesterday", Some(1795343600)),
        ("midnight", None),
        ("yesterday noon", None),
        ("3 days ago", Some(1795170800)),
        ("1 fortnight ago", Some(1794220400)),
        ("90 min ago", Some(1795424600)),
        ("- 3 days", Some(1795170800)),
        ("next week", Some(1796034800)),
        ("last year", Some(1763894000)),
        ("a day ago", Some(1795347200)),
        ("next hour", Some(1795433600)),
        ("monday", Some(1795392000)),
        ("last friday", Some(1795132800)),
        ("monday next week", Some(1795996800)),
        ("2024-01-31 1 month", Some(1709337600)),
        ("2024-03-31 -1 month", Some(1709337600)),
        ("2024-02-29 1 year", Some(1740787200)),
        ("2024-01-02 +3 days -2 hours", Some(1704405600)),
        ("2024-01-02 03:04:05 +3 days", Some(1704240245)),
        ("2024-01-02 3 hours", Some(1704164400)),
        ("10", Some(1795428000)),
        ("1030", Some(1795429800)),
        ("10:30+02", Some(1795422600)),
        ("12345", None),
        ("", Some(1795392000)),
        (" ", Some(1795392000)),
        ("garbage", None),
        ("2024-01-02 garbage", None),
        ("(comment) 2024-01-02", Some(1704153600)),
        ("2024-10-26 12:00 + 24 hours", Some(1729861200)),
        ("2024-W01-1", None),
        ("2024-01-02T03", None),
        ("2024-01-02T03:04Z", Some(1704164640)),
        ("2024-01-02 03:04:05 +25:00", None),
        ("2024-01-02 03:04:05 +530", Some(1704144845)),
        ("2024-01-02 03:04:05 - 3 hours", Some(1704179045)),
        ("1 day ago 2 days ago", Some(1795170800)),
        ("99999999999999999999 days", None),
        ("ago", None),
        ("day ago ago", None),
        ("now now", Some(1795430000)),
        ("2024-01-02 2024-01-03", None),
        ("Sep. 5 2024", Some(1725494400)),
        ("Sept. 5, 2024", None),
        ("2024 jan 5", None),
        ("Thu Jan 1 00:00:00 1970", Some(0)),
        ("10:60", None),
        ("tomorrow UTC", Some(1795516400)),
        ("1 d", Some(1795410000)),
        ("-", Some(1795392000)),
        (",", None),
        ("1 month 1 day ago", Some(1797935600)),
        ("2024-01-02 03:04:05 t", Some(1704139445)),
        ("2024-01-02 T 03:04:05", Some(1704164645)),
    ];

    /// The same with `TZ=Europe/Berlin`.
    #[rustfmt::skip]
    const IN_BERLIN: &[(&str, Option<i64>)] = &[
        ("2024-01-02", Some(1704150000)),
        ("2024-01-02T03:04:05Z", Some(1704164645)),
        ("now", Some(1795430000)),
        ("today", Some(1795430000)),
        ("3 days ago", Some(1795170800)),
        ("1 month ago", Some(1792751600)),
        ("2 months", Some(1800700400)),
        ("1 year ago", Some(1763894000)),
        ("month ago", Some(1792751600)),
        ("last month", Some(1792751600)),
        ("10:30 UTC", Some(1795429800)),
        ("", Some(1795388400)),
        ("TZ=\"Nowhere/Land\" 2024-07-02 03:04", Some(1719889440)),
        ("TZ=\"UTC+5\" 2024-07-02 03:04", Some(1719907440)),
        ("TZ=\"EST5EDT,M3.2.0,M11.1.0\" 2024-07-02 03:04", Some(1719903840)),
        ("TZ=\"\" 2024-07-02 03:04", Some(1719889440)),
        ("2024-03-31 01:30 1 hour", Some(1711848600)),
        ("2024-03-30 02:30 1 day", Some(1711848600)),
        ("2024-03-30 12:00 24 hours", Some(1711882800)),
        ("-1000000000 seconds", Some(795430000)),
    ];

    #[test]
    fn dates_are_understood_as_upstream_understands_them() {
        check(TimeZone::UTC, IN_UTC);
    }

    #[test]
    fn local_time_and_clock_changes_are_those_of_the_zone() {
        check(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(), IN_BERLIN);
    }

    #[test]
    fn the_error_names_the_text() {
        let now = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        assert_eq!(parse("never", &now).unwrap_err().what, "Could not parse 'never'");
    }

    #[test]
    fn dates_are_printed_in_utc_within_glibs_range() {
        let table = [
            (0, Some("1970-01-01 00:00:00 +0000")),
            (-1, Some("1969-12-31 23:59:59 +0000")),
            (951_782_400, Some("2000-02-29 00:00:00 +0000")),
            (-62_135_596_800, Some("1-01-01 00:00:00 +0000")),
            (-62_135_596_801, None),
            (253_402_300_799, Some("9999-12-31 23:59:59 +0000")),
            (253_402_300_800, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ];
        for (seconds, expected) in table {
            assert_eq!(format_utc(seconds).as_deref(), expected, "{seconds}");
            assert_eq!(format_iso(seconds).is_some(), expected.is_some(), "{seconds}");
        }
    }

    #[test]
    fn local_times_end_in_the_shortest_offset() {
        let zone = |rule: &str| TimeZone::posix(rule).unwrap();
        let table = [
            (1_700_000_000, "UTC0", Some("2023-11-14T22:13:20+00")),
            (1_700_000_000, "CET-1CEST,M3.5.0,M10.5.0/3", Some("2023-11-14T23:13:20+01")),
            (1_690_000_000, "CET-1CEST,M3.5.0,M10.5.0/3", Some("2023-07-22T06:26:40+02")),
            (1_700_000_000, "IST-5:30", Some("2023-11-15T03:43:20+05:30")),
            (1_700_000_000, "NST3:30", Some("2023-11-14T18:43:20-03:30")),
            (0, "MMT0:44:30", Some("1969-12-31T23:15:30-00:44:30")),
            (253_402_300_799, "UTC0", Some("9999-12-31T23:59:59+00")),
            (253_402_300_799, "NST3:30", Some("9999-12-31T20:29:59-03:30")),
            (253_402_300_799, "CET-1", None),
            (-62_135_596_800, "CET-1", Some("1-01-01T01:00:00+01")),
            (-62_135_596_800, "NST3:30", None),
            (-62_135_596_801, "CET-1", None),
        ];
        for (seconds, rule, expected) in table {
            assert_eq!(
                format_in_zone(seconds, &zone(rule)).as_deref(),
                expected,
                "{seconds} {rule}"
            );
        }
    }
}
