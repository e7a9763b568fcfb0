//! Shows the progress of an operation: upstream's lines on standard output when that is not a
//! terminal, and a bar on standard error when that is one. Steps, which only osier's own commands
//! have, are plain lines on standard error if there is no bar.
//!
//! A signal clears the bar before the program ends by it.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use osier::progress::{Event, Progress};

use super::error::{Failure, warn};
use super::interrupt::{self, Second};
use super::output::Output;

/// The tasks for which upstream prints lines; for all others only the bar shows.
const TASKS_WITH_LINES: [&str; 1] = ["fsck objects"];

/// The shortest time between two lines, apart from the first and the last one.
const TIME_BETWEEN_LINES: Duration = Duration::from_secs(1);

/// The delay before a bar appears.
const TIME_BEFORE_BAR: Duration = Duration::from_secs(1);

/// How often the time is redrawn.
const TICK: Duration = Duration::from_millis(500);

/// How long a signal waits for a thread that is printing.
const PATIENCE: Duration = Duration::from_millis(200);

/// A second signal within this time counts as a repetition of the first.
const TIME_OF_ECHOES: Duration = Duration::from_secs(1);

/// The cost of a step as bytes of content: opening, hashing and naming a small file.
const BYTES_PER_STEP: u64 = 16 << 10;

const BAR_WITH_TOTAL: &str = "{prefix} [{bar:20}] {percent:>3}% {wide_msg}";
const BAR_WITHOUT_TOTAL: &str = "{prefix} {spinner} {wide_msg}";
const BAR_OF_STEPS: &str = "{prefix} [{bar:20}] {elapsed} {wide_msg}";

/// Receives the events of operations, one after the other.
pub(super) struct Display {
    out: Output,
    lines: bool,
    bars: bool,
    /// The shortest time between two states of a bar; `None` for as often as it looks smooth.
    period: Option<Duration>,
    shared: Arc<Shared>,
}

/// The state shared with the signal thread.
#[derive(Default)]
struct Shared {
    current: Mutex<Current>,
    /// The signal that came; 0 is none.
    signal: AtomicI32,
    /// Whether somebody else's line on standard output has no end yet.
    line_is_open: AtomicBool,
}

/// The current state.
#[derive(Default)]
struct Current {
    /// On a terminal, the line that shows the current step.
    step: Option<ProgressBar>,
    task: Option<Task>,
}

/// A phase of an operation.
struct Task {
    name: String,
    started: Instant,
    done: Amount,
    total: Option<Total>,
    last_line: Option<Instant>,
    bar: Option<ProgressBar>,
}

/// How much was done.
#[derive(Clone, Copy, Default)]
struct Amount {
    steps: u64,
    bytes: u64,
}

/// How much there is to do.
#[derive(Clone, Copy)]
struct Total {
    steps: u64,
    bytes: Option<u64>,
}

impl Display {
    /// Prints to `out` and, with a bar, to standard error.
    pub(super) fn new(out: Output) -> Self {
        let (lines, bars) = (!io::stdout().is_terminal(), io::stderr().is_terminal());
        Self { out, lines, bars, period: None, shared: Arc::default() }
    }

    #[cfg(feature = "pull")]
    /// Shows a new state of a bar only so often, but at least once a second.
    pub(super) fn redrawn_every(self, period: Duration) -> Self {
        Self { period: Some(period), ..self }
    }

    #[cfg(feature = "pull")]
    /// Leaves the terminal to somebody else.
    pub(super) fn without_bars(self) -> Self {
        Self { bars: false, ..self }
    }

    /// Somebody else has begun or ended a line on standard output.
    #[cfg(feature = "pull")]
    pub(super) fn set_line_is_open(&self, is_open: bool) {
        self.shared.line_is_open.store(is_open, Ordering::Relaxed);
    }

    /// Reserves standard output for the result.
    pub(super) fn without_lines(self) -> Self {
        Self { lines: false, ..self }
    }

    /// For an operation that may be killed at any moment: a signal clears the bar and prints the
    /// line that `about` returns.
    pub(super) fn that_leaves(self, about: impl Fn() -> Option<String> + Send + 'static) -> Self {
        let (shared, out) = (Arc::clone(&self.shared), self.out.clone());
        interrupt::listen(Second::Ends, move |signal| {
            // Holding the lock prevents further drawing.
            let _held = shared.clear();
            if shared.line_is_open.load(Ordering::Relaxed) {
                let _ = writeln!(out).and_then(|()| out.flush());
            }
            if let Some(text) = about() {
                warn(&text);
            }
            interrupt::die_of(signal);
        });
        self
    }

    /// The same for an operation that leaves nothing behind, or nothing worth reporting.
    pub(super) fn that_leaves_nothing(self) -> Self {
        if self.bars { self.that_leaves(|| None) } else { self }
    }

    /// For an operation that ends by itself when it is interrupted, because it has to clean up
    /// below `scratch`. See [`Display::end`].
    pub(super) fn that_cleans_up(self, scratch: &Path) -> Self {
        let (shared, scratch) = (Arc::clone(&self.shared), scratch.to_owned());
        let mut first = None;
        interrupt::listen(Second::IsHandled, move |signal| {
            let came = *first.get_or_insert_with(Instant::now);
            if shared.signal.swap(signal, Ordering::Relaxed) == 0 {
                drop(shared.clear());
                warn(&format!("interrupted: removing what was made in {}", scratch.display()));
            } else if came.elapsed() > TIME_OF_ECHOES {
                interrupt::die_of(signal);
            }
        });
        self
    }

    /// Returns the result of an operation that [cleans up](Display::that_cleans_up): if a signal
    /// ended it, the program ends by it.
    pub(super) fn end<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        drop(self.shared.clear());
        match self.shared.signal.load(Ordering::Relaxed) {
            0 => result,
            signal => Err(Failure::Signal(signal)),
        }
    }

    fn start(&self, current: &mut Current, task: &str, total: Option<u64>) {
        current.task = Some(Task {
            name: task.to_owned(),
            started: Instant::now(),
            done: Amount::default(),
            total: total.map(|steps| Total { steps, bytes: None }),
            last_line: None,
            bar: None,
        });
    }

    fn advance(&self, current: &mut Current) {
        let Some(task) = &mut current.task else { return };
        let with_lines = self.lines && TASKS_WITH_LINES.contains(&task.name.as_str());
        if let Some(Total { steps: total, .. }) = task.total.filter(|_| with_lines) {
            let due = task.last_line.is_none_or(|last| last.elapsed() >= TIME_BETWEEN_LINES);
            if due || task.done.steps == total {
                task.last_line = Some(Instant::now());
                let percent = percent(task.done.steps, total);
                self.print(writeln_task(&self.out, task, total, percent));
            }
        }
        if self.bars && task.bar.is_none() && task.started.elapsed() >= TIME_BEFORE_BAR {
            // One line for both.
            let step = current.step.take().map(|step| {
                step.finish_and_clear();
                format!("{}: ", step.prefix())
            });
            let name = format!("{}{}", step.unwrap_or_default(), task.name);
            task.bar = Some(bar(name, task.total, self.period));
        }
        if let Some(bar) = &task.bar {
            bar.set_position(weight(task.done, task.total));
            bar.set_message(speed(task.started.elapsed(), task));
        }
    }

    fn step(&self, current: &mut Current, (number, total): (u64, u64), what: &str) {
        let title = format!("step {number} of {total}");
        if !self.bars {
            return warn(&format!("{title}: {what}"));
        }
        let line = current.step.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            set_style(&bar, BAR_OF_STEPS);
            keep_ticking(&bar);
            bar
        });
        line.set_length(total);
        line.set_position(number.saturating_sub(1));
        line.set_prefix(title);
        line.set_message(what.to_owned());
    }

    fn print(&self, result: Result<(), Failure>) {
        // The operation continues; the command notices the closed output when it writes its result.
        drop(result);
    }
}

impl Progress for Display {
    fn event(&self, event: Event<'_>) {
        let mut current = self.shared.lock();
        // Nothing is drawn again once a signal has cleared the terminal.
        if self.is_interrupted() && !matches!(event, Event::Warning(_)) {
            return;
        }
        match event {
            Event::Started { task, total } => self.start(&mut current, task, total),
            Event::Total { steps, bytes } => {
                if let Some(task) = &mut current.task {
                    task.total = Some(Total { steps, bytes });
                    if let Some(bar) = &task.bar {
                        bar.set_length(full_weight(task.total));
                        set_style(bar, BAR_WITH_TOTAL);
                    }
                }
            }
            Event::Step { number, total, what } => self.step(&mut current, (number, total), what),
            Event::Advanced { steps, bytes } => {
                if let Some(task) = &mut current.task {
                    task.done.steps += steps;
                    task.done.bytes += bytes;
                    self.advance(&mut current);
                }
            }
            Event::Finished => {
                if let Some(bar) = current.task.take().and_then(|task| task.bar) {
                    bar.finish_and_clear();
                }
            }
            Event::Warning(text) | Event::Detail(text) => current.above_bar(|| warn(text)),
            Event::Message(text) => current.above_bar(|| self.print(writeln!(self.out, "{text}"))),
            _ => {}
        }
    }

    fn wants_totals(&self) -> bool {
        self.bars
    }

    fn is_interrupted(&self) -> bool {
        self.shared.signal.load(Ordering::Relaxed) != 0
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Clears the bar from the terminal. `None` when a thread is blocked while printing.
    fn clear(&self) -> Option<MutexGuard<'_, Current>> {
        let started = Instant::now();
        let mut current = loop {
            match self.current.try_lock() {
                Ok(current) => break current,
                Err(TryLockError::Poisoned(poisoned)) => break poisoned.into_inner(),
                Err(TryLockError::WouldBlock) if started.elapsed() < PATIENCE => {
                    thread::sleep(PATIENCE / 20)
                }
                Err(TryLockError::WouldBlock) => return None,
            }
        };
        let Current { step, task } = std::mem::take(&mut *current);
        for bar in step.into_iter().chain(task.and_then(|task| task.bar)) {
            bar.finish_and_clear();
        }
        Some(current)
    }
}

impl Current {
    /// Prints while the bar is out of the way.
    fn above_bar(&self, print: impl FnOnce()) {
        match self.task.as_ref().and_then(|task| task.bar.as_ref()).or(self.step.as_ref()) {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

fn writeln_task(out: &Output, task: &Task, total: u64, percent: u64) -> Result<(), Failure> {
    writeln!(out, "{} ({}/{total}) {percent}%", task.name, task.done.steps)?;
    // A reader of a pipe should see the line at once.
    out.flush()
}

fn percent(steps: u64, total: u64) -> u64 {
    if total == 0 {
        100
    } else {
        u64::try_from(u128::from(steps) * 100 / u128::from(total)).unwrap_or(100)
    }
}

fn bar(name: String, total: Option<Total>, period: Option<Duration>) -> ProgressBar {
    let length = total.map(|_| full_weight(total));
    let target = match period {
        None => ProgressDrawTarget::stderr(),
        Some(period) => {
            let rate = 1000 / period.as_millis().max(1);
            ProgressDrawTarget::stderr_with_hz(u8::try_from(rate).unwrap_or(u8::MAX).max(1))
        }
    };
    let bar = ProgressBar::with_draw_target(length, target);
    set_style(&bar, if total.is_some() { BAR_WITH_TOTAL } else { BAR_WITHOUT_TOTAL });
    keep_ticking(&bar);
    bar.with_prefix(name)
}

fn set_style(bar: &ProgressBar, template: &str) {
    // A template that indicatif rejects would only affect the appearance.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
}

/// Redraws the bar periodically while it exists, also when nothing happens. indicatif can do that
/// too, but panics if no thread can be created.
fn keep_ticking(bar: &ProgressBar) {
    let bar = bar.downgrade();
    let tick = move || {
        loop {
            thread::sleep(TICK);
            match bar.upgrade().filter(|bar| !bar.is_finished()) {
                Some(bar) => bar.tick(),
                None => return,
            }
        }
    };
    let _ = thread::Builder::new().name("bar".to_owned()).spawn(tick);
}

/// The length of a bar: in bytes if their total is known, because a few files may be most of the
/// work, else in steps.
fn weight(amount: Amount, total: Option<Total>) -> u64 {
    match total {
        Some(Total { bytes: Some(_), .. }) => {
            amount.steps.saturating_mul(BYTES_PER_STEP).saturating_add(amount.bytes)
        }
        _ => amount.steps,
    }
}

fn full_weight(total: Option<Total>) -> u64 {
    let amount = total.map(|Total { steps, bytes }| Amount { steps, bytes: bytes.unwrap_or(0) });
    weight(amount.unwrap_or_default(), total)
}

/// How far the task is, its speed since the start, and the time remaining at that speed.
fn speed(elapsed: Duration, task: &Task) -> String {
    const MB: f64 = 1e6;
    let seconds = elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    let Amount { steps, bytes } = task.done;
    let mut text = steps.to_string();
    if let Some(Total { steps: total, .. }) = task.total {
        text.push_str(&format!("/{total}"));
    }
    if let Some(total) = task.total.and_then(|total| total.bytes) {
        text.push_str(&format!(", {:.0}/{:.0} MB", bytes as f64 / MB, total as f64 / MB));
    }
    text.push_str(&format!(", {:.0}/s", steps as f64 / seconds));
    if bytes > 0 {
        text.push_str(&format!(", {:.0} MB/s", bytes as f64 / MB / seconds));
    }
    let done = weight(task.done, task.total);
    if task.total.is_some() && done > 0 {
        let rest = full_weight(task.total).saturating_sub(done);
        text.push_str(&format!(", {} left", human_duration(seconds / done as f64 * rest as f64)));
    }
    text
}

/// A human-readable duration.
fn human_duration(seconds: f64) -> String {
    // A number out of range is taken as the largest.
    match seconds.round() as u64 {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ ..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(steps: u64, bytes: u64, total: Option<Total>) -> Task {
        let done = Amount { steps, bytes };
        Task {
            name: "commit".to_owned(),
            started: Instant::now(),
            done,
            total,
            last_line: None,
            bar: None,
        }
    }

    #[test]
    fn the_speed_is_that_of_the_whole_task() {
        let two_seconds = Duration::from_secs(2);
        let steps = |steps| Some(Total { steps, bytes: None });
        assert_eq!(
            speed(two_seconds, &task(500, 30_000_000, steps(2000))),
            "500/2000, 250/s, 15 MB/s, 6 s left"
        );
        assert_eq!(speed(two_seconds, &task(500, 0, None)), "500, 250/s");
        assert_eq!(speed(two_seconds, &task(500, 0, steps(400))), "500/400, 250/s, 0 s left");
    }

    #[test]
    fn what_is_left_goes_by_bytes_where_their_total_is_known() {
        let total = Some(Total { steps: 1000, bytes: Some(4_000_000_000) });
        // Nearly all files, and a quarter of the content.
        let task = task(999, 1_000_000_000, total);
        assert_eq!(
            speed(Duration::from_secs(100), &task),
            "999/1000, 1000/4000 MB, 10/s, 10 MB/s, 4 min 55 s left"
        );
        assert_eq!(full_weight(total), 4_000_000_000 + 1000 * BYTES_PER_STEP);
    }

    #[test]
    fn times_are_shown_in_the_unit_that_fits() {
        let cases = [
            (0.4, "0 s"),
            (59.4, "59 s"),
            (59.6, "1 min 0 s"),
            (3599.0, "59 min 59 s"),
            (7384.0, "2 h 3 min"),
        ];
        for (seconds, text) in cases {
            assert_eq!(human_duration(seconds), text);
        }
        assert_eq!(
            human_duration(f64::INFINITY),
            format!("{} h {} min", u64::MAX / 3600, u64::MAX / 60 % 60)
        );
    }
}
