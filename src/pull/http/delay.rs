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
    /// When the last one that counts came.
    last: Option<Instant>,
}

impl Pause {
    /// Begins a pause, or makes it longer, after a complaint about a request made at `asked`, and
    /// says whether it counts. Those about requests that were under way with one that has counted
    /// do not: they say nothing new.
    pub(super) fn complained(&mut self, asked: Instant, asked_for: Option<Duration>) -> bool {
        if self.last.is_some_and(|last| asked <= last) {
            if let Some(wait) = asked_for {
                self.until = self.until.max(Some(Instant::now() + wait.min(LONGEST_ASKED_FOR)));
            }
            return false;
        }
        self.last = Some(Instant::now());
        let doubled = FIRST_PAUSE.saturating_mul(1 << self.complaints.min(16));
        let wait = asked_for.unwrap_or(doubled.min(LONGEST_PAUSE)).min(LONGEST_ASKED_FOR);
        self.complaints += 1;
        self.until = self.until.max(Some(Instant::now() + wait));
        true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_about_requests_that_were_under_way_together_count_once() {
        let mut pause = Pause::default();
        let asked = Instant::now();
        let wait = |pause: &Pause| {
            pause.until().map_or(Duration::ZERO, |until| until.duration_since(asked)).as_millis()
        };
        assert!(pause.complained(asked, None));
        for _ in 0..40 {
            assert!(!pause.complained(asked, None));
        }
        assert!((500..1000).contains(&wait(&pause)), "{}", wait(&pause));
        // One about a request that was made afterwards doubles the pause.
        assert!(pause.complained(Instant::now(), None));
        assert!((1000..2000).contains(&wait(&pause)), "{}", wait(&pause));
        // What the server asks for is honoured in any case.
        assert!(!pause.complained(asked, Some(Duration::from_secs(7))));
        assert!((7000..8000).contains(&wait(&pause)), "{}", wait(&pause));
        assert!(!pause.complained(asked, Some(Duration::from_secs(9000))));
        assert!((300_000..301_000).contains(&wait(&pause)), "{}", wait(&pause));
    }
}
