//! Builds the summary of a repository from its refs.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rayon::prelude::*;

use super::format::{Summary, SummaryRef, encode_collection_map, key, ref_key};
use super::store;
use crate::checksum::Checksum;
use crate::error::{OfObject, Result};
use crate::gvariant::{Dict, Value};
use crate::object::key::{COLLECTION_BINDING, REF_BINDING};
use crate::object::{Commit, DirMeta, DirTree, ObjectName, ObjectType, Xattrs};
use crate::refspec::{CollectionId, CollectionRef, RefName};
use crate::repo::{ListRefs, LockKind, Repo, RepoMode, Transaction, deltas};
use crate::signer::{PayloadKind, Signer, sign_all};
use crate::threads;

/// The ref whose commits carry the metadata of a repository that has a collection id.
pub const METADATA_REF: &str = "ostree-metadata";

/// Times in the years 1 to 9999, in seconds since 1970. Upstream leaves out times that GLib's
/// calendar cannot represent.
const CALENDAR: RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// What `summary -u` writes in addition to what is in the repository.
#[derive(Clone, Debug, Default)]
pub struct UpdateOptions {
    /// The user's metadata, written before our own.
    pub metadata: Dict,
    /// The time of the summary, in seconds since 1970.
    pub now: u64,
    /// The time of the commit made when the repository has a collection id, in seconds since 1970.
    pub commit_timestamp: u64,
    /// What signs the summary, and that commit.
    pub signers: Vec<Arc<dyn Signer>>,
}

/// Brings the summary up to date; with a collection id, first commits the user's metadata to
/// [`METADATA_REF`].
///
/// # Errors
/// As [`regenerate`], and when the commit cannot be written.
pub fn update(repo: &Repo, options: &UpdateOptions) -> Result<()> {
    if let Some(collection) = repo.collection_id() {
        commit_metadata(repo, &collection, options)?;
    }
    write(repo, &options.metadata, options.now, &options.signers)
}

/// Updates the summary if `core.auto-update-summary` is set. Operations that move refs call this
/// when they are done.
///
/// # Errors
/// As [`regenerate`].
pub fn auto_update(repo: &Repo) -> Result<()> {
    if !repo.config().auto_update_summary {
        return Ok(());
    }
    // A clock before 1970 counts as the start of 1970.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    regenerate(repo, &Dict::new(), now)
}

/// Writes the summary anew, with `additional` metadata and `now` (seconds since 1970) as its time;
/// updates the delta indexes and removes the signatures of the old summary. Of several concurrent
/// updates the last one has the latest refs.
///
/// # Errors
/// When a ref points to a commit that is missing or malformed, or something cannot be written.
pub fn regenerate(repo: &Repo, additional: &Dict, now: u64) -> Result<()> {
    write(repo, additional, now, &[])
}

fn write(repo: &Repo, additional: &Dict, now: u64, signers: &[Arc<dyn Signer>]) -> Result<()> {
    let _lock = repo.lock(LockKind::Shared)?;
    let lock = store::lock(repo)?;
    let summary = prospective(repo, &[], additional, now)?.encode();
    let signature = signature_of(&summary, signers)?;
    deltas::reindex(repo)?;
    store::prepare(repo, &lock, &summary, signature.as_deref())?.place()
}

/// The content of `summary.sig`; `None` without signers.
///
/// # Errors
/// When one of them cannot sign.
pub fn signature_of(summary: &[u8], signers: &[Arc<dyn Signer>]) -> Result<Option<Vec<u8>>> {
    if signers.is_empty() {
        return Ok(None);
    }
    let signers = signers.iter().map(AsRef::as_ref);
    let signatures = sign_all(signers, PayloadKind::Summary, summary, &Dict::new())?;
    Ok(Some(signatures.encode()))
}

/// The summary of the repository as it will be when its own refs in `moved` point to those commits,
/// with `additional` metadata and `now` (seconds since 1970) as its time. Nothing is written.
///
/// # Errors
/// When a ref points to a commit that is missing or malformed.
pub fn prospective(
    repo: &Repo,
    moved: &[(RefName, Checksum)],
    additional: &Dict,
    now: u64,
) -> Result<Summary> {
    let mut collections = BTreeMap::<CollectionId, Vec<(RefName, Checksum)>>::new();
    for (CollectionRef { collection, name }, commit) in repo.list_collection_refs(None)? {
        collections.entry(collection).or_default().push((name, commit));
    }
    let mut own = match repo.collection_id() {
        Some(collection) => collections.remove(&collection).unwrap_or_default(),
        None => {
            let refs = repo.list_refs(None, ListRefs::Full)?.into_iter();
            refs.filter(|(refspec, _)| refspec.remote.is_none())
                .map(|(refspec, commit)| (refspec.name, commit))
                .collect()
        }
    };
    own.retain(|(name, _)| moved.iter().all(|(other, _)| other != name));
    own.extend_from_slice(moved);

    let mut described = Vec::with_capacity(collections.len());
    for (collection, refs) in collections {
        described.push((collection.as_str().to_owned(), describe(repo, refs)?));
    }
    let facts = Facts {
        mode: repo.mode(),
        tombstone_commits: repo.config().tombstone_commits,
        collection: repo.collection_id(),
        deltas: deltas_of(repo)?,
        collections: (!described.is_empty()).then(|| encode_collection_map(&described)),
    };
    Ok(Summary { refs: describe(repo, own)?, metadata: metadata(additional, facts, now) })
}

fn deltas_of(repo: &Repo) -> Result<Option<Dict>> {
    if repo.config().no_deltas_in_summary {
        return Ok(None);
    }
    let names = deltas::list(repo)?;
    if names.is_empty() { Ok(None) } else { deltas::digests(repo, &names).map(Some) }
}

/// What a summary says of its repository.
pub(crate) struct Facts {
    pub(crate) mode: RepoMode,
    pub(crate) tombstone_commits: bool,
    pub(crate) collection: Option<CollectionId>,
    /// From the names of static deltas to the digests of their superblocks.
    pub(crate) deltas: Option<Dict>,
    /// The refs of other collections, encoded.
    pub(crate) collections: Option<Value>,
}

/// The metadata of a summary, with `additional` metadata and `now` (seconds since 1970) as its
/// time.
pub(crate) fn metadata(additional: &Dict, facts: Facts, now: u64) -> Dict {
    let mut metadata = additional.clone();
    if let Some(deltas) = facts.deltas {
        metadata.push(key::STATIC_DELTAS, deltas.to_value());
    }
    metadata.push(key::LAST_MODIFIED, Value::uint64(now.to_be()));
    metadata.push(key::MODE, Value::string(facts.mode.as_str()));
    metadata.push(key::TOMBSTONE_COMMITS, Value::boolean(facts.tombstone_commits));
    metadata.push(key::INDEXED_DELTAS, Value::boolean(true));
    if let Some(collection) = facts.collection {
        metadata.push(key::COLLECTION_ID, Value::string(collection.as_str()));
    }
    if let Some(collections) = facts.collections {
        metadata.push(key::COLLECTION_MAP, collections);
    }
    metadata.in_table_order()
}

/// Collects the metadata of each ref, in name order. A commit that several refs point to is loaded
/// once.
fn describe(repo: &Repo, mut refs: Vec<(RefName, Checksum)>) -> Result<Vec<SummaryRef>> {
    refs.sort_unstable_by_key(|(_, commit)| *commit);
    // All are waited for, so that the same error is always reported if there are several.
    let equal = |(_, one): &(RefName, Checksum), (_, other): &(RefName, Checksum)| one == other;
    let described: Vec<Result<Vec<SummaryRef>>> = threads::run(|| {
        Ok(refs.par_chunk_by(equal).map(|refs| describe_equal(repo, refs)).collect())
    })?;
    let mut entries = Vec::with_capacity(refs.len());
    for described in described {
        entries.append(&mut described?);
    }
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

/// Describes refs that all point to the same commit.
fn describe_equal(repo: &Repo, refs: &[(RefName, Checksum)]) -> Result<Vec<SummaryRef>> {
    let Some((_, commit)) = refs.first() else { return Ok(Vec::new()) };
    let described = describe_commit(commit, &repo.load_metadata(&name_of(*commit))?)?;
    let entry = |(name, _): &(RefName, Checksum)| SummaryRef {
        name: name.as_str().to_owned(),
        ..described.clone()
    };
    Ok(refs.iter().map(entry).collect())
}

/// What a summary says of a ref to this commit; it has no name yet.
///
/// # Errors
/// When the commit is malformed.
pub(crate) fn describe_commit(commit: &Checksum, bytes: &[u8]) -> Result<SummaryRef> {
    let object = Commit::decode(bytes).of_object(name_of(*commit))?;
    let mut metadata = Dict::new();
    if CALENDAR.contains(&object.timestamp.cast_signed()) {
        metadata.push(ref_key::TIMESTAMP, Value::uint64(object.timestamp.to_be()));
    }
    if let Some(version) = object.version() {
        metadata.push(ref_key::VERSION, Value::string(version));
    }
    Ok(SummaryRef {
        name: String::new(),
        commit_size: bytes.len() as u64,
        commit: *commit,
        metadata: metadata.in_table_order(),
    })
}

fn name_of(commit: Checksum) -> ObjectName {
    ObjectName::new(commit, ObjectType::Commit)
}

/// Commits an empty tree with the user's metadata, on top of the last such commit.
fn commit_metadata(repo: &Repo, collection: &CollectionId, options: &UpdateOptions) -> Result<()> {
    let mut metadata = options.metadata.clone();
    metadata.push(COLLECTION_BINDING, Value::string(collection.as_str()));
    metadata.push(REF_BINDING, Value::strings([METADATA_REF]));
    let name = RefName::parse(METADATA_REF)?;
    let parent = repo.try_resolve_rev(METADATA_REF)?;

    let mut transaction = Transaction::begin(repo)?;
    let root_dirtree =
        transaction.write_metadata(ObjectType::DirTree, &DirTree::default().encode())?;
    let root_dirmeta = DirMeta { uid: 0, gid: 0, mode: 0o40755, xattrs: Xattrs::default() };
    let root_dirmeta = transaction.write_metadata(ObjectType::DirMeta, &root_dirmeta.encode())?;
    let commit = Commit {
        metadata: metadata.in_table_order(),
        parent,
        related: Vec::new(),
        subject: String::new(),
        body: String::new(),
        timestamp: options.commit_timestamp,
        root_dirtree,
        root_dirmeta,
    };
    let bytes = commit.encode();
    let commit = transaction.write_metadata(ObjectType::Commit, &bytes)?;
    if !options.signers.is_empty() {
        let signers = options.signers.iter().map(AsRef::as_ref);
        let signatures = sign_all(signers, PayloadKind::Commit, &bytes, &Dict::new())?;
        transaction.write_detached_metadata(&commit, &signatures)?;
    }
    transaction
        .set_collection_ref(CollectionRef { collection: collection.clone(), name }, Some(commit));
    transaction.commit()?;
    Ok(())
}
