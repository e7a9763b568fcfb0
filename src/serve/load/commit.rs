//! One commit.

use super::signatures::Keys;
use crate::checksum::Checksum;
use crate::repo::{ListRefs, Repo, walk};
use crate::serve::failure::Failure;
use crate::serve::view::{Brief, CommitView, HistoryEnd};

/// How many ancestors are listed.
const HISTORY: usize = 20;

/// The page of a commit.
pub(in crate::serve) fn commit(
    repo: &Repo,
    checksum: &Checksum,
    keys: &Keys,
) -> Result<CommitView, Failure> {
    let commit = repo.load_commit(checksum)?;
    let detached = repo.load_detached_metadata(checksum)?.unwrap_or_default();
    let mut refs = Vec::new();
    for refspec in repo.list_ref_names(None, ListRefs::Full)? {
        let name = refspec.to_string();
        // One that cannot be read is on the page of all refs.
        if matches!(repo.try_resolve_rev(&name), Ok(Some(found)) if found == *checksum) {
            refs.push(name);
        }
    }
    let (history, end) = history(repo, checksum)?;
    Ok(CommitView {
        checksum: *checksum,
        state: repo.commit_state(checksum)?,
        signatures: keys.verify(repo, checksum, &detached)?,
        detached_keys: detached.iter().map(|(key, _)| key.to_owned()).collect(),
        commit,
        refs,
        history,
        end,
    })
}

fn history(repo: &Repo, checksum: &Checksum) -> Result<(Vec<Brief>, HistoryEnd), Failure> {
    let mut walk = walk::history(repo, checksum);
    let mut history = Vec::new();
    for step in walk.by_ref().skip(1) {
        let (ancestor, commit) = step?;
        if history.len() == HISTORY {
            return Ok((history, HistoryEnd::More(ancestor)));
        }
        history.push(Brief::of(ancestor, &commit));
    }
    let end = walk.missing_parent().map_or(HistoryEnd::Beginning, HistoryEnd::Missing);
    Ok((history, end))
}
