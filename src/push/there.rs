//! What a destination has: its config, its refs, and whether its summary is signed.

use std::collections::BTreeMap;

use super::destination::{Destination, Expected, Put, Stored};
use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::keyfile::{KeyFile, text_of};
use crate::refspec::{CollectionId, RefName};
use crate::repo::{Config, RepoMode};

pub(super) const CONFIG: &str = "config";
/// The largest ref or config that is read, in bytes.
pub(super) const MAX_SMALL: u64 = 1 << 20;

/// What was found, before anything is sent.
pub(super) struct There {
    /// The config as it was read.
    pub(super) config: Option<Stored>,
    /// The names of all refs.
    pub(super) refs: Vec<RefName>,
    /// Those of them that were looked at, as they were read.
    pub(super) commits: BTreeMap<RefName, (Checksum, Stored)>,
}

/// The name of a ref's file.
pub(super) fn ref_path(name: &RefName) -> String {
    format!("refs/heads/{name}")
}

impl There {
    /// Looks at these refs and the config.
    ///
    /// # Errors
    /// When something cannot be read, or is not what it should be.
    pub(super) fn look(destination: &dyn Destination, wanted: &[RefName]) -> Result<Self> {
        let refs = destination.list_refs()?;
        let mut config = destination.read(&[CONFIG.to_owned()], MAX_SMALL)?;
        let config = config.pop().flatten();
        if config.is_none() && !refs.is_empty() {
            let name = destination.name();
            return Err(Error::failed(format!(
                "{name} has refs but no config: it is no repository"
            )));
        }
        let looked_at: Vec<RefName> =
            wanted.iter().filter(|name| refs.contains(name)).cloned().collect();
        let commits = read_refs(destination, &looked_at)?;
        for name in wanted {
            check_conflict(destination, name, &refs)?;
        }
        Ok(Self { config, refs, commits })
    }

    /// Looks at all other refs, too.
    ///
    /// # Errors
    /// As [`There::look`].
    pub(super) fn look_at_all(&mut self, destination: &dyn Destination) -> Result<()> {
        let unknown: Vec<RefName> =
            self.refs.iter().filter(|name| !self.commits.contains_key(name)).cloned().collect();
        self.commits.append(&mut read_refs(destination, &unknown)?);
        Ok(())
    }
}

/// Reads refs, leaving out those that have vanished.
///
/// # Errors
/// When one cannot be read or holds no checksum.
pub(super) fn read_refs(
    destination: &dyn Destination,
    names: &[RefName],
) -> Result<BTreeMap<RefName, (Checksum, Stored)>> {
    let paths: Vec<String> = names.iter().map(ref_path).collect();
    let mut commits = BTreeMap::new();
    for (name, stored) in names.iter().zip(destination.read(&paths, MAX_SMALL)?) {
        let Some(stored) = stored else { continue };
        let text = String::from_utf8_lossy(&stored.bytes);
        let commit = Checksum::from_hex(text.trim_end()).map_err(|_| {
            Error::failed(format!("{}: {} holds no checksum", destination.name(), ref_path(name)))
        })?;
        commits.insert(name.clone(), (commit, stored));
    }
    Ok(commits)
}

/// A client keeps refs as files, so none can be a directory of others.
fn check_conflict(destination: &dyn Destination, name: &RefName, refs: &[RefName]) -> Result<()> {
    let is_below =
        |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    let conflict = refs.iter().find(|other| {
        is_below(other.as_str(), name.as_str()) || is_below(name.as_str(), other.as_str())
    });
    match conflict {
        None => Ok(()),
        Some(other) => Err(Error::failed(format!(
            "{} has the ref {other}, so there cannot be {name}",
            destination.name()
        ))),
    }
}

/// The settings in the config of a destination.
///
/// # Errors
/// When it is no config, or not that of an archive that stands for itself.
pub(super) fn settings(destination: &dyn Destination, config: &Stored) -> Result<Config> {
    let what = || format!("the config of {}", destination.name());
    let malformed = |source| Error::Malformed { what: what(), source };
    let text = text_of(&config.bytes).map_err(malformed)?;
    let keyfile = KeyFile::parse(text).map_err(malformed)?;
    let config = Config::from_keyfile(keyfile).context(what)?;
    if config.mode != RepoMode::Archive {
        return Err(Error::failed(format!(
            "{} is a repository of mode {}; only an archive can be pushed to",
            destination.name(),
            config.mode
        )));
    }
    if config.parent.is_some() {
        return Err(Error::failed(format!(
            "{} has a parent repository, so what is pushed would not be complete",
            destination.name()
        )));
    }
    Ok(config)
}

/// The config of a repository that a push makes.
pub(super) fn new_config(collection: Option<&CollectionId>) -> String {
    let mut text = format!("[core]\nrepo_version=1\nmode={}\n", RepoMode::Archive);
    if let Some(collection) = collection {
        text.push_str(&format!("collection-id={collection}\n"));
    }
    // A client of a repository without a summary looks here.
    text.push_str("indexed-deltas=true\n");
    text
}

/// Makes the destination a repository, unless it is one already, and returns its config.
///
/// # Errors
/// When it cannot be written.
pub(super) fn create(
    destination: &dyn Destination,
    collection: Option<&CollectionId>,
) -> Result<Stored> {
    let text = new_config(collection);
    match destination.put_if(CONFIG, text.as_bytes(), &Expected::Absent)? {
        // Somebody else has made it one meanwhile.
        Put::Done | Put::Lost => {}
    }
    let stored = destination.read(&[CONFIG.to_owned()], MAX_SMALL)?.pop().flatten();
    stored.ok_or_else(|| {
        Error::failed(format!("{} has no config after it was written", destination.name()))
    })
}
