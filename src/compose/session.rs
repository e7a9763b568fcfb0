//! A run with its locks and its directory: what composing and publishing have in common.

use std::fs;
use std::path::PathBuf;

use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::process::shell_line;
use crate::progress::Event;
use crate::refspec::RefName;
use crate::repo::{Repo, RepoMode};

use super::Surroundings;
use super::check::{Findings, Severity};
use super::cleanup;
use super::config::TreeConfig;
use super::locks::{CACHE_LOCK, FileLock, PUBLISH_LOCK, Wait, holder, lock_repo};
use super::pending;
use super::plan::RECORDED_VARIABLES;
use super::publish::{self, Move, SummaryState};
use super::recover::{Claim, Recovery};
use super::report::{Report, Status};
use super::run::{Run, new_name};
use super::signing::Keys;

/// A run that failed. Nothing public has changed, unless the error says so.
#[derive(Debug)]
pub struct Failed {
    /// The report so far.
    pub report: Box<Report>,
    /// The error.
    pub error: Error,
    /// The log of the program that failed, if one did.
    pub log: Option<PathBuf>,
}

/// A run in progress.
pub(super) struct Session<'s> {
    pub(super) config: &'s TreeConfig,
    pub(super) surroundings: &'s Surroundings<'s>,
    pub(super) repo: &'s Repo,
    pub(super) run: Run,
    /// The log of the program that ran last, until it is known to have succeeded.
    pub(super) log: Option<PathBuf>,
    holder: String,
}

/// The reason why a run cannot start.
pub(super) fn not_begun(report: Report, error: Error) -> Failed {
    let report = Report { status: Status::Failed, error: Some(error.chain()), ..report };
    Failed { report: Box::new(report), error, log: None }
}

/// The report of a run that is about to start.
pub(super) fn new_report(config: &TreeConfig, surroundings: &Surroundings<'_>) -> Report {
    let recorded = RECORDED_VARIABLES.iter().filter_map(|name| {
        Some(((*name).to_owned(), surroundings.variable(name)?.to_string_lossy().into_owned()))
    });
    let set = config
        .source_date_epoch
        .map(|seconds| ("SOURCE_DATE_EPOCH".to_owned(), seconds.to_string()));
    Report {
        stage: "check",
        started: surroundings.now,
        repo: config.repo.clone(),
        environment: recorded.chain(set).collect(),
        ..Report::default()
    }
}

/// What a run uses, and therefore locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uses {
    /// The repository and the cache of rpm-ostree.
    Cache,
    /// The repository alone.
    Repository,
}

/// Takes the locks, creates the directory of the run and calls `work`; the report records the
/// result.
pub(super) fn hold(
    config: &TreeConfig,
    surroundings: &Surroundings<'_>,
    report: Report,
    uses: Uses,
    work: impl FnOnce(&mut Session<'_>) -> Result<Status>,
) -> Result<Report, Failed> {
    let mut report = Report { stage: "lock", ..report };
    let wait = Wait {
        timeout: config.lock_timeout,
        interrupt: &surroundings.interrupt,
        progress: surroundings.progress,
    };
    let result = (|| {
        surroundings.interrupt.check()?;
        let name = new_name(surroundings.now)?;
        let lock = match uses {
            Uses::Cache => {
                fs::create_dir_all(&config.cachedir).during("creating", &config.cachedir)?;
                Some(FileLock::acquire(&config.cachedir.join(CACHE_LOCK), &holder(&name), &wait)?)
            }
            Uses::Repository => None,
        };
        Ok((name, lock, open_or_create(config, surroundings)?))
    })();
    let (name, _cache_lock, repo) = match result {
        Ok(held) => held,
        Err(error) => return Err(not_begun(report, error)),
    };
    let _repo_lock = match lock_repo(&repo, &wait) {
        Ok(lock) => lock,
        Err(error) => return Err(not_begun(report, error)),
    };
    let run = match Run::begin_named(&config.work, &name, surroundings.now, report.clone()) {
        Ok(run) => run,
        Err(error) => {
            report.run = name;
            return Err(not_begun(report, error));
        }
    };
    let mut session =
        Session { config, surroundings, repo: &repo, run, log: None, holder: holder(&name) };
    let result = work(&mut session);
    let Session { run, log, .. } = session;
    end(run, log, result, surroundings)
}

/// Records how a run ended; `log` is that of the program that failed, if one did.
pub(super) fn end(
    mut run: Run,
    log: Option<PathBuf>,
    result: Result<Status>,
    surroundings: &Surroundings<'_>,
) -> Result<Report, Failed> {
    match result {
        Ok(status) => match run.finish(status) {
            (report, Ok(())) => Ok(report),
            // The work is done; it only cannot be recorded.
            (mut report, Err(error)) => {
                let message = format!("the report cannot be written: {}", error.chain());
                surroundings.progress.event(Event::Warning(&message));
                report.warnings.push(message);
                Ok(report)
            }
        },
        Err(error) => {
            run.report.error = Some(error.chain());
            let (report, _) = run.finish(Status::Failed);
            Err(Failed { report: Box::new(report), error, log })
        }
    }
}

/// Shows the user the findings before a run, and adds them to the report.
pub(super) fn take_findings(
    findings: &Findings,
    report: &mut Report,
    surroundings: &Surroundings<'_>,
) {
    report.programs = findings.versions();
    for message in findings.messages(Severity::Warning) {
        surroundings.progress.event(Event::Warning(message));
        report.warnings.push(message.to_owned());
    }
}

fn open_or_create(config: &TreeConfig, surroundings: &Surroundings<'_>) -> Result<Repo> {
    let path = &config.repo;
    if !config.create_repo {
        return Repo::open_with(path, &surroundings.open);
    }
    if let Some(above) = path.parent() {
        fs::create_dir_all(above).during("creating", above)?;
    }
    Repo::create_with(path, RepoMode::Archive, None, &surroundings.open)
}

impl Session<'_> {
    /// Shows the user a warning, and adds it to the report.
    pub(super) fn warn(&mut self, message: String) {
        self.run.warn(self.surroundings.progress, message);
    }

    fn publish_lock(&self) -> Result<FileLock> {
        let Surroundings { interrupt, progress, .. } = self.surroundings;
        let wait = Wait { timeout: self.config.lock_timeout, interrupt, progress: *progress };
        FileLock::acquire(&self.repo.path().join(PUBLISH_LOCK), &self.holder, &wait)
    }

    /// Cleans up after runs that were killed.
    pub(super) fn clean_up_after_the_dead(&mut self) -> Result<()> {
        self.run.step("recover")?;
        let (config, progress) = (self.config, self.surroundings.progress);
        let recovery = Recovery {
            claim: &|dead| {
                let cache = dead.report.cache.as_ref();
                // We do not lock the cache of another configuration; its next run cleans up.
                if let Some(cache) = cache.filter(|cache| cache.path == config.cachedir) {
                    return Claim::WithCache(cache.path.clone(), cache.before.clone());
                }
                // The same holds for an image run: the next image run knows the output directory.
                let is_anothers =
                    cache.is_some_and(|cache| cache.path.is_dir()) || dead.report.image.is_some();
                if is_anothers { Claim::No } else { Claim::Yes }
            },
            finish: &|dead| {
                let is_killed = dead.report.stage == "compose";
                Ok(is_killed.then(|| suspect_cache(config)).into_iter().collect())
            },
            warn: &mut |message| self.run.warn(progress, message),
        };
        if recovery.run(&config.work, &self.surroundings.environment)? {
            self.remove_orphaned_marks()?;
        }
        Ok(())
    }

    /// Reports how to remove what a killed rpm-ostree may have left in its cache.
    pub(super) fn warn_of_the_cache(&mut self) {
        self.warn(suspect_cache(self.config));
    }

    /// Refreshes a summary that a killed run left outdated.
    pub(super) fn mend_summary(&mut self) -> Result<()> {
        self.run.step("recover")?;
        let keys = self.keys()?;
        let outdated = match publish::state(self.repo, &keys)? {
            SummaryState::Stale => "did not say what the refs say",
            // One without any signature is signed when something is published.
            SummaryState::Unsigned if publish::is_signed(self.repo)? => {
                "had not the signatures of all keys"
            }
            _ => return Ok(()),
        };
        let _lock = self.publish_lock()?;
        publish::refresh(self.repo, &keys, self.run.now())?;
        self.warn(format!("the summary {outdated}; it was refreshed"));
        Ok(())
    }

    fn keys(&self) -> Result<Keys> {
        Keys::load(&self.config.sign, self.surroundings, self.run.now())
    }

    /// Signs a commit, and returns the keys for its summary.
    pub(super) fn sign(&mut self, commit: &Checksum) -> Result<Keys> {
        if self.config.sign.is_empty() {
            return Ok(Keys::NONE);
        }
        self.run.step("sign")?;
        let keys = self.keys()?;
        keys.sign_commit(self.repo, commit)?;
        self.run.report.signatures = keys.names();
        Ok(keys)
    }

    pub(super) fn remove_orphaned_marks(&mut self) -> Result<()> {
        let removed = cleanup::remove_orphaned_marks(self.repo)?;
        if removed > 0 {
            self.warn(format!("removed {removed} mark(s) of partial commits that never came"));
        }
        Ok(())
    }

    /// Moves the ref and the summary, removes the pending ref, and verifies what a client sees.
    pub(super) fn publish(
        &mut self,
        name: &RefName,
        old: Option<Checksum>,
        new: Checksum,
        keys: &Keys,
    ) -> Result<()> {
        self.run.step("publish")?;
        let _lock = self.publish_lock()?;
        let facts = publish::publish(self.repo, &Move { name, old, new }, keys, self.run.now())?;
        self.run.report.summary = Some(facts);
        self.forget_pending(name, &new);
        self.read_back(name, &new, keys)
    }

    /// Signs a commit that is public already, refreshes the summary, and pushes, if need be.
    pub(super) fn confirm(&mut self, name: &RefName, commit: &Checksum) -> Result<()> {
        let keys = self.sign(commit).map_err(|error| {
            during(format!("{name} names {commit}, which is not signed"), error)
        })?;
        let has_new_deltas = self.deltas(commit, Some(*commit), &keys).map_err(|error| {
            during(format!("{name} names {commit}, which has not all its deltas"), error)
        })?;
        self.run.step("publish")?;
        let _lock = self.publish_lock()?;
        match publish::refresh(self.repo, &keys, self.run.now())? {
            SummaryState::Right => {}
            SummaryState::Stale if has_new_deltas => {}
            SummaryState::Unsigned => {
                self.warn("the summary had not the signatures of all keys and is signed".to_owned())
            }
            SummaryState::Stale => {
                self.warn("the summary was stale and has been refreshed".to_owned())
            }
            SummaryState::Missing => {
                self.warn("the summary was missing and has been written".to_owned())
            }
        }
        self.run.report.summary = Some(publish::facts(self.repo, &keys)?);
        self.forget_pending(name, commit);
        self.read_back(name, commit, &keys)?;
        self.push(name, commit, &keys)
    }

    fn read_back(&mut self, name: &RefName, commit: &Checksum, keys: &Keys) -> Result<()> {
        self.run.report.stage = "read-back";
        publish::read_back(self.repo, name, commit, keys)?;
        self.run.report.stage = "done";
        Ok(())
    }

    /// A public commit is no longer pending.
    fn forget_pending(&mut self, name: &RefName, commit: &Checksum) {
        let forgotten = match pending::read(self.repo, name) {
            Ok(Some(waiting)) if waiting == *commit => pending::remove(self.repo, name),
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = forgotten {
            let pending = pending::refspec_text(name);
            self.warn(format!(
                "the commit is public, but its pending ref stays ({pending}): {}",
                error.chain()
            ));
        }
    }

    /// Records the commit in the report.
    pub(super) fn note(&mut self, commit: Checksum) -> Result<()> {
        self.run.report.commit = Some(commit);
        self.run.report.version = self.repo.load_commit(&commit)?.version().map(str::to_owned);
        Ok(())
    }
}

/// How to remove what a killed rpm-ostree may have left in its cache.
fn suspect_cache(config: &TreeConfig) -> String {
    let remedy = shell_line(&["rm".as_ref(), "-rf".as_ref(), config.cachedir.as_os_str()]);
    format!("rpm-ostree was killed: should it fail from now on, clear its cache with `{remedy}`")
}

/// Adds to an error where the commit is pending.
pub(super) fn waiting(error: Error, name: &RefName, commit: &Checksum) -> Error {
    during(format!("the commit {commit} waits as {}", pending::refspec_text(name)), error)
}

/// Adds to an error what was being done.
pub(super) fn during(what: String, source: Error) -> Error {
    Error::During { what, source: Box::new(source) }
}
