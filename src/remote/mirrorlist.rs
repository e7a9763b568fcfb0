//! Lists of mirrors, which `mirrorlist=URL` names: one base URL a line.
//!
//! The list is UTF-8. A line ends at `\n`; empty ones and those that begin with `#` are comments.
//! What is not an `http` or `https` URL is skipped, blanks in front included.

use crate::gvariant::DecodeError;
use crate::http::Url;

/// No list has more mirrors that are worth a try.
const MAX_MIRRORS: usize = 1000;

/// The base URLs of a mirror list, in its order: at most 1000, the others are left out. Whether
/// they answer is for the caller to find out.
///
/// # Errors
/// When the list is not UTF-8: `Invalid UTF-8`.
pub fn candidates(list: &[u8]) -> Result<Vec<&str>, DecodeError> {
    let text = str::from_utf8(list).map_err(|_| DecodeError::new("Invalid UTF-8"))?;
    Ok(text.split('\n').filter(|line| is_candidate(line)).take(MAX_MIRRORS).collect())
}

fn is_candidate(line: &str) -> bool {
    // Upstream asks a mirror for what is left of the line, a carriage return included, and is
    // answered that there is no such file.
    !line.starts_with('#') && !line.contains(char::is_control) && Url::parse(line).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_mirrors_or_skipped() {
        for (line, taken) in [
            ("http://h/a", true),
            ("https://h", true),
            ("HTTP://h/a", true),
            ("http://u:p@h:81/a?b=c", true),
            ("http://h/in ner ", true),
            ("http://h/ä", true),
            ("", false),
            ("#http://h/", false),
            (" # comment", false),
            (" http://h/", false),
            ("http://h/\r", false),
            ("http://h/\tb", false),
            ("http://h/a\0b", false),
            ("ftp://h/", false),
            ("file:///srv/repo", false),
            ("mirrorlist=http://h/", false),
            ("http:///a", false),
            ("http://h:99999/", false),
            ("http://[::1/", false),
            ("h/a", false),
        ] {
            let list = format!("http://first/\n{line}\nhttp://last/");
            let mut expected = vec!["http://first/", "http://last/"];
            if taken {
                expected.insert(1, line);
            }
            assert_eq!(candidates(list.as_bytes()).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn a_list_may_be_empty_but_not_in_another_encoding() {
        assert_eq!(candidates(b"").unwrap(), [""; 0]);
        assert_eq!(candidates(b"\n#\n\n").unwrap(), [""; 0]);
        let error = candidates(b"http://h/\n# \xe4\n").unwrap_err();
        assert_eq!(error.to_string(), "Invalid UTF-8");
    }

    #[test]
    fn a_list_without_end_has_a_last_mirror() {
        assert_eq!(candidates("http://h/\n".repeat(5_000).as_bytes()).unwrap().len(), MAX_MIRRORS);
    }
}
