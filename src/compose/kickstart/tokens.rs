//! `@OSTREE_REF@` and similar tokens, which may occur anywhere in a kickstart file.

use super::{Setup, Values};

const PREFIX: &[u8] = b"@OSTREE_";

/// The values of tokens.
pub(super) struct Tokens(Vec<(&'static str, Option<String>)>);

impl Tokens {
    /// `setup` has the final values of the file's `ostreesetup`.
    pub(super) fn new(values: &Values<'_>, setup: &Setup) -> Self {
        let some = |text: &str| Some(text.to_owned());
        Self(vec![
            ("@OSTREE_REF@", some(&setup.reference)),
            ("@OSTREE_URL@", some(&setup.url)),
            ("@OSTREE_OSNAME@", some(&setup.osname)),
            ("@OSTREE_REMOTE@", some(setup.remote.as_ref().unwrap_or(&setup.osname))),
            ("@OSTREE_COMMIT@", some(&values.commit.to_string())),
            ("@OSTREE_VERSION@", values.version.map(str::to_owned)),
        ])
    }

    /// The line with the tokens replaced.
    ///
    /// # Errors
    /// When it has a token without a value.
    pub(super) fn replace(&self, line: &[u8]) -> Result<Vec<u8>, String> {
        let mut result = Vec::with_capacity(line.len());
        let mut rest = line;
        while let Some((at, token)) = find(rest) {
            let value = match self.0.iter().find(|(name, _)| *name == token) {
                Some((_, Some(value))) => value,
                Some((_, None)) => {
                    return Err(format!("{token} has no value: the commit has no version"));
                }
                None => return Err(format!("{token} is none of {}", self.names())),
            };
            check_value(value).map_err(|what| format!("{token}: {what}"))?;
            result.extend_from_slice(&rest[..at]);
            result.extend_from_slice(value.as_bytes());
            rest = &rest[at + token.len()..];
        }
        result.extend_from_slice(rest);
        Ok(result)
    }

    fn names(&self) -> String {
        self.0.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }
}

/// The first token in a text, known or not.
pub(super) fn first_in(text: &[u8]) -> Option<String> {
    find(text).map(|(_, token)| token)
}

fn find(text: &[u8]) -> Option<(usize, String)> {
    let starts = text.windows(PREFIX.len()).enumerate().filter(|(_, window)| *window == PREFIX);
    starts.map(|(at, _)| at).find_map(|at| {
        let name = &text[at + PREFIX.len()..];
        let length =
            name.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let end = at + PREFIX.len() + length + 1;
        (name.get(length) == Some(&b'@'))
            .then(|| (at, String::from_utf8_lossy(&text[at..end]).into_owned()))
    })
}

/// Refuses a value that cannot be written into a kickstart file as it is.
pub(super) fn check_value(value: &str) -> Result<(), String> {
    let shown = value.escape_debug();
    // The separators of lines and paragraphs end a line for the installer's parser.
    let harmful = |c: char| c == '"' || c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    if value.is_empty() {
        Err("an empty value".to_owned())
    } else if value.contains(harmful) {
        Err(format!("{shown} holds a quotation mark, a line break or a control character"))
    } else if value.starts_with('-') {
        Err(format!("{shown} would be taken for an option"))
    } else if let Some(token) = first_in(value.as_bytes()) {
        Err(format!("{shown} holds {token}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_found_by_their_shape() {
        for (text, token) in [
            ("a@OSTREE_REF@b", Some("@OSTREE_REF@")),
            ("@OSTREE_ x @OSTREE_new_1@", Some("@OSTREE_new_1@")),
            ("@OSTREE_@", Some("@OSTREE_@")),
            ("@OSTREE_REF", None),
            ("@OSTREE REF@", None),
            ("@ostree_ref@", None),
        ] {
            assert_eq!(first_in(text.as_bytes()).as_deref(), token, "{text}");
        }
    }

    #[test]
    fn values_that_break_a_line_are_refused() {
        for value in [
            "",
            "a\"b",
            "a\nb",
            "a\rb",
            "a\u{85}b",
            "a\u{2028}b",
            "a\0b",
            "\u{1b}[1m",
            "-a",
            "@OSTREE_REF@",
        ] {
            assert!(check_value(value).is_err(), "{value:?}");
        }
        for value in ["a b", "http://x/y#z?q=1&r", "a'b", "a\\b", "ä", "a@b"] {
            assert_eq!(check_value(value), Ok(()), "{value:?}");
        }
    }
}
