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

/// The address in a user id, in lower case: what is in its first angle brackets, or all of it.
pub(super) fn mailbox(text: &str) -> Option<String> {
    let address = match text.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => text,
    };
    is_address(address).then(|| address.to_ascii_lowercase())
}

/// Whether GPGME takes a text for a mail address and nothing else.
fn is_address(text: &str) -> bool {
    let is_plain =
        |c: char| c.is_ascii_alphanumeric() || "@.!#$%&'*+/=?^_`{|}~-".contains(c) || !c.is_ascii();
    text.chars().all(is_plain)
        && text.matches('@').count() == 1
        && !text.starts_with('@')
        && !text.ends_with(['@', '.'])
        && !text.contains("..")
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
