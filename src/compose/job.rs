//! Runs one program of a run, from its log to cleaning up: shared by the stages.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::process::{self, Call, Finished, GRACE, LONGEST_LOG, Stopped, Watch};
use crate::progress::Event;

use super::Surroundings;
use super::cleanup;
use super::report::Command;
use super::run::Run;

/// A program that a stage runs.
pub(super) struct Job<'j> {
    /// Its name in the display.
    pub(super) task: &'static str,
    /// Its command line; `TMPDIR` is set for it.
    pub(super) call: Call,
    /// The name of its log in the directory of the run.
    pub(super) log: String,
    /// The number of the attempt, from 1.
    pub(super) attempt: u32,
    /// Its time limit.
    pub(super) timeout: Duration,
    /// The cache that it uses, and the work directories that were in it before.
    pub(super) cache: Option<(&'j Path, &'j [String])>,
}

impl Job<'_> {
    /// Runs it to its end and cleans up after it. Its temporary directory identifies its processes,
    /// should they outlive the run. `on_line` gets each line that it prints.
    ///
    /// # Errors
    /// When it cannot be started, or the report or its log cannot be written.
    pub(super) fn run(
        self,
        run: &mut Run,
        surroundings: &Surroundings<'_>,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Finished> {
        let Surroundings { environment, interrupt, progress, .. } = surroundings;
        let temporary = run.make_temporary()?;
        let log = run.path(&self.log);
        let argv = self.call.argv.clone();
        run.report.commands.push(Command {
            argv,
            finished: None,
            log: self.log,
            attempt: self.attempt,
        });
        run.save()?;
        progress.event(Event::Started { task: self.task, total: None });
        let watch = Watch {
            log: &log,
            longest_log: LONGEST_LOG,
            timeout: self.timeout,
            grace: GRACE,
            interrupt,
            on_line: &mut |line| {
                progress.event(Event::Output(line));
                on_line(line);
            },
        };
        let finished = process::run(&self.call.variable("TMPDIR", &temporary), watch);
        progress.event(Event::Finished);
        for left in cleanup::clean(&run.temporary(), self.cache, environment) {
            run.warn(*progress, left);
        }
        let finished = finished?;
        if let Some(command) = run.report.commands.last_mut() {
            command.finished = Some(finished);
        }
        run.save()?;
        Ok(finished)
    }
}

/// Fails if we have ended the program; `name` is used in messages.
pub(super) fn not_stopped(name: &str, timeout: Duration, finished: &Finished) -> Result<()> {
    let message = match finished.stopped {
        None => return Ok(()),
        Some(Stopped::Interrupt) => "interrupted".to_owned(),
        Some(Stopped::Timeout) => {
            format!("{name} did not end within {} s (timeout)", timeout.as_secs())
        }
        Some(Stopped::Flood) => {
            format!("{name} wrote more than {} MiB into its log and was ended", LONGEST_LOG >> 20)
        }
    };
    Err(Error::failed(message))
}
