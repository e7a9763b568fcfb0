//! The summary of a destination: made of the refs that are there, whoever has pushed them.
//!
//! ```text
//! 1. the summary there is read, with its version
//! 2. then the refs: so what another builder has published before that version is among them
//! 3. the new summary is written if the version is still the same, else all is done again
//! 4. its signature is written in the same way; a writer that loses here was overtaken by a newer summary
//! ```

use std::collections::{BTreeMap, HashMap};

use super::PushOptions;
use super::destination::{Destination, Expected, Put, Stored, object_path};
use super::there::read_refs;
use crate::checksum::Checksum;
use crate::delta_format::{DeltaName, deltas_in_map, map_of_deltas};
use crate::error::{Error, Result};
use crate::gvariant::Dict;
use crate::object::{ObjectName, ObjectType};
use crate::repo::{Config, Repo, verify_metadata};
use crate::summary::store::MAX_SUMMARY_SIZE;
use crate::summary::{Facts, Summary, SummaryRef, describe, key, metadata, signature_of};

pub(super) const SUMMARY: &str = "summary";
pub(super) const SIGNATURE: &str = "summary.sig";
/// How often a summary is made anew because another builder has written one meanwhile.
const ATTEMPTS: u32 = 100;

/// What goes into the summary besides the refs.
pub(super) struct Contribution<'c> {
    /// The config of the destination.
    pub(super) config: &'c Config,
    /// The deltas that have been sent, with the digests of their superblocks.
    pub(super) deltas: &'c [(DeltaName, Checksum)],
}

/// Brings the summary up to date; returns whether it was written.
///
/// # Errors
/// When something cannot be read or written, or other builders are always faster.
pub(super) fn bring_up_to_date(
    repo: &Repo,
    destination: &dyn Destination,
    contribution: &Contribution<'_>,
    options: &PushOptions,
) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        let [old, signature] = read(destination)?;
        let before = old.as_ref().map(|old| decode(destination, old)).transpose()?;
        let entries = entries(repo, destination, before.as_ref())?;
        let new = Summary {
            refs: entries,
            metadata: new_metadata(before.as_ref(), contribution, options)?,
        };
        let is_news = before.is_none_or(|before| !before.says_the_same_as(&new));
        if !is_news && options.signers.is_empty() {
            return Ok(false);
        }
        if is_news && signature.is_some() && options.signers.is_empty() {
            return Err(signed(destination));
        }
        let bytes = new.encode();
        let signed = signature_of(&bytes, &options.signers)?;
        let expected = |stored: Option<&Stored>| match options.is_locked() {
            true => Expected::as_read(stored),
            false => Expected::Anything,
        };
        if destination.put_if(SUMMARY, &bytes, &expected(old.as_ref()))? == Put::Lost {
            continue;
        }
        let Some(signed) = signed else { return Ok(true) };
        if place_signature(destination, (&bytes, &signed), expected(signature.as_ref()))? {
            return Ok(true);
        }
    }
    let name = destination.name();
    Err(Error::failed(format!(
        "the summary of {name} changed whenever it was to be written ({ATTEMPTS} times); the refs are published"
    )))
}

/// Refuses what would leave a signature that does not fit.
///
/// # Errors
/// When the summary there is signed and nobody signs.
pub(super) fn check_signers(destination: &dyn Destination, options: &PushOptions) -> Result<()> {
    let [_, signature] = read(destination)?;
    match signature.is_some() && options.signers.is_empty() {
        true => Err(signed(destination)),
        false => Ok(()),
    }
}

fn signed(destination: &dyn Destination) -> Error {
    Error::failed(format!(
        "the summary of {} is signed: a new one needs --sign or --gpg-sign",
        destination.name()
    ))
}

fn read(destination: &dyn Destination) -> Result<[Option<Stored>; 2]> {
    let names = [SUMMARY, SIGNATURE].map(str::to_owned);
    let mut both = destination.read(&names, MAX_SUMMARY_SIZE)?.into_iter();
    Ok([both.next().flatten(), both.next().flatten()])
}

fn decode(destination: &dyn Destination, stored: &Stored) -> Result<Summary> {
    Summary::decode(&stored.bytes).map_err(|source| Error::Malformed {
        what: format!("the summary of {}", destination.name()),
        source,
    })
}

/// Whether the signature is in place, or the summary is not ours any more.
fn place_signature(
    destination: &dyn Destination,
    (summary, signature): (&[u8], &[u8]),
    mut expected: Expected,
) -> Result<bool> {
    for _ in 0..ATTEMPTS {
        if destination.put_if(SIGNATURE, signature, &expected)? == Put::Done {
            return Ok(true);
        }
        let [there, other] = read(destination)?;
        if there.is_none_or(|there| there.bytes != summary) {
            // Whoever has written that summary has seen our refs, and signs it.
            return Ok(true);
        }
        expected = Expected::as_read(other.as_ref());
    }
    Ok(false)
}

/// The refs that are there now. What is known of a commit is taken from the summary before, else
/// from the commit here, else from the commit there.
fn entries(
    repo: &Repo,
    destination: &dyn Destination,
    before: Option<&Summary>,
) -> Result<Vec<SummaryRef>> {
    let known: HashMap<Checksum, &SummaryRef> =
        before.iter().flat_map(|before| &before.refs).map(|entry| (entry.commit, entry)).collect();
    let refs = read_refs(destination, &destination.list_refs()?)?;
    let is_unknown = |commit: &Checksum| !known.contains_key(commit);
    let unknown: BTreeMap<Checksum, ()> = refs
        .values()
        .filter(|(commit, _)| is_unknown(commit))
        .map(|(commit, _)| (*commit, ()))
        .collect();
    let commits = commits(repo, destination, unknown.into_keys().collect())?;
    let mut entries = Vec::with_capacity(refs.len());
    for (name, (commit, _)) in &refs {
        let entry = match (known.get(commit), commits.get(commit)) {
            (Some(known), _) => (*known).clone(),
            (None, Some(bytes)) => describe(commit, bytes)?,
            (None, None) => {
                return Err(Error::failed(format!(
                    "{}: the ref {name} names the commit {commit}, which is not there",
                    destination.name()
                )));
            }
        };
        entries.push(SummaryRef { name: name.to_string(), ..entry });
    }
    Ok(entries)
}

/// The bytes of commits, as far as they are found.
fn commits(
    repo: &Repo,
    destination: &dyn Destination,
    wanted: Vec<Checksum>,
) -> Result<BTreeMap<Checksum, Vec<u8>>> {
    let (mut found, mut elsewhere) = (BTreeMap::new(), Vec::new());
    for commit in wanted {
        let name = ObjectName::new(commit, ObjectType::Commit);
        match repo.load_verified(&name) {
            Ok(bytes) => drop(found.insert(commit, bytes.to_vec())),
            Err(Error::MissingMetadata { .. }) => elsewhere.push(name),
            Err(error) => return Err(error),
        }
    }
    let paths: Vec<String> = elsewhere.iter().map(object_path).collect();
    for (name, stored) in elsewhere.iter().zip(destination.read(&paths, MAX_SUMMARY_SIZE)?) {
        if let Some(Stored { bytes, .. }) = stored {
            verify_metadata(name, &bytes)?;
            found.insert(name.checksum, bytes);
        }
    }
    Ok(found)
}

fn new_metadata(
    before: Option<&Summary>,
    contribution: &Contribution<'_>,
    options: &PushOptions,
) -> Result<Dict> {
    let Contribution { config, deltas } = contribution;
    let added = before.map(Summary::added_metadata).unwrap_or_default();
    let of_before = |key| before.and_then(|before| before.metadata.get(key));
    let mut all = match of_before(key::STATIC_DELTAS).map(|map| Dict::from_variant(map.view())) {
        None => Vec::new(),
        Some(map) => map.map_or(Ok(Vec::new()), |map| deltas_in_map(&map)).map_err(|source| {
            Error::Malformed { what: "the deltas in the summary there".to_owned(), source }
        })?,
    };
    all.retain(|(name, _)| deltas.iter().all(|(other, _)| other != name));
    all.extend_from_slice(deltas);
    all.sort_unstable();
    let facts = Facts {
        mode: config.mode,
        tombstone_commits: config.tombstone_commits,
        collection: config.collection_id.clone(),
        deltas: match all.is_empty() || config.no_deltas_in_summary {
            true => None,
            false => Some(map_of_deltas(&all)),
        },
        collections: of_before(key::COLLECTION_MAP).cloned(),
    };
    Ok(metadata(&added, facts, options.now))
}
