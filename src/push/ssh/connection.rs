//! The connection to a far end: who asks, and what is to be said when it ends.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::frame::{Fields, Kind};
use super::stream::{Beat, Input, Output, Peer, Shared, locked};
use crate::error::{Error, Result};
use crate::input::quotable;
use crate::process::Partner;

/// How many answers are passed over in search of the one that says why there are no more.
const MOST_LATE: usize = 100_000;
/// How long ssh may take to end after the last frame.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A connection. It is over after the first error.
pub(super) struct Connection {
    pub(super) peer: Peer,
    pub(super) output: Shared,
    /// Whoever asks something holds this until the answer has come.
    input: Mutex<Input>,
    /// Where the connection is a program.
    partner: Mutex<Option<Partner>>,
    _beat: Beat,
}

impl Connection {
    /// Greets, and waits for the greeting.
    ///
    /// # Errors
    /// When none comes, or not that of a version that is spoken here.
    pub(super) fn begin(input: Input, output: Shared, partner: Option<Partner>) -> Result<Self> {
        let peer = input.peer.clone();
        let beat = Beat::start(&output, peer.patience.beat)?;
        let (input, partner) = (Mutex::new(input), Mutex::new(partner));
        let connection = Self { peer, output, input, partner, _beat: beat };
        let mut input = connection.input();
        // It may have gone already; what it said says why.
        let _ = locked(&connection.output).greet();
        let greeted = input.greeting();
        if let Err(error) = greeted {
            drop(input);
            // If it is osier after all, it ends.
            let error = connection.give_up(error);
            let words = connection.last_words();
            return Err(Error::failed(match words {
                Some(words) => format!("{} ({words})", error.chain()),
                None => error.chain(),
            }));
        }
        drop(input);
        Ok(connection)
    }

    pub(super) fn input(&self) -> MutexGuard<'_, Input> {
        self.input.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn last_words(&self) -> Option<String> {
        let mut partner = self.partner.lock().unwrap_or_else(PoisonError::into_inner);
        partner.as_mut().map(|partner| partner.last_words(LAST_WORDS))
    }

    /// Asks something, and hands the answers to `take`.
    pub(super) fn ask<T>(
        &self,
        request: impl FnOnce(&mut Output) -> Result<()>,
        take: impl FnOnce(&mut Input) -> Result<T>,
    ) -> Result<T> {
        let mut input = self.input();
        let asked = {
            let mut output = locked(&self.output);
            request(&mut output).and_then(|()| output.flush())
        };
        let answered = match asked {
            Ok(()) => take(&mut input),
            Err(error) => Err(self.reason(&mut input, error)),
        };
        answered.map_err(|error| self.give_up(error))
    }

    /// Why the far end takes nothing any more: it may have said so before it went.
    pub(super) fn reason(&self, input: &mut Input, error: Error) -> Error {
        if self.peer.is_over() {
            return error;
        }
        self.peer.hurry();
        (0..MOST_LATE).find_map(|_| self.answer(input).err()).unwrap_or(error)
    }

    /// Ends the connection after an error.
    pub(super) fn give_up(&self, error: Error) -> Error {
        // Whoever writes may wait for one who does not read any more.
        if let (Ok(mut output), false) = (self.output.try_lock(), self.peer.is_hurried()) {
            let _ = output.frame(Kind::Abandon, &[]).and_then(|()| output.flush());
        }
        self.peer.end();
        error
    }

    /// The answer that comes next.
    ///
    /// # Errors
    /// When it is an error, or there is none.
    pub(super) fn answer(&self, input: &mut Input) -> Result<Kind> {
        match input.next()? {
            Some(Kind::Refused) => Err(self.refusal(input)),
            Some(kind) => Ok(kind),
            None => {
                let words = self.last_words().unwrap_or_else(|| "no answer".to_owned());
                Err(Error::failed(format!("{} ended the connection ({words})", self.peer.name)))
            }
        }
    }

    fn refusal(&self, input: &Input) -> Error {
        match Fields(input.payload()).text() {
            Ok(text) => Error::failed(format!("{}: {}", self.peer.name, quotable(text))),
            Err(error) => self.peer.broken(&error),
        }
    }

    pub(super) fn unexpected(&self, kind: Kind) -> Error {
        self.peer.broken(&Error::failed(format!("{kind:?} is no answer to that")))
    }

    pub(super) fn expect_done(&self, input: &mut Input) -> Result<()> {
        match self.answer(input)? {
            Kind::Done => Ok(()),
            kind => Err(self.unexpected(kind)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.peer.is_over() {
            let mut output = locked(&self.output);
            if output.frame(Kind::Finish, &[]).and_then(|()| output.flush()).is_ok() {
                drop(output);
                let mut partner = self.partner.lock().unwrap_or_else(PoisonError::into_inner);
                partner.as_mut().map(|partner| partner.end(LAST_WORDS));
            }
        }
        self.peer.end();
    }
}
