//! `REGEX,REPLACEMENT`: renames the entries of an archive.
//!
//! The replacement is in GRegex's language: `\1` `\12` `\g<1>` `\g<name>` and `\0` are groups
//! (empty if there is no such group), `\n` `\t` and the like characters, `\x41` `\x{e9}` codes,
//! `\u` `\l` change the case of one character and `\U` `\L` of all up to `\E`. The pattern may use
//! look-around and back-references, as in PCRE; a match that takes too long is an error.

use fancy_regex::{Captures, Regex};

use crate::error::{Error, Result};

/// A compiled filter.
#[derive(Debug)]
pub(super) struct PathnameFilter {
    pattern: Regex,
    replacement: Vec<Piece>,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Numbered(usize),
    Named(String),
    Case(Case),
}

/// A change of case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    /// `\E`
    Keep,
    Lower,
    Upper,
    LowerOne,
    UpperOne,
}

impl PathnameFilter {
    /// Compiles the argument of `--tar-pathname-filter`.
    pub(super) fn parse(argument: &str) -> Result<Self> {
        let (pattern, replacement) = argument
            .split_once(',')
            .ok_or_else(|| Error::failed("Missing ',' in --tar-pathname-filter"))?;
        let compiled = Regex::new(pattern).map_err(|error| {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().replace("error: ", "");
            Error::failed(format!(
                "--tar-pathname-filter: Error while compiling regular expression ‘{pattern}’: {reason}"
            ))
        })?;
        let pieces = pieces(replacement).map_err(|(at, reason)| {
            Error::failed(format!(
                "--tar-pathname-filter: Error while parsing replacement text “{replacement}” at char {at}: {reason}"
            ))
        })?;
        Ok(Self { pattern: compiled, replacement: pieces })
    }

    /// The name with every match replaced.
    ///
    /// # Errors
    /// When the pattern backtracks for too long.
    pub(super) fn apply(&self, name: &str) -> Result<String> {
        let replaced = self
            .pattern
            .try_replacen(name, 0, |captures: &Captures<'_, str>| self.expand(captures));
        let describe =
            |error| Error::failed(format!("--tar-pathname-filter: matching {name}: {error}"));
        Ok(replaced.map_err(describe)?.into_owned())
    }

    fn expand(&self, captures: &Captures<'_, str>) -> String {
        let mut expanded = String::new();
        let (mut all, mut one) = (Case::Keep, None);
        for piece in &self.replacement {
            let text = match piece {
                Piece::Text(text) => text,
                Piece::Numbered(number) => captures.get(*number).map_or("", |group| group.as_str()),
                Piece::Named(name) => captures.name(name).map_or("", |group| group.as_str()),
                Piece::Case(case @ (Case::LowerOne | Case::UpperOne)) => {
                    one = Some(*case);
                    continue;
                }
                Piece::Case(case) => {
                    all = *case;
                    continue;
                }
            };
            for character in text.chars() {
                match one.take().unwrap_or(all) {
                    Case::Keep => expanded.push(character),
                    Case::Lower | Case::LowerOne => expanded.extend(character.to_lowercase()),
                    Case::Upper | Case::UpperOne => expanded.extend(character.to_uppercase()),
                }
            }
        }
        expanded
    }
}

/// The position of an error in the replacement, in characters, and its description.
type Bad = (usize, &'static str);

fn pieces(replacement: &str) -> Result<Vec<Piece>, Bad> {
    let characters: Vec<char> = replacement.chars().collect();
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = characters.as_slice();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != '\\' {
            text.push(first);
            continue;
        }
        let at = characters.len() - rest.len();
        let Some((&escape, after)) = rest.split_first() else {
            return Err((at, "stray final “\\”"));
        };
        rest = after;
        let piece = match escape {
            '\\' => Piece::Text(String::from('\\')),
            'a' => Piece::Text(String::from('\x07')),
            'e' => Piece::Text(String::from('\x1b')),
            'f' => Piece::Text(String::from('\x0c')),
            'n' => Piece::Text(String::from('\n')),
            'r' => Piece::Text(String::from('\r')),
            't' => Piece::Text(String::from('\t')),
            'v' => Piece::Text(String::from('\x0b')),
            'x' => Piece::Text(code(&characters, &mut rest)?.to_string()),
            'g' => reference(&characters, &mut rest)?,
            'l' => Piece::Case(Case::LowerOne),
            'u' => Piece::Case(Case::UpperOne),
            'L' => Piece::Case(Case::Lower),
            'U' => Piece::Case(Case::Upper),
            'E' => Piece::Case(Case::Keep),
            '0' if rest.first().is_some_and(|digit| digit.is_digit(8)) => {
                Piece::Text(octal(&mut rest, 0, 2).to_string())
            }
            '0'..='9' => numbered(escape, &mut rest),
            _ => return Err((at, "unknown escape sequence")),
        };
        match piece {
            Piece::Text(more) => text.push_str(&more),
            piece => {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(piece);
            }
        }
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

/// `\1` to `\99`, or the character of three octal digits.
fn numbered(first: char, rest: &mut &[char]) -> Piece {
    let value = |digit: char| digit.to_digit(10).unwrap_or_default();
    let is_octal = |index: usize| rest.get(index).is_some_and(|digit| digit.is_digit(8));
    if first.is_digit(8) && is_octal(0) && is_octal(1) {
        return Piece::Text(octal(rest, value(first), 2).to_string());
    }
    let mut number = value(first);
    if let Some((&digit @ '0'..='9', after)) = rest.split_first() {
        number = number * 10 + value(digit);
        *rest = after;
    }
    Piece::Numbered(number as usize)
}

fn octal(rest: &mut &[char], start: u32, most: usize) -> char {
    let mut code = start;
    for _ in 0..most {
        let Some((digit, after)) = rest.split_first() else { break };
        let Some(digit) = digit.to_digit(8) else { break };
        code = code * 8 + digit;
        *rest = after;
    }
    // Three octal digits are 511 at most.
    char::from_u32(code).unwrap_or_default()
}

/// What follows `\x`: two hexadecimal digits, or any number in braces.
fn code(all: &[char], rest: &mut &[char]) -> Result<char, Bad> {
    let braces = rest.first() == Some(&'{');
    if braces {
        *rest = rest.get(1..).unwrap_or_default();
    }
    let mut code = 0_u32;
    let mut digits = 0;
    loop {
        let at = all.len() - rest.len();
        match rest.first().map(|&character| (character, character.to_digit(16))) {
            Some(('}', _)) if braces => {
                *rest = rest.get(1..).unwrap_or_default();
                break;
            }
            Some((_, Some(digit))) => code = code.saturating_mul(16).saturating_add(digit),
            _ if braces => return Err((at, "hexadecimal digit or “}” expected")),
            _ => return Err((at, "hexadecimal digit expected")),
        }
        *rest = rest.get(1..).unwrap_or_default();
        digits += 1;
        if digits == 2 && !braces {
            break;
        }
    }
    char::from_u32(code).ok_or((all.len() - rest.len(), "hexadecimal digit expected"))
}

/// What follows `\g`: a group's number or name in angle brackets.
fn reference(all: &[char], rest: &mut &[char]) -> Result<Piece, Bad> {
    let at = all.len() - rest.len();
    let Some(('<', after)) = rest.split_first() else {
        return Err((at, "missing “<” in symbolic reference"));
    };
    let Some(length) = after.iter().position(|&character| character == '>') else {
        return Err((all.len(), "unfinished symbolic reference"));
    };
    let (name, after) = after.split_at(length);
    *rest = after.get(1..).unwrap_or_default();
    let name: String = name.iter().collect();
    match name.parse() {
        _ if name.is_empty() => Err((at + 1, "zero-length symbolic reference")),
        Ok(number) => Ok(Piece::Numbered(number)),
        Err(_) if name.starts_with(|first: char| first.is_ascii_digit()) => {
            Err((at + 1, "digit expected"))
        }
        Err(_) => Ok(Piece::Named(name)),
    }
}

#[cfg(test)]
mod tests {
    use super::PathnameFilter;

    fn filtered(argument: &str, name: &str) -> Result<String, String> {
        PathnameFilter::parse(argument)
            .and_then(|filter| filter.apply(name))
            .map_err(|error| error.to_string())
    }

    /// The results are those of `ostree commit`.
    #[test]
    fn replacements_follow_gregex() {
        for (argument, name, expected) in [
            ("^d/(.*)$,\\1", "d/x", "x"),
            ("^,foo/", "a", "foo/a"),
            ("a,b,c", "a", "b,c"),
            ("a,\\9\\12\\g<zz>", "a", ""),
            ("a,\\g<0>\\0x", "a", "aax"),
            ("(?<n>a),[\\g<n>]\\g<1>", "a", "[a]a"),
            ("a,\\x41\\x{e9}\\u\\l\\101", "a", "Aéa"),
            ("a,\\Uabc\\Edef\\ux\\LABC\\lD", "a", "ABCdefXabcd"),
            ("a,$1&b", "a", "$1&b"),
            (".,Z", "d/x", "ZZZ"),
            ("x*,-", "", "-"),
            ("a(?=b)(?!bc),-", "ab/abc", "-b/abc"),
            ("(?<=/)x,-", "x/x", "x/-"),
            (r"(.)\1,<\1>", "aab", "<a>b"),
        ] {
            assert_eq!(filtered(argument, name), Ok(expected.to_owned()), "{argument}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(filtered("a", ""), Err("Missing ',' in --tar-pathname-filter".to_owned()));
        for (replacement, at, reason) in [
            ("\\", 1, "stray final “\\”"),
            ("\\q", 1, "unknown escape sequence"),
            ("\\g<", 3, "unfinished symbolic reference"),
            ("\\g1", 2, "missing “<” in symbolic reference"),
            ("\\x{zz}", 3, "hexadecimal digit or “}” expected"),
            ("\\xzz", 2, "hexadecimal digit expected"),
        ] {
            let text = "--tar-pathname-filter: Error while parsing replacement text";
            let expected = format!("{text} “{replacement}” at char {at}: {reason}");
            assert_eq!(filtered(&format!("a,{replacement}"), ""), Err(expected));
        }
        let error = filtered("(x+x+)+(?=y)z,b", &"x".repeat(64)).unwrap_err();
        assert!(error.starts_with("--tar-pathname-filter: matching xxx"), "{error}");
        let error = filtered("(,b", "").unwrap_err();
        assert!(
            error
                .starts_with("--tar-pathname-filter: Error while compiling regular expression ‘(’"),
            "{error}"
        );
    }
}
