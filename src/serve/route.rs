//! What a URL asks for. No I/O.
//!
//! ```text
//! /                         the refs
//! /-/commit/REV             a commit
//! /-/tree/REV/PATH          a directory, or a file
//! /-/file/REV/PATH          the same
//! /-/raw/REV/PATH           the content of a file
//! /-/diff/REV/REV           two commits; or /-/diff?from=REV&to=REV
//! /-/search/REV?path=TEXT   paths in a commit
//! /-/style.css
//! ```
//!
//! All else is a file of the repository. A ref may be written with its slashes as they are, except
//! before another one, where they are `%2F`.

use percent_encoding::percent_decode_str;

use super::failure::Failure;

/// The longest path with its query that is looked at, in bytes.
pub(super) const MAX_TARGET: usize = 16 << 10;

/// What a URL asks for. The components of paths are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Refs,
    Style,
    Commit(Vec<String>),
    Entry(Vec<String>),
    Raw(Vec<String>),
    Diff {
        from: String,
        to: String,
        is_form: bool,
    },
    Search(Vec<String>),
    /// A file of the repository, if there is such a one.
    Repository,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Html,
    Json,
}

/// What stands after the `?`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the values of a form.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let decode = |text: &str| decoded(&text.replace('+', " "));
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(key)?, decode(value)?))
        });
        Ok(Self(pairs.collect::<Result<_, Failure>>()?))
    }

    /// The first value of that name, unless it is empty.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// The number of a page, from 1.
    pub(super) fn page(&self) -> Result<usize, Failure> {
        let Some(text) = self.value("page") else { return Ok(1) };
        let number = text.parse().ok().filter(|page| *page > 0);
        number.ok_or_else(|| Failure::new(400, "page is no number from 1"))
    }

    /// What `format` asks for, or else the header `Accept`: JSON for clients that take it and no
    /// HTML.
    pub(super) fn format(&self, accept: Option<&str>) -> Result<Format, Failure> {
        match self.value("format") {
            Some("json") => Ok(Format::Json),
            Some("html") => Ok(Format::Html),
            Some(_) => Err(Failure::new(400, "format must be html or json")),
            None => {
                let accept = accept.unwrap_or_default();
                let takes = |kind: &str| {
                    accept
                        .split(',')
                        .any(|part| part.split(';').next().unwrap_or("").trim() == kind)
                };
                match takes("application/json") && !takes("text/html") {
                    true => Ok(Format::Json),
                    false => Ok(Format::Html),
                }
            }
        }
    }
}

/// What a path asks for that was not decoded.
pub(super) fn route(raw_path: &str, query: &Query) -> Result<Route, Failure> {
    if raw_path == "/" {
        return Ok(Route::Refs);
    }
    let Some(path) = raw_path.strip_prefix("/-/") else { return Ok(Route::Repository) };
    let (word, rest) = path.split_once('/').unwrap_or((path, ""));
    let rest: Vec<String> =
        rest.split('/').filter(|name| !name.is_empty()).map(decoded).collect::<Result<_, _>>()?;
    let needs_rev = |route: fn(Vec<String>) -> Route, rest: Vec<String>| match rest.is_empty() {
        true => Err(Failure::not_found("there is no commit in this URL")),
        false => Ok(route(rest)),
    };
    match (word, rest.as_slice()) {
        ("style.css", []) => Ok(Route::Style),
        ("commit", _) => needs_rev(Route::Commit, rest),
        ("tree" | "file", _) => needs_rev(Route::Entry, rest),
        ("raw", _) => needs_rev(Route::Raw, rest),
        ("search", _) => needs_rev(Route::Search, rest),
        ("diff", [from, to]) => {
            Ok(Route::Diff { from: from.clone(), to: to.clone(), is_form: false })
        }
        ("diff", []) => match (query.value("from"), query.value("to")) {
            (Some(from), Some(to)) => {
                Ok(Route::Diff { from: from.to_owned(), to: to.to_owned(), is_form: true })
            }
            _ => Err(Failure::new(400, "from and to must name two commits")),
        },
        _ => Err(Failure::not_found("there is no such page")),
    }
}

/// A component of a path or query, without its percent signs.
fn decoded(text: &str) -> Result<String, Failure> {
    let decoded = percent_decode_str(text).decode_utf8();
    match decoded {
        Ok(text) if !text.contains('\0') => Ok(text.into_owned()),
        _ => Err(Failure::new(400, "the URL has bytes that no name in a commit can have")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Result<Route, u16> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query = Query::parse(query).map_err(|failure| failure.status)?;
        route(path, &query).map_err(|failure| failure.status)
    }

    #[test]
    fn urls_lead_to_pages() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let diff = |is_form| Route::Diff { from: "a/b".to_owned(), to: "c".to_owned(), is_form };
        for (path, expected) in [
            ("/", Ok(Route::Refs)),
            ("/-/style.css", Ok(Route::Style)),
            ("/-/commit/a/b", Ok(Route::Commit(names(&["a", "b"])))),
            ("/-/commit/a%2Fb", Ok(Route::Commit(names(&["a/b"])))),
            ("/-/tree/a", Ok(Route::Entry(names(&["a"])))),
            ("/-/file/a//b%20c/", Ok(Route::Entry(names(&["a", "b c"])))),
            ("/-/raw/a/..", Ok(Route::Raw(names(&["a", ".."])))),
            ("/-/diff/a%2Fb/c", Ok(diff(false))),
            ("/-/diff?from=a%2fb&to=c", Ok(diff(true))),
            ("/-/search/a", Ok(Route::Search(names(&["a"])))),
            ("/config", Ok(Route::Repository)),
            ("/-", Ok(Route::Repository)),
            ("//-/tree/a", Ok(Route::Repository)),
            ("*", Ok(Route::Repository)),
            ("/-/", Err(404)),
            ("/-/nothing", Err(404)),
            ("/-/tree", Err(404)),
            ("/-/diff/a", Err(404)),
            ("/-/diff?from=a", Err(400)),
            ("/-/tree/a/%ff", Err(400)),
            ("/-/tree/a/%00", Err(400)),
            ("/-/tree/a?path=%ff", Err(400)),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }

    #[test]
    fn json_is_for_those_who_ask_for_it() {
        for (query, accept, expected) in [
            ("", None, Ok(Format::Html)),
            ("", Some("application/json"), Ok(Format::Json)),
            ("", Some("text/plain, application/json;q=0.9"), Ok(Format::Json)),
            ("", Some("text/html,application/json"), Ok(Format::Html)),
            ("", Some("*/*"), Ok(Format::Html)),
            ("format=json", Some("text/html"), Ok(Format::Json)),
            ("format=html", Some("application/json"), Ok(Format::Html)),
            ("format=xml", None, Err(400)),
        ] {
            let found = Query::parse(query).unwrap().format(accept);
            assert_eq!(found.map_err(|failure| failure.status), expected, "{query} {accept:?}");
        }
        for (query, expected) in
            [("", Ok(1)), ("page=3", Ok(3)), ("page=0", Err(400)), ("page=x", Err(400))]
        {
            let found = Query::parse(query).unwrap().page();
            assert_eq!(found.map_err(|failure| failure.status), expected, "{query}");
        }
        let query = Query::parse("a=1&path=a+b%2B&path=2&b").unwrap();
        assert_eq!(query.value("path"), Some("a b+"));
        assert_eq!(query.value("b"), None);
    }
}
