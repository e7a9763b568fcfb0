//! What the threads of a pull work with, and what they tell the driver.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver as Events, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Scope};

use super::delta::Delta;
use super::receive::{Received, Receiver};
use super::task::Task;
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::http::{HttpError, Response};
use crate::object::{ObjectName, ObjectType};
use crate::progress::Progress;
use crate::pull::checks::Checks;
use crate::pull::dry_run::Purpose;
use crate::pull::local::Importer;
use crate::remote::origin::Origin;

/// What the driver is told.
pub(super) enum Event {
    /// The head of an answer to the request of that number, of the mirror of that number, or why
    /// there is none.
    Answered(u64, usize, Result<Response, HttpError>),
    /// A small body is done with.
    Worked(Task, Result<Received>),
    /// A large body is done with.
    Streamed(Task, Result<Received>),
    /// An object of a local cache is taken over.
    Imported(ObjectName, Result<Received>),
    /// A part in a superblock is executed.
    Inlined(Arc<Delta>, Result<Received>),
}

/// Something for a worker.
pub(super) enum Job {
    /// A small body.
    Body(Box<(Task, Response)>),
    /// An object that the local cache of that number has.
    Import(ObjectName, usize),
    /// A part that is in a superblock.
    Inlined(Arc<Delta>, usize),
}

/// What one pull works with.
pub(super) struct Work<'w, 'r> {
    pub(super) origin: &'w Origin<'w>,
    pub(super) receiver: Receiver<'w, 'r>,
    pub(super) checks: &'w Checks<'w>,
    pub(super) purpose: Purpose,
    /// Repositories on this machine in which objects are looked for first.
    pub(super) caches: Vec<Importer<'w, 'r>>,
    /// The sizes of commit objects, as the summary has them.
    pub(super) sizes: HashMap<Checksum, u64>,
    /// Whether the server keeps tombstones of deleted commits.
    pub(super) tombstones: bool,
    pub(super) progress: &'w dyn Progress,
}

/// Starts a thread that ends with the pull.
pub(super) fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> Result<()> {
    let spawned = thread::Builder::new().name("pull".to_owned()).spawn_scoped(scope, work);
    spawned.map(drop).map_err(|error| Error::failed(format!("starting a thread: {error}")))
}

/// Works on small bodies until there are no more.
pub(super) fn serve(work: &Work<'_, '_>, waiting: &Mutex<Events<Job>>, events: &Sender<Event>) {
    loop {
        let job = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let event = match job {
            Ok(Job::Body(body)) => {
                let (mut task, response) = *body;
                let received = work.receive(&mut task, response);
                Event::Worked(task, received)
            }
            Ok(Job::Import(name, cache)) => Event::Imported(name, work.import(&name, cache)),
            Ok(Job::Inlined(delta, number)) => {
                let applied = work.receiver.apply_inlined(&delta, number);
                Event::Inlined(delta, applied)
            }
            Err(_) => return,
        };
        // After an error the driver is gone.
        let _ = events.send(event);
    }
}

impl Work<'_, '_> {
    /// Receives a body.
    pub(super) fn receive(&self, task: &mut Task, response: Response) -> Result<Received> {
        let begun = task.begun.take();
        self.receiver.receive(&task.kind(), response, begun, task.places(self.origin))
    }

    /// Whether an object is there. Only deltas bring objects before they are looked for.
    pub(super) fn has(&self, name: &ObjectName, has_deltas: bool) -> Result<bool> {
        match has_deltas {
            false => self.receiver.transaction.was_present(name),
            true => self.receiver.transaction.is_present(name),
        }
    }

    /// Takes over an object of a local cache.
    fn import(&self, name: &ObjectName, cache: usize) -> Result<Received> {
        let cache = &self.caches[cache];
        match name.object_type {
            ObjectType::File => cache.file(&name.checksum).map(Received::Stored),
            _ => cache.metadata(name).map(Received::Bytes),
        }
    }

    /// The number of the first local cache that has an object.
    pub(super) fn cache_with(&self, name: &ObjectName) -> Result<Option<usize>> {
        for (number, cache) in self.caches.iter().enumerate() {
            if cache.is_in_source(name)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}
