//! URLs of pages. No I/O.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::checksum::Checksum;

/// What stays as it is in a component of a path, and in a value of a query.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'+');
const ESCAPED_VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// What a page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    File,
    Raw,
    Search,
}

/// The page of this kind for a path in a commit.
pub(super) fn at(kind: Kind, commit: &Checksum, names: &[impl AsRef<str>]) -> String {
    let word = match kind {
        Kind::Commit => "commit",
        Kind::Tree => "tree",
        Kind::File => "file",
        Kind::Raw => "raw",
        Kind::Search => "search",
    };
    let mut link = format!("/-/{word}/{commit}");
    for name in names {
        link.push('/');
        link.extend(utf8_percent_encode(name.as_ref(), ESCAPED));
    }
    link
}

/// The page of a commit.
pub(super) fn commit(commit: &Checksum) -> String {
    at(Kind::Commit, commit, &[""; 0])
}

/// The comparison of two commits.
pub(super) fn diff(from: &Checksum, to: &Checksum) -> String {
    format!("/-/diff/{from}/{to}")
}

/// A page with values in its query, of which there is at least one.
pub(super) fn with_query(page: &str, values: &[(&str, &str)]) -> String {
    let mut link = page.to_owned();
    for (place, (key, value)) in values.iter().enumerate() {
        link.push(if place == 0 { '?' } else { '&' });
        link.push_str(key);
        link.push('=');
        link.extend(utf8_percent_encode(value, ESCAPED_VALUE));
    }
    link
}

/// A name in the value of a header, as RFC 8187 has it.
pub(super) fn in_header(name: &str) -> String {
    format!("UTF-8''{}", utf8_percent_encode(name, ESCAPED_VALUE).to_string().replace('/', "%2F"))
}

/// The names of a path.
pub(super) fn names(path: &str) -> Vec<&str> {
    path.split('/').filter(|name| !name.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_what_they_have() {
        let commit = Checksum::of(b"");
        let link = at(Kind::File, &commit, &["a b", "<\"&'?#%", "é\n"]);
        let path = link.split_once(&commit.to_hex()).unwrap().1;
        assert_eq!(path, "/a%20b/%3C%22%26%27%3F%23%25/%C3%A9%0A");
        let link = with_query("/-/x", &[("path", "a&b=c d"), ("after", "/usr/é")]);
        assert_eq!(link, "/-/x?path=a%26b%3Dc%20d&after=/usr/%C3%A9");
        assert_eq!(in_header("a/b\"\r\n"), "UTF-8''a%2Fb%22%0D%0A");
    }
}
