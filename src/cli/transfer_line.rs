//! The line that a pull from a server shows on a terminal: upstream's, and the time remaining.
//!
//! ```text
//! ESC 7                      once, and after whatever else was printed: here the line begins
//! ESC 8 TEXT BLANKS          a new state; the blanks are as long as the one before was
//! ESC 8 TEXT BLANKS newline  the result
//! ```

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use osier::progress::{Event, Progress, Transfer};
use osier::units::format_size;

use super::error::Failure;
use super::output::Output;
use super::progress::Display;

const BEGIN: &str = "\x1b7";
const BACK: &str = "\x1b8";
/// How often the line changes at most, unless the user says otherwise.
const PERIOD: Duration = Duration::from_secs(1);
/// Before that there is no speed to speak of.
const TIME_BEFORE_SPEED: Duration = Duration::from_secs(1);

/// Shows how far a pull is on standard output, which is a terminal.
pub(super) struct TransferLine {
    /// For all that is not about the transfer.
    display: Display,
    out: Output,
    period: Duration,
    line: Mutex<Line>,
}

struct Line {
    started: Instant,
    drawn: Option<Instant>,
    /// Characters of the present text.
    length: usize,
    /// Whether a line has begun.
    is_open: bool,
}

impl TransferLine {
    pub(super) fn new(display: Display, out: Output, period: Option<Duration>) -> Self {
        let mut line = Line { started: Instant::now(), drawn: None, length: 0, is_open: false };
        let display = display.without_bars();
        // The command notices a closed output when it writes its result.
        let _ = line.begin(&out).and_then(|()| out.flush());
        display.set_line_is_open(true);
        Self { display, out, period: period.unwrap_or(PERIOD), line: Mutex::new(line) }
    }

    /// Shows the result in place of the line, or ends the line before an error.
    pub(super) fn end(&self, result: Option<&str>) -> Result<(), Failure> {
        let mut line = self.lock();
        match result {
            Some(text) => {
                line.begin(&self.out)?;
                line.draw(&self.out, text)?;
                writeln!(self.out)?;
            }
            None => line.finish(&self.out)?,
        }
        self.display.set_line_is_open(false);
        self.out.flush()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, transfer: &Transfer) -> Result<(), Failure> {
        let mut line = self.lock();
        let now = Instant::now();
        let last = line.drawn.unwrap_or(line.started);
        if now.duration_since(last) < self.period {
            return Ok(());
        }
        line.drawn = Some(now);
        line.begin(&self.out)?;
        let text = text(transfer, now.duration_since(line.started));
        line.draw(&self.out, &text)?;
        self.out.flush()
    }
}

impl Line {
    fn begin(&mut self, out: &Output) -> Result<(), Failure> {
        if !self.is_open {
            self.is_open = true;
            self.length = 0;
            out.write_str(BEGIN)?;
        }
        Ok(())
    }

    fn draw(&mut self, out: &Output, text: &str) -> Result<(), Failure> {
        let length = text.chars().count();
        let blanks = " ".repeat(self.length.saturating_sub(length));
        self.length = length;
        write!(out, "{BACK}{text}{blanks}")
    }

    /// Ends the line, so that something else can be printed.
    fn finish(&mut self, out: &Output) -> Result<(), Failure> {
        if self.is_open {
            self.is_open = false;
            writeln!(out)?;
        }
        out.flush()
    }
}

impl Progress for TransferLine {
    fn event(&self, event: Event<'_>) {
        let _ = match event {
            Event::Started { .. } => {
                self.lock().started = Instant::now();
                Ok(())
            }
            Event::Transfer(transfer) => self.show(&transfer),
            Event::Signatures(text) => {
                let mut line = self.lock();
                line.finish(&self.out)
                    .and_then(|()| self.out.write_str(text))
                    .and_then(|()| line.begin(&self.out))
            }
            Event::Warning(_) | Event::Detail(_) | Event::Message(_) => {
                let mut line = self.lock();
                let finished = line.finish(&self.out);
                self.display.event(event);
                finished.and_then(|()| line.begin(&self.out))
            }
            _ => Ok(()),
        };
    }

    fn is_interrupted(&self) -> bool {
        self.display.is_interrupted()
    }
}

/// What upstream says, with the time remaining where it has none.
fn text(transfer: &Transfer, elapsed: Duration) -> String {
    let Transfer { fetched, wanted, grows, requests, unwritten, bytes, parts, part_bytes } =
        *transfer;
    let has_speed = elapsed >= TIME_BEFORE_SPEED;
    let per_second = |amount: u64| amount as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE);
    // No speed is out of range.
    let speed = match has_speed {
        true => format!("{}/s", format_size(per_second(bytes) as u64)),
        false => "-/s".to_owned(),
    };
    let remaining = |done: u64, total: u64| {
        let rate = per_second(done);
        let is_known = has_speed && rate > 0.0 && total > done;
        let seconds = is_known.then(|| (total.saturating_sub(done) as f64 / rate).ceil() as u64);
        seconds.map(|seconds| format!(" {} remaining", in_words(seconds))).unwrap_or_default()
    };
    if requests > 0 && parts.0 < parts.1 {
        let (done, total) = (format_size(part_bytes.0), format_size(part_bytes.1));
        let speed = if has_speed { format!(" {speed}") } else { String::new() };
        let remaining = remaining(part_bytes.0.max(bytes.min(part_bytes.1)), part_bytes.1);
        return format!(
            "Receiving delta parts: {}/{} {done}/{total}{speed}{remaining}",
            parts.0, parts.1
        );
    }
    let size = format_size(bytes);
    if requests > 0 && grows {
        return format!("Receiving metadata objects: {fetched}/(estimating) {speed} {size}");
    }
    if requests > 0 {
        let percent = fetched.saturating_mul(100).checked_div(wanted).unwrap_or(100).min(100);
        let remaining = remaining(fetched, wanted);
        return format!(
            "Receiving objects: {percent}% ({fetched}/{wanted}) {speed} {size}{remaining}"
        );
    }
    match grows {
        true => format!("Scanning metadata: {fetched}"),
        false => format!("Writing objects: {unwritten}"),
    }
}

fn in_words(seconds: u64) -> String {
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let seconds = seconds % 60;
    match (hours, minutes) {
        (0, 0) => format!("{seconds} seconds"),
        (0, _) => format!("{minutes} minutes {seconds} seconds"),
        _ => format!("{hours} hours {minutes} minutes {seconds} seconds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_the_real_program_and_the_time_remaining() {
        let base = Transfer { requests: 3, wanted: 2506, ..Transfer::default() };
        let early = Duration::from_millis(300);
        let later = Duration::from_secs(4);
        for (transfer, elapsed, expected) in [
            (
                Transfer { fetched: 33, bytes: 105_200, ..base },
                early,
                "Receiving objects: 1% (33/2506) -/s 105.2\u{a0}kB",
            ),
            (
                Transfer { fetched: 1000, bytes: 4_000_000, ..base },
                later,
                "Receiving objects: 39% (1000/2506) 1.0\u{a0}MB/s 4.0\u{a0}MB 7 seconds remaining",
            ),
            (
                Transfer { fetched: 10, wanted: 30_010, bytes: 4_000, ..base },
                later,
                "Receiving objects: 0% (10/30010) 1.0\u{a0}kB/s 4.0\u{a0}kB 3 hours 20 minutes 0 seconds remaining",
            ),
            (
                Transfer { fetched: 7, bytes: 900, grows: true, ..base },
                later,
                "Receiving metadata objects: 7/(estimating) 225 bytes/s 900 bytes",
            ),
            (
                Transfer {
                    parts: (1, 4),
                    part_bytes: (1_000_000, 4_000_000),
                    bytes: 1_000_000,
                    ..base
                },
                later,
                "Receiving delta parts: 1/4 1.0\u{a0}MB/4.0\u{a0}MB 250.0\u{a0}kB/s 12 seconds remaining",
            ),
            (
                Transfer { parts: (0, 4), part_bytes: (0, 4_000_000), ..base },
                early,
                "Receiving delta parts: 0/4 0 bytes/4.0\u{a0}MB",
            ),
            (Transfer { requests: 0, unwritten: 7, ..base }, later, "Writing objects: 7"),
            (
                Transfer { requests: 0, fetched: 9, grows: true, ..base },
                later,
                "Scanning metadata: 9",
            ),
            (Transfer { wanted: 0, ..base }, early, "Receiving objects: 100% (0/0) -/s 0 bytes"),
        ] {
            assert_eq!(text(&transfer, elapsed), expected);
        }
    }
}
