//! Whether the user wants a run to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a pause looks for a signal.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Whether the user wants the run to end. The library installs no signal handlers: the code that
/// does raises this.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicUsize>);

impl Interrupt {
    /// Takes note of a signal: the first asks the running program to end, the second kills it.
    pub fn raise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many signals came.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Waits.
    ///
    /// # Errors
    /// `interrupted`, when a signal comes.
    pub fn sleep(&self, time: Duration) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < time {
            self.check()?;
            thread::sleep(POLL_INTERVAL.min(time));
        }
        self.check()
    }

    /// # Errors
    /// `interrupted`, when a signal came.
    pub fn check(&self) -> Result<()> {
        if self.count() > 0 { Err(Error::failed("interrupted")) } else { Ok(()) }
    }
}
