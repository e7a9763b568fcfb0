//! One file that has come: verified, then written.

use std::io::{Cursor, Read};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use super::body::{LastError, Places, ResumingBody, Shared};
use super::delta::Delta;
use super::metadata::verify;
use super::partial::{Partial, Partials};
use crate::delta::{self, PartBytes};
use crate::error::{Context, During, Error, Result};
use crate::http::{Fetch, Request, Response, Status};
use crate::map::FileBytes;
use crate::object::{ObjectName, ObjectType};
use crate::pull::{FileModes, PullOptions};
use crate::remote::attempts::{Attempts, Next};
use crate::remote::origin::dice;
use crate::remote::{Transport, origin};
use crate::repo::{FileObject, RepoMode, Transaction, Trust, check_user_only_mode};

/// What files are received with. May be used by many threads at once.
pub(super) struct Receiver<'t, 'r> {
    pub(super) transaction: &'t Transaction<'r>,
    pub(super) options: &'t PullOptions,
    /// Whether nothing is written.
    pub(super) is_dry: bool,
    pub(super) partials: Partials<'t, 'r>,
    pub(super) transport: Arc<Transport>,
    pub(super) shared: Arc<Shared>,
}

/// What has become of it.
pub(super) enum Received {
    /// Bytes that decide what else is wanted.
    Bytes(FileBytes),
    /// A file object is stored; so many bytes of content were written.
    Stored(u64),
    /// The objects of a part are stored.
    Applied,
}

/// How a body is looked at.
#[derive(Clone)]
pub(super) enum Kind {
    /// It is handed over as it is.
    Plain,
    /// It is an object.
    Object(ObjectName),
    /// It is a commit, which is stored once it has been checked.
    Commit(ObjectName),
    /// It is the part of that number of a delta.
    Part(Arc<Delta>, usize),
}

impl Kind {
    /// The name of its partial body; `None` for what is not kept.
    fn partial_name(&self) -> Option<String> {
        match self {
            Self::Object(name) if name.object_type == ObjectType::File => {
                Some(format!("{}.filez", name.checksum))
            }
            Self::Part(delta, number) => Some(format!("{}.part", delta.part_checksum(*number)?)),
            Self::Plain | Self::Object(_) | Self::Commit(_) => None,
        }
    }
}

impl Receiver<'_, '_> {
    /// Receives a file whose body is here as a whole, or comes.
    ///
    /// # Errors
    /// When it breaks off for good, is no such object, or cannot be written.
    pub(super) fn receive(
        &self,
        kind: &Kind,
        response: Response,
        begun: Option<Partial>,
        places: Places,
    ) -> Result<Received> {
        match self.once(kind, response, begun, places.clone()) {
            Err(Failure::Content(error)) => self.once_more(kind, places, error),
            received => Ok(received?),
        }
    }

    /// Fetches a file again that was not what it should be: the line may have damaged it, a mirror
    /// may have another one, or it has changed between two pieces. Each mirror has one more chance.
    fn once_more(&self, kind: &Kind, places: Places, error: Error) -> Result<Received> {
        let mirrors = places.mirrors.urls().len();
        let mut attempts = Attempts::at(&places.mirrors, places.mirror);
        attempts.damaged();
        let mut damaged = 0;
        log::debug!("{}; it is fetched once more", error.chain());
        loop {
            let Some(url) = attempts.url(&places.path) else { return Err(error) };
            let request = Request { limit: places.limit, ..Request::get(url.clone()) };
            let failed = match self.transport.get(request) {
                Ok(response) => {
                    let here = Places { mirror: attempts.mirror(), ..places.clone() };
                    let error = match self.once(kind, response, None, here) {
                        Err(Failure::Content(error)) => error,
                        received => return Ok(received?),
                    };
                    damaged += 1;
                    if damaged >= mirrors {
                        let what = format!("While fetching {url}");
                        return Err(Error::During { what, source: Box::new(error) });
                    }
                    attempts.damaged();
                    continue;
                }
                Err(failed) => failed,
            };
            match attempts.failed(&failed, &places.retry, dice()) {
                Next::Again(wait) => self.shared.wait(wait),
                Next::Absent | Next::GiveUp => return Err(origin::failed(&failed)),
            }
        }
    }

    /// Receives a file, of which `begun` may be what an earlier pull has left. Of a large one that
    /// breaks off for good what has come is kept.
    fn once(
        &self,
        kind: &Kind,
        response: Response,
        begun: Option<Partial>,
        places: Places,
    ) -> std::result::Result<Received, Failure> {
        let is_part = matches!(kind, Kind::Part(..));
        let begun = begun.filter(|begun| response.status == Status::From(begun.length));
        if response.body.is_whole() && begun.is_none() {
            let bytes = response.body.read_all();
            let bytes = bytes.map_err(|error| Failure::Other(origin::failed(&error)))?;
            self.shared.transferred.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            return self.of_bytes(kind.clone(), bytes).map_err(|error| Failure::of(error, is_part));
        }
        let before = begun.as_ref().map_or(0, |begun| begun.length);
        let length = response.length.map(|length| length.saturating_add(before));
        let name = kind.partial_name();
        let kept = match (begun, &name, length) {
            (Some(begun), ..) => Some(begun),
            (None, Some(name), Some(length)) => {
                self.partials.begin(name, &response.validators, length)
            }
            _ => None,
        };
        let (transport, shared) = (Arc::clone(&self.transport), Arc::clone(&self.shared));
        let body = ResumingBody::new(transport, shared, places, response, kept);
        let (last, pieced) = (body.last_error(), body.is_pieced());
        let received = self.of_stream(kind.clone(), body, length);
        let broken = cause(&last);
        if let Some(name) = name.filter(|_| received.is_ok() || broken.is_none()) {
            // It is of no more use, or would lead to the same error.
            self.partials.remove(&name);
        }
        received.map_err(|error| match broken {
            Some(broken) => Failure::Other(broken),
            None => Failure::of(error, is_part && !pieced.load(Ordering::Relaxed)),
        })
    }

    /// What an earlier pull has left of a file.
    pub(super) fn begun(&self, kind: &Kind) -> Option<Partial> {
        if self.partials.is_empty() {
            return None;
        }
        self.partials.find(&kind.partial_name()?)
    }

    /// Removes that.
    pub(super) fn forget(&self, kind: &Kind) {
        if let Some(name) = kind.partial_name() {
            self.partials.remove(&name);
        }
    }

    fn of_bytes(&self, kind: Kind, bytes: Vec<u8>) -> Result<Received> {
        match kind {
            Kind::Plain => Ok(Received::Bytes(FileBytes::Read(bytes))),
            Kind::Object(name) if name.object_type == ObjectType::File => {
                let length = Some(bytes.len() as u64);
                if self.transaction.repo().mode() != RepoMode::Archive {
                    return self.store_stream(&name, Box::new(Cursor::new(bytes)), length);
                }
                let mut content = 0;
                if self.verifies_content() {
                    let reader = Box::new(Cursor::new(bytes.clone()));
                    let object = FileObject::of_archive_stream(reader, length, name);
                    content = self.checked(&name, object)?.verify().context(writing)?;
                }
                let filez = self.transaction.receive_filez(&name, &mut bytes.as_slice())?;
                filez.place(content)?;
                Ok(Received::Stored(content))
            }
            Kind::Object(name) => self.store_metadata(&name, FileBytes::Read(bytes)),
            Kind::Commit(name) => verified(&name, FileBytes::Read(bytes)),
            Kind::Part(delta, number) => self.apply(&delta, number, &mut bytes.as_slice()),
        }
    }

    fn of_stream(
        &self,
        kind: Kind,
        mut body: ResumingBody,
        length: Option<u64>,
    ) -> Result<Received> {
        match kind {
            Kind::Object(name) if name.object_type == ObjectType::File => {
                if self.transaction.repo().mode() != RepoMode::Archive {
                    return self.store_stream(&name, Box::new(body), length);
                }
                let filez = self.transaction.receive_filez(&name, &mut body)?;
                let mut content = 0;
                if self.verifies_content() {
                    content = self.checked(&name, filez.open())?.verify().context(writing)?;
                }
                filez.place(content)?;
                Ok(Received::Stored(content))
            }
            Kind::Object(name) => self.store_metadata(&name, self.spooled(&mut body)?),
            Kind::Commit(name) => verified(&name, self.spooled(&mut body)?),
            Kind::Part(delta, number) => self.apply(&delta, number, &mut body),
            Kind::Plain => self.spooled(&mut body).map(Received::Bytes),
        }
    }

    /// Executes a part of a delta.
    fn apply(&self, delta: &Delta, number: usize, part: &mut dyn Read) -> Result<Received> {
        delta::apply_part(self.transaction, &delta.part(number)?, PartBytes::File(part))?;
        Ok(Received::Applied)
    }

    /// Executes a part that is in the superblock.
    pub(super) fn apply_inlined(&self, delta: &Delta, number: usize) -> Result<Received> {
        if let Some(part) = delta.inlined_part(number) {
            delta::apply_part(self.transaction, &delta.part(number)?, PartBytes::Inlined(part))?;
        }
        Ok(Received::Applied)
    }

    /// Writes a large file of metadata where it takes no memory until it is looked at.
    fn spooled(&self, body: &mut ResumingBody) -> Result<FileBytes> {
        let repo = self.transaction.repo();
        let mut spool = repo.start_replacement()?;
        let place = || repo.path().join("tmp");
        let size = std::io::copy(body, &mut spool.file).during("writing", place())?;
        std::io::Seek::rewind(&mut spool.file).during("reading", place())?;
        let file = spool.file.try_clone().during("reading", place())?;
        FileBytes::of_object(file, size).during("reading", place())
    }

    /// Stores a dirtree or dirmeta, unless it is only counted.
    fn store_metadata(&self, name: &ObjectName, bytes: FileBytes) -> Result<Received> {
        let received = verified(name, bytes)?;
        if let (Received::Bytes(bytes), false) = (&received, self.is_dry) {
            self.transaction.write_metadata_as(name, bytes, Trust::Trusted)?;
        }
        Ok(received)
    }

    /// Stores a file in a mode that is not an archive's, verified as it comes.
    fn store_stream(
        &self,
        name: &ObjectName,
        stream: Box<dyn Read + Send>,
        length: Option<u64>,
    ) -> Result<Received> {
        let object = self.checked(name, FileObject::of_archive_stream(stream, length, *name))?;
        let (header, size) = (object.header.clone(), object.size);
        let read = |sink: &mut dyn FnMut(&[u8]) -> Result<()>| object.read_chunks(sink).map(drop);
        self.transaction.write_file_as(name, &header, size, read).context(writing)?;
        Ok(Received::Stored(size))
    }

    /// An object whose header was read, if its mode is wanted.
    fn checked(&self, name: &ObjectName, object: Result<FileObject>) -> Result<FileObject> {
        let object = object.map_err(|error| match error {
            Error::MalformedObject { object, source } => {
                Error::Malformed { what: format!("Parsing {object}"), source }
            }
            error => error,
        })?;
        if self.options.file_modes == FileModes::BareUserOnly {
            check_user_only_mode(name, &object.header)?;
        }
        Ok(object)
    }

    /// Whether content is compared with its name. Only a mirror may do without.
    fn verifies_content(&self) -> bool {
        let trusted = self.options.http_trusted
            && self.options.mirror
            && self.options.trust == Trust::Trusted
            && self.options.file_modes == FileModes::Any;
        !trusted
    }
}

fn verified(name: &ObjectName, bytes: FileBytes) -> Result<Received> {
    verify(name, &bytes)?;
    Ok(Received::Bytes(bytes))
}

fn writing() -> String {
    "Writing content object".to_owned()
}

/// Why a body was of no use.
enum Failure {
    /// It is not what it should be, which another attempt may change.
    Content(Error),
    Other(Error),
}

impl Failure {
    /// `is_final` for what is not worth another attempt, because there is another way to it.
    fn of(error: Error, is_final: bool) -> Self {
        use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        let is_local = match &error {
            Error::MinFreeSpace { .. } => true,
            error => error
                .io_kind()
                .is_some_and(|kind| ![InvalidData, InvalidInput, UnexpectedEof].contains(&kind)),
        };
        if is_local || is_final { Self::Other(error) } else { Self::Content(error) }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Content(error) | Failure::Other(error) => error,
        }
    }
}

/// The error of the body itself, which says more than that of whoever read it.
fn cause(last: &LastError) -> Option<Error> {
    let cause = last.lock().unwrap_or_else(PoisonError::into_inner).take();
    cause.map(|cause| origin::failed(&cause))
}
