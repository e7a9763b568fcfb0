//! The group `[push]`: where a published commit is pushed to.

use super::reader::Reader;
use crate::push::{Named, Place};
use crate::repo::Repo;

/// The group `[push]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushConfig {
    /// The destinations: URLs, or names of groups `[push "NAME"]` in the config of the repository.
    pub to: Vec<String>,
    /// How many generations of parents are pushed, too, as far as they are not there.
    pub depth: u32,
    /// Whether static deltas are pushed.
    pub deltas: bool,
    /// Whether a run fails if a destination cannot be pushed to.
    pub required: bool,
}

impl PushConfig {
    /// What is wrong with the destinations, as far as it is known without reaching them.
    pub fn problems(&self, repo: &Repo) -> Vec<String> {
        let problem = |to: &String| {
            let place = Named::find(repo, to).and_then(|named| Place::parse(&named.url));
            place.err().map(|error| format!("[push] to: {}", error.chain()))
        };
        self.to.iter().filter_map(problem).collect()
    }
}

const KEYS: [&str; 4] = ["to", "depth", "deltas", "required"];

/// Reads the group.
pub(super) fn read(mut reader: Reader<'_>) -> PushConfig {
    reader.only(&KEYS);
    let to = reader.list("to");
    if to.is_empty() {
        reader.empty("give `to`, the destinations, or leave it out");
    }
    for place in to.iter().filter(|place| place.contains("://")) {
        if let Err(error) = Place::parse(place) {
            reader.wrong::<()>("to", &error.chain());
        }
    }
    let depth = reader.optional_in("depth", 0..=u64::from(u32::MAX)).unwrap_or(0);
    PushConfig {
        to,
        depth: u32::try_from(depth).unwrap_or(u32::MAX),
        deltas: reader.boolean("deltas", true),
        required: reader.boolean("required", true),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ComposeConfig;
    use super::*;

    fn parse(lines: &str) -> Result<Option<PushConfig>, Vec<String>> {
        let tree = "[compose]\nrepo=repo\ntreefile=t.json\ncachedir=c\nwork=work\n";
        let text = format!("{tree}{lines}");
        ComposeConfig::parse(&text, Path::new("/e")).map(|config| config.tree.push)
    }

    #[test]
    fn every_key_is_read_and_has_a_default() {
        assert_eq!(parse(""), Ok(None));
        let expected =
            PushConfig { to: vec!["store".to_owned()], depth: 0, deltas: true, required: true };
        assert_eq!(parse("[push]\nto=store\n"), Ok(Some(expected)));
        let expected = PushConfig {
            to: vec!["ssh://host/os".to_owned(), "store".to_owned()],
            depth: 3,
            deltas: false,
            required: false,
        };
        let text = "[push]\nto=ssh://host/os;store\ndepth=3\ndeltas=false\nrequired=false\n";
        assert_eq!(parse(text), Ok(Some(expected)));
    }

    #[test]
    fn what_is_wrong_is_reported_without_passwords() {
        for (lines, expected) in [
            ("", "[push]: give `to`, the destinations, or leave it out"),
            (
                "to=ssh://me:secret@host/x\n",
                "[push] to: 'ssh://host/x': ssh takes no password from a URL",
            ),
            (
                "to=https://me:secret@host/x\n",
                "[push] to: 'https://host/x': a web server cannot be pushed to",
            ),
            ("to=x\ndepth=-1\n", "[push] depth: `-1` is no number from 0 to 4294967295"),
            ("to=x\nforce=true\n", "[push] unknown key force"),
        ] {
            assert_eq!(parse(&format!("[push]\n{lines}")), Err(vec![expected.to_owned()]));
        }
    }
}
