//! Shell words: splitting and quoting.

use std::env;

/// A line that is being typed in bash.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct BashLine {
    /// The words before the one at the cursor, unquoted.
    pub(super) words: Vec<String>,
    /// The word at the cursor as far as the cursor, unquoted.
    pub(super) current: String,
    /// The part of it that bash does not replace.
    pub(super) kept: String,
    /// Whether the cursor is between quotes.
    pub(super) is_quoted: bool,
}

impl BashLine {
    /// `line` ends at the cursor; `breaks` is `$COMP_WORDBREAKS`.
    pub(super) fn parse(line: &str, breaks: &str) -> Self {
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut kept = 0;
        let mut quote = None;
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match (quote, letter) {
                (Some(open), _) if letter == open => quote = None,
                (Some('\''), _) => word.get_or_insert_default().push(letter),
                (_, '\\') => word.get_or_insert_default().extend(letters.next()),
                (Some(_), _) => word.get_or_insert_default().push(letter),
                (None, '\'' | '"') => {
                    kept = word.get_or_insert_default().len();
                    quote = Some(letter);
                }
                (None, ' ' | '\t' | '\n') => {
                    words.extend(word.take());
                    kept = 0;
                }
                (None, _) => {
                    let word = word.get_or_insert_default();
                    word.push(letter);
                    if breaks.contains(letter) {
                        kept = word.len();
                    }
                }
            }
        }
        let current = word.unwrap_or_default();
        let kept = current.get(..kept).unwrap_or_default().to_owned();
        Self { words, current, kept, is_quoted: quote.is_some() }
    }
}

/// A text as an unquoted word.
pub(super) fn quoted(text: &str) -> String {
    let mut word = String::new();
    for letter in text.chars() {
        if !letter.is_alphanumeric() && !"-_./=:,@+%^~".contains(letter) {
            word.push('\\');
        }
        word.push(letter);
    }
    word
}

/// A path with a leading `~` or variable expanded, as the shell will do.
pub(super) fn expanded(word: &str) -> String {
    let (value, rest) = match word.strip_prefix('$') {
        Some(rest) => {
            let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
            let (name, rest) = braced
                .unwrap_or_else(|| rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len())));
            (env::var(name), rest)
        }
        None => match word.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => (env::var("HOME"), rest),
            _ => return word.to_owned(),
        },
    };
    value.map_or_else(|_| word.to_owned(), |value| format!("{value}{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_split_as_bash_splits_it() {
        let breaks = " \t\n\"'@><=;|&(:";
        for (line, words, current, kept, is_quoted) in [
            ("osier ", &["osier"][..], "", "", false),
            ("osier in", &["osier"], "in", "", false),
            ("osier init --mode=b", &["osier", "init"], "--mode=b", "--mode=", false),
            ("osier init --mode=", &["osier", "init"], "--mode=", "--mode=", false),
            ("osier ls origin:ma", &["osier", "ls"], "origin:ma", "origin:", false),
            ("osier --repo='a b' ls x", &["osier", "--repo=a b", "ls"], "x", "", false),
            ("osier ls \"ma", &["osier", "ls"], "ma", "", true),
            ("osier ls a\\ b", &["osier", "ls"], "a b", "", false),
            ("osier ls \"a\\\"b\" '", &["osier", "ls", "a\"b"], "", "", true),
            ("osier ls a\\", &["osier", "ls"], "a", "", false),
        ] {
            let expected = BashLine {
                words: words.iter().map(ToString::to_string).collect(),
                current: current.to_owned(),
                kept: kept.to_owned(),
                is_quoted,
            };
            assert_eq!(BashLine::parse(line, breaks), expected, "{line}");
        }
        assert_eq!(BashLine::parse("osier ls origin:ma", " =").kept, "");
    }

    #[test]
    fn what_the_shell_would_take_apart_is_quoted() {
        assert_eq!(quoted("exampleos/22/x86_64/host"), "exampleos/22/x86_64/host");
        assert_eq!(quoted("/a b/$c'é"), "/a\\ b/\\$c\\'é");
    }

    #[test]
    fn words_without_a_value_stay_as_they_are() {
        for word in ["a", "~user/x", "$OSIER_NO_SUCH_VARIABLE/x", "$", "${", "a~"] {
            assert_eq!(expanded(word), word);
        }
        let path = env::var("PATH").unwrap();
        assert_eq!(expanded("$PATH/x"), format!("{path}/x"));
        assert_eq!(expanded("${PATH}x"), format!("{path}x"));
    }
}
