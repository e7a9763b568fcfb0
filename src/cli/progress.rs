//! Shows how an operation comes along: upstream's lines on standard output when that is no terminal, and a bar on
//! standard error when that is one.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use osier::progress::{Event, Progress};

use super::error::{Failure, warn};
use super::output::Output;

/// The tasks for which upstream prints lines; for all others only the bar shows.
const TASKS_WITH_LINES: [&str; 1] = ["fsck objects"];

/// At most one line in this time, the first and the last one apart.
const TIME_BETWEEN_LINES: Duration = Duration::from_secs(1);

/// A task that is done sooner needs no bar.
const TIME_BEFORE_BAR: Duration = Duration::from_secs(1);

const BAR_WITH_TOTAL: &str = "{prefix} [{bar:20}] {pos}/{len} ({percent}%) {msg}";
const BAR_WITHOUT_TOTAL: &str = "{prefix} {spinner} {pos} {msg}";

/// Receives the events of one operation after the other.
pub(super) struct Display {
    out: Output,
    lines: bool,
    bars: bool,
    task: Mutex<Option<Task>>,
}

/// What is going on now.
struct Task {
    name: String,
    started: Instant,
    steps: u64,
    bytes: u64,
    total: Option<u64>,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
}

impl Display {
    /// Prints to `out` and, with a bar, to standard error.
    pub(super) fn new(out: Output) -> Self {
        Self { out, lines: !io::stdout().is_terminal(), bars: io::stderr().is_terminal(), task: Mutex::new(None) }
    }

    /// Leaves standard output to the result.
    pub(super) fn without_lines(self) -> Self {
        Self { lines: false, ..self }
    }

    fn task(&self) -> MutexGuard<'_, Option<Task>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, task: &mut Task) {
        if let Some(total) = task.total.filter(|_| self.lines && TASKS_WITH_LINES.contains(&task.name.as_str())) {
            let due = task.last_line.is_none_or(|last| last.elapsed() >= TIME_BETWEEN_LINES);
            if due || task.steps == total {
                task.last_line = Some(Instant::now());
                let percent = percent(task.steps, total);
                self.print(writeln_task(&self.out, task, total, percent));
            }
        }
        if self.bars && task.bar.is_none() && task.started.elapsed() >= TIME_BEFORE_BAR {
            task.bar = Some(bar(task));
        }
        if let Some(bar) = &task.bar {
            bar.set_position(task.steps);
            bar.set_message(speed(task.started.elapsed(), task));
        }
    }

    fn print(&self, result: Result<(), Failure>) {
        // The operation goes on; the command hears of the closed output when it writes its result.
        drop(result);
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        let mut current = self.task();
        match event {
            Event::Started { task, total } => {
                *current = Some(Task {
                    name: task.to_owned(),
                    started: Instant::now(),
                    steps: 0,
                    bytes: 0,
                    total,
                    last_line: None,
                    bar: None,
                });
            }
            Event::Advanced { steps, bytes } => {
                if let Some(task) = current.as_mut() {
                    task.steps += steps;
                    task.bytes += bytes;
                    self.advance(task);
                }
            }
            Event::Finished => {
                if let Some(bar) = current.take().and_then(|task| task.bar) {
                    bar.finish_and_clear();
                }
            }
            Event::Warning(text) => above_bar(&current, || warn(text)),
            Event::Message(text) => above_bar(&current, || self.print(writeln!(self.out, "{text}"))),
            _ => {}
        }
    }
}

/// Prints while the bar is out of the way.
fn above_bar(task: &Option<Task>, print: impl FnOnce()) {
    match task.as_ref().and_then(|task| task.bar.as_ref()) {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

fn writeln_task(out: &Output, task: &Task, total: u64, percent: u64) -> Result<(), Failure> {
    writeln!(out, "{} ({}/{total}) {percent}%", task.name, task.steps)?;
    // Whoever watches a pipe wants to see the line now.
    out.flush()
}

fn percent(steps: u64, total: u64) -> u64 {
    if total == 0 { 100 } else { u64::try_from(u128::from(steps) * 100 / u128::from(total)).unwrap_or(100) }
}

fn bar(task: &Task) -> ProgressBar {
    let template = if task.total.is_some() { BAR_WITH_TOTAL } else { BAR_WITHOUT_TOTAL };
    let bar = ProgressBar::with_draw_target(task.total, ProgressDrawTarget::stderr());
    // A template that indicatif does not understand would only cost the looks.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.with_prefix(task.name.clone())
}

/// How fast the task goes, from its beginning on, and how long the rest will take at that rate.
fn speed(elapsed: Duration, task: &Task) -> String {
    let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let mut text = format!("{:.0}/s", task.steps as f64 / seconds);
    if task.bytes > 0 {
        text.push_str(&format!(", {:.0} MB/s", task.bytes as f64 / 1e6 / seconds));
    }
    if let Some(total) = task.total.filter(|_| task.steps > 0) {
        let left = seconds / task.steps as f64 * total.saturating_sub(task.steps) as f64;
        text.push_str(&format!(", {left:.0} s left"));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Task, speed};

    #[test]
    fn the_speed_is_that_of_the_whole_task() {
        let mut task = Task {
            name: "fsck objects".to_owned(),
            started: Instant::now(),
            steps: 500,
            bytes: 30_000_000,
            total: Some(2000),
            last_line: None,
            bar: None,
        };
        assert_eq!(speed(Duration::from_secs(2), &task), "250/s, 15 MB/s, 6 s left");
        (task.bytes, task.total) = (0, None);
        assert_eq!(speed(Duration::from_secs(2), &task), "250/s");
    }
}
