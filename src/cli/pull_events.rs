//! `pull --json-events`: what happens, as JSON objects, one on each line.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use osier::progress::{Event, Progress};
use serde_json::{Value, json};

use super::error::Failure;
use super::output::Output;
use super::progress::Display;

/// The time between two lines about progress unless the user says otherwise.
const PERIOD: Duration = Duration::from_millis(500);

/// Prints events, and passes them on to the terminal.
pub(super) struct Events {
    out: Output,
    display: Display,
    period: Duration,
    state: Mutex<State>,
}

/// How far the pull is.
struct State {
    /// When progress was last printed, and how far it was then.
    printed: Option<(Instant, Amount)>,
    /// Of the last seconds; in one second.
    rate: Option<Rate>,
    done: Amount,
    files_total: Option<u64>,
    bytes_total: Option<u64>,
}

#[derive(Clone, Copy, Default)]
struct Amount {
    files: u64,
    bytes: u64,
}

#[derive(Clone, Copy)]
struct Rate {
    files: f64,
    bytes: f64,
}

impl Events {
    /// Prints progress at most once in each `period`.
    pub(super) fn new(out: Output, display: Display, period: Option<Duration>) -> Self {
        let state = State {
            printed: None,
            rate: None,
            done: Amount::default(),
            files_total: None,
            bytes_total: None,
        };
        let period = period.filter(|period| !period.is_zero()).unwrap_or(PERIOD);
        Self { out, display, period, state: Mutex::new(state) }
    }

    /// Prints the last line: `finished` with the document of `--json`, or `error`.
    pub(super) fn end(self, result: Result<Value, Failure>) -> Result<(), Failure> {
        match result {
            Ok(document) => self.print("finished", json!({ "result": document })),
            Err(failure) => {
                if let Some(message) = failure.message() {
                    self.print("error", json!({ "message": message }))?;
                }
                Err(failure)
            }
        }
    }

    /// Prints an event with these fields. Each line is there for the reader at once.
    fn print(&self, name: &str, fields: Value) -> Result<(), Failure> {
        let mut line = json!({ "event": name });
        if let (Some(line), Value::Object(fields)) = (line.as_object_mut(), fields) {
            line.extend(fields);
        }
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// The operation goes on where the output is closed; the last line notices that.
    fn report(&self, name: &str, fields: Value) {
        let _ = self.print(name, fields);
    }

    fn advance(&self, files: u64, bytes: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.done.files += files;
        state.done.bytes += bytes;
        let now = Instant::now();
        if state.printed.is_some_and(|(last, _)| now.duration_since(last) < self.period) {
            return;
        }
        let fields = state.progress(now);
        drop(state);
        self.report("progress", fields);
    }

    /// How far it was in the end.
    fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = state.progress(Instant::now());
        drop(state);
        self.report("progress", fields);
    }
}

impl Progress for Events {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Started { task, .. } => self.report("started", json!({ "task": task })),
            Event::Resolved { name, commit } => {
                self.report("resolved", json!({ "ref": name, "commit": commit.to_hex() }));
            }
            Event::Total { steps, bytes } => {
                let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                (state.files_total, state.bytes_total) = (Some(steps), bytes);
            }
            Event::Advanced { steps, bytes } => self.advance(steps, bytes),
            Event::Retry { url, reason, wait } => {
                let seconds = wait.as_secs_f64();
                let fields = json!({ "url": url, "reason": reason, "seconds": seconds });
                self.report("retry", fields);
            }
            Event::Finished => self.finish(),
            Event::Warning(text) => self.report("warning", json!({ "message": text })),
            _ => {}
        }
        self.display.event(event);
    }

    fn wants_totals(&self) -> bool {
        true
    }

    fn is_interrupted(&self) -> bool {
        self.display.is_interrupted()
    }
}

impl State {
    /// The fields of a line about progress.
    fn progress(&mut self, now: Instant) -> Value {
        if let Some((last, before)) = self.printed {
            let seconds = now.duration_since(last).as_secs_f64().max(f64::MIN_POSITIVE);
            let current = Rate {
                files: (self.done.files - before.files) as f64 / seconds,
                bytes: (self.done.bytes - before.bytes) as f64 / seconds,
            };
            self.rate = Some(match self.rate {
                None => current,
                // Each line counts half as much as the next one.
                Some(Rate { files, bytes }) => Rate {
                    files: (files + current.files) / 2.0,
                    bytes: (bytes + current.bytes) / 2.0,
                },
            });
        }
        self.printed = Some((now, self.done));
        json!({
            "files": self.done.files,
            "files_total": self.files_total,
            "bytes": self.done.bytes,
            "bytes_total": self.bytes_total,
            "bytes_per_second": self.rate.map(|rate| rate.bytes.round() as u64),
            "seconds_left": self.seconds_left(),
        })
    }

    /// By bytes where their total is known, else by files.
    fn seconds_left(&self) -> Option<u64> {
        let rate = self.rate?;
        let (left, rate) = match (self.bytes_total, self.files_total) {
            (Some(total), _) => (total.saturating_sub(self.done.bytes), rate.bytes),
            (None, Some(total)) => (total.saturating_sub(self.done.files), rate.files),
            (None, None) => return None,
        };
        // Nothing comes at present.
        (rate > 0.0).then(|| (left as f64 / rate).ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_and_what_is_left_follow_from_the_last_lines() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut state = State {
            printed: None,
            rate: None,
            done: Amount::default(),
            files_total: None,
            bytes_total: None,
        };
        assert_eq!(state.progress(start)["seconds_left"], Value::Null);
        (state.files_total, state.done) = (Some(100), Amount { files: 20, bytes: 1000 });
        let fields = state.progress(after(2));
        assert_eq!(fields["bytes_per_second"], 500);
        assert_eq!(fields["seconds_left"], 8);
        (state.bytes_total, state.done) = (Some(10_000), Amount { files: 20, bytes: 4000 });
        // (500 + 1500) / 2 in each second, and 6000 to go.
        let fields = state.progress(after(4));
        assert_eq!(fields["bytes_per_second"], 1000);
        assert_eq!(fields["seconds_left"], 6);
        for seconds in (5..200).step_by(5) {
            state.progress(after(seconds));
        }
        assert_eq!(state.rate.map(|rate| rate.bytes.round()), Some(0.0));
    }
}
