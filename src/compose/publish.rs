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

pub(crate) use crate::summary::store::{Move, is_signed};

/// The state of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SummaryState {
    /// It agrees with the refs.
    Right,
    /// It disagrees with the refs, or cannot be read.
    Stale,
    /// There is none.
    Missing,
}

/// Moves a ref and the summary. `now` is in seconds since 1970.
///
/// # Errors
/// When the ref has changed, or anything cannot be written. The error says what is public then, if
/// that differs from before.
pub(crate) fn publish(repo: &Repo, moved: &Move<'_>, now: u64) -> Result<SummaryFacts> {
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
    let (_, existing) = read_summary(repo)?;
    let moves = moves(repo, name, new)?;
    check_refs(repo, &moves)?;
    let additional = existing.map(|summary| summary.added_metadata()).unwrap_or_default();
    let bytes = summary::prospective(repo, &moves, &additional, now)?.encode();
    deltas::reindex(repo)?;
    store::prepare(repo, &summary_lock, &bytes, None)?.place_with(moved)?;
    facts(repo)
}

/// Brings the summary up to date with the refs; a current one is not touched. Returns its previous
/// state.
///
/// # Errors
/// When a ref points to a missing commit, or the summary cannot be written.
pub(crate) fn refresh(repo: &Repo, now: u64) -> Result<SummaryState> {
    let _lock = repo.lock(LockKind::Shared)?;
    let summary_lock = store::lock(repo)?;
    let (state, wanted) = compare(repo, now)?;
    if state != SummaryState::Right {
        deltas::reindex(repo)?;
        store::prepare(repo, &summary_lock, &wanted.encode(), None)?.place()?;
    }
    Ok(state)
}

/// Compares the summary with the refs; writes nothing.
///
/// # Errors
/// When a ref points to a missing commit, or the summary cannot be read.
pub(crate) fn state(repo: &Repo) -> Result<SummaryState> {
    compare(repo, 0).map(|(state, _)| state)
}

fn compare(repo: &Repo, now: u64) -> Result<(SummaryState, Summary)> {
    let (is_there, existing) = read_summary(repo)?;
    check_refs(repo, &[])?;
    let additional = existing.as_ref().map(Summary::added_metadata).unwrap_or_default();
    let wanted = summary::prospective(repo, &[], &additional, now)?;
    let state = match existing {
        Some(existing) if existing.says_the_same_as(&wanted) => SummaryState::Right,
        _ if is_there => SummaryState::Stale,
        _ => SummaryState::Missing,
    };
    Ok((state, wanted))
}

/// The properties of the summary on disk.
///
/// # Errors
/// When it is missing or cannot be read.
pub(crate) fn facts(repo: &Repo) -> Result<SummaryFacts> {
    let bytes = store::load_bytes(repo)?;
    let signed = store::is_signed(repo)?;
    Ok(SummaryFacts { sha256: Checksum::of(&bytes), size: bytes.len() as u64, signed })
}

/// Verifies what a client sees: the ref and the summary point to the commit.
///
/// # Errors
/// When they do not.
pub(crate) fn read_back(repo: &Repo, name: &RefName, commit: &Checksum) -> Result<()> {
    let in_ref = repo.read_local_ref(name)?;
    let (_, summary) = read_summary(repo)?;
    let listed = summary
        .as_ref()
        .and_then(|summary| summary.refs.iter().find(|entry| entry.name == name.as_str()));
    if in_ref == Some(*commit) && listed.is_some_and(|entry| entry.commit == *commit) {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{name} was published as {commit}, but reading it back shows something else"
    )))
}

/// The summary on disk: whether there is a file, and its content if that can be read.
fn read_summary(repo: &Repo) -> Result<(bool, Option<Summary>)> {
    let bytes = store::load_bytes_if_present(repo)?;
    Ok((bytes.is_some(), bytes.and_then(|bytes| Summary::decode(&bytes).ok())))
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
        read_summary(repo).unwrap().1.unwrap()
    }

    #[test]
    fn a_ref_and_its_aliases_move_with_the_summary() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, 10).unwrap();
        repo.set_alias(&RefName::parse("latest").unwrap(), name).unwrap();
        repo.set_alias(&RefName::parse("os/newest").unwrap(), &RefName::parse("latest").unwrap())
            .unwrap();
        assert_eq!(refresh(repo, 11).unwrap(), SummaryState::Stale);
        let facts = publish(repo, &Move { name, old: Some(*first), new: *second }, 12).unwrap();
        let summary = summary_of(repo);
        let refs: Vec<_> =
            summary.refs.iter().map(|entry| (entry.name.as_str(), entry.commit)).collect();
        assert_eq!(refs, [("latest", *second), ("os/host", *second), ("os/newest", *second)]);
        assert_eq!(state(repo).unwrap(), SummaryState::Right);
        read_back(repo, name, second).unwrap();
        assert!(read_back(repo, name, first).is_err());
        let bytes = fs::read(repo.path().join("summary")).unwrap();
        assert_eq!(
            facts,
            SummaryFacts { sha256: Checksum::of(&bytes), size: bytes.len() as u64, signed: false }
        );
    }

    #[test]
    fn a_summary_that_says_the_right_thing_is_not_touched() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, 10).unwrap();
        let mut added = Dict::new();
        added.push("org.example.title", Value::string("Example"));
        summary::regenerate(repo, &added, 11).unwrap();
        let before = fs::read(repo.path().join("summary")).unwrap();
        assert_eq!(refresh(repo, 99).unwrap(), SummaryState::Right);
        assert_eq!(fs::read(repo.path().join("summary")).unwrap(), before);
        publish(repo, &Move { name, old: Some(*first), new: *second }, 12).unwrap();
        assert_eq!(
            summary_of(repo).metadata.get("org.example.title"),
            Some(&Value::string("Example"))
        );
        fs::write(repo.path().join("summary"), "garbage").unwrap();
        assert_eq!(refresh(repo, 99).unwrap(), SummaryState::Stale);
        fs::remove_file(repo.path().join("summary")).unwrap();
        assert_eq!(refresh(repo, 99).unwrap(), SummaryState::Missing);
        assert_eq!(state(repo).unwrap(), SummaryState::Right);
    }

    #[test]
    fn a_ref_that_has_moved_stays_where_it_is() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, 10).unwrap();
        let message =
            publish(repo, &Move { name, old: None, new: *second }, 11).unwrap_err().to_string();
        let expected = format!(
            "os/host moved from nothing to {first} while {second} was composed; it stays there"
        );
        assert_eq!(message, expected);
        read_back(repo, name, first).unwrap();
    }

    #[test]
    fn a_ref_to_a_missing_commit_keeps_everything_as_it_is() {
        let Fixture { repo, name, commits: [first, second], .. } = &fixture();
        publish(repo, &Move { name, old: None, new: *first }, 10).unwrap();
        let lost = Checksum::of(b"lost");
        repo.set_ref_immediate(None, &RefName::parse("lost").unwrap(), Some(&lost)).unwrap();
        let message = publish(repo, &Move { name, old: Some(*first), new: *second }, 11)
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            format!("the ref lost names the commit {lost}, which is missing: repair it first")
        );
        read_back(repo, name, first).unwrap();
        assert_eq!(fs::read_dir(repo.path().join("tmp")).unwrap().count(), 1, "only the cache");
    }
}
