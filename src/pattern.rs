//! Patterns of names with slashes in them, as refs are: `exampleos/*/x86_64/**`.
//!
//! `*` stands for any characters but a slash, `?` for one of them, and `**` for any characters,
//! slashes among them. All else stands for itself, and the whole name has to match.

use std::fmt;

/// A pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pattern {
    text: String,
    tokens: Vec<Token>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Token {
    One(char),
    /// `?`
    AnyOne,
    /// `*`
    Some,
    /// `**`
    All,
}

impl Pattern {
    /// Takes a text for a pattern; any text is one.
    pub fn new(text: &str) -> Self {
        let mut tokens = Vec::with_capacity(text.len());
        for character in text.chars() {
            let token = match (character, tokens.last()) {
                ('*', Some(Token::Some)) => {
                    tokens.pop();
                    Token::All
                }
                ('*', Some(Token::All)) => continue,
                ('*', _) => Token::Some,
                ('?', _) => Token::AnyOne,
                (other, _) => Token::One(other),
            };
            tokens.push(token);
        }
        Self { text: text.to_owned(), tokens }
    }

    /// Whether a whole name matches. The time it takes is at most proportional to the product of
    /// both lengths.
    pub fn matches(&self, name: &str) -> bool {
        // For each token: whether everything before it matches what has been seen of the name.
        let mut at = vec![false; self.tokens.len() + 1];
        at[0] = true;
        self.pass_stars(&mut at);
        for character in name.chars() {
            let mut next = vec![false; at.len()];
            for (index, token) in self.tokens.iter().enumerate().filter(|(index, _)| at[*index]) {
                match token {
                    Token::One(wanted) => next[index + 1] |= *wanted == character,
                    Token::AnyOne => next[index + 1] |= character != '/',
                    Token::Some => next[index] |= character != '/',
                    Token::All => next[index] = true,
                }
            }
            self.pass_stars(&mut next);
            at = next;
        }
        at.last().copied().unwrap_or(false)
    }

    /// The text it was made of.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Stars match nothing, too.
    fn pass_stars(&self, at: &mut [bool]) {
        for (index, token) in self.tokens.iter().enumerate() {
            if at[index] && matches!(token, Token::Some | Token::All) {
                at[index + 1] = true;
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_star_stays_between_slashes_and_two_do_not() {
        for (pattern, matching, others) in [
            ("a/b", &["a/b"][..], &["a", "a/b/c", "xa/b", ""][..]),
            ("a/*", &["a/", "a/b", "a/b.c"], &["a", "a/b/c", "b/a"]),
            ("a/*/c", &["a/b/c", "a//c"], &["a/b/b/c", "a/b/c/d"]),
            ("a/**", &["a/", "a/b", "a/b/c"], &["a", "b/a/c"]),
            ("**/c", &["a/c", "a/b/c", "/c"], &["c", "a/cc"]),
            ("**", &["", "a", "a/b"], &[]),
            ("*", &["", "a"], &["a/b"]),
            ("a?c", &["abc", "aéc"], &["a/c", "ac", "abbc"]),
            ("*a*", &["a", "bab", "aa"], &["b", "b/a"]),
            ("***", &["a/b"], &[]),
            ("o:a/*", &["o:a/b"], &["a/b"]),
            ("", &[""], &["a"]),
        ] {
            let made = Pattern::new(pattern);
            assert_eq!(made.to_string(), pattern);
            for name in matching {
                assert!(made.matches(name), "{pattern} {name}");
            }
            for name in others {
                assert!(!made.matches(name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = Pattern::new(&"*a".repeat(50));
        assert!(!pattern.matches(&"a".repeat(49)));
        assert!(!pattern.matches(&format!("{}b", "a".repeat(5000))));
        assert!(pattern.matches(&"a".repeat(5000)));
    }
}
