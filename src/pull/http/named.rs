//! Single files of a server, each asked for by the thread that waits for it.

use std::sync::Arc;
use std::thread;

use super::body::Shared;
use super::partial::Partials;
use super::receive::{Received, Receiver};
use super::task::{Task, What};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::http::Fetch;
use crate::map::FileBytes;
use crate::object::ObjectName;
use crate::pull::PullOptions;
use crate::pull::plan::WantedCommit;
use crate::remote::attempts::Next;
use crate::remote::origin::{self, Origin, dice};
use crate::repo::Transaction;

/// A server whose objects are fetched by their names.
pub(in crate::pull) struct Server<'t, 'r> {
    origin: &'t Origin<'t>,
    receiver: Receiver<'t, 'r>,
}

impl<'t, 'r> Server<'t, 'r> {
    pub(in crate::pull) fn new(
        transaction: &'t Transaction<'r>,
        origin: &'t Origin<'t>,
        options: &'t PullOptions,
    ) -> Self {
        let receiver = Receiver {
            transaction,
            options,
            is_dry: false,
            partials: Partials::new(transaction),
            transport: Arc::clone(origin.transport()),
            shared: Arc::new(Shared::default()),
        };
        Self { origin, receiver }
    }

    /// Stores a dirtree, dirmeta or file; `false` if the server has none of that name.
    ///
    /// # Errors
    /// When it is damaged, or cannot be fetched or written.
    pub(in crate::pull) fn store(&self, name: &ObjectName) -> Result<bool> {
        Ok(self.receive(What::Object(*name))?.is_some())
    }

    /// The bytes of a commit, which match its name; `None` if the server does not have it.
    ///
    /// # Errors
    /// When it is damaged or cannot be fetched.
    pub(in crate::pull) fn load_commit(&self, commit: &Checksum) -> Result<Option<FileBytes>> {
        self.load(What::Commit(wanted(commit), None))
    }

    /// The detached metadata of a commit, if the server has any.
    ///
    /// # Errors
    /// When it cannot be fetched.
    pub(in crate::pull) fn load_detached(&self, commit: &Checksum) -> Result<Option<FileBytes>> {
        self.load(What::Detached(wanted(commit)))
    }

    fn load(&self, what: What) -> Result<Option<FileBytes>> {
        Ok(match self.receive(what)? {
            Some(Received::Bytes(bytes)) => Some(bytes),
            _ => None,
        })
    }

    fn receive(&self, what: What) -> Result<Option<Received>> {
        let mut task = Task::new(self.origin, what, None);
        loop {
            let Some(url) = task.attempts.url(&task.path()) else {
                return Err(Error::failed(format!("{}: no place to look for it", task.path())));
            };
            let error = match self.origin.transport().get(task.request(url)) {
                Ok(response) => {
                    let places = task.places(self.origin);
                    return self.receiver.receive(&task.kind(), response, None, places).map(Some);
                }
                Err(error) => error,
            };
            match task.attempts.failed(&error, self.origin.retry(), dice()) {
                Next::Again(wait) => thread::sleep(wait),
                Next::Absent => return Ok(None),
                Next::GiveUp => return Err(origin::failed(&error)),
            }
        }
    }
}

fn wanted(commit: &Checksum) -> WantedCommit {
    WantedCommit { commit: *commit, found_by: None, is_parent: false }
}
