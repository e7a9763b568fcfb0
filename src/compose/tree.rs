//! Turns packages into a published commit, step by step.
//!
//! ```text
//! check      everything that can be checked            fails: nothing is written
//! lock       cache, repository; the run's directory
//! recover    what killed runs left
//! compose    rpm-ostree, which moves no ref          fails: objects that the next prune takes
//! pending    the commit is safe from any prune
//! verify     it is complete and as requested      fails: it stays pending, nothing public has changed
//! sign       with each key that has not signed it yet       likewise
//! delta      static deltas to it                            likewise
//! publish    ref and summary, signed with the same keys
//! push       to other places                     fails: it is published here, and the next run pushes
//! ```

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use log::debug;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::process::{Ending, Finished};
use crate::progress::Event;
use crate::refspec::RefName;
use crate::repo::Repo;

use super::Surroundings;
use super::check::{Findings, Severity};
use super::cleanup;
use super::config::{ComposeConfig, DeltaConfig, TreeConfig};
use super::decide::{self, CHANGED, COMMIT_ID, COMPOSE_JSON, Decision, LOCK_JSON};
use super::deltas;
use super::job::{self, Job};
use super::pending;
use super::plan::{self, Before, Plan, TreeOptions};
use super::preflight::{self, Served};
use super::report::{CacheFacts, DeltaFacts, PushFacts, Report, Status};
use super::session::{
    Failed, Session, Uses, during, hold, new_report, not_begun, take_findings, waiting,
};
use super::signing::Keys;
use super::unapplied;
use super::verify::{self, Expected};

/// The commit metadata in which rpm-ostree records the inputs of a tree.
const INPUT_HASH_KEY: &str = "rpmostree.inputhash";

/// Composes a tree and publishes it if requested.
///
/// # Errors
/// The first error, with the report so far. Nothing public has changed then, unless the error says
/// so.
pub fn compose(
    config: &ComposeConfig,
    options: TreeOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Report, Failed> {
    let mut report = new_report(&config.tree, surroundings);
    report.ref_name = config.tree.ref_name.as_ref().map(|name| name.as_str().to_owned());
    let plan = match Plan::make(config, options, surroundings) {
        Ok(plan) => plan,
        Err(error) => return Err(not_begun(report, error)),
    };
    report.ref_name = Some(plan.ref_name.as_str().to_owned());
    take_findings(&plan.findings, &mut report, surroundings);
    hold(&config.tree, surroundings, report, Uses::Cache, |session| session.compose(&plan))
}

/// A dry run of [`compose`]: returns its report, and the command line for a shell. Writes nothing,
/// and the programs need not be installed.
///
/// # Errors
/// Everything that would keep the run from starting.
pub fn preview(
    config: &ComposeConfig,
    options: TreeOptions,
    surroundings: &Surroundings<'_>,
) -> Result<(Report, String)> {
    let plan = Plan::make_dry(config, options, surroundings)?;
    let before = plan::before(&config.tree, surroundings, &plan.ref_name)?;
    let mut report = Report { status: Status::DryRun, ..new_report(&config.tree, surroundings) };
    report.ref_name = Some(plan.ref_name.as_str().to_owned());
    report.old_commit = before.old;
    if let (Some(push), true) = (&config.tree.push, options.publish) {
        for to in &push.to {
            let message = format!("it would be pushed to {to}");
            surroundings.progress.event(Event::Message(&message));
            report.pushes.push(PushFacts::planned(to));
        }
    }
    if let (Some(config), true) = (&config.tree.delta, options.publish) {
        report.deltas = planned_deltas(config, before.old, surroundings, &report.repo)?;
    }
    take_findings(&plan.findings, &mut report, surroundings);
    Ok((report, plan.shell_line(&config.tree, before)))
}

/// The deltas that a run would make if rpm-ostree made a commit; the user is shown them.
fn planned_deltas(
    config: &DeltaConfig,
    old: Option<Checksum>,
    surroundings: &Surroundings<'_>,
    repo: &Path,
) -> Result<Vec<DeltaFacts>> {
    let mut sources = vec![None; usize::from(config.from_scratch)];
    if old.is_some() {
        let repo = Repo::open_with(repo, &surroundings.open)?;
        sources = deltas::sources(&repo, config, old, None)?;
    }
    let planned = |from: Option<Checksum>| {
        let message = format!("a static delta from {} would be made", deltas::named(from));
        surroundings.progress.event(Event::Message(&message));
        DeltaFacts::planned(from)
    };
    Ok(sources.into_iter().map(planned).collect())
}

/// Publishes a commit that was composed earlier, given by `rev`.
///
/// # Errors
/// As [`compose`].
pub fn publish(
    config: &ComposeConfig,
    rev: &str,
    surroundings: &Surroundings<'_>,
) -> Result<Report, Failed> {
    let mut report = new_report(&config.tree, surroundings);
    let mut findings = Findings::default();
    // The repository must exist: there is nothing to publish in a new one.
    let tree = TreeConfig { create_repo: false, ..config.tree.clone() };
    let keys = Keys::look(&tree.sign, surroundings, Severity::Error, &mut findings);
    preflight::repository(&tree, surroundings, Served::Yes, &keys, &mut findings);
    drop(keys);
    let name = preflight::ref_name(&tree, surroundings, &mut findings);
    take_findings(&findings, &mut report, surroundings);
    let findings = surroundings.interrupt.check().and_then(|()| findings.into_result());
    let name = match (findings, name) {
        (Err(error), _) => return Err(not_begun(report, error)),
        (Ok(_), None) => {
            return Err(not_begun(report, Error::failed("there is no ref to publish")));
        }
        (Ok(_), Some(name)) => name,
    };
    report.ref_name = Some(name.as_str().to_owned());
    hold(&tree, surroundings, report, Uses::Repository, |session| {
        session.publish_composed(&name, rev)
    })
}

impl Session<'_> {
    fn compose(&mut self, plan: &Plan) -> Result<Status> {
        let name = &plan.ref_name;
        self.clean_up_after_the_dead()?;
        if plan.publishes() {
            self.mend_summary()?;
        }
        let old = self.repo.read_local_ref(name)?;
        let pending = self.earlier_pending(name, old)?;
        let before =
            Before { old, pending, has_remote_ref: plan::has_remote_ref(self.repo, name)? };
        self.run.report.old_commit = before.old;
        debug!("plan: {}", plan.describe(self.config, &self.run.path(""), before));
        let known: BTreeSet<Checksum> =
            self.repo.list_commits_starting_with("")?.into_iter().collect();
        let decision = match self.run_rpm_ostree(plan, before) {
            Ok(decision) => decision,
            Err(error) => {
                self.report_new_commits(&known)?;
                return Err(error);
            }
        };
        let (commit, compose) = match (decision, before.old) {
            (Decision::New { commit, compose }, _) => (commit, compose),
            (Decision::Unchanged { input_hash }, Some(old)) => {
                return self.unchanged(plan, old, input_hash.as_deref());
            }
            (Decision::Unchanged { .. }, None) => {
                return Err(Error::failed(format!(
                    "rpm-ostree says that nothing has changed, but {name} names nothing"
                )));
            }
        };
        self.run.report.compose = Some(compose.clone());
        self.keep(name, commit, before.pending)?;
        let expected = Expected {
            parent: plan.parent(self.config, before),
            version: self.config.version.clone(),
            compose: Some(compose),
        };
        self.verify(name, &commit, &expected)?;
        let keys = self.sign_pending(name, &commit)?;
        if !plan.publishes() {
            self.run.report.stage = "done";
            return Ok(Status::Composed);
        }
        self.deltas_of_pending(name, before.old, commit, &keys)?;
        self.publish(name, before.old, commit, &keys)
            .map_err(|error| waiting_if(self, error, name, &commit))?;
        self.push(name, &commit, &keys)?;
        Ok(Status::Published)
    }

    fn publish_composed(&mut self, name: &RefName, rev: &str) -> Result<Status> {
        self.mend_summary()?;
        let commit = self.repo.resolve_rev(rev)?;
        let old = self.repo.read_local_ref(name)?;
        self.run.report.old_commit = old;
        if old == Some(commit) {
            self.note(commit)?;
            self.confirm(name, &commit)?;
            return Ok(Status::Unchanged);
        }
        self.run.report.changed = true;
        let parent = old.filter(|_| !plan::wants_no_parent(self.config));
        self.verify(name, &commit, &Expected { parent, ..Expected::default() })?;
        let version = self.run.report.version.as_deref();
        if let Some(wanted) =
            self.config.version.as_deref().filter(|wanted| version != Some(*wanted))
        {
            let found = version.unwrap_or("none");
            self.warn(format!(
                "the version of the commit is {found}, the configuration says {wanted}"
            ));
        }
        let keys = self.sign_pending(name, &commit)?;
        self.deltas_of_pending(name, old, commit, &keys)?;
        self.publish(name, old, commit, &keys)
            .map_err(|error| waiting_if(self, error, name, &commit))?;
        self.push(name, &commit, &keys)?;
        Ok(Status::Published)
    }

    /// The pending commit of an earlier run; one that has been published meanwhile is no longer
    /// pending.
    fn earlier_pending(
        &mut self,
        name: &RefName,
        old: Option<Checksum>,
    ) -> Result<Option<Checksum>> {
        let Some(waiting) = pending::read(self.repo, name)? else { return Ok(None) };
        if Some(waiting) == old {
            pending::remove(self.repo, name)?;
            return Ok(None);
        }
        self.warn(format!(
            "an earlier run left the commit {waiting} unpublished as {}; `osier compose publish` \
             publishes it, a new commit takes its place",
            pending::refspec_text(name)
        ));
        Ok(Some(waiting))
    }

    /// Runs rpm-ostree until it succeeds or another attempt is pointless.
    fn run_rpm_ostree(&mut self, plan: &Plan, before: Before) -> Result<Decision> {
        let attempts = self.config.attempts;
        let mut attempt = 1;
        loop {
            self.run.step("compose")?;
            self.surroundings.interrupt.check()?;
            let log = if attempt == 1 {
                "rpm-ostree.log".to_owned()
            } else {
                format!("rpm-ostree-{attempt}.log")
            };
            let finished = self.run_once(plan, before, &log, attempt)?;
            let log = self.run.path(&log);
            let decision = decide::decide(&self.run.path(""), finished.ending, &log);
            self.not_stopped(plan, &finished, &decision)?;
            let mut error = match decision {
                Ok(decision) => {
                    self.log = None;
                    return Ok(decision);
                }
                Err(error) => error,
            };
            if decide::is_out_of_space(&log)? {
                error = during(
                    format!("out of space ({})", preflight::describe_space(self.config)),
                    error,
                );
            }
            let again =
                attempt < attempts && decide::is_worth_another_attempt(finished.ending, &log)?;
            if again || attempt > 1 {
                error = during(format!("attempt {attempt} of {attempts}"), error);
            }
            if !again {
                return Err(error);
            }
            let pause = pause_after(attempt);
            self.warn(format!("{}; trying again in {} s", error.chain(), pause.as_secs()));
            self.surroundings.interrupt.sleep(pause)?;
            attempt += 1;
        }
    }

    /// Runs rpm-ostree once, with fresh output files, and cleans up after it.
    fn run_once(
        &mut self,
        plan: &Plan,
        before: Before,
        log: &str,
        attempt: u32,
    ) -> Result<Finished> {
        for name in [COMMIT_ID, CHANGED, COMPOSE_JSON, LOCK_JSON] {
            self.run.remove(name)?;
        }
        let cache = &self.config.cachedir;
        let scratch = cleanup::scratch_directories(cache)?;
        self.run.report.cache = Some(CacheFacts { path: cache.clone(), before: scratch.clone() });
        let job = Job {
            task: "rpm-ostree",
            call: plan.call(self.config, &self.run.path(""), before),
            log: log.to_owned(),
            attempt,
            timeout: self.config.timeout,
            cache: Some((cache, &scratch)),
        };
        self.log = Some(self.run.path(log));
        let finished = job.run(&mut self.run, self.surroundings, &mut |_| {})?;
        if finished.ending != Ending::Exit(0) {
            self.remove_orphaned_marks()?;
        }
        if matches!(finished.ending, Ending::Signal(_)) {
            self.warn_of_the_cache();
        }
        if self.run.path(LOCK_JSON).exists() {
            self.run.report.lockfile = Some(LOCK_JSON.to_owned());
        }
        self.run.save()?;
        Ok(finished)
    }

    /// Fails if we have ended rpm-ostree. A commit that it finished nevertheless is kept.
    fn not_stopped(
        &mut self,
        plan: &Plan,
        finished: &Finished,
        decision: &Result<Decision>,
    ) -> Result<()> {
        let Err(error) = job::not_stopped("rpm-ostree", self.config.timeout, finished) else {
            return Ok(());
        };
        match (decision, finished.ending) {
            (Ok(Decision::New { commit, .. }), Ending::Exit(0))
                if verify::is_there(self.repo, commit)? =>
            {
                self.keep(&plan.ref_name, *commit, None)?;
                Err(waiting(error, &plan.ref_name, commit))
            }
            _ => Err(error),
        }
    }

    /// Protects a commit from every prune.
    fn keep(&mut self, name: &RefName, commit: Checksum, replaced: Option<Checksum>) -> Result<()> {
        self.run.report.changed = true;
        self.run.report.commit = Some(commit);
        self.run.step("pending")?;
        if !verify::is_there(self.repo, &commit)? {
            let repo = self.repo.path().display();
            return Err(Error::failed(format!(
                "rpm-ostree says that it made {commit}, which is not in {repo}"
            )));
        }
        pending::set(self.repo, name, &commit)?;
        if let Some(replaced) = replaced.filter(|replaced| *replaced != commit) {
            self.warn(format!("{commit} takes the place of {replaced}, which was not published"));
        }
        Ok(())
    }

    fn verify(&mut self, name: &RefName, commit: &Checksum, expected: &Expected) -> Result<()> {
        self.run.report.commit = Some(*commit);
        self.run.step("verify")?;
        let object = verify::verify(self.repo, commit, expected, self.surroundings.progress)
            .map_err(|error| waiting_if(self, error, name, commit))?;
        self.run.report.version = object.version().map(str::to_owned);
        if let Some(odd) = verify::odd_time(self.repo, &object)? {
            self.warn(odd);
        }
        Ok(())
    }

    /// Signs a commit that is not public yet.
    fn sign_pending(&mut self, name: &RefName, commit: &Checksum) -> Result<Keys> {
        self.sign(commit).map_err(|error| {
            let error =
                during("not signed, `osier compose publish` continues here".to_owned(), error);
            waiting_if(self, error, name, commit)
        })
    }

    /// Makes the deltas to a commit that is not public yet.
    fn deltas_of_pending(
        &mut self,
        name: &RefName,
        old: Option<Checksum>,
        commit: Checksum,
        keys: &Keys,
    ) -> Result<()> {
        let made = self.deltas(&commit, old, keys).map_err(|error| {
            let what = "without its deltas, `osier compose publish` continues here";
            waiting_if(self, during(what.to_owned(), error), name, &commit)
        });
        made.map(drop)
    }

    fn unchanged(
        &mut self,
        plan: &Plan,
        old: Checksum,
        input_hash: Option<&str>,
    ) -> Result<Status> {
        let commit = self.repo.load_commit(&old)?;
        if let (Some(known), Some(found)) = (unapplied::string(&commit, INPUT_HASH_KEY), input_hash)
            && known != found
        {
            return Err(Error::failed(format!(
                "rpm-ostree says that nothing has changed, but its input hash is {found} and that \
                 of {old} is {known}"
            )));
        }
        self.note(old)?;
        self.run.report.unapplied = unapplied::unapplied(self.config, &commit);
        if !self.run.report.unapplied.is_empty() {
            self.warn(unapplied::describe(&self.run.report.unapplied));
        }
        match plan.publishes() {
            true => self.confirm(&plan.ref_name, &old)?,
            false => self.run.report.stage = "done",
        }
        Ok(Status::Unchanged)
    }

    /// A killed rpm-ostree may have finished its commit, which no ref points to then.
    fn report_new_commits(&mut self, known: &BTreeSet<Checksum>) -> Result<()> {
        let kept = self.run.report.commit;
        for commit in self.repo.list_commits_starting_with("")? {
            if !known.contains(&commit) && kept != Some(commit) {
                self.warn(format!(
                    "rpm-ostree left the commit {commit}, which nothing names: the \
                    next prune takes it"
                ));
            }
        }
        Ok(())
    }
}

/// The delay before the next attempt after a network failure: 5 s, then twice as long each time, at
/// most a minute.
fn pause_after(attempt: u32) -> Duration {
    Duration::from_secs((5 << attempt.saturating_sub(1).min(4)).min(60))
}

/// Adds where the commit is pending, if it is.
fn waiting_if(session: &Session<'_>, error: Error, name: &RefName, commit: &Checksum) -> Error {
    match pending::read(session.repo, name) {
        Ok(Some(pending)) if pending == *commit => waiting(error, name, commit),
        _ => error,
    }
}
