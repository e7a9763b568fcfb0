//! Checks a store as `fsck` checks a repository: whether everything that a commit reaches is there,
//! and matches its name.
//!
//! The names come with the listing; commits and dirtrees are read to be followed, then all other
//! objects to be verified. Whatever is wrong is reported, then the check goes on.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Mutex, PoisonError};

use super::destination::Body;
use super::store::Store;
use super::survey::{Problem, Survey, inventory, metadata, refs_of};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::fsck::{Fault, Finding, FsckReport};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::{FileObject, ObjectSet, verify_metadata};

/// Checks everything that the commits of a store reach. A commit that a ref points to has to be
/// there. Nothing is changed.
///
/// # Errors
/// When the store is no archive or fails.
pub fn fsck_store(
    store: &dyn Store,
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<FsckReport> {
    progress.event(Event::Message("Validating refs..."));
    let refs = refs_of(store)?;
    progress.event(Event::Message("Enumerating commits..."));
    let (present, mut commits) = (ObjectSet::new(), Vec::new());
    for found in inventory(store)? {
        present.insert(found.name);
        if found.name.object_type == ObjectType::Commit {
            commits.push(found.name.checksum);
        }
    }
    commits.extend(refs.values());
    commits.sort_unstable();
    commits.dedup();
    let mut survey = Survey::new(store);
    survey.load_commits(&commits)?;
    commits.retain(|commit| {
        !survey.problems.contains_key(&ObjectName::new(*commit, ObjectType::Commit))
    });
    let count = commits.len();
    progress.event(Event::Message(&format!(
        "Verifying content integrity of {count} commit objects..."
    )));
    survey.reach(&commits)?;
    let Survey { reached, problems, .. } = survey;
    let problems = contents(store, (reached, &present), problems, progress)?;
    let report = FsckReport {
        commits: count as u64,
        corrupted: !problems.is_empty(),
        ..FsckReport::default()
    };
    let owners = owners(store, &commits, &problems)?;
    for (name, problem) in problems {
        let finding = finding(name, problem, owners.get(&name).cloned().unwrap_or_default());
        progress.event(Event::Warning(&warning(&finding)));
        findings.push(finding);
    }
    Ok(report)
}

/// Verifies what has not been read yet; returns everything that is wrong.
fn contents(
    store: &dyn Store,
    (reached, present): (ObjectSet, &ObjectSet),
    problems: BTreeMap<ObjectName, Problem>,
    progress: &dyn Progress,
) -> Result<BTreeMap<ObjectName, Problem>> {
    let total = reached.len() as u64;
    progress.event(Event::Started { task: "fsck objects", total: Some(total) });
    let problems = Mutex::new(problems);
    let note = |name: &ObjectName, problem: Problem| {
        let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.entry(*name).or_insert(problem);
    };
    let advance = |steps: u64| progress.event(Event::Advanced { steps, bytes: 0 });
    let mut unread = reached.into_sorted();
    unread.retain(|name| {
        let is_there = present.contains(name);
        let is_read = matches!(name.object_type, ObjectType::Commit | ObjectType::DirTree);
        if !is_read && !is_there {
            note(name, Problem::Missing);
        }
        !is_read && is_there
    });
    advance(total - unread.len() as u64);
    store.fetch(&unread, &|name, body| {
        match body.map(|body| verify(name, body)) {
            None => note(name, Problem::Missing),
            Some(Ok(())) => {}
            Some(Err(error @ (Error::CorruptedObject { .. } | Error::MalformedObject { .. }))) => {
                note(name, Problem::Corrupted(error))
            }
            // The store fails, which proves nothing about the object.
            Some(Err(error)) => return Err(error),
        }
        advance(1);
        Ok(())
    })?;
    progress.event(Event::Finished);
    Ok(problems.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn verify(name: &ObjectName, body: Body) -> Result<()> {
    match name.object_type {
        ObjectType::File => FileObject::of_archive_stream(body, None, *name)?.verify().map(drop),
        _ => verify_metadata(name, &metadata(name, body)?),
    }
}

/// Which commits reach the objects that something is wrong with. Computed only when there are any:
/// each commit is walked again.
fn owners(
    store: &dyn Store,
    commits: &[Checksum],
    problems: &BTreeMap<ObjectName, Problem>,
) -> Result<BTreeMap<ObjectName, Vec<Checksum>>> {
    let mut owners = BTreeMap::<ObjectName, Vec<Checksum>>::new();
    let is_commit = |name: &&ObjectName| name.object_type == ObjectType::Commit;
    for name in problems.keys().filter(is_commit) {
        owners.insert(*name, vec![name.checksum]);
    }
    let below: HashSet<&ObjectName> = problems.keys().filter(|name| !is_commit(name)).collect();
    for commit in commits.iter().filter(|_| !below.is_empty()) {
        let mut survey = Survey::new(store);
        survey.load_commits(&[*commit])?;
        survey.reach(&[*commit])?;
        for name in below.iter().filter(|name| survey.reached.contains(name)) {
            owners.entry(**name).or_default().push(*commit);
        }
    }
    Ok(owners)
}

fn finding(object: ObjectName, problem: Problem, commits: Vec<Checksum>) -> Finding {
    let (fault, message) = match problem {
        Problem::Missing => (Fault::Missing, format!("Object missing: {object}")),
        Problem::Corrupted(error) => {
            let what = match object.object_type {
                ObjectType::File => format!("fsck content object {}", object.checksum),
                _ => format!("fsck {object}"),
            };
            (Fault::Corrupted, Error::During { what, source: Box::new(error) }.chain())
        }
    };
    Finding { object, fault, commits, message }
}

fn warning(finding: &Finding) -> String {
    let Finding { object, fault, commits, message } = finding;
    let commits = commits.iter().map(Checksum::to_hex).collect::<Vec<_>>().join(", ");
    match fault {
        Fault::Missing => format!("Object missing in commits {commits}: {object}"),
        _ => format!("In commits {commits}: {message}"),
    }
}
