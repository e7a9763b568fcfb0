//! What the names in an archive mean in the tree that it becomes.

use std::borrow::Cow;

use crate::error::{Error, Result};

/// The longest path in bytes, as upstream has it: `PATH_MAX` of Linux.
const MAX_PATH_BYTES: usize = 4096;

/// How much of a path an error shows, in bytes.
const SHOWN_BYTES: usize = 1024;

/// The path in the form that the filter and the policy take.
pub(super) fn absolute(place: &[&str]) -> String {
    format!("/{}", place.join("/"))
}

/// Strips what makes a name absolute, a leading `./`, and any `..` that would lead above the root.
pub(super) fn relative(raw: &[u8]) -> &[u8] {
    let mut path = raw;
    while let Some(rest) = path.strip_prefix(b"/") {
        path = match rest.strip_prefix(b"..") {
            Some(above) if above.is_empty() || above.starts_with(b"/") => above,
            _ => rest,
        };
    }
    while let Some(rest) = path.strip_prefix(b"./") {
        path = rest;
        while let Some(rest) = path.strip_prefix(b"/") {
            path = rest;
        }
    }
    if path == b"." { b"" } else { path }
}

/// The names in a path. A `.` is skipped, except at the end, where it makes no valid name.
pub(super) fn split(path: &str) -> Result<Vec<&str>> {
    if path.len() > MAX_PATH_BYTES {
        return Err(Error::failed(format!("Path '{}' is too long", shown(path))));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if name == ".." {
            return Err(Error::failed(format!("Invalid uplink '..' in path {path}")));
        }
        if names.last().is_some_and(|last| *last == ".") {
            names.pop();
        }
        names.push(name);
    }
    Ok(names)
}

/// A path as an error shows it, cut short: an archive may contain paths of any length.
pub(super) fn shown(path: &str) -> Cow<'_, str> {
    match path.get(..path.floor_char_boundary(SHOWN_BYTES)) {
        Some(start) if start.len() < path.len() => Cow::Owned(format!("{start}...")),
        _ => Cow::Borrowed(path),
    }
}

#[cfg(test)]
mod tests {
    use super::{relative, split};

    /// As `ostree commit` reports them.
    #[test]
    fn names_are_made_relative() {
        for (raw, expected) in [
            ("a", "a"),
            ("./a", "a"),
            ("/a", "a"),
            ("//a", "a"),
            ("././a", "a"),
            (".//./a", "a"),
            ("/../a", "a"),
            ("/..", ""),
            ("./../a", "../a"),
            (".//../a", "../a"),
            ("/.././../a", "../a"),
            (".", ""),
            ("./.", ""),
            ("/.", ""),
            ("..", ".."),
            ("...", "..."),
            ("a/", "a/"),
        ] {
            assert_eq!(relative(raw.as_bytes()), expected.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn names_are_split_at_slashes_and_lead_nowhere_above() {
        assert_eq!(split("a//b/./c/").unwrap(), ["a", "b", "c"]);
        assert_eq!(split("a/.").unwrap(), ["a", "."]);
        assert_eq!(split("").unwrap(), Vec::<&str>::new());
        assert_eq!(split("d/../x").unwrap_err().to_string(), "Invalid uplink '..' in path d/../x");
    }
}
