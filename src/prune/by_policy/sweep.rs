//! Removes objects a few at a time, so that nobody who writes waits for long.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::deltas::Doomed;
use super::report::PolicyReport;
use super::verdicts::Commits;
use super::{Candidate, Marked, PolicyOptions};
use crate::checksum::Checksum;
use crate::error::{During, Error, OfObject, Result};
use crate::object::{DirTreeReader, ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::prune::sweep::{Absent, remove_commit};
use crate::repo::{CommitState, LockKind, Repo, RepoLock, deltas};
use crate::threads;

/// Objects between two looks at the clock.
const AT_A_TIME: usize = 512;
/// The interval at which a busy lock is tried again. Writers try less often, so that they do not
/// keep this from its turn.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub(super) struct Sweep<'s, 'r> {
    repo: &'s Repo,
    options: &'s PolicyOptions,
    commits: &'s mut Commits<'r>,
    pub(super) marked: Marked,
    progress: &'s dyn Progress,
    /// What has turned out to be needed.
    rescued: HashSet<ObjectName>,
    /// Dirtrees that are needed and have not been looked into, and whether they may be missing.
    waiting: Vec<(Checksum, bool)>,
}

impl<'s, 'r> Sweep<'s, 'r> {
    pub(super) fn new(
        repo: &'s Repo,
        options: &'s PolicyOptions,
        commits: &'s mut Commits<'r>,
        marked: Marked,
        progress: &'s dyn Progress,
    ) -> Self {
        let (rescued, waiting) = (HashSet::new(), Vec::new());
        Self { repo, options, commits, marked, progress, rescued, waiting }
    }

    /// # Errors
    /// When one cannot be removed.
    pub(super) fn remove_deltas(&mut self, doomed: &[Doomed]) -> Result<()> {
        let mut rest = doomed.iter().peekable();
        while rest.peek().is_some() {
            let (_lock, until) = self.lock()?;
            for Doomed { name, .. } in rest.by_ref() {
                // Another pruner may have been faster.
                if self.repo.path().join(name.superblock_path()).exists() {
                    deltas::remove(self.repo, name)?;
                }
                if Instant::now() >= until {
                    break;
                }
            }
        }
        Ok(())
    }

    /// # Errors
    /// When one cannot be removed, or what is needed cannot be read.
    pub(super) fn remove(
        &mut self,
        candidates: Vec<Candidate>,
        report: &mut PolicyReport,
    ) -> Result<()> {
        let total = Some(candidates.len() as u64);
        self.progress.event(Event::Started { task: "deleting objects", total });
        let rank = |candidate: &Candidate| match candidate.name.object_type {
            ObjectType::Commit => 0,
            ObjectType::DirTree => 1,
            _ => 2,
        };
        let mut phases = [Vec::new(), Vec::new(), Vec::new()];
        for candidate in candidates {
            phases[rank(&candidate)].push(candidate);
        }
        let mut held: Option<(RepoLock<'_>, Instant)> = None;
        for (number, phase) in phases.iter().enumerate() {
            let mut rest = &phase[..];
            while !rest.is_empty() {
                if held.as_ref().is_none_or(|(_, until)| Instant::now() >= *until) {
                    drop(held.take());
                    held = Some(self.lock()?);
                }
                let (now, later) = rest.split_at(AT_A_TIME.min(rest.len()));
                self.remove_some(now, report)?;
                rest = later;
            }
            // The removal of commits is durable before anything that they need is removed.
            if number == 0 && !phase.is_empty() && self.repo.config().fsync {
                drop(held.take());
                rustix::fs::syncfs(self.repo.dir()).during("syncing", self.repo.path())?;
            }
        }
        drop(held);
        self.progress.event(Event::Finished);
        Ok(())
    }

    fn remove_some(&mut self, candidates: &[Candidate], report: &mut PolicyReport) -> Result<()> {
        let (repo, progress, rescued) = (self.repo, self.progress, &self.rescued);
        let remove = |Candidate { name, .. }: &Candidate| {
            if rescued.contains(name) {
                return Ok(false);
            }
            let is_removed = match name.object_type {
                ObjectType::Commit if !repo.has_own_object(name)? => false,
                ObjectType::Commit => {
                    remove_commit(repo, &name.checksum, Absent::IsFine)?;
                    true
                }
                _ => repo.delete_object(name)?,
            };
            progress.event(Event::Advanced { steps: 1, bytes: 0 });
            Ok(is_removed)
        };
        let removed: Vec<bool> =
            threads::run(|| candidates.par_iter().map(remove).collect::<Result<_>>())?;
        for (candidate, is_removed) in candidates.iter().zip(removed) {
            if !is_removed {
                report.discount(candidate);
            } else if candidate.name.object_type == ObjectType::Commit {
                self.marked.changes.forget(&candidate.name.checksum);
            }
        }
        Ok(())
    }

    /// Takes the exclusive lock, as soon as all that is needed by now is known, and gives the time
    /// at which it is to be released. The time until then is that of `Pace`, also for what others
    /// have written.
    fn lock(&mut self) -> Result<(RepoLock<'s>, Instant)> {
        // Those who wait have had their turn.
        thread::sleep(match self.marked.changes.is_first() {
            true => Duration::ZERO,
            false => self.options.pace.pause,
        });
        loop {
            let lock = exclusive(self.repo)?;
            let until = Instant::now() + self.options.pace.hold;
            self.look_again()?;
            if self.follow(Some(until))? {
                return Ok((lock, until));
            }
            // Very much has come: most of it is looked at beside those who write more.
            drop(lock);
            let shared = self.repo.lock(LockKind::Shared)?;
            self.follow(None)?;
            drop(shared);
            thread::sleep(self.options.pace.pause);
        }
    }

    /// Finds the commits that stay now, and did not before.
    fn look_again(&mut self) -> Result<()> {
        let come = self.marked.changes.new_commits(self.repo)?;
        for (commit, error) in self.commits.read(&come) {
            self.progress.event(Event::Warning(&format!("{commit}: {}", error.chain())));
        }
        // All that have come stay, whether refs lead to them or not.
        let now = self.commits.decide(&come, |_| Ok(true))?;
        let stays = now.of.iter().filter(|(_, verdict)| verdict.is_kept());
        let mut stay: HashSet<Checksum> = stays.map(|(commit, _)| *commit).collect();
        stay.extend(&come);
        // What was missing may have come, and reach what was found in place.
        self.waiting.extend(self.marked.holes.drain(..).map(|dirtree| (dirtree, true)));
        for commit in stay {
            let name = ObjectName::new(commit, ObjectType::Commit);
            let before = self.marked.verdicts.of.get(&commit);
            let is_known = before.is_some_and(|verdict| verdict.is_kept());
            // A ref may still name a commit that is gone.
            if is_known || !self.repo.has_object(&name)? || !self.rescued.insert(name) {
                continue;
            }
            let Some(root) = self.commits.root(&commit) else { continue };
            let is_whole = self.repo.commit_state(&commit)? == CommitState::Complete;
            self.need_directory(root.dirtree, root.dirmeta, !is_whole);
        }
        Ok(())
    }

    fn need_directory(&mut self, dirtree: Checksum, dirmeta: Checksum, may_be_missing: bool) {
        self.rescued.insert(ObjectName::new(dirmeta, ObjectType::DirMeta));
        let name = ObjectName::new(dirtree, ObjectType::DirTree);
        // What is below a dirtree that stays stays, too.
        let class = self.marked.table.class(&name);
        let stays = class.and_then(|class| self.marked.kept.get(class as usize)).copied();
        if !stays.unwrap_or(false) && self.rescued.insert(name) {
            self.waiting.push((dirtree, may_be_missing));
        }
    }

    /// Looks into what is needed; `false` if time has run out.
    fn follow(&mut self, until: Option<Instant>) -> Result<bool> {
        while let Some((dirtree, may_be_missing)) = self.waiting.pop() {
            let name = ObjectName::new(dirtree, ObjectType::DirTree);
            let bytes = match self.repo.load_verified(&name) {
                Err(Error::MissingMetadata { .. }) if may_be_missing => {
                    self.marked.holes.push(dirtree);
                    continue;
                }
                bytes => bytes?,
            };
            let reader = DirTreeReader::new(&bytes).of_object(name)?;
            for file in reader.files() {
                let checksum = Checksum::from_bytes(*file.of_object(name)?.checksum);
                self.rescued.insert(ObjectName::new(checksum, ObjectType::File));
            }
            for dir in reader.dirs() {
                let dir = dir.of_object(name)?;
                let [dirtree, dirmeta] =
                    [dir.dirtree, dir.dirmeta].map(|c| Checksum::from_bytes(*c));
                self.need_directory(dirtree, dirmeta, may_be_missing);
            }
            if until.is_some_and(|until| Instant::now() >= until) && !self.waiting.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Takes the exclusive lock, as [`Repo::lock`] does, but tries more often.
fn exclusive(repo: &Repo) -> Result<RepoLock<'_>> {
    let timeout = u64::try_from(repo.config().lock_timeout_secs).ok().map(Duration::from_secs);
    let started = Instant::now();
    loop {
        if let Some(lock) = repo.try_lock(LockKind::Exclusive)? {
            return Ok(lock);
        }
        if timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
            // Waits no more, but has the same words.
            return repo.lock(LockKind::Exclusive);
        }
        thread::sleep(POLL_INTERVAL);
    }
}
