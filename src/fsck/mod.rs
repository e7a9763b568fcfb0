//! Checks a repository: whether every object that a commit reaches is there, and matches its name.
//!
//! In upstream's order: the commits that refs point to, those of collection refs, then all objects
//! that any commit reaches unless it is known to be partial. Objects are verified in parallel, each
//! read once; findings are reported in the order of the objects' names, independent of timing. A
//! missing object is reported and its commits are marked as partial; any other problem ends the
//! check, unless [`FsckOptions::all`] or [`FsckOptions::delete`]. An object whose bytes cannot be
//! read is neither missing nor corrupted: it is counted, and left alone.

pub(crate) mod bindings;
mod finding;
pub(crate) mod record;
pub(crate) mod verify;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::{
    AtHole, CommitState, Holes, ListRefs, LockKind, NO_VISITOR, ObjectSet, Reading, Repo, Walk,
};
use crate::threads;

pub use finding::{Fault, Finding};
use record::Record;
use verify::{Problem, unreadable, verify};

/// What to check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FsckOptions {
    /// Continue after corruption, and report everything.
    pub all: bool,
    /// Delete corrupted objects and mark their commits as partial; continue as with `all`. An
    /// object that cannot be read is reported and stays: it may be intact.
    pub delete: bool,
    /// Delete commits whose parent is missing, and leave tombstones for them.
    pub add_tombstones: bool,
    /// Check that commits behind refs name those refs in their bindings.
    pub verify_bindings: bool,
    /// Check that the refs in the bindings of all commits point back to them.
    pub verify_back_refs: bool,
    /// Go on where an earlier check with this option was interrupted, and keep a record of how far
    /// this one has come.
    pub resume: bool,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FsckReport {
    /// Commits whose objects were verified.
    pub commits: u64,
    /// Commits left out because they are partial.
    pub partial_commits: u64,
    /// Those of `partial_commits` that are partial on purpose, sorted.
    pub partial: Vec<Checksum>,
    /// Those of `partial_commits` that an earlier check found damaged.
    pub damaged_commits: u64,
    /// Whether objects are missing or corrupted.
    pub corrupted: bool,
    /// Objects that could not be read, for instance without permission or from a failing disk.
    /// Objects that only such a commit or dirtree refers to were not verified.
    pub unreadable_objects: u64,
    /// Commits that were replaced by tombstones.
    pub tombstones: Vec<Checksum>,
}

/// Checks the repository.
///
/// Phases are reported as [`Event::Message`], problems as [`Event::Warning`].
///
/// # Errors
/// When a ref points to a commit that is missing, a dirtree is missing, a binding does not match,
/// or (unless [`FsckOptions::all`]) an object is corrupted or cannot be read; nothing after it is
/// checked then. When something has to be deleted or marked in a repository that cannot be written
/// to. [`Error::LockTimeout`].
pub fn fsck(repo: &Repo, options: &FsckOptions, progress: &dyn Progress) -> Result<FsckReport> {
    fsck_into(repo, options, &mut Vec::new(), progress)
}

/// Checks the repository as [`fsck`] does, and returns a record of each problem with an object,
/// including the one that ends the check.
///
/// # Errors
/// As [`fsck`].
pub fn fsck_into(
    repo: &Repo,
    options: &FsckOptions,
    findings: &mut Vec<Finding>,
    progress: &dyn Progress,
) -> Result<FsckReport> {
    if options.delete {
        repo.refuse_links()?;
    }
    // A concurrent prune would make objects appear missing. Where the lock file cannot be created,
    // as on a full disk, the check runs all the same.
    let _lock = match repo.lock(LockKind::Shared) {
        Err(error @ Error::LockTimeout { .. }) => return Err(error),
        lock => lock.ok(),
    };
    let mut check = Check::new(repo, options, progress);
    let result = threads::run(|| check.run());
    findings.append(&mut check.findings);
    result
}

/// Verifies one commit with everything that it reaches, its parents left out; returns the number of
/// objects.
///
/// # Errors
/// The problem of the first object, in the order of their names, that is missing or corrupted.
pub fn verify_commit(repo: &Repo, commit: &Checksum, progress: &dyn Progress) -> Result<u64> {
    threads::run(|| verify_in_pool(repo, commit, progress))
}

fn verify_in_pool(repo: &Repo, commit: &Checksum, progress: &dyn Progress) -> Result<u64> {
    let reached = ObjectSet::new();
    // An object that cannot be followed is reported when it is verified, unless it can be read by
    // then.
    let at_hole = |_: &ObjectName, error: &Error| match error {
        Error::MalformedObject { .. } => AtHole::Skip,
        _ => AtHole::Report,
    };
    let walk = Walk {
        repo,
        reached: &reached,
        reading: Reading::AsStored,
        at_hole: &at_hole,
        visitor: NO_VISITOR,
    };
    let not_followed = walk.commits(&[*commit])?;
    let objects = reached.into_sorted();
    let options = FsckOptions::default();
    let check = Check::new(repo, &options, progress);
    progress.event(Event::Started { task: "verify", total: Some(objects.len() as u64) });
    let problems = check.verify_all(&objects);
    progress.event(Event::Finished);
    match (problems.into_iter().next(), not_followed.into_iter().next()) {
        (Some((name, Problem::Missing)), _) => Err(Error::missing(name)),
        (Some((_, Problem::Corrupted(error) | Problem::Unreadable(error))), _)
        | (None, Some((_, error))) => Err(error),
        (None, None) => Ok(objects.len() as u64),
    }
}

/// A running check.
struct Check<'r> {
    repo: &'r Repo,
    options: &'r FsckOptions,
    progress: &'r dyn Progress,
    corrupted: bool,
    unreadable: BTreeSet<ObjectName>,
    findings: Vec<Finding>,
    noted: HashSet<(ObjectName, Fault)>,
}

impl<'r> Check<'r> {
    fn new(repo: &'r Repo, options: &'r FsckOptions, progress: &'r dyn Progress) -> Self {
        let unreadable = BTreeSet::new();
        Self {
            repo,
            options,
            progress,
            corrupted: false,
            unreadable,
            findings: Vec::new(),
            noted: HashSet::new(),
        }
    }

    fn run(&mut self) -> Result<FsckReport> {
        let (repo, progress) = (self.repo, self.progress);
        progress.event(Event::Message("Validating refs..."));
        for (refspec, commit) in repo.list_refs(None, ListRefs::Full)? {
            let name = refspec.name.as_str();
            self.commit_of_ref(
                commit,
                name,
                bindings::Wanted { name: Some(name), collection: None },
            )?;
        }
        progress.event(Event::Message("Validating refs in collections..."));
        for (collection_ref, commit) in bindings::own_collection_refs(repo)? {
            let (collection, name) =
                (collection_ref.collection.as_str(), collection_ref.name.as_str());
            let label = format!("({collection}, {name})");
            self.commit_of_ref(
                commit,
                &label,
                bindings::Wanted { name: Some(name), collection: Some(collection) },
            )?;
        }
        progress.event(Event::Message("Enumerating commits..."));
        let (complete, mut report) = self.enumerate()?;
        let count = complete.len();
        progress.event(Event::Message(&format!(
            "Verifying content integrity of {count} commit objects..."
        )));
        self.contents(&complete)?;
        report.corrupted = self.corrupted;
        report.unreadable_objects = self.unreadable.len() as u64;
        for commit in &report.tombstones {
            repo.enable_tombstones()?;
            repo.write_tombstone(commit)?;
            repo.delete_object(&ObjectName::new(*commit, ObjectType::Commit))?;
            repo.delete_object(&ObjectName::new(*commit, ObjectType::CommitMeta))?;
        }
        Ok(report)
    }

    /// Records a problem with an object. An object that is checked twice, such as the commit that a
    /// ref points to, has one record.
    fn note(&mut self, object: ObjectName, fault: Fault, commits: &[Checksum], message: String) {
        if self.noted.insert((object, fault)) {
            self.findings.push(Finding { object, fault, commits: commits.to_vec(), message });
        }
    }

    /// Checks the commit that a ref points to; `label` is the name of the ref in messages.
    fn commit_of_ref(
        &mut self,
        commit: Checksum,
        label: &str,
        wanted: bindings::Wanted<'_>,
    ) -> Result<()> {
        let name = ObjectName::new(commit, ObjectType::Commit);
        let verified = verify(self.repo, &name);
        if let Err(problem) = &verified {
            self.note(name, problem.fault(), &[commit], problem.message(&name));
        }
        match verified {
            Ok(()) => {}
            Err(Problem::Missing) => {
                self.progress.event(Event::Warning(&format!("Object missing: {name}")));
                return Err(Error::missing(name))
                    .context(|| format!("Loading commit for ref {label}"));
            }
            Err(Problem::Corrupted(error)) if self.options.delete => {
                self.progress.event(Event::Warning(&error.chain()));
                self.repo.delete_object(&name)?;
                return Err(Error::missing(name))
                    .context(|| format!("Loading commit for ref {label}"));
            }
            Err(Problem::Corrupted(error)) => return self.found_corruption(error),
            Err(Problem::Unreadable(error)) => return self.found_unreadable(name, error),
        }
        if self.options.verify_bindings {
            let object = self.repo.load_commit(&commit)?;
            let result = bindings::verify(&object, wanted).context(|| format!("Commit {commit}"));
            self.note_binding(&commit, &result);
            return result;
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
                    if state == CommitState::Partial {
                        report.partial.push(commit);
                    }
                    if state == CommitState::PartialFsck {
                        report.damaged_commits += 1;
                        let message =
                            "an earlier check found that objects are missing or corrupted"
                                .to_owned();
                        self.note(
                            ObjectName::new(commit, ObjectType::Commit),
                            Fault::Damaged,
                            &[commit],
                            message,
                        );
                    }
                }
            }
        }
        report.commits = complete.len() as u64;
        Ok((complete, report))
    }

    /// A commit whose bindings do not agree with the refs ends the check.
    fn note_binding(&mut self, commit: &Checksum, result: &Result<()>) {
        if let Err(error) = result {
            let name = ObjectName::new(*commit, ObjectType::Commit);
            self.note(name, Fault::Binding, &[*commit], error.chain());
        }
    }

    fn back_refs(&mut self, commit: &Checksum) -> Result<()> {
        match self.repo.load_commit(commit) {
            Ok(object) => {
                let result = bindings::verify_back_refs(self.repo, commit, &object);
                self.note_binding(commit, &result);
                result
            }
            // Corruption is reported when its bytes are verified.
            Err(Error::MalformedObject { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn lacks_parent(&self, commit: &Checksum) -> Result<bool> {
        match decoded(self.repo.load_commit(commit))?.and_then(|object| object.parent) {
            Some(parent) => {
                Ok(!self.repo.has_object(&ObjectName::new(parent, ObjectType::Commit))?)
            }
            None => Ok(false),
        }
    }

    /// Verifies everything that the commits reach.
    fn contents(&mut self, commits: &[Checksum]) -> Result<()> {
        let reached = ObjectSet::new();
        // A read may fail now and succeed later. What could not be walked has not been verified,
        // even if a later read succeeds.
        let at_unreadable = if self.goes_on() { AtHole::Report } else { AtHole::Fail };
        let not_followed = walk(self.repo, commits, &reached, &|_| at_unreadable)?;
        let objects = reached.into_sorted();

        self.progress
            .event(Event::Started { task: "fsck objects", total: Some(objects.len() as u64) });
        let mut problems = self.verify_or_resume(&objects);
        for (name, error) in not_followed {
            if let Err(place) = problems.binary_search_by_key(&name, |(name, _)| *name) {
                problems.insert(place, (name, unreadable(&name, error)));
            }
        }
        let result = self.report_problems(commits, problems);
        self.progress.event(Event::Finished);
        result
    }

    /// Verifies objects, with a record of what is done if that is wanted. It is removed when all
    /// is done.
    fn verify_or_resume(&self, objects: &[ObjectName]) -> Vec<(ObjectName, Problem)> {
        if !self.options.resume {
            return self.verify_all(objects);
        }
        let mut record = Record::open(self.repo);
        let ends = |problems: &[(ObjectName, Problem)]| {
            let ends = |(_, problem): &(_, Problem)| !matches!(problem, Problem::Missing);
            !self.goes_on() && problems.iter().any(ends)
        };
        let skip = |steps| self.progress.event(Event::Advanced { steps, bytes: 0 });
        let mut is_whole = true;
        let problems = record.verify(objects, skip, |piece| {
            let problems = self.verify_all(piece);
            is_whole = !ends(&problems);
            (problems, is_whole)
        });
        if is_whole {
            record.finish();
        }
        problems
    }

    /// Whether the check continues after corruption.
    fn goes_on(&self) -> bool {
        self.options.all || self.options.delete
    }

    /// Verifies objects in parallel and returns what is wrong, in order. Unless the check [goes
    /// on](Self::goes_on) that ends with the first corrupted or unreadable object: the same one on
    /// every run, because nothing before it is skipped. The object is not counted as progress, so
    /// that a check that ends early never appears complete.
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
                if !self.goes_on()
                    && matches!(problem, Some(Problem::Corrupted(_) | Problem::Unreadable(_)))
                {
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

    fn report_problems(
        &mut self,
        commits: &[Checksum],
        problems: Vec<(ObjectName, Problem)>,
    ) -> Result<()> {
        if problems.is_empty() {
            return Ok(());
        }
        let unreadable =
            problems.iter().filter(|(_, problem)| matches!(problem, Problem::Unreadable(_)));
        let skipped = unreadable.map(|(name, _)| *name).collect();
        let owners =
            owners(self.repo, commits, &skipped, problems.iter().map(|(name, _)| *name).collect())?;
        let mut marked = HashSet::new();
        for (name, problem) in problems {
            let owners = owners.get(&name).map(Vec::as_slice).unwrap_or_default();
            let list = owners.iter().map(Checksum::to_hex).collect::<Vec<_>>().join(", ");
            self.note(name, problem.fault(), owners, problem.message(&name));
            match problem {
                Problem::Corrupted(error) => {
                    let error = Err(error).context(|| format!("In commits {list}"));
                    error.or_else(|error| self.found_corruption(error))?;
                    if !self.options.delete {
                        continue;
                    }
                    self.repo.delete_object(&name)?;
                }
                Problem::Unreadable(error) => {
                    let error = Err(error).context(|| format!("In commits {list}"));
                    error.or_else(|error| self.found_unreadable(name, error))?;
                    continue;
                }
                Problem::Missing => {
                    self.corrupted = true;
                    self.progress.event(Event::Warning(&format!(
                        "Object missing in commits {list}: {name}"
                    )));
                }
            }
            for commit in owners.iter().filter(|commit| marked.insert(**commit)) {
                self.progress
                    .event(Event::Warning(&format!("Marking commit as partial: {commit}")));
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

    fn found_unreadable(&mut self, name: ObjectName, error: Error) -> Result<()> {
        if !self.goes_on() {
            return Err(error);
        }
        // A commit that a ref points to is checked once more with everything else.
        if self.unreadable.insert(name) {
            self.progress.event(Event::Warning(&error.chain()));
        }
        Ok(())
    }
}

/// Walks what commits reach. Objects that cannot be decoded are reached like any others, so that
/// verifying them shows what is wrong; for those that cannot be read `at_unreadable` decides.
fn walk(
    repo: &Repo,
    commits: &[Checksum],
    reached: &ObjectSet,
    at_unreadable: &(dyn Fn(&ObjectName) -> AtHole + Sync),
) -> Result<Holes> {
    let at_hole = |name: &ObjectName, error: &Error| match error {
        Error::MalformedObject { .. } => AtHole::Skip,
        Error::Io { .. } | Error::SystemCall { .. } => at_unreadable(name),
        _ => AtHole::Fail,
    };
    Walk { repo, reached, reading: Reading::AsStored, at_hole: &at_hole, visitor: NO_VISITOR }
        .commits(commits)
}

fn decoded<T>(object: Result<T>) -> Result<Option<T>> {
    match object {
        Err(Error::MalformedObject { .. }) => Ok(None),
        other => other.map(Some),
    }
}

/// Which of the commits reach each of some objects, as far as can be seen without those that are
/// `skipped`. Computed only when something is wrong: keeping it for all objects would take more
/// memory than everything else.
fn owners(
    repo: &Repo,
    commits: &[Checksum],
    skipped: &BTreeSet<ObjectName>,
    objects: BTreeSet<ObjectName>,
) -> Result<BTreeMap<ObjectName, Vec<Checksum>>> {
    let mut owners = BTreeMap::<ObjectName, Vec<Checksum>>::new();
    for commit in commits {
        let reached = ObjectSet::new();
        // No object may be deleted unless its commits are known, so another object that cannot be
        // read now is an error.
        let at_unreadable =
            |name: &ObjectName| if skipped.contains(name) { AtHole::Skip } else { AtHole::Fail };
        walk(repo, &[*commit], &reached, &at_unreadable)?;
        for name in objects.iter().filter(|name| reached.contains(name)) {
            owners.entry(*name).or_default().push(*commit);
        }
    }
    Ok(owners)
}
