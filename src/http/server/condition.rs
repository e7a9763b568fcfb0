//! Whether a client has the content already (RFC 9110, section 13). No I/O.

use std::time::{Duration, SystemTime};

use super::Received;

/// What tells one state of some content from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// With its quotes.
    pub(super) etag: String,
    /// When it was last changed, if a header can say so.
    pub(super) modified: Option<SystemTime>,
}

impl State {
    /// With the time in seconds since 1970.
    pub(super) fn new(etag: String, modified: i64) -> Self {
        // Headers have years of four digits.
        let seconds = u64::try_from(modified).ok().filter(|seconds| *seconds < 253_402_300_800);
        let modified = seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        Self { etag, modified }
    }

    /// The value of `Last-Modified`.
    pub(super) fn last_modified(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }

    /// Whether the client has this state, so that it needs no body.
    pub(super) fn is_known(&self, request: &Received) -> bool {
        if let Some(tags) = request.header("if-none-match") {
            // A weak comparison.
            return tags
                .split(',')
                .map(|tag| tag.trim_matches([' ', '\t']))
                .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == self.etag);
        }
        let since = request.header("if-modified-since").and_then(parse_date);
        matches!((self.modified, since), (Some(modified), Some(since)) if modified <= since)
    }

    /// Whether the `Range` of the request counts: without `If-Range`, or with one for this state.
    pub(super) fn may_be_split(&self, request: &Received) -> bool {
        match request.header("if-range") {
            None => true,
            Some(tag) if tag.ends_with('"') => tag == self.etag,
            Some(date) => self.modified.is_some() && parse_date(date) == self.modified,
        }
    }
}

/// Reads a date. ostree writes `UTC` where the others write `GMT`.
fn parse_date(text: &str) -> Option<SystemTime> {
    match text.strip_suffix("UTC") {
        Some(rest) => httpdate::parse_http_date(&format!("{rest}GMT")).ok(),
        None => httpdate::parse_http_date(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::server::Method;

    fn request(headers: &[(&str, &str)]) -> Received {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Received {
            method: Method::Get,
            path: b"/".to_vec(),
            raw_path: "/".to_owned(),
            query: None,
            host: None,
            headers: headers.collect(),
        }
    }

    /// Changed on the second of January 2020.
    fn state() -> State {
        State::new("\"abc\"".to_owned(), 1_577_934_245)
    }

    #[test]
    fn tags_are_compared_before_dates() {
        assert_eq!(state().last_modified().unwrap(), "Thu, 02 Jan 2020 03:04:05 GMT");
        for (headers, expected) in [
            (&[][..], false),
            (&[("if-none-match", "\"abc\"")], true),
            (&[("if-none-match", "W/\"abc\"")], true),
            (&[("if-none-match", "\"x\", \"abc\"")], true),
            (&[("if-none-match", "*")], true),
            (&[("if-none-match", "abc")], false),
            (&[("if-none-match", "\"x\"")], false),
            (&[("if-modified-since", "Thu, 02 Jan 2020 03:04:05 GMT")], true),
            (&[("if-modified-since", "Thu, 02 Jan 2020 03:04:05 UTC")], true),
            (&[("if-modified-since", "Thu, 02 Jan 2020 03:04:04 GMT")], false),
            (&[("if-modified-since", "yesterday")], false),
            (
                &[
                    ("if-none-match", "\"x\""),
                    ("if-modified-since", "Thu, 02 Jan 2020 03:04:05 GMT"),
                ],
                false,
            ),
        ] {
            assert_eq!(state().is_known(&request(headers)), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_range_counts_for_the_state_that_it_is_meant_for() {
        for (header, expected) in [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"x\"", false),
            ("Thu, 02 Jan 2020 03:04:05 GMT", true),
            ("Thu, 02 Jan 2020 03:04:06 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(state().may_be_split(&request(&[("if-range", header)])), expected);
        }
        assert!(state().may_be_split(&request(&[])));
    }

    #[test]
    fn times_that_no_header_can_say_are_left_out() {
        for seconds in [-1, i64::MIN, 253_402_300_800, i64::MAX] {
            let state = State::new("\"a\"".to_owned(), seconds);
            assert_eq!(state.last_modified(), None);
            assert!(!state.may_be_split(&request(&[("if-range", "yesterday")])));
        }
        assert!(State::new("\"a\"".to_owned(), 253_402_300_799).last_modified().is_some());
    }
}
