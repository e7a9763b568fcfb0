//! How the library tells its caller what it is doing: it never prints.

/// Receives events; any thread may call it.
pub trait Progress: Sync {
    /// Takes note of one event. It must be quick: it is called for every file.
    fn event(&self, event: Event<'_>);
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
    /// Some steps of the current phase are done.
    Advanced {
        /// Number of steps (objects, files) done since the last event.
        steps: u64,
        /// Content bytes processed since the last event.
        bytes: u64,
    },
    /// The current phase has ended.
    Finished,
    /// Something went wrong that does not stop the operation. Upstream prints it to standard error.
    Warning(&'a str),
    /// A line that upstream prints to standard output while working.
    Message(&'a str),
    /// A line that a program printed which the operation runs.
    Output(&'a str),
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
