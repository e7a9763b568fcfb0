//! Finds damaged and missing objects.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;

use super::Damage;
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::fsck::Fault;
use crate::fsck::record::Record;
use crate::fsck::verify::{Problem, verify};
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress, Silent};
use crate::repo::{AtHole, CommitState, NO_VISITOR, ObjectSet, Reading, Repo, Walk};

/// What is known of the objects of a repository.
pub(super) struct Scan<'r> {
    repo: &'r Repo,
    progress: &'r dyn Progress,
    /// Commits that should be complete, sorted, whether or not they are there.
    expected: Vec<Checksum>,
    /// Commits that are partial on purpose, sorted.
    partial: Vec<Checksum>,
    /// What complete commits reach, and has been verified; each list is sorted.
    needed: Vec<Vec<ObjectName>>,
    record: Option<Record<'r>>,
}

impl<'r> Scan<'r> {
    /// Lists the commits: those that are there, and those that refs or the marks of an earlier
    /// check name.
    pub(super) fn new(
        repo: &'r Repo,
        of_refs: impl Iterator<Item = Checksum>,
        progress: &'r dyn Progress,
    ) -> Result<Self> {
        let mut commits: BTreeSet<Checksum> =
            repo.list_commits_starting_with("")?.into_iter().collect();
        commits.extend(of_refs);
        for commit in repo.marked_commits()? {
            if repo.commit_state(&commit)? == CommitState::PartialFsck {
                commits.insert(commit);
            }
        }
        let (mut expected, mut partial) = (Vec::new(), Vec::new());
        for commit in commits {
            match repo.commit_state(&commit)? {
                CommitState::Partial => partial.push(commit),
                CommitState::Complete | CommitState::PartialFsck => expected.push(commit),
            }
        }
        Ok(Self { repo, progress, expected, partial, needed: Vec::new(), record: None })
    }

    pub(super) fn expected(&self) -> &[Checksum] {
        &self.expected
    }

    pub(super) fn partial(&self) -> &[Checksum] {
        &self.partial
    }

    /// Looks at everything that commits reach.
    pub(super) fn look_at_all(&mut self, resumes: bool) -> Result<BTreeMap<ObjectName, Damage>> {
        self.record = resumes.then(|| Record::open(self.repo));
        self.expect_parents(&self.expected.clone())?;
        let reached = ObjectSet::new();
        self.walk(&reached).commits(&self.expected)?;
        let mut damage = self.verify(reached.into_sorted());
        let reached = ObjectSet::new();
        self.walk(&reached).commits(&self.partial)?;
        let mut names = reached.into_sorted();
        names.retain(|name| !self.is_needed(name));
        damage.extend(self.verify_what_is_there(names));
        let commits: Vec<Checksum> = self.expected.iter().chain(&self.partial).copied().collect();
        damage.extend(self.detached(&commits));
        Ok(damage)
    }

    /// Looks at objects that have come, at what they lead to, and at detached metadata that waited
    /// for them.
    pub(super) fn look_again(
        &mut self,
        brought: &[ObjectName],
        waiting: &BTreeSet<ObjectName>,
    ) -> Result<BTreeMap<ObjectName, Damage>> {
        // A few objects, which need no line of their own.
        self.progress = &Silent;
        let mut damage = BTreeMap::new();
        let (needed, other): (Vec<ObjectName>, Vec<ObjectName>) = brought
            .iter()
            .filter(|name| name.object_type != ObjectType::CommitMeta)
            .partition(|name| self.is_needed(name));
        for (names, is_needed) in [(needed, true), (other, false)] {
            let reached = ObjectSet::new();
            let of = |wanted: ObjectType| -> Vec<Checksum> {
                let names = names.iter().filter(|name| name.object_type == wanted);
                names.map(|name| name.checksum).collect()
            };
            let mut commits = of(ObjectType::Commit);
            if is_needed {
                commits.extend(self.expect_parents(&commits)?);
            }
            self.walk(&reached).commits(&commits)?;
            self.walk(&reached).dirtrees(&of(ObjectType::DirTree))?;
            let mut objects: BTreeSet<ObjectName> = reached.into_sorted().into_iter().collect();
            objects.retain(|name| !self.is_needed(name));
            objects.extend(names);
            let objects = objects.into_iter().collect();
            damage.extend(match is_needed {
                true => self.verify(objects),
                false => self.verify_what_is_there(objects),
            });
        }
        let detached = waiting.iter().chain(brought);
        let detached = detached.filter(|name| name.object_type == ObjectType::CommitMeta);
        let commits: Vec<Checksum> = detached.map(|name| name.checksum).collect();
        damage.extend(self.detached(&commits));
        Ok(damage)
    }

    /// Expects the parents of commits that are missing although their detached metadata is here,
    /// and returns them. Any other parent that is missing was perhaps never here.
    fn expect_parents(&mut self, commits: &[Checksum]) -> Result<Vec<Checksum>> {
        let mut missing = Vec::new();
        for commit in commits {
            let Ok(Some(parent)) = self.repo.load_commit(commit).map(|commit| commit.parent) else {
                continue;
            };
            let has = |ty| self.repo.has_object(&ObjectName::new(parent, ty));
            if !has(ObjectType::Commit)?
                && has(ObjectType::CommitMeta)?
                && !has(ObjectType::TombstoneCommit)?
                && self.repo.commit_state(&parent)? != CommitState::Partial
                && let Err(place) = self.expected.binary_search(&parent)
            {
                self.expected.insert(place, parent);
                missing.push(parent);
            }
        }
        Ok(missing)
    }

    /// Everything is done.
    pub(super) fn finish(&mut self) {
        if let Some(record) = self.record.take() {
            record.finish();
        }
    }

    /// What a damaged dirtree refers to is not followed: nothing says that any commit has it.
    fn walk<'w>(&'w self, reached: &'w ObjectSet) -> Walk<'w> {
        let at_hole = &|_: &ObjectName, _: &Error| AtHole::Skip;
        let (repo, reading) = (self.repo, Reading::Verified);
        Walk { repo, reached, reading, at_hole, visitor: NO_VISITOR }
    }

    /// Whether a complete commit reaches an object.
    fn is_needed(&self, name: &ObjectName) -> bool {
        self.needed.iter().any(|names| names.binary_search(name).is_ok())
    }

    /// Verifies what commits need; the names are sorted.
    fn verify(&mut self, names: Vec<ObjectName>) -> BTreeMap<ObjectName, Damage> {
        let found = self.verify_each(&names);
        self.needed.push(names);
        found
    }

    /// Verifies what of these is there.
    fn verify_what_is_there(&mut self, names: Vec<ObjectName>) -> BTreeMap<ObjectName, Damage> {
        let mut found = self.verify_each(&names);
        found.retain(|_, damage| damage.fault != Fault::Missing);
        found
    }

    fn verify_each(&mut self, names: &[ObjectName]) -> BTreeMap<ObjectName, Damage> {
        let (repo, progress) = (self.repo, self.progress);
        progress.event(Event::Started { task: "fsck objects", total: Some(names.len() as u64) });
        let verify = |names: &[ObjectName]| -> Vec<(ObjectName, Problem)> {
            let problem = |name: &ObjectName| {
                let problem = verify(repo, name).err();
                progress.event(Event::Advanced { steps: 1, bytes: 0 });
                problem.map(|problem| (*name, problem))
            };
            names.par_iter().filter_map(problem).collect()
        };
        let skip = |steps| progress.event(Event::Advanced { steps, bytes: 0 });
        let problems = match &mut self.record {
            Some(record) => record.verify(names, skip, |piece| (verify(piece), true)),
            None => verify(names),
        };
        progress.event(Event::Finished);
        let damage = |(name, problem): (ObjectName, Problem)| {
            (name, Damage { fault: problem.fault(), message: problem.message(&name) })
        };
        problems.into_iter().map(damage).collect()
    }

    /// The damaged ones among the detached metadata of commits; only their form can be checked.
    fn detached(&self, commits: &[Checksum]) -> BTreeMap<ObjectName, Damage> {
        let damage = |commit: &Checksum| {
            let name = ObjectName::new(*commit, ObjectType::CommitMeta);
            let error = self.repo.load_detached_metadata(commit).err()?;
            let fault = match &error {
                Error::MalformedObject { .. } => Fault::Corrupted,
                _ => Fault::Unreadable,
            };
            Some((name, Damage { fault, message: error.chain() }))
        };
        commits.iter().filter_map(damage).collect()
    }
}
