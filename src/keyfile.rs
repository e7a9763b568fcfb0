//! The key file format of a repository's `config` and of the files in remotes.d.
//!
//! ```text
//! # a comment
//! [core]
//! repo_version=1
//!
//! [remote "origin"]
//! url=https://example.org/repo
//! ```
//!
//! The grammar, the escapes and the words of the errors are GLib's (GKeyFile), seen in what `ostree
//! config` does. A key file written back has lost its comments and blank lines and kept everything
//! else in its order; new keys are appended to their group, new groups at the end. Translated keys
//! (`key[de]`) are dropped on reading, as GLib drops those of languages that are not the user's;
//! the untranslated `key[C]` stays.

use std::fmt;

use crate::gvariant::DecodeError;
use crate::input::quotable;

/// A parsed key file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyFile {
    groups: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    name: String,
    /// Keys and raw (still escaped) values. A key that occurs twice in a file occurs twice here;
    /// the last one counts.
    entries: Vec<(String, String)>,
}

/// Takes the contents of a key file for text: UTF-8 without NUL, or `Invalid UTF-8`.
pub fn text_of(bytes: &[u8]) -> Result<&str, DecodeError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Ok(text),
        _ => Err(DecodeError::new("Invalid UTF-8")),
    }
}

impl KeyFile {
    /// An empty key file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses the text of a key file. The errors are GLib's (`Key file does not start with a
    /// group`).
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let mut file = Self::default();
        let mut current = None;
        for line in text.split_inclusive('\n').map(without_line_end) {
            let content = line.trim_start_matches(is_space);
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if let Some(name) = group_line(content) {
                check_group_name(name)?;
                current = Some(file.group_index(name));
            } else if let Some((key, value)) = key_line(content) {
                let Some(index) = current else {
                    return Err(DecodeError::new("Key file does not start with a group"));
                };
                check_key_name(key)?;
                if index == 0 && key == "Encoding" && !value.eq_ignore_ascii_case("UTF-8") {
                    return Err(DecodeError::new(format!(
                        "Key file contains unsupported encoding “{}”",
                        quotable(value)
                    )));
                }
                if is_untranslated(key) {
                    file.groups[index].entries.push((key.to_owned(), value.to_owned()));
                }
            } else {
                return Err(DecodeError::new(format!(
                    "Key file contains line “{}” which is not a key-value pair, group, or comment",
                    quotable(line)
                )));
            }
        }
        Ok(file)
    }

    /// The value of a key, unescaped. An unknown escape is an error, a missing key or group is
    /// `None`.
    pub fn get(&self, group: &str, key: &str) -> Result<Option<String>, DecodeError> {
        self.get_raw(group, key)
            .map(|raw| unescape(raw).ok_or_else(|| uninterpretable(key)))
            .transpose()
    }

    /// The value of a key, unescaped; a missing key or group is an error in GLib's words.
    pub fn require(&self, group: &str, key: &str) -> Result<String, DecodeError> {
        match self.get(group, key)? {
            Some(value) => Ok(value),
            None if self.has_group(group) => Err(DecodeError::new(format!(
                "Key file does not have key “{key}” in group “{group}”"
            ))),
            None => Err(DecodeError::new(format!("Key file does not have group “{group}”"))),
        }
    }

    /// The raw value of a key in the file.
    pub fn get_raw(&self, group: &str, key: &str) -> Option<&str> {
        let group = self.group(group)?;
        group.entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// A boolean: `true`, `1`, `false` or `0`, white space behind it ignored; anything else is an
    /// error.
    pub fn get_bool(&self, group: &str, key: &str) -> Result<Option<bool>, DecodeError> {
        let Some(raw) = self.get_raw(group, key) else { return Ok(None) };
        match raw.trim_end_matches(is_space) {
            "true" | "1" => Ok(Some(true)),
            "false" | "0" => Ok(Some(false)),
            _ => Err(uninterpretable(key)),
        }
    }

    /// A list, its members separated by `;` and each unescaped; `\;` is a semicolon within a
    /// member.
    pub fn get_list(&self, group: &str, key: &str) -> Result<Option<Vec<String>>, DecodeError> {
        let Some(raw) = self.get_raw(group, key) else { return Ok(None) };
        split_list(raw).map(Some).ok_or_else(|| uninterpretable(key))
    }

    /// Sets a key to a text, escaped as needed. The names must be legal.
    pub fn set_string(&mut self, group: &str, key: &str, value: &str) -> Result<(), DecodeError> {
        let mut raw = String::with_capacity(value.len());
        escape_into(&mut raw, value, None);
        self.set_raw(group, key, raw)
    }

    /// Sets a key to `true` or `false`. The names must be legal.
    pub fn set_bool(&mut self, group: &str, key: &str, value: bool) -> Result<(), DecodeError> {
        self.set_raw(group, key, value.to_string())
    }

    /// Sets a key to a list, each member followed by `;`. The names must be legal.
    pub fn set_list(
        &mut self,
        group: &str,
        key: &str,
        members: &[impl AsRef<str>],
    ) -> Result<(), DecodeError> {
        let mut raw = String::new();
        for member in members {
            escape_into(&mut raw, member.as_ref(), Some(';'));
            raw.push(';');
        }
        self.set_raw(group, key, raw)
    }

    /// Removes a key and returns whether it was there. The group stays, even when it is empty now.
    pub fn remove(&mut self, group: &str, key: &str) -> bool {
        let Some(group) = self.groups.iter_mut().find(|candidate| candidate.name == group) else {
            return false;
        };
        match group.entries.iter().rposition(|(name, _)| name == key) {
            Some(index) => {
                group.entries.remove(index);
                true
            }
            None => false,
        }
    }

    /// Removes a group with its keys and returns whether it was there.
    pub fn remove_group(&mut self, group: &str) -> bool {
        let before = self.groups.len();
        self.groups.retain(|candidate| candidate.name != group);
        self.groups.len() != before
    }

    /// The names of the groups, in their order in the file.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.name.as_str())
    }

    /// The keys of a group, in their order in the file; none when there is no such group.
    pub fn keys(&self, group: &str) -> impl Iterator<Item = &str> {
        self.group(group)
            .into_iter()
            .flat_map(|group| group.entries.iter().map(|(key, _)| key.as_str()))
    }

    /// Whether there is such a group.
    pub fn has_group(&self, group: &str) -> bool {
        self.group(group).is_some()
    }

    fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name)
    }

    /// The index of the group with this name, which is created at the end if needed.
    fn group_index(&mut self, name: &str) -> usize {
        self.groups.iter().position(|group| group.name == name).unwrap_or_else(|| {
            self.groups.push(Group { name: name.to_owned(), entries: Vec::new() });
            self.groups.len() - 1
        })
    }

    fn set_raw(&mut self, group: &str, key: &str, raw: String) -> Result<(), DecodeError> {
        check_group_name(group)?;
        check_key_name(key)?;
        let index = self.group_index(group);
        let entries = &mut self.groups[index].entries;
        match entries.iter_mut().rev().find(|(name, _)| name == key) {
            Some((_, value)) => *value = raw,
            None => entries.push((key.to_owned(), raw)),
        }
        Ok(())
    }
}

/// The file's text: groups separated by a blank line.
impl fmt::Display for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.groups.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            writeln!(f, "[{}]", group.name)?;
            for (key, value) in &group.entries {
                writeln!(f, "{key}={value}")?;
            }
        }
        Ok(())
    }
}

/// White space as C's `isspace` without the vertical tab, which GLib does not count.
fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r' | '\x0c')
}

/// A line without its end. A carriage return goes with the line feed behind it, so an unended last
/// line keeps its own.
fn without_line_end(line: &str) -> &str {
    line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// The name in `[name]`, which only blanks and tabs may follow.
fn group_line(content: &str) -> Option<&str> {
    let (name, rest) = content.strip_prefix('[')?.split_once(']')?;
    rest.chars().all(|character| matches!(character, ' ' | '\t')).then_some(name)
}

/// Key and raw value of `key=value`. White space around the `=` belongs to neither.
fn key_line(content: &str) -> Option<(&str, &str)> {
    let (key, value) = content.split_once('=')?;
    let key = key.trim_end_matches(is_space);
    (!key.is_empty()).then(|| (key, value.trim_start_matches(is_space)))
}

fn check_group_name(name: &str) -> Result<(), DecodeError> {
    if name.is_empty() || name.contains(|c: char| matches!(c, '[' | ']') || c.is_ascii_control()) {
        return Err(DecodeError::new(format!("Invalid group name: {}", quotable(name))));
    }
    Ok(())
}

fn check_key_name(name: &str) -> Result<(), DecodeError> {
    let legal = |key: &str| {
        !key.is_empty()
            && !key.contains(['=', '[', ']', '\n', '\r', '\0'])
            && !key.starts_with(is_space)
            && !key.ends_with(is_space)
    };
    let is_legal = match name.split_once('[') {
        None => legal(name),
        Some((key, locale)) => {
            legal(key)
                && locale.strip_suffix(']').is_some_and(|locale| {
                    locale.chars().all(|c| c.is_alphanumeric() || "-_.@".contains(c))
                })
        }
    };
    if is_legal {
        Ok(())
    } else {
        Err(DecodeError::new(format!("Invalid key name: {}", quotable(name))))
    }
}

/// Whether a key has no language. `C` and the empty name are not languages.
fn is_untranslated(key: &str) -> bool {
    key.split_once('[').is_none_or(|(_, locale)| matches!(locale, "]" | "C]"))
}

fn uninterpretable(key: &str) -> DecodeError {
    DecodeError::new(format!(
        "Key file contains key “{}” which has a value that cannot be interpreted.",
        quotable(key)
    ))
}

fn unescape(raw: &str) -> Option<String> {
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        text.push(if character == '\\' { unescaped(characters.next()?)? } else { character });
    }
    Some(text)
}

/// The character that an escape stands for.
fn unescaped(character: char) -> Option<char> {
    match character {
        's' => Some(' '),
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        '\\' => Some('\\'),
        _ => None,
    }
}

fn split_list(raw: &str) -> Option<Vec<String>> {
    let mut members = Vec::new();
    let mut member = None;
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character == ';' {
            members.push(member.take().unwrap_or_default());
            continue;
        }
        let character = match character {
            '\\' => match characters.next()? {
                ';' => ';',
                other => unescaped(other)?,
            },
            plain => plain,
        };
        member.get_or_insert_with(String::new).push(character);
    }
    members.extend(member);
    Some(members)
}

/// Escapes a text, and the separator of a list within it. Only leading blanks and tabs need it;
/// line ends and separators among or before them do not end the lead: that is how GLib writes them.
fn escape_into(raw: &mut String, text: &str, separator: Option<char>) {
    let mut leading = true;
    for character in text.chars() {
        match character {
            ' ' if leading => raw.push_str("\\s"),
            '\t' if leading => raw.push_str("\\t"),
            '\n' => raw.push_str("\\n"),
            '\r' => raw.push_str("\\r"),
            '\\' => {
                raw.push_str("\\\\");
                leading = false;
            }
            other if Some(other) == separator => {
                raw.push('\\');
                raw.push(other);
                leading = true;
            }
            other => {
                raw.push(other);
                leading = false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(text: &str) -> Result<String, String> {
        KeyFile::parse(text).map(|file| file.to_string()).map_err(|error| error.what)
    }

    #[test]
    fn rewriting_drops_comments_and_keeps_the_order() {
        let text = "# top\n[core]\n# about\nrepo_version=1\n\n\nmode=archive-z2\n\n  [q] \n a = 1  \
            \nz\\x=1\n\n#end\n[core]\nb=2\nmode=bare\n";
        let mut file = KeyFile::parse(text).unwrap();
        file.set_string("core", "x", "  lead  trail  ").unwrap();
        file.set_string("g", "k", "v").unwrap();
        let expected = "[core]\nrepo_version=1\nmode=archive-z2\nb=2\nmode=bare\nx=\\s\\slead  \
            trail  \n\n[q]\na=1  \nz\\x=1\n\n[g]\nk=v\n";
        assert_eq!(file.to_string(), expected);
        assert_eq!(file.get_raw("core", "mode"), Some("bare"));
    }

    /// The verdicts are GLib 2.74's.
    #[test]
    fn what_glib_takes_is_taken_and_written_back_as_glib_does() {
        let table: &[(&str, &str)] = &[
            ("", ""),
            ("\n#\n  \n", ""),
            ("[a]\r\nx=\r\n#c\r\n\r\n", "[a]\nx=\n"),
            ("[a]\nx=1\r", "[a]\nx=1\r\n"),
            ("[a]\nx=1\r\r\n", "[a]\nx=1\r\n"),
            ("[a]\n[ b ]\nx=1", "[a]\n\n[ b ]\nx=1\n"),
            ("\x0c[a]\t \t\n", "[a]\n"),
            ("[a\u{85}]\n", "[a\u{85}]\n"),
            ("[a]\nx==1=\n", "[a]\nx==1=\n"),
            ("[a]\nx\u{a0} = \u{a0}1\n", "[a]\nx\u{a0}=\u{a0}1\n"),
            ("[a]\nx  y\t=\t1\n", "[a]\nx  y=1\n"),
            ("[a]\nx[C]=1\nx[]=3\nx[en]=5\nx[de_AT@e.u-x]=6\nx[é]=7\n", "[a]\nx[C]=1\nx[]=3\n"),
            (
                "[a]\nEncoding=utf-8\n[b]\nEncoding=latin1\n",
                "[a]\nEncoding=utf-8\n\n[b]\nEncoding=latin1\n",
            ),
            ("[a]\nx=1\n[b]\n[a]\nx=2\n", "[a]\nx=1\nx=2\n\n[b]\n"),
        ];
        for (text, expected) in table {
            assert_eq!(rewritten(text).as_deref(), Ok(*expected), "{text:?}");
        }
    }

    #[test]
    fn what_glib_refuses_is_refused_in_its_words() {
        let line = |line: &str| {
            format!(
                "Key file contains line “{line}” which is not a key-value pair, group, or comment"
            )
        };
        let no_group = || "Key file does not start with a group".to_owned();
        let table = [
            ("x=1", no_group()),
            ("[a] x=1\n", no_group()),
            ("[a]\rx=1\n", no_group()),
            ("x", line("x")),
            ("[a]\n x  \t\n", line(" x  \t")),
            ("[a]\n =1\n", line(" =1")),
            ("[a]b\n", line("[a]b")),
            ("[a]]\n", line("[a]]")),
            ("\u{feff}[a]\n", line("\u{feff}[a]")),
            // What would move a cursor is escaped, unlike GLib.
            ("[a]\n\x0b\n", line("\\u{b}")),
            ("[a]\n;c\n", line(";c")),
            ("[]\n", "Invalid group name: ".to_owned()),
            ("[a[b]\n", "Invalid group name: a[b".to_owned()),
            ("[\tq]\n", "Invalid group name: \tq".to_owned()),
            ("[a]\n[b=1\n", "Invalid key name: [b".to_owned()),
            ("[a]\nx]=1", "Invalid key name: x]".to_owned()),
            ("[a]\nx[b]c=1\n", "Invalid key name: x[b]c".to_owned()),
            ("[a]\nx[b c]=1\n", "Invalid key name: x[b c]".to_owned()),
            (
                "[a]\nEncoding=UTF-16\n",
                "Key file contains unsupported encoding “UTF-16”".to_owned(),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(rewritten(text), Err(expected), "{text:?}");
        }
        assert_eq!(text_of(b"[a]\nx=\xff\n").unwrap_err().what, "Invalid UTF-8");
        assert_eq!(text_of(b"[a]\nx=\0\n").unwrap_err().what, "Invalid UTF-8");
    }

    #[test]
    fn texts_are_escaped_as_glib_escapes_them_and_come_back() {
        let table = [
            ("", "", ";"),
            (" ", "\\s", "\\s;"),
            ("\t\t a", "\\t\\t\\sa", "\\t\\t\\sa;"),
            (" \ta\n\r\\;", "\\s\\ta\\n\\r\\\\;", "\\s\\ta\\n\\r\\\\\\;;"),
            ("\n a", "\\n\\sa", "\\n\\sa;"),
            ("\\ a", "\\\\ a", "\\\\ a;"),
            ("a \t", "a \t", "a \t;"),
            ("; a", "; a", "\\;\\sa;"),
        ];
        for (text, raw, raw_list) in table {
            let mut file = KeyFile::new();
            file.set_string("a", "x", text).unwrap();
            file.set_list("a", "y", &[text]).unwrap();
            assert_eq!(
                (file.get_raw("a", "x"), file.get_raw("a", "y")),
                (Some(raw), Some(raw_list))
            );
            let again = KeyFile::parse(&file.to_string()).unwrap();
            assert_eq!(again.get("a", "x").unwrap().as_deref(), Some(text));
            assert_eq!(again.get_list("a", "y").unwrap(), Some(vec![text.to_owned()]));
        }
    }

    #[test]
    fn lists_are_split_at_unescaped_semicolons() {
        let table: &[(&str, Option<&[&str]>)] = &[
            ("a;b", Some(&["a", "b"])),
            ("a\\;b;c", Some(&["a;b", "c"])),
            (";", Some(&[""])),
            (";;", Some(&["", ""])),
            ("", Some(&[])),
            ("a;\\s b\\t;", Some(&["a", "  b\t"])),
            ("a\\\\;b", Some(&["a\\", "b"])),
            ("a; b ;", Some(&["a", " b "])),
            ("a\\", None),
            ("a;b\\q", None),
        ];
        for (raw, expected) in table {
            let list = KeyFile::parse(&format!("[a]\nx={raw}\n")).unwrap().get_list("a", "x");
            let expected =
                expected.map(|members| members.iter().map(|member| (*member).to_owned()).collect());
            assert_eq!(list.ok(), expected.map(Some), "{raw:?}");
        }
    }

    #[test]
    fn booleans_are_true_1_false_and_0_and_nothing_else() {
        let wrong = "Key file contains key “x” which has a value that cannot be interpreted.";
        for (raw, expected) in
            [("true", true), ("true \t", true), ("1\x0c", true), ("false", false), ("0", false)]
        {
            let file = KeyFile::parse(&format!("[a]\nx={raw}\n")).unwrap();
            assert_eq!(file.get_bool("a", "x"), Ok(Some(expected)), "{raw:?}");
        }
        for raw in ["", "TRUE", "01", "yes", "true\\s", "tru\\q"] {
            let file = KeyFile::parse(&format!("[a]\nx={raw}\n")).unwrap();
            assert_eq!(file.get_bool("a", "x"), Err(DecodeError::new(wrong)), "{raw:?}");
        }
        assert_eq!(KeyFile::new().get_bool("a", "x"), Ok(None));
    }

    #[test]
    fn a_missing_key_and_a_missing_group_have_errors_of_their_own() {
        let file = KeyFile::parse("[a]\nx=\\q\n").unwrap();
        assert_eq!(
            file.require("a", "k").unwrap_err().what,
            "Key file does not have key “k” in group “a”"
        );
        assert_eq!(file.require("g", "k").unwrap_err().what, "Key file does not have group “g”");
        let wrong = "Key file contains key “x” which has a value that cannot be interpreted.";
        assert_eq!(file.require("a", "x").unwrap_err().what, wrong);
    }

    #[test]
    fn setting_and_removing_touch_the_last_of_equal_keys() {
        let mut file = KeyFile::parse("[a]\nx=1\nx=2\ny=5\nx=3\n").unwrap();
        file.set_bool("a", "x", true).unwrap();
        assert_eq!(file.to_string(), "[a]\nx=1\nx=2\ny=5\nx=true\n");
        assert!(file.remove("a", "x"));
        assert!(!file.remove("a", "z"));
        assert_eq!(file.to_string(), "[a]\nx=1\nx=2\ny=5\n");
        assert!(file.remove_group("a"));
        assert_eq!(file.to_string(), "");
    }

    #[test]
    fn names_that_could_not_be_read_back_are_not_written() {
        let mut file = KeyFile::new();
        for key in ["", " x", "x ", "a=b", "a[b", "a\nb"] {
            let shown = if key == "a\nb" { "a..." } else { key };
            assert_eq!(
                file.set_string("core", key, "1").unwrap_err().what,
                format!("Invalid key name: {shown}")
            );
        }
        assert_eq!(file.set_string("a]b", "x", "1").unwrap_err().what, "Invalid group name: a]b");
        assert_eq!(file, KeyFile::new());
    }
}
