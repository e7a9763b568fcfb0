//! User ids: `NAME (COMMENT) <MAIL>`, taken apart as GPGME does.

/// What a user id says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserId {
    pub name: String,
    pub mail: String,
}

/// Takes a user id apart: the first text outside brackets is the name, the first in angle brackets
/// the address. A text that is an address only has no name.
pub(super) fn parse(text: &str) -> UserId {
    let mut name: Option<&str> = None;
    let mut mail: Option<&str> = None;
    let mut comment = false;
    let mut within = Within::Nothing;
    for (at, character) in text.char_indices() {
        match (within, character) {
            (Within::Mail(start, depth), '<') => within = Within::Mail(start, depth + 1),
            (Within::Mail(start, 1), '>') => {
                mail = mail.or(text.get(start..at));
                within = Within::Nothing;
            }
            (Within::Mail(start, depth), '>') => within = Within::Mail(start, depth - 1),
            (Within::Comment(depth), '(') => within = Within::Comment(depth + 1),
            (Within::Comment(1), ')') => {
                comment = true;
                within = Within::Nothing;
            }
            (Within::Comment(depth), ')') => within = Within::Comment(depth - 1),
            (Within::Mail(..) | Within::Comment(_), _) => {}
            (Within::Nothing | Within::Name(_), '<' | '(') => {
                if let Within::Name(start) = within {
                    name = name.or(text.get(start..at));
                }
                within =
                    if character == '<' { Within::Mail(at + 1, 1) } else { Within::Comment(1) };
            }
            (Within::Nothing, ' ' | '\t') | (Within::Name(_), _) => {}
            (Within::Nothing, _) => within = Within::Name(at),
        }
    }
    if let Within::Name(start) = within {
        name = name.or(text.get(start..));
    }
    let name = name.unwrap_or_default().trim_end_matches([' ', '\t']);
    match mail {
        None if !comment && is_address(name) => UserId { name: String::new(), mail: name.into() },
        mail => UserId { name: name.into(), mail: mail.unwrap_or_default().into() },
    }
}

#[derive(Clone, Copy)]
enum Within {
    Nothing,
    /// From there on.
    Name(usize),
    /// From there on, behind so many brackets.
    Mail(usize, usize),
    Comment(usize),
}

/// Whether a text looks like a mail address and nothing else.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let is_plain = |part: &str| {
        !part.is_empty() && !part.contains(|c: char| " \t<>()@,;:\"".contains(c) || c.is_control())
    };
    is_plain(local) && is_plain(domain) && !domain.starts_with('.') && !domain.ends_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_taken_from_user_ids() {
        for (text, name, mail) in [
            ("A B (c) <a@example.com>", "A B", "a@example.com"),
            ("A B <a@example.com>", "A B", "a@example.com"),
            ("Just A Name", "Just A Name", ""),
            ("a@b", "", "a@b"),
            ("<a@b>", "", "a@b"),
            ("(c) <a@b> late", "late", "a@b"),
            ("One <a@b> Two <c@d>", "One", "a@b"),
            ("A (x (y) z) <a<b>c>", "A", "a<b>c"),
            ("A <unfinished", "A", ""),
            ("", "", ""),
        ] {
            let expected = UserId { name: name.into(), mail: mail.into() };
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
