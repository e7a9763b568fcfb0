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

/// The mail address in a user id, by the rules of GPGME: what stands between the first `<` and the
/// next `>`, or else the whole, if it looks like one.
pub(super) fn mailbox(text: &str) -> Option<&str> {
    let mailbox = match text.split_once('<') {
        Some((_, rest)) => rest.split_once('>')?.0,
        None => text,
    };
    let (local, domain) = mailbox.split_once('@')?;
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let of_local = |byte: u8| is_usual(byte) || b"!#$%&'*+/=?^`{|}~".contains(&byte);
    let is_valid = !local.is_empty()
        && local.bytes().all(|byte| !byte.is_ascii() || of_local(byte))
        && !domain.is_empty()
        && !domain.ends_with('.')
        && domain.bytes().all(|byte| !byte.is_ascii() || is_usual(byte));
    is_valid.then_some(mailbox)
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

    #[test]
    fn a_mailbox_is_what_gpgme_takes_for_one() {
        // What GPGME 1.18 says of each, seen in the lists of the real program.
        for (text, expected) in [
            ("X (c) <Q@R.com> tail", Some("Q@R.com")),
            ("Foo@Bar.Org", Some("Foo@Bar.Org")),
            ("X <A@B> <C@D>", Some("A@B")),
            ("X <\u{e4}@b.org>", Some("\u{e4}@b.org")),
            ("X <a..b@c>", Some("a..b@c")),
            ("X <a@.c>", Some("a@.c")),
            ("X <a+b@c>", Some("a+b@c")),
            ("X <a@b+c>", None),
            ("X <nope>", None),
            ("X <a@b@c>", None),
            ("X <A B@c>", None),
            ("X <@c>", None),
            ("X <a@>", None),
            ("X <a@b.>", None),
            ("X <a@b c>", None),
            ("X <a@b", None),
            ("X <>", None),
            ("plain", None),
            ("a@b@c", None),
        ] {
            assert_eq!(mailbox(text), expected, "{text}");
        }
    }
}
