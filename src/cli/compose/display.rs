//! The display while external programs run: their output, and on a terminal a line with the stage,
//! its duration and the last line of its log.
//!
//! All of it goes to standard error; standard output is for the result. rpm-ostree writes in large
//! blocks when it does not write to a terminal, so the line has its own timer.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use osier::process::log::printable_lines;
use osier::progress::{Event, Progress};

/// How often the time is redrawn.
const TICK: Duration = Duration::from_millis(500);

/// Receives the events of a run.
pub(super) struct Display {
    passes_on: bool,
    has_bar: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Display {
    /// With `quiet`, the output of programs goes only to their logs.
    pub(super) fn new(quiet: bool) -> Self {
        Self { passes_on: !quiet, has_bar: io::stderr().is_terminal(), bar: Mutex::new(None) }
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Prints a text above the bar. Text chosen by a child, such as the version of a commit, must
    /// not control the terminal.
    fn print(&self, text: &str) {
        let text = printable_lines(text);
        let write = || {
            // When standard error is closed, the message cannot be shown.
            let _ = writeln!(io::stderr(), "{text}");
        };
        match &*self.bar() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { task, .. } if self.has_bar => {
                let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
                // A template that indicatif rejects would only affect the appearance.
                if let Ok(style) = ProgressStyle::with_template("{prefix} {elapsed} {wide_msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(task.to_owned());
                bar.enable_steady_tick(TICK);
                *self.bar() = Some(bar);
            }
            Event::Finished => {
                if let Some(bar) = self.bar().take() {
                    bar.finish_and_clear();
                }
            }
            Event::Output(line) => {
                if self.passes_on {
                    self.print(line);
                }
                if let Some(bar) = &*self.bar() {
                    bar.set_message(line.trim().to_owned());
                }
            }
            Event::Warning(text) => self.print(&format!("warning: {text}")),
            Event::Message(text) => self.print(text),
            _ => {}
        }
    }
}
