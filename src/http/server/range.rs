//! Which parts of a file a request wants (RFC 9110, section 14). No I/O.

use std::ops::Range;

/// A header with more ranges asks for work rather than for content.
const MAX_RANGES: usize = 32;

/// What a `Range` header comes to for content of a certain size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: the header is malformed or asks for too many ranges, so it does not count.
    Everything,
    /// These parts, in ascending order, none of them empty, with gaps between them.
    Parts(Vec<Range<u64>>),
    /// Nothing that there is.
    Nothing,
}

/// Reads the value of a `Range` header.
pub(super) fn wanted(header: &str, size: u64) -> Wanted {
    let Some(list) = header.strip_prefix("bytes=") else { return Wanted::Everything };
    if list.split(',').count() > MAX_RANGES {
        return Wanted::Everything;
    }
    let mut parts = Vec::new();
    for text in list.split(',') {
        match part(text.trim_matches([' ', '\t']), size) {
            Some(part) => parts.extend(Some(part).filter(|part| !part.is_empty())),
            None => return Wanted::Everything,
        }
    }
    if parts.is_empty() {
        return Wanted::Nothing;
    }
    parts.sort_unstable_by_key(|part| part.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for part in parts {
        match joined.last_mut() {
            Some(last) if part.start <= last.end => last.end = last.end.max(part.end),
            _ => joined.push(part),
        }
    }
    Wanted::Parts(joined)
}

/// One range, empty if the content is too short for it; `None` if it is malformed.
fn part(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        return Some(size.saturating_sub(number(last)?)..size);
    }
    let first = number(first)?;
    let end = match last {
        "" => size,
        last => match number(last)? {
            last if last < first => return None,
            last => last.saturating_add(1).min(size),
        },
    };
    Some(first.min(end)..end)
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_cut_to_size_and_joined() {
        let parts = |parts: &[(u64, u64)]| {
            Wanted::Parts(parts.iter().map(|(from, to)| *from..*to).collect())
        };
        for (header, expected) in [
            ("bytes=0-1", parts(&[(0, 2)])),
            ("bytes=2-", parts(&[(2, 6)])),
            ("bytes=-2", parts(&[(4, 6)])),
            ("bytes=-100", parts(&[(0, 6)])),
            ("bytes=0-100", parts(&[(0, 6)])),
            ("bytes=5-99999999999999999999999", parts(&[(5, 6)])),
            ("bytes=0-0, 2-3", parts(&[(0, 1), (2, 4)])),
            ("bytes=4-4,0-1,1-2", parts(&[(0, 3), (4, 5)])),
            ("bytes=2-3,0-1", parts(&[(0, 4)])),
            ("bytes=0-1,100-", parts(&[(0, 2)])),
            ("bytes=6-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=100-200,300-", Wanted::Nothing),
            ("bytes=5-2", Wanted::Everything),
            ("bytes=0-1,5-2", Wanted::Everything),
            ("bytes=", Wanted::Everything),
            ("bytes=-", Wanted::Everything),
            ("bytes=a-b", Wanted::Everything),
            ("bytes=+1-2", Wanted::Everything),
            ("bytes= 0 - 1", Wanted::Everything),
            ("lines=0-1", Wanted::Everything),
            ("", Wanted::Everything),
        ] {
            assert_eq!(wanted(header, 6), expected, "{header}");
        }
        assert_eq!(wanted("bytes=0-0", 0), Wanted::Nothing);
        assert_eq!(wanted("bytes=-1", 0), Wanted::Nothing);
        let many = |count: usize| format!("bytes={}", vec!["0-0"; count].join(","));
        assert_eq!(wanted(&many(32), 6), parts(&[(0, 1)]));
        assert_eq!(wanted(&many(33), 6), Wanted::Everything);
    }
}
