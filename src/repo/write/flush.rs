//! Writes to disk while there is still work to do.
//!
//! A transaction ends with one `syncfs`. If nothing had been written back before, the disk would
//! idle while files are compressed, and the processors while the disk writes. A thread that syncs
//! periodically keeps both busy.

use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rustix::fs::{Mode, OFlags};

use crate::error::{During, Result};
use crate::repo::Repo;

/// How many bytes are written between two syncs.
const STEP: u64 = 16 << 20;

/// Syncs the repository's file system each time enough has been written, until it is dropped.
#[derive(Debug)]
pub(in crate::repo) struct Flusher {
    written: AtomicU64,
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Flusher {
    pub(in crate::repo) fn start(repo: &Repo) -> Result<Self> {
        // A separate file description, so that an error seen by these syncs is still reported to
        // the final one.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::openat(repo.dir(), ".", flags, Mode::empty())
            .during("opening", repo.path())?;
        let dir = File::from(dir);
        let (wake, woken) = sync_channel(1);
        let thread = thread::Builder::new().name("flush".to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                let _ = rustix::fs::syncfs(&dir);
            }
        });
        // Without this thread everything is written at the end.
        Ok(Self { written: AtomicU64::new(0), wake: Some(wake), thread: thread.ok() })
    }

    /// Counts bytes that were written.
    pub(in crate::repo) fn wrote(&self, bytes: usize) {
        let bytes = bytes as u64;
        let before = self.written.fetch_add(bytes, Ordering::Relaxed);
        if before / STEP != (before + bytes) / STEP
            && let Some(wake) = &self.wake
        {
            // A sync that has not started yet covers these bytes, too.
            let _ = wake.try_send(());
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
