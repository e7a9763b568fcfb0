//! What a policy says, and the key file that it is read from:
//!
//! ```text
//! [refs "exampleos/*/x86_64/**"]     the commits of the refs that match, the first group that does
//! keep=10                            the newest ones, that of the ref among them
//! keep-younger-than=30d              commits down to the first that is older
//! keep-tagged=release;channel=stable those with a metadata key, or a key with a value
//!
//! [deltas "exampleos/**"]            static deltas to commits of the refs that match
//! keep=3                             the same keys, for the commits that deltas lead to
//! sources=2                          and for each of them deltas from the newest commits
//!
//! [unreferenced]                     commits and objects that no ref leads to
//! keep-younger-than=24h
//! ```

use std::time::Duration;

use crate::error::{Error, Result};
use crate::gvariant::Dict;
use crate::gvariant::text::{self, Annotate};
use crate::input::quotable;
use crate::keyfile::{KeyFile, text_of};
use crate::pattern::Pattern;
use crate::units::parse_duration;

/// What is kept of which refs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The commits that are kept. The first rule that matches a ref counts; all commits of a ref
    /// are kept that none matches.
    pub refs: Vec<Rule>,
    /// The commits of which the static deltas that lead to them are kept, in the same way.
    pub deltas: Vec<Rule>,
    /// What no ref leads to is kept when it has come later than so long ago; `None` if the policy
    /// does not say.
    pub unreferenced: Option<Duration>,
}

/// What is kept of the refs that match a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Refs as refspecs, mirrored ones as `COLLECTION:REF`.
    pub pattern: Pattern,
    /// The commits that are kept; `None` for all.
    pub keep: Option<Keep>,
    /// Of deltas: how many of them are kept for each commit, from the newest ones, besides that
    /// from nothing.
    pub sources: Option<usize>,
}

/// Which commits of a ref are kept. Each condition is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// So many, the ref's own among them. That one is kept in any case.
    pub newest: u64,
    /// The commits down to the first that was made longer ago.
    pub younger_than: Option<Duration>,
    /// Those with one of these tags.
    pub tagged: Vec<Tag>,
}

/// A key in the metadata of a commit, or in its detached metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The key.
    pub key: String,
    /// Its value: a string, or the text form of anything else. `None` for any.
    pub value: Option<String>,
}

impl Tag {
    /// Whether the metadata has it.
    pub fn is_in(&self, metadata: &Dict) -> bool {
        let Some(found) = metadata.get(&self.key) else { return false };
        let Some(wanted) = &self.value else { return true };
        match found.view().as_str() {
            Some(text) => text == wanted,
            None => text::print(found.view(), Annotate::No) == *wanted,
        }
    }
}

impl Policy {
    /// Reads the text of a key file, whose name is for errors.
    ///
    /// # Errors
    /// When it is malformed, or has a group or key that does not belong there.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Self> {
        let wrong = |what: String| Err(Error::failed(format!("{name}: {what}")));
        let keyfile = match text_of(bytes).and_then(KeyFile::parse) {
            Ok(keyfile) => keyfile,
            Err(source) => return Err(Error::Malformed { what: name.to_owned(), source }),
        };
        let mut policy = Self::default();
        for group in keyfile.groups() {
            let read = Group { keyfile: &keyfile, name: group };
            let added = match (pattern_of(group, "refs"), pattern_of(group, "deltas")) {
                (Some(pattern), _) => read.rule(pattern, &[]).map(|rule| policy.refs.push(rule)),
                (_, Some(pattern)) => {
                    read.rule(pattern, &["sources"]).map(|rule| policy.deltas.push(rule))
                }
                _ if group == "unreferenced" => read.only(&["keep-younger-than"]).and_then(|()| {
                    policy.unreferenced = read.duration("keep-younger-than")?;
                    Ok(())
                }),
                _ => Err("is no group of a policy".to_owned()),
            };
            if let Err(what) = added {
                return wrong(format!("[{}] {what}", quotable(group)));
            }
        }
        match policy.refs.is_empty() && policy.deltas.is_empty() && policy.unreferenced.is_none() {
            true => wrong("there is no group [refs \"PATTERN\"]".to_owned()),
            false => Ok(policy),
        }
    }
}

/// The pattern in the name of a group, `KIND "PATTERN"`.
fn pattern_of<'g>(group: &'g str, kind: &str) -> Option<&'g str> {
    let quoted = group.strip_prefix(kind)?.strip_prefix(' ')?.trim_start();
    quoted.strip_prefix('"')?.strip_suffix('"').filter(|pattern| !pattern.is_empty())
}

struct Group<'k> {
    keyfile: &'k KeyFile,
    name: &'k str,
}

impl Group<'_> {
    fn rule(&self, pattern: &str, more: &[&str]) -> Result<Rule, String> {
        const KEYS: [&str; 3] = ["keep", "keep-younger-than", "keep-tagged"];
        self.only(&[&KEYS[..], more].concat())?;
        let (newest, younger_than) = (self.number("keep")?, self.duration("keep-younger-than")?);
        let tagged = self.keyfile.get_list(self.name, "keep-tagged").map_err(|e| e.what)?;
        let tagged = tagged.map(|tags| tags.iter().map(|tag| parse_tag(tag)).collect());
        let tagged: Option<Vec<Tag>> = tagged.transpose()?;
        if newest == Some(0) && more.is_empty() {
            return Err("keep: at least 1 commit of a ref is kept".to_owned());
        }
        let says_something = newest.is_some() || younger_than.is_some() || tagged.is_some();
        let keep = says_something.then(|| Keep {
            newest: newest.unwrap_or(0),
            younger_than,
            tagged: tagged.unwrap_or_default(),
        });
        let sources = self.number("sources")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX));
        if keep.is_none() && sources.is_none() && self.keyfile.keys(self.name).next().is_some() {
            return Err("says nothing".to_owned());
        }
        Ok(Rule { pattern: Pattern::new(pattern), keep, sources })
    }

    fn only(&self, known: &[&str]) -> Result<(), String> {
        match self.keyfile.keys(self.name).find(|key| !known.contains(key)) {
            Some(key) => Err(format!("has an unknown key '{}'", quotable(key))),
            None => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Result<Option<String>, String> {
        let text = self.keyfile.get(self.name, key).map_err(|error| error.what)?;
        Ok(text.map(|text| text.trim_end().to_owned()))
    }

    /// A number of digits alone.
    fn number(&self, key: &str) -> Result<Option<u64>, String> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(number) if is_number => Ok(Some(number)),
            _ => Err(format!("{key}: '{}' is no number", quotable(&text))),
        }
    }

    fn duration(&self, key: &str) -> Result<Option<Duration>, String> {
        let Some(text) = self.text(key)? else { return Ok(None) };
        match parse_duration(&text) {
            Some(duration) => Ok(Some(duration)),
            None if text == "0" => Ok(Some(Duration::ZERO)),
            None => {
                let text = quotable(&text);
                Err(format!("{key}: '{text}' is no duration; write 12h, 30d or 12w"))
            }
        }
    }
}

fn parse_tag(text: &str) -> Result<Tag, String> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    match key.is_empty() {
        true => Err("keep-tagged: a tag has no key".to_owned()),
        false => Ok(Tag { key: key.to_owned(), value }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Value;

    #[test]
    fn groups_are_rules_in_their_order() {
        let text = "[refs \"a/**\"]\nkeep=3\nkeep-tagged=release;channel=stable\n\
            [refs \"b\"]\nkeep-younger-than=2w\n[deltas \"a/*\"]\nkeep=0\nsources=2\n\
            [refs \"c\"]\n[unreferenced]\nkeep-younger-than=0\n";
        let tag = |key: &str, value: Option<&str>| Tag {
            key: key.to_owned(),
            value: value.map(str::to_owned),
        };
        let rule = |pattern, keep| Rule { pattern: Pattern::new(pattern), keep, sources: None };
        let tagged = vec![tag("release", None), tag("channel", Some("stable"))];
        let two_weeks = Some(Duration::from_secs(14 * 86_400));
        let expected = Policy {
            refs: vec![
                rule("a/**", Some(Keep { newest: 3, younger_than: None, tagged })),
                rule("b", Some(Keep { younger_than: two_weeks, ..Keep::default() })),
                rule("c", None),
            ],
            deltas: vec![Rule { sources: Some(2), ..rule("a/*", Some(Keep::default())) }],
            unreferenced: Some(Duration::ZERO),
        };
        assert_eq!(Policy::parse("p", text.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_group_and_key() {
        for (text, message) in [
            ("", "p: there is no group [refs \"PATTERN\"]"),
            ("keep=1\n", "p: Key file does not start with a group"),
            ("[refs a]\n", "p: [refs a] is no group of a policy"),
            ("[refs \"\"]\n", "p: [refs \"\"] is no group of a policy"),
            ("[refs \"a\"]\nsources=1\n", "p: [refs \"a\"] has an unknown key 'sources'"),
            ("[refs \"a\"]\nkeep=0\n", "p: [refs \"a\"] keep: at least 1 commit of a ref is kept"),
            ("[refs \"a\"]\nkeep=-1\n", "p: [refs \"a\"] keep: '-1' is no number"),
            ("[refs \"a\"]\nkeep=\n", "p: [refs \"a\"] keep: '' is no number"),
            (
                "[refs \"a\"]\nkeep-younger-than=5\n",
                "p: [refs \"a\"] keep-younger-than: '5' is no duration; write 12h, 30d or 12w",
            ),
            ("[refs \"a\"]\nkeep-tagged==x\n", "p: [refs \"a\"] keep-tagged: a tag has no key"),
            ("[unreferenced]\nkeep=1\n", "p: [unreferenced] has an unknown key 'keep'"),
        ] {
            let error = Policy::parse("p", text.as_bytes()).unwrap_err().chain();
            assert_eq!(error, message, "{text}");
        }
        assert_eq!(Policy::parse("p", b"\xff").unwrap_err().chain(), "p: Invalid UTF-8");
    }

    #[test]
    fn a_tag_is_a_key_or_a_key_with_a_value() {
        let mut metadata = Dict::new();
        metadata.push("channel", Value::string("stable"));
        metadata.push("release", Value::boolean(true));
        let has = |text: &str| parse_tag(text).unwrap().is_in(&metadata);
        assert!(["channel", "channel=stable", "release", "release=true"].into_iter().all(has));
        assert!(!["channel=beta", "release=false", "stable", "channel="].into_iter().any(has));
    }
}
