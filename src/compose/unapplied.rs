//! Finds settings that an unchanged compose does not apply: rpm-ostree only looks at packages and
//! treefile, so a new version or other metadata alone makes no new commit.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::object::Commit;

use super::arguments::metadata_string;
use super::config::TreeConfig;

/// A metadata string that the commit does not have as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unapplied {
    /// Its key, `version` for the version.
    pub key: String,
    /// The configured value.
    pub wanted: String,
    /// The value in the commit.
    pub found: Option<String>,
}

impl Unapplied {
    /// The JSON form in a report.
    pub fn to_json(&self) -> Value {
        json!({ "key": self.key, "wanted": self.wanted, "found": self.found })
    }
}

impl Unapplied {
    /// Reads what [`Unapplied::to_json`] has made.
    pub fn from_json(document: &Value) -> Option<Self> {
        let text = |key: &str| document[key].as_str().map(str::to_owned);
        Some(Self { key: text("key")?, wanted: text("wanted")?, found: text("found") })
    }
}

/// Compares the configured metadata with a commit's, in the order of the keys.
pub fn unapplied(config: &TreeConfig, commit: &Commit) -> Vec<Unapplied> {
    // Of several values rpm-ostree takes the last.
    let mut wanted: BTreeMap<&str, &str> =
        config.metadata.iter().map(|(key, value)| (&**key, &**value)).collect();
    wanted.extend(config.extra_args.iter().filter_map(|argument| metadata_string(argument)));
    wanted.extend(config.version.as_deref().map(|version| ("version", version)));
    let compared = wanted.into_iter().filter_map(|(key, wanted)| {
        let found = string(commit, key);
        let unapplied = || Unapplied {
            key: key.to_owned(),
            wanted: wanted.to_owned(),
            found: found.map(str::to_owned),
        };
        (found != Some(wanted)).then(unapplied)
    });
    compared.collect()
}

/// A metadata string of a commit.
pub fn string<'c>(commit: &'c Commit, key: &str) -> Option<&'c str> {
    commit
        .metadata
        .get(key)
        .filter(|value| value.type_string() == "s")
        .and_then(|value| value.view().as_str())
}

/// Formats it as a sentence.
pub fn describe(unapplied: &[Unapplied]) -> String {
    let describe = |Unapplied { key, wanted, found }: &Unapplied| match found {
        Some(found) => format!("{key} {wanted} (the commit has {found})"),
        None => format!("{key} {wanted} (the commit has none)"),
    };
    let list: Vec<String> = unapplied.iter().map(describe).collect();
    format!(
        "not applied, because packages and treefile are unchanged: {}; --force composes anew",
        list.join(", ")
    )
}
