//! Publishing: a ref and the summary move together, or neither does. The caller holds the publish
//! lock.
//!
//! See `crate::summary::store` for the order, and for what a kill leaves.
//!
//! Metadata that a user has added to the summary is kept. In a repository with a collection the
//! `ostree-metadata` commit is left alone; `osier summary -u` renews it.

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::refspec::RefName;
use crate::repo::{ListRefs, LockKind, Repo, deltas};
use crate::summary::store;
use crate::summary::{self, Summary};

use super::report::SummaryFacts;
use super::signing::Keys;

pub(super) use crate::summary::store::{Move, is_signed, load_signature};

/// The state of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SummaryState {
    /// It agrees with the refs.
    Right,
    /// It disagrees with the refs, or cannot be read.
    Stale,
    /// There is none.
    Missing,
    /// It agrees with the refs, but not every key has signed it.
    Unsigned,
}

/// Moves a ref and the summary, signed with all keys. `now` is in seconds since 1970.
///
/// # Errors
/// When the ref has changed, a key does not sign, or anything cannot be written. The error says
/// what is public then, if that differs from before.
pub(super) fn publish(
    repo: &Repo,
    moved: &Move<'_>,
    keys: &Keys,
    now: u64,
) -> Result<SummaryFacts> {
    let _lock = repo.lock(LockKind::Shared)?;
    let summary_lock = store::lock(repo)?;
    let Move { name, old, new } = *moved;
    let found = repo.read_local_ref(name)?;
    if found != old {
        let named = |commit: Option<Checksum>| {
            commit.map_or_else(|| "nothing".to_owned(), |commit| commit.to_hex())
        };
        let (old, found) = (named(old), named(found));
        let message =
            format!("{name} moved from {old} to {found} while {new} was composed; it stays there");
        return Err(Error::failed(message));
    }
    let existing = read_summary(repo)?.content;
    let moves = moves(repo, name, new)?;
    check_refs(repo, &moves)?;
    let additional = existing.map(|summary| summary.added_metadata()).unwrap_or_default();
    let bytes = summary::prospective(repo, &moves, &additional, now)?.encode();
    let signature = sign(repo, keys, &bytes)?;
    deltas::reindex(repo)?;
    store::prepare(repo, &summary_lock, &bytes, signature.as_deref())?.place_with(moved)?;
    facts(repo, keys)
}

/// The signatures of a new summary. Clients that want one would get nothing any more from one that
/// takes the place of a signed summary without keys.
fn sign(repo: &Repo, keys: &Keys, summary: &[u8]) -> Result<Option<Vec<u8>>> {
    match keys.is_empty() && is_signed(repo)? {
        true => Err(Error::failed(no_key(repo))),
        false => keys.sign_summary(summary),
    }
}

/// Why a signed summary is not replaced.
pub(super) fn no_key(repo: &Repo) -> String {
    format!(
        "the summary of {} is signed, and the configuration has no key for the next one: add \
         [sign], or remove summary.sig if clients need no signature",
        repo.path().display()
    )
}

/// Brings the summary up to date with the refs, and signs it; a current one is not touched. Returns
/// its previous state.
///
/// # Errors
/// When a ref points to a missing commit, a key does not sign, or the summary cannot be written.
pub(super) fn refresh(repo: &Repo, keys: &Keys, now: u64) -> Result<SummaryState> {
    let _lock = repo.lock(LockKind::Shared)?;
    let summary_lock = store::lock(repo)?;
    let (state, wanted) = compare(repo, keys, now)?;
    if state != SummaryState::Right {
        let bytes = wanted.encode();
        let signature = sign(repo, keys, &bytes)?;
        deltas::reindex(repo)?;
        store::prepare(repo, &summary_lock, &bytes, signature.as_deref())?.place()?;
    }
    Ok(state)
}

/// Compares the summary with the refs, and its signatures with the keys; writes nothing.
///
/// # Errors
/// When a ref points to a missing commit, or the summary cannot be read.
pub(super) fn state(repo: &Repo, keys: &Keys) -> Result<SummaryState> {
    compare(repo, keys, 0).map(|(state, _)| state)
}

fn compare(repo: &Repo, keys: &Keys, now: u64) -> Result<(SummaryState, Summary)> {
    let Existing { bytes, content } = read_summary(repo)?;
    check_refs(repo, &[])?;
    let additional = content.as_ref().map(Summary::added_metadata).unwrap_or_default();
    let wanted = summary::prospective(repo, &[], &additional, now)?;
    let state = match (bytes, content) {
        (Some(bytes), Some(existing)) if existing.says_the_same_as(&wanted) => {
            match signed_by(repo, keys, &bytes)?.len() == keys.names().len() {
                true => SummaryState::Right,
                false => SummaryState::Unsigned,
            }
        }
        (Some(_), _) => SummaryState::Stale,
        (None, _) => SummaryState::Missing,
    };
    Ok((state, wanted))
}

/// The names of the keys that have signed the summary.
fn signed_by(repo: &Repo, keys: &Keys, summary: &[u8]) -> Result<Vec<String>> {
    match keys.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(keys.signed_summary(summary, store::load_signature(repo)?.as_deref())),
    }
}

/// The properties of the summary on disk.
///
/// # Errors
/// When it is missing or cannot be read.
pub(super) fn facts(repo: &Repo, keys: &Keys) -> Result<SummaryFacts> {
    let bytes = store::load_bytes(repo)?;
    let (signed, signatures) = (store::is_signed(repo)?, signed_by(repo, keys, &bytes)?);
    let (sha256, size) = (Checksum::of(&bytes), bytes.len() as u64);
    Ok(SummaryFacts { sha256, size, signed, signatures })
}

/// Verifies what a client sees: the ref and the summary point to the commit, and all keys have
/// signed both.
///
/// # Errors
/// When they do not.
pub(super) fn read_back(repo: &Repo, name: &RefName, commit: &Checksum, keys: &Keys) -> Result<()> {
    let in_ref = repo.read_local_ref(name)?;
    let Existing { bytes, content } = read_summary(repo)?;
    keys.verify_commit(repo, commit)?;
    let signed_by = signed_by(repo, keys, &bytes.unwrap_or_default())?;
    if let Some(missing) = keys.names().iter().find(|key| !signed_by.contains(key)) {
        let message =
            format!("the summary was signed with {missing}, which reading it back denies");
        return Err(Error::failed(message));
    }
    let listed = content
        .as_ref()
        .and_then(|summary| summary.refs.iter().find(|entry| entry.name == name.as_str()));
    if in_ref == Some(*commit) && listed.is_some_and(|entry| entry.commit == *commit) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{name} was published as {commit}, but reading it back shows something else"
    )))
}

/// The summary on disk.
struct Existing {
    /// The file, if there is one.
    bytes: Option<Vec<u8>>,
    /// Its content, if that can be read.
    content: Option<Summary>,
}

fn read_summary(repo: &Repo) -> Result<Existing> {
    let bytes = store::load_bytes_if_present(repo)?;
    let content = bytes.as_ref().and_then(|bytes| Summary::decode(bytes).ok());
    Ok(Existing { bytes, content })
}

/// The refs that point to a commit once `name` does: itself and its aliases.
fn moves(repo: &Repo, name: &RefName, new: Checksum) -> Result<Vec<(RefName, Checksum)>> {
    let aliases = repo.list_aliases(None)?;
    let mut moving = vec![name.clone()];
    // An alias may point to another alias.
    let mut index = 0;
    while let Some(target) = moving.get(index).cloned() {
        let more =
            aliases.iter().filter(|(alias, of)| of == target.as_str() && !moving.contains(alias));
        let more: Vec<RefName> = more.map(|(alias, _)| alias.clone()).collect();
        moving.extend(more);
        index += 1;
    }
    Ok(moving.into_iter().map(|name| (name, new)).collect())
}

/// Makes sure that the summary can be built: every public ref names a commit that is there.
fn check_refs(repo: &Repo, moves: &[(RefName, Checksum)]) -> Result<()> {
    for (name, commit) in repo.list_refs(None, ListRefs::Full)? {
        let is_moving = moves.iter().any(|(moving, _)| *moving == name.name);
        if name.remote.is_none()
            && !is_moving
            && !repo.has_object(&ObjectName::new(commit, ObjectType::Commit))?
        {
            let message = format!(
                "the ref {name} names the commit {commit}, which is missing: repair it first"
            );
            return Err(Error::failed(message));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::commit::{CommitOptions, Description, commit};
    use crate::gvariant::{Dict, Value};
    use crate::progress::Silent;
    use crate::repo::RepoMode;

    const NO_KEYS: &Keys = &Keys::NONE;

    struct Fixture {
        _directory: tempfile::TempDir,
        repo: Repo,
        name: RefName,
        commits: [Checksum; 2],
    }

    fn fixture() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        let tree = directory.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let repo = Repo::create(&directory.path().join("repo"), RepoMode::Archive, None).unwrap();
        let commits = [1, 2].map(|timestamp| {
            let options = CommitOptions {
                sources: vec![crate::commit::Source::Directory(tree.clone())],
                ..CommitOptions::new(Description::new(timestamp))
            };
            commit(&repo, &options, &Silent).unwrap().commit
        });
        Fixture { _directory: directory, repo, name: RefName::parse("os/host").unwrap(), commits }
    }

    fn summary_of(repo: &Repo) -> Summary {
        read_summary(repo).unwrap().content.unwrap()
    }

    #[test]
    fn a_ref_and_its_aliases_move_with_the_summary() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, NO_KEYS, 10).unwrap();
        repo.set_alias(&RefName::parse("latest").unwrap(), name).unwrap();
        repo.set_alias(&RefName::parse("os/newest").unwrap(), &RefName::parse("latest").unwrap())
            .unwrap();
        assert_eq!(refresh(repo, NO_KEYS, 11).unwrap(), SummaryState::Stale);
        let facts =
            publish(repo, &Move { name, old: Some(*first), new: *second }, NO_KEYS, 12).unwrap();
        let summary = summary_of(repo);
        let refs: Vec<_> =
            summary.refs.iter().map(|entry| (entry.name.as_str(), entry.commit)).collect();
        assert_eq!(refs, [("latest", *second), ("os/host", *second), ("os/newest", *second)]);
        assert_eq!(state(repo, NO_KEYS).unwrap(), SummaryState::Right);
        read_back(repo, name, second, NO_KEYS).unwrap();
        assert!(read_back(repo, name, first, NO_KEYS).is_err());
        let bytes = fs::read(repo.path().join("summary")).unwrap();
        assert_eq!(
            facts,
            SummaryFacts {
                sha256: Checksum::of(&bytes),
                size: bytes.len() as u64,
                signed: false,
                signatures: vec![],
            }
        );
    }

    #[test]
    fn a_summary_that_says_the_right_thing_is_not_touched() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, NO_KEYS, 10).unwrap();
        let mut added = Dict::new();
        added.push("org.example.title", Value::string("Example"));
        summary::regenerate(repo, &added, 11).unwrap();
        let before = fs::read(repo.path().join("summary")).unwrap();
        assert_eq!(refresh(repo, NO_KEYS, 99).unwrap(), SummaryState::Right);
        assert_eq!(fs::read(repo.path().join("summary")).unwrap(), before);
        publish(repo, &Move { name, old: Some(*first), new: *second }, NO_KEYS, 12).unwrap();
        assert_eq!(
            summary_of(repo).metadata.get("org.example.title"),
            Some(&Value::string("Example"))
        );
        fs::write(repo.path().join("summary"), "garbage").unwrap();
        assert_eq!(refresh(repo, NO_KEYS, 99).unwrap(), SummaryState::Stale);
        fs::remove_file(repo.path().join("summary")).unwrap();
        assert_eq!(refresh(repo, NO_KEYS, 99).unwrap(), SummaryState::Missing);
        assert_eq!(state(repo, NO_KEYS).unwrap(), SummaryState::Right);
    }

    #[test]
    fn a_ref_that_has_moved_stays_where_it_is() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, NO_KEYS, 10).unwrap();
        let message = publish(repo, &Move { name, old: None, new: *second }, NO_KEYS, 11)
            .unwrap_err()
            .to_string();
        let expected = format!(
            "os/host moved from nothing to {first} while {second} was composed; it stays there"
        );
        assert_eq!(message, expected);
        read_back(repo, name, first, NO_KEYS).unwrap();
    }

    #[test]
    fn a_ref_to_a_missing_commit_keeps_everything_as_it_is() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, NO_KEYS, 10).unwrap();
        let lost = Checksum::of(b"lost");
        repo.set_ref_immediate(None, &RefName::parse("lost").unwrap(), Some(&lost)).unwrap();
        let message = publish(repo, &Move { name, old: Some(*first), new: *second }, NO_KEYS, 11)
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            format!("the ref lost names the commit {lost}, which is missing: repair it first")
        );
        read_back(repo, name, first, NO_KEYS).unwrap();
        assert_eq!(fs::read_dir(repo.path().join("tmp")).unwrap().count(), 1, "only the cache");
    }
}
