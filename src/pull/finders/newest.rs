//! The newest commit of each wanted ref.

use std::collections::HashMap;

use super::{Candidate, Listed, Place, usable};
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::gvariant::Dict;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::remote::origin::{Ask, Fetched, Origin, Side};
use crate::repo::{Repo, loose_path};

/// Leaves each remote only the refs whose newest commit it has, and drops remotes without any. Of
/// commits that are equally new, that of the first remote counts.
pub(super) fn keep(repo: &Repo, candidates: &mut Vec<Candidate>) {
    drop_contradictory(candidates);
    for candidate in candidates.iter_mut() {
        complete(repo, candidate);
    }
    let count = candidates.iter().map(|candidate| candidate.listed.len()).max().unwrap_or(0);
    for index in 0..count {
        let mut newest: Option<Listed> = None;
        for candidate in candidates.iter() {
            let Some(listed) = candidate.listed.get(index).copied().flatten() else { continue };
            if newest.is_none_or(|newest| listed.timestamp > newest.timestamp) {
                newest = Some(listed);
            }
        }
        let Some(newest) = newest else { continue };
        for candidate in candidates.iter_mut() {
            if let Some(listed) = candidate.listed.get_mut(index)
                && listed.is_some_and(|listed| listed.commit != newest.commit)
            {
                *listed = None;
            }
        }
    }
    candidates.retain(|candidate| candidate.listed.iter().any(Option::is_some));
}

/// Drops remotes whose summaries say something of a commit that is different from what an earlier
/// one says.
fn drop_contradictory(candidates: &mut Vec<Candidate>) {
    let mut known: HashMap<Checksum, Listed> = HashMap::new();
    candidates.retain(|candidate| {
        let mut listed = candidate.listed.iter().flatten();
        let agrees = listed.all(|new| {
            known.get(&new.commit).is_none_or(|old| {
                let times = (old.timestamp, new.timestamp);
                old.size == new.size && !matches!(times, (Some(a), Some(b)) if a != b)
            })
        });
        if agrees {
            known.extend(candidate.listed.iter().flatten().map(|new| (new.commit, *new)));
        }
        agrees
    });
}

/// Finds the times of commits that the summary does not give. A commit whose time cannot be found
/// does not count.
fn complete(repo: &Repo, candidate: &mut Candidate) {
    for entry in &mut candidate.listed {
        let Some(listed) = entry.as_mut().filter(|listed| listed.timestamp.is_none()) else {
            continue;
        };
        let found = match repo.load_commit(&listed.commit) {
            Ok(commit) => Ok(commit.timestamp),
            Err(_) => fetch(&candidate.place, listed, &candidate.demands),
        };
        match usable(&candidate.name, found) {
            Some(timestamp) => listed.timestamp = Some(timestamp),
            None => *entry = None,
        }
    }
}

/// The time of a commit of the remote, which needs the signatures that a pull would demand.
fn fetch(place: &Place, listed: &Listed, demands: &crate::remote::Demands) -> Result<u64> {
    let name = ObjectName::new(listed.commit, ObjectType::Commit);
    let (bytes, detached) = match place {
        Place::Repo(source) => {
            let detached = source.load_detached_metadata(&listed.commit)?;
            (source.load_metadata(&name)?.to_vec(), detached)
        }
        Place::Server(_, origin) => {
            let bytes = origin.fetch_existing(Side::Content, &path(&name))?;
            (bytes, fetch_detached(origin, &listed.commit)?)
        }
    };
    let actual = Checksum::of(&bytes);
    if actual != listed.commit {
        let expected = listed.commit;
        return Err(Error::failed(format!(
            "Corrupted commit object; checksum expected='{expected}' actual='{actual}'"
        )));
    }
    let verified = demands.commits.verify(&bytes, detached.as_ref());
    verified.map_err(|error| Error::failed(format!("Commit {}: {error}", listed.commit)))?;
    Ok(Commit::decode(&bytes).of_object(name)?.timestamp)
}

fn fetch_detached(origin: &Origin<'_>, commit: &Checksum) -> Result<Option<Dict>> {
    let path = path(&ObjectName::new(*commit, ObjectType::Commit)) + "meta";
    Ok(match origin.fetch(Side::Meta, &path, &Ask::default())? {
        Fetched::File(bytes, _) => Some(Dict::decode(&bytes).unwrap_or_default()),
        Fetched::Absent | Fetched::NotModified => None,
    })
}

fn path(name: &ObjectName) -> String {
    format!("objects/{}", loose_path(name, crate::repo::RepoMode::Archive))
}
