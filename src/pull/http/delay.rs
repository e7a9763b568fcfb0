//! When to go on after failures: single tasks, and everything.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::{Duration, Instant};

use super::task::Task;

/// The first pause after a server has complained; it doubles with each complaint.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// The longest pause that a server can ask for.
const LONGEST_ASKED_FOR: Duration = Duration::from_secs(300);

/// Tasks that are repeated later.
#[derive(Default)]
pub(super) struct Delayed {
    /// When each is due, the earliest on top.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    tasks: HashMap<u64, Task>,
    next: u64,
}

impl Delayed {
    /// Repeats a task after a wait.
    pub(super) fn add(&mut self, task: Task, wait: Duration) {
        self.due.push(Reverse((Instant::now() + wait, self.next)));
        self.tasks.insert(self.next, task);
        self.next += 1;
    }

    /// The next task that is due now.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Task> {
        let Reverse((due, number)) = *self.due.peek()?;
        if due > now {
            return None;
        }
        self.due.pop();
        self.tasks.remove(&number)
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((due, _))| *due)
    }
}

/// A pause in which nothing new is asked of a server that is overloaded.
#[derive(Default)]
pub(super) struct Pause {
    until: Option<Instant>,
    /// Complaints since the last answer.
    complaints: u32,
}

impl Pause {
    /// Begins a pause, or makes it longer.
    pub(super) fn complained(&mut self, asked_for: Option<Duration>) {
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.complaints.min(16));
        let wait = asked_for.unwrap_or(doubled.min(LONGEST_PAUSE)).min(LONGEST_ASKED_FOR);
        self.complaints += 1;
        self.until = self.until.max(Some(Instant::now() + wait));
    }

    /// Takes note of an answer.
    pub(super) fn answered(&mut self) {
        self.complaints = 0;
    }

    /// When it ends.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether there is none any more.
    pub(super) fn is_over(&mut self, now: Instant) -> bool {
        if self.until.is_some_and(|until| until <= now) {
            self.until = None;
        }
        self.until.is_none()
    }
}
