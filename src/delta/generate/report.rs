//! What upstream prints to standard error while it makes a delta, in upstream's order: what there
//! is to say about a part waits for its compression, and everything after it for that.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::progress::{Event, Progress};

/// Passes lines on in their order.
pub(super) struct Report<'p> {
    progress: &'p dyn Progress,
    lines: Mutex<VecDeque<Line>>,
}

enum Line {
    Ready(String),
    /// The number of a part.
    Waiting(usize),
}

impl<'p> Report<'p> {
    pub(super) fn new(progress: &'p dyn Progress) -> Self {
        Self { progress, lines: Mutex::default() }
    }

    pub(super) fn line(&self, text: String) {
        self.change(|lines| lines.push_back(Line::Ready(text)));
    }

    /// Keeps a place for the line about a part.
    pub(super) fn reserve(&self, part: usize) {
        self.change(|lines| lines.push_back(Line::Waiting(part)));
    }

    pub(super) fn fill(&self, part: usize, text: String) {
        self.change(|lines| {
            let is_it = |line: &&mut Line| matches!(line, Line::Waiting(number) if *number == part);
            if let Some(line) = lines.iter_mut().find(is_it) {
                *line = Line::Ready(text);
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut VecDeque<Line>)) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut lines);
        while let Some(Line::Ready(text)) = lines.front() {
            self.progress.event(Event::Detail(text));
            lines.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_wait_for_the_parts_before_them() {
        let seen = Mutex::new(Vec::new());
        let progress = |event: Event<'_>| {
            if let Event::Detail(text) = event {
                seen.lock().unwrap().push(text.to_owned());
            }
        };
        let report = Report::new(&progress);
        let count = || seen.lock().unwrap().len();
        report.line("a".to_owned());
        report.reserve(0);
        report.line("c".to_owned());
        report.reserve(1);
        report.line("e".to_owned());
        assert_eq!(count(), 1);
        report.fill(1, "d".to_owned());
        assert_eq!(count(), 1);
        report.fill(0, "b".to_owned());
        assert_eq!(*seen.lock().unwrap(), ["a", "b", "c", "d", "e"]);
    }
}
