//! How the library reports to its caller what it is doing: it never prints.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::checksum::Checksum;

/// Receives events; any thread may call it.
pub trait Progress: Sync {
    /// Takes note of one event. It must be quick: it is called for every file.
    fn event(&self, event: Event<'_>);

    /// Whether an operation that takes a while should count ahead, so that [`Event::Total`] comes
    /// early. Counting costs a little, so the default is no.
    fn wants_totals(&self) -> bool {
        false
    }

    /// Whether the operation should end early. Those that make directories of their own look at it
    /// now and then: [`crate::bench`] and [`crate::compare::compare_with`], which remove them
    /// before they return an error. All other operations may be killed at any moment.
    fn is_interrupted(&self) -> bool {
        false
    }
}

/// Something that happened during an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A phase of the work begins. The operation names it in lower case (`fsck objects`, `commit`).
    Started {
        /// What is counted, in upstream's words where it has some.
        task: &'a str,
        /// How many steps there will be, when that is known.
        total: Option<u64>,
    },
    /// It has turned out how much the current phase is, from its beginning to its end.
    Total {
        /// Number of steps.
        steps: u64,
        /// Content bytes, when they are known.
        bytes: Option<u64>,
    },
    /// The operation goes from one piece of work to the next. Phases with totals of their own may
    /// come within one.
    Step {
        /// Counted from 1.
        number: u64,
        /// How many there are.
        total: u64,
        /// What is done, in lower case.
        what: &'a str,
    },
    /// A ref has been looked up where a pull takes it from.
    Resolved {
        /// The ref that will be set, as a refspec, or `(COLLECTION, REF)`.
        name: &'a str,
        /// Its commit.
        commit: Checksum,
    },
    /// A request has failed and is repeated, perhaps elsewhere.
    Retry {
        /// What was requested, without passwords.
        url: &'a str,
        /// Why it failed.
        reason: &'a str,
        /// The time until it is repeated.
        wait: Duration,
    },
    /// Some steps of the current phase are done.
    Advanced {
        /// Number of steps (objects, files) done since the last event.
        steps: u64,
        /// Content bytes processed since the last event; of a pull from a server, the bytes that
        /// have come.
        bytes: u64,
    },
    /// How far a transfer from a server is. Comes often, and at least once a second.
    Transfer(Transfer),
    /// What verification says of the OpenPGP signatures of a commit, in lines that begin with an
    /// empty one. Upstream prints them on a terminal only.
    Signatures(&'a str),
    /// The current phase has ended.
    Finished,
    /// Something went wrong that does not stop the operation. Upstream prints it to standard error.
    Warning(&'a str),
    /// A line that upstream prints to standard output while working.
    Message(&'a str),
    /// A line that upstream prints to standard error while working, though nothing is wrong.
    Detail(&'a str),
    /// A line that a program printed which the operation runs.
    Output(&'a str),
}

/// How far a transfer from a server is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// Objects that have come.
    pub fetched: u64,
    /// Objects that are known to be wanted, those that have come among them.
    pub wanted: u64,
    /// Whether there may be objects that are not known yet.
    pub grows: bool,
    /// Requests under way.
    pub requests: u64,
    /// Objects that have come and are not written yet.
    pub unwritten: u64,
    /// Bytes received.
    pub bytes: u64,
    /// Parts of static deltas that have come, and how many there are.
    pub parts: (u64, u64),
    /// The same in bytes.
    pub part_bytes: (u64, u64),
}

/// Ignores every event.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event<'_>) {}
}

impl<F: Fn(Event<'_>) + Sync> Progress for F {
    fn event(&self, event: Event<'_>) {
        self(event);
    }
}

/// How much a phase is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total {
    pub(crate) steps: u64,
    pub(crate) bytes: Option<u64>,
}

/// Work that ends sooner is not counted ahead.
const TIME_BEFORE_COUNTING: Duration = Duration::from_millis(500);

/// Runs `work`, and counts its total in parallel if the receiver wants that. `count` gives up when
/// its argument becomes true: the work is over.
pub(crate) fn with_total<T>(
    progress: &dyn Progress,
    count: impl FnOnce(&AtomicBool) -> Option<Total> + Send,
    work: impl FnOnce() -> T,
) -> T {
    if !progress.wants_totals() {
        return work();
    }
    let (over, (ended, end)) = (AtomicBool::new(false), mpsc::channel::<()>());
    thread::scope(|scope| {
        let over = &over;
        let counter = move || {
            if end.recv_timeout(TIME_BEFORE_COUNTING) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            if let Some(Total { steps, bytes }) =
                count(over).filter(|_| !over.load(Ordering::Relaxed))
            {
                progress.event(Event::Total { steps, bytes });
            }
        };
        // If no thread can be created there is no total.
        let _ = thread::Builder::new().name("counting".to_owned()).spawn_scoped(scope, counter);
        let result = work();
        over.store(true, Ordering::Relaxed);
        drop(ended);
        result
    })
}
