//! A command line of a kickstart file as words, by the rules of Python's `shlex`, which is what the
//! installer uses.

use std::ops::Range;

/// A word, and its position in its line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// The bytes of its source text, quotes included.
    pub(super) span: Range<usize>,
    /// Its value.
    pub(super) value: Vec<u8>,
}

/// Splits a line into words. `#` begins a comment even inside a word, unless it is quoted; a
/// backslash escapes the next byte, within double quotes only a double quote or another backslash.
///
/// # Errors
/// When a quotation is not closed or nothing follows a backslash.
pub(super) fn split(line: &[u8]) -> Result<Vec<Word>, &'static str> {
    let mut words = Vec::new();
    let mut at = 0;
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => at += 1,
            b'#' => break,
            _ => {
                let word = word_at(line, at)?;
                at = word.span.end;
                words.push(word);
            }
        }
    }
    Ok(words)
}

fn word_at(line: &[u8], start: usize) -> Result<Word, &'static str> {
    let mut value = Vec::new();
    let mut at = start;
    while let Some(&byte) = line.get(at) {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b'#' => break,
            b'\'' => {
                let length = line[at + 1..].iter().position(|&b| b == b'\'').ok_or(UNCLOSED)?;
                value.extend_from_slice(&line[at + 1..at + 1 + length]);
                at += length + 2;
            }
            b'"' => at = double_quoted(line, at + 1, &mut value)?,
            b'\\' => {
                value.push(*line.get(at + 1).ok_or("a backslash with nothing behind it")?);
                at += 2;
            }
            _ => {
                value.push(byte);
                at += 1;
            }
        }
    }
    Ok(Word { span: start..at, value })
}

const UNCLOSED: &str = "a quotation that is not closed";

/// Reads up to the closing quote, and returns the position after it.
fn double_quoted(line: &[u8], start: usize, value: &mut Vec<u8>) -> Result<usize, &'static str> {
    let mut at = start;
    loop {
        match line.get(at..).unwrap_or_default() {
            [] => return Err(UNCLOSED),
            [b'"', ..] => return Ok(at + 1),
            [b'\\', escaped @ (b'"' | b'\\'), ..] => {
                value.push(*escaped);
                at += 2;
            }
            [byte, ..] => {
                value.push(*byte);
                at += 1;
            }
        }
    }
}

/// A value as written into a line: in double quotes unless it consists of harmless characters.
pub(super) fn quote(value: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "_./:@%+=,~-".contains(c);
    match value.chars().all(harmless) {
        true if !value.is_empty() => value.to_owned(),
        _ => format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values(line: &str) -> Result<Vec<String>, &'static str> {
        let words = split(line.as_bytes())?;
        Ok(words.into_iter().map(|word| String::from_utf8(word.value).unwrap()).collect())
    }

    /// The results of `shlex.split(LINE, comments=True)` in Python 3.11.
    #[test]
    fn words_are_those_of_shlex() {
        let cases: [(&str, &[&str]); 11] = [
            ("a b\tc\r\n", &["a", "b", "c"]),
            ("  --url=\"http://x/ y\" # comment", &["--url=http://x/ y"]),
            ("a#b c", &["a"]),
            ("'a#b' \"c#d\"", &["a#b", "c#d"]),
            (r#"a\ b "c\"d\\e\f" 'g\h'"#, &["a b", r#"c"d\e\f"#, r"g\h"]),
            ("\"\" ''", &["", ""]),
            ("a''b", &["ab"]),
            ("\"a\"'b'c", &["abc"]),
            ("# only a comment", &[]),
            ("", &[]),
            ("a\\\n", &["a\n"]),
        ];
        for (line, expected) in cases {
            assert_eq!(values(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_shlex_refuses_is_refused() {
        assert_eq!(values("a \"b"), Err("a quotation that is not closed"));
        assert_eq!(values("a 'b\n"), Err("a quotation that is not closed"));
        assert_eq!(values("a \"b\\\""), Err("a quotation that is not closed"));
        assert_eq!(values("a \\"), Err("a backslash with nothing behind it"));
    }

    #[test]
    fn a_span_holds_the_quotes() {
        let line = b"  a 'b c' d";
        let spans: Vec<_> =
            split(line).unwrap().into_iter().map(|word| line[word.span].to_vec()).collect();
        assert_eq!(spans, [b"a".as_slice(), b"'b c'", b"d"]);
    }

    #[test]
    fn only_what_needs_quotes_gets_them() {
        for (value, quoted) in [
            ("http://x.org:80/a_b/%20?", "\"http://x.org:80/a_b/%20?\""),
            ("a/22/x86_64,=~+@%-", "a/22/x86_64,=~+@%-"),
            ("a b", "\"a b\""),
            ("a#b", "\"a#b\""),
            ("${basearch}", "\"${basearch}\""),
            ("a\\b", "\"a\\\\b\""),
            ("", "\"\""),
        ] {
            assert_eq!(quote(value), quoted);
        }
    }

    proptest! {
        #[test]
        fn a_quoted_value_reads_back(value in "[^\r\n]{0,20}") {
            prop_assert_eq!(values(&format!("x {} y", quote(&value))), Ok(vec!["x".into(), value, "y".into()]));
        }
    }
}
