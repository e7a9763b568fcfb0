//! Checking a repository: does every commit have all that it reaches, and is it what its name says?
//!
//! In upstream's order: the commits that refs point to, those of collection refs, then all objects that any commit reaches
//! unless it is known to be partial. Objects are verified in parallel, each read once; what is found is told in the order
//! of the objects' names, whatever the threads do. A missing object is reported and its commits are marked as partial;
//! anything else wrong ends the check, unless [`FsckOptions::all`] or [`FsckOptions::delete`].

pub(crate) mod bindings;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::object::{Commit, DirMeta, DirTree, ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::{CommitState, ListRefs, LockKind, Repo};

/// What to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsckOptions {
    /// Go on after corruption, and tell everything.
    pub all: bool,
    /// Delete corrupted objects and mark their commits as partial; go on as with `all`.
    pub delete: bool,
    /// Delete commits whose parent is missing, and leave tombstones for them.
    pub add_tombstones: bool,
    /// Check that commits behind refs name those refs in their bindings.
    pub verify_bindings: bool,
    /// Check that the refs in the bindings of all commits point back to them.
    pub verify_back_refs: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Commits whose objects were verified.
    pub commits: u64,
    /// Commits left out because they are partial.
    pub partial_commits: u64,
    /// Those of them that an earlier check found to be damaged.
    pub damaged_commits: u64,
    /// Whether objects are missing or corrupted.
    pub corrupted: bool,
    /// Commits that were replaced by tombstones.
    pub tombstones: Vec<Checksum>,
}

/// Checks the repository.
///
/// The phases are told as [`Event::Message`], what is wrong as [`Event::Warning`].
///
/// # Errors
/// When a ref points to a commit that is missing, a dirtree is missing, a binding does not fit, or (unless
/// [`FsckOptions::all`]) an object is corrupted; nothing after it is checked then. [`Error::LockTimeout`].
pub fn fsck(repo: &Repo, options: &FsckOptions, progress: &dyn Progress) -> Result<FsckReport> {
    // A prune at the same time would make us miss what it removes. Where the lock file cannot be made, as on a full disk,
    // a check is still wanted.
    let _lock = match repo.lock(LockKind::Shared) {
        Err(error @ Error::LockTimeout { .. }) => return Err(error),
        lock => lock.ok(),
    };
    let mut check = Check { repo, options, progress, corrupted: false };
    progress.event(Event::Message("Validating refs..."));
    for (refspec, commit) in repo.list_refs(None, ListRefs::Full)? {
        let name = refspec.split_once(':').map_or(refspec.as_str(), |(_, name)| name);
        check.commit_of_ref(commit, name, bindings::Wanted { name, collection: None })?;
    }
    progress.event(Event::Message("Validating refs in collections..."));
    for (collection_ref, commit) in bindings::own_collection_refs(repo)? {
        let (collection, name) = (collection_ref.collection.as_str(), collection_ref.name.as_str());
        let label = format!("({collection}, {name})");
        check.commit_of_ref(commit, &label, bindings::Wanted { name, collection: Some(collection) })?;
    }
    progress.event(Event::Message("Enumerating commits..."));
    let (complete, mut report) = check.enumerate()?;
    let count = complete.len();
    progress.event(Event::Message(&format!("Verifying content integrity of {count} commit objects...")));
    check.contents(&complete)?;
    report.corrupted = check.corrupted;
    for commit in &report.tombstones {
        repo.enable_tombstones()?;
        repo.write_tombstone(commit)?;
        repo.delete_object(&ObjectName::new(*commit, ObjectType::Commit))?;
        repo.delete_object(&ObjectName::new(*commit, ObjectType::CommitMeta))?;
    }
    Ok(report)
}

/// Verifies one commit with everything that it reaches, its parents left out; returns the number of objects.
///
/// # Errors
/// What is wrong with the first object, in the order of their names, that is missing or corrupted.
pub fn verify_commit(repo: &Repo, commit: &Checksum, progress: &dyn Progress) -> Result<u64> {
    let mut reached = HashSet::new();
    let walked = walk(repo, commit, &mut |name| reached.insert(name));
    let mut objects = Vec::from_iter(reached);
    objects.par_sort_unstable();
    let check = Check { repo, options: &FsckOptions::default(), progress, corrupted: false };
    progress.event(Event::Started { task: "verify", total: Some(objects.len() as u64) });
    let problems = check.verify_all(&objects);
    progress.event(Event::Finished);
    match problems.into_iter().next() {
        Some((name, Problem::Missing)) => Err(Error::missing(name)),
        Some((_, Problem::Corrupted(error))) => Err(error),
        None => walked.map(|()| objects.len() as u64),
    }
}

/// A check that is under way.
struct Check<'r> {
    repo: &'r Repo,
    options: &'r FsckOptions,
    progress: &'r dyn Progress,
    corrupted: bool,
}

/// What is wrong with an object.
enum Problem {
    Missing,
    Corrupted(Error),
}

impl Check<'_> {
    /// Checks the commit that a ref points to; `label` is how messages call the ref.
    fn commit_of_ref(&mut self, commit: Checksum, label: &str, wanted: bindings::Wanted<'_>) -> Result<()> {
        let name = ObjectName::new(commit, ObjectType::Commit);
        match verify(self.repo, &name) {
            Ok(()) => {}
            Err(Problem::Missing) => {
                self.progress.event(Event::Warning(&format!("Object missing: {name}")));
                return Err(Error::missing(name)).context(|| format!("Loading commit for ref {label}"));
            }
            Err(Problem::Corrupted(error)) if self.options.delete => {
                self.progress.event(Event::Warning(&error.chain()));
                self.repo.delete_object(&name)?;
                return Err(Error::missing(name)).context(|| format!("Loading commit for ref {label}"));
            }
            Err(Problem::Corrupted(error)) => return self.found_corruption(error),
        }
        if self.options.verify_bindings {
            let object = self.repo.load_commit(&commit)?;
            bindings::verify(&object, wanted).context(|| format!("Commit {commit}"))?;
        }
        Ok(())
    }

    /// Lists the commits that should be complete, and counts the others.
    fn enumerate(&mut self) -> Result<(Vec<Checksum>, FsckReport)> {
        let mut report = FsckReport::default();
        let mut complete = Vec::new();
        for commit in self.repo.list_commits_starting_with("")? {
            if self.options.verify_back_refs {
                self.back_refs(&commit)?;
            }
            if self.options.add_tombstones && self.lacks_parent(&commit)? {
                report.tombstones.push(commit);
            }
            match self.repo.commit_state(&commit)? {
                CommitState::Complete => complete.push(commit),
                state => {
                    report.partial_commits += 1;
                    report.damaged_commits += u64::from(state == CommitState::PartialFsck);
                }
            }
        }
        report.commits = complete.len() as u64;
        Ok((complete, report))
    }

    fn back_refs(&self, commit: &Checksum) -> Result<()> {
        match self.repo.load_commit(commit) {
            Ok(object) => bindings::verify_back_refs(self.repo, commit, &object),
            // What is wrong with its bytes is told when they are verified.
            Err(Error::MalformedObject { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn lacks_parent(&self, commit: &Checksum) -> Result<bool> {
        match decoded(self.repo.load_commit(commit))?.and_then(|object| object.parent) {
            Some(parent) => Ok(!self.repo.has_object(&ObjectName::new(parent, ObjectType::Commit))?),
            None => Ok(false),
        }
    }

    /// Verifies everything that the commits reach.
    fn contents(&mut self, commits: &[Checksum]) -> Result<()> {
        let mut reached = HashSet::new();
        for commit in commits {
            walk(self.repo, commit, &mut |name| reached.insert(name))?;
        }
        let mut objects = Vec::from_iter(reached);
        objects.par_sort_unstable();

        self.progress.event(Event::Started { task: "fsck objects", total: Some(objects.len() as u64) });
        let problems = self.verify_all(&objects);
        let result = self.tell(commits, problems);
        self.progress.event(Event::Finished);
        result
    }

    /// Whether corruption does not end the check.
    fn goes_on(&self) -> bool {
        self.options.all || self.options.delete
    }

    /// Verifies objects in parallel and returns what is wrong, in order. Unless the check [goes on](Self::goes_on) that
    /// ends with the first corrupted object: the same one on every run, because nothing before it is skipped. It is no
    /// progress, so that a check that ends so never claims to have come through.
    fn verify_all(&self, objects: &[ObjectName]) -> Vec<(ObjectName, Problem)> {
        let first_corrupted = AtomicUsize::new(usize::MAX);
        let mut problems: Vec<_> = objects
            .par_iter()
            .enumerate()
            .filter_map(|(index, name)| {
                if index > first_corrupted.load(Ordering::Relaxed) {
                    return None;
                }
                let problem = verify(self.repo, name).err();
                if !self.goes_on() && matches!(problem, Some(Problem::Corrupted(_))) {
                    first_corrupted.fetch_min(index, Ordering::Relaxed);
                } else {
                    self.progress.event(Event::Advanced { steps: 1, bytes: 0 });
                }
                problem.map(|problem| (index, *name, problem))
            })
            .collect();
        let end = first_corrupted.into_inner();
        problems.retain(|(index, ..)| *index <= end);
        problems.into_iter().map(|(_, name, problem)| (name, problem)).collect()
    }

    fn tell(&mut self, commits: &[Checksum], problems: Vec<(ObjectName, Problem)>) -> Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        let owners = owners(self.repo, commits, problems.iter().map(|(name, _)| *name).collect())?;
        let mut marked = HashSet::new();
        for (name, problem) in problems {
            let owners = owners.get(&name).map(Vec::as_slice).unwrap_or_default();
            let list = owners.iter().map(Checksum::to_hex).collect::<Vec<_>>().join(", ");
            match problem {
                Problem::Corrupted(error) => {
                    let error = Err(error).context(|| format!("In commits {list}"));
                    error.or_else(|error| self.found_corruption(error))?;
                    if !self.options.delete {
                        continue;
                    }
                    self.repo.delete_object(&name)?;
                }
                Problem::Missing => {
                    self.corrupted = true;
                    self.progress.event(Event::Warning(&format!("Object missing in commits {list}: {name}")));
                }
            }
            for commit in owners.iter().filter(|commit| marked.insert(**commit)) {
                self.progress.event(Event::Warning(&format!("Marking commit as partial: {commit}")));
                self.repo.mark_commit(commit, CommitState::PartialFsck)?;
            }
        }
        Ok(())
    }

    fn found_corruption(&mut self, error: Error) -> Result<()> {
        if !self.goes_on() {
            return Err(error);
        }
        self.progress.event(Event::Warning(&error.chain()));
        self.corrupted = true;
        Ok(())
    }
}

/// Reads an object and compares it with its name, and its structure with what objects of its type may be.
fn verify(repo: &Repo, name: &ObjectName) -> Result<(), Problem> {
    let result = match name.object_type {
        ObjectType::File => repo.load_file(&name.checksum).and_then(|file| file.verify().map(drop)),
        _ => verify_metadata(repo, name),
    };
    result.map_err(|error| match error {
        Error::MissingMetadata { .. } | Error::MissingFile { .. } => Problem::Missing,
        error => {
            let what = match name.object_type {
                ObjectType::File => format!("fsck content object {}", name.checksum),
                _ => format!("fsck {name}"),
            };
            Problem::Corrupted(Error::During { what, source: Box::new(error) })
        }
    })
}

fn verify_metadata(repo: &Repo, name: &ObjectName) -> Result<()> {
    let bytes = repo.load_metadata(name)?;
    let actual = Checksum::of(&bytes);
    if actual != name.checksum {
        return Err(Error::CorruptedObject { object: *name, actual });
    }
    let structure = match name.object_type {
        ObjectType::Commit => Commit::decode(&bytes).map(drop),
        ObjectType::DirTree => DirTree::decode(&bytes).map(drop),
        ObjectType::DirMeta => DirMeta::decode(&bytes).map(drop),
        _ => Ok(()),
    };
    // The name of the object stands before the message already.
    structure.map_err(|error| Error::failed(error.what))
}

/// Calls `visit` for a commit and everything that it reaches; what `visit` returns `false` for is not followed. Objects
/// that cannot be decoded are visited like any others, so that verifying them tells what is wrong.
fn walk(repo: &Repo, commit: &Checksum, visit: &mut dyn FnMut(ObjectName) -> bool) -> Result<()> {
    let mut pending = Vec::new();
    if visit(ObjectName::new(*commit, ObjectType::Commit))
        && let Some(commit) = decoded(repo.load_commit(commit))?
    {
        visit(ObjectName::new(commit.root_dirmeta, ObjectType::DirMeta));
        pending.push(commit.root_dirtree);
    }
    while let Some(dirtree) = pending.pop() {
        if !visit(ObjectName::new(dirtree, ObjectType::DirTree)) {
            continue;
        }
        let Some(dirtree) = decoded(repo.load_dirtree(&dirtree))? else { continue };
        for (_, file) in &dirtree.files {
            visit(ObjectName::new(*file, ObjectType::File));
        }
        for dir in &dirtree.dirs {
            visit(ObjectName::new(dir.dirmeta, ObjectType::DirMeta));
            pending.push(dir.dirtree);
        }
    }
    Ok(())
}

fn decoded<T>(object: Result<T>) -> Result<Option<T>> {
    match object {
        Err(Error::MalformedObject { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Which of the commits reach each of some objects. Asked only when something is wrong: keeping it for all objects would
/// take more memory than everything else.
fn owners(
    repo: &Repo,
    commits: &[Checksum],
    objects: BTreeSet<ObjectName>,
) -> Result<BTreeMap<ObjectName, Vec<Checksum>>> {
    let mut owners = BTreeMap::<ObjectName, Vec<Checksum>>::new();
    for commit in commits {
        let mut seen = HashSet::new();
        walk(repo, commit, &mut |name| {
            let new = seen.insert(name);
            if new && objects.contains(&name) {
                owners.entry(name).or_default().push(*commit);
            }
            new
        })?;
    }
    Ok(owners)
}
