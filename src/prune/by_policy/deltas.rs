//! Which static deltas a policy removes.

use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;

use super::verdicts::Verdicts;
use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::repo::Repo;
use crate::repo::deltas::{self, DeltaName};

/// A static delta that goes.
pub(super) struct Doomed {
    pub(super) name: DeltaName,
    pub(super) bytes: u64,
}

/// The deltas that go: to commits that are not there or are removed, to commits that the policy
/// names no deltas for, and from too many.
///
/// # Errors
/// When a directory or a commit cannot be read.
pub(super) fn doomed(repo: &Repo, verdicts: &Verdicts) -> Result<Vec<Doomed>> {
    let mut by_target = BTreeMap::<Checksum, Vec<DeltaName>>::new();
    for name in deltas::list(repo)? {
        by_target.entry(name.to).or_default().push(name);
    }
    let mut times = HashMap::new();
    let mut doomed = Vec::new();
    for (to, names) in by_target {
        // How many are kept besides that from nothing; `None` if that goes, too.
        let keep = match verdicts.of.get(&to) {
            Some(verdict) if !verdict.is_kept() => None,
            Some(_) => verdicts.targets.get(&to).map(|sources| sources.unwrap_or(usize::MAX)),
            // It may be in a parent repository.
            None => {
                deltas::target_exists(repo, &DeltaName { from: None, to })?.then_some(usize::MAX)
            }
        };
        let mut sources = Vec::new();
        for name in names {
            match name.from {
                Some(from) => sources.push((time(repo, from, &mut times)?, name)),
                None if keep.is_some() => {}
                None => doomed.push(name),
            }
        }
        sources.sort_unstable_by(|one, other| other.cmp(one));
        doomed.extend(sources.into_iter().skip(keep.unwrap_or(0)).map(|(_, name)| name));
    }
    let sized = doomed.into_iter().map(|name| Ok(Doomed { bytes: size(repo, &name)?, name }));
    sized.collect()
}

/// When a commit was made; those that are not there count as the oldest.
fn time(
    repo: &Repo,
    commit: Checksum,
    times: &mut HashMap<Checksum, Option<u64>>,
) -> Result<Option<u64>> {
    if let Some(known) = times.get(&commit) {
        return Ok(*known);
    }
    let time = match repo.load_commit(&commit) {
        Ok(commit) => Some(commit.timestamp),
        Err(Error::MissingMetadata { .. }) => None,
        Err(error) => return Err(error),
    };
    times.insert(commit, time);
    Ok(time)
}

/// The size of a delta's files, in bytes.
fn size(repo: &Repo, name: &DeltaName) -> Result<u64> {
    let path = repo.path().join(name.directory());
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(&path).max_depth(2) {
        match entry.and_then(|entry| entry.metadata()) {
            Ok(metadata) if metadata.is_file() => bytes += metadata.len(),
            Ok(_) => {}
            Err(error) => match std::io::Error::from(error) {
                gone if gone.kind() == ErrorKind::NotFound => {}
                error => return Err(error).during("looking at", path),
            },
        }
    }
    Ok(bytes)
}
