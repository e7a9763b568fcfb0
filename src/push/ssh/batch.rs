//! The far end of an upload: what is wanted of what is offered, and what is kept of what comes.
//!
//! Some threads take turns in reading. Whoever has read a small file lets the next one read while
//! it verifies and stores. What is large is stored while it comes, and so is metadata, one after
//! the other: a dirtree must find what it names.

use std::io::{self, Read};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use super::super::destination::Item;
use super::super::dir::Directory;
use super::frame::{Fields, Kind, Payload};
use super::names::{check_delta_path, check_superblock};
use super::stream::{Input, Peer, Shared, locked};
use crate::checksum::Checksum;
use crate::error::{During, Error, OfObject, Result};
use crate::gvariant::Dict;
use crate::object::{Commit, DirTree, ObjectName, ObjectType};
use crate::repo::{MAX_METADATA_SIZE, Transaction, verify_metadata};

/// Files of at most that many bytes are read whole.
const SMALL: u64 = 1 << 20;
/// More threads than this store no faster.
const MOST_THREADS: usize = 16;

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BatchEnd {
    /// All of it is there.
    Kept,
    /// The sender has given up.
    Abandoned,
}

/// Takes a batch.
///
/// # Errors
/// When something is wrong with an item, or it cannot be stored.
pub(super) fn take(directory: &Directory, input: &mut Input, output: &Shared) -> Result<BatchEnd> {
    let transaction = Transaction::begin(directory.repo()?)?;
    let peer = input.peer.clone();
    let stream = Stream { input, items: Vec::new(), base: 0, end: None, error: None };
    let (transaction_ref, stream) = (&transaction, Mutex::new(stream));
    let taker =
        Taker { directory, transaction: transaction_ref, output, peer: peer.clone(), stream };
    taker.take_all();
    let Stream { end, error, .. } =
        taker.stream.into_inner().unwrap_or_else(PoisonError::into_inner);
    // The sender is still to be told.
    peer.over.store(false, Ordering::Relaxed);
    match (error, end) {
        (Some(error), _) => {
            transaction.abort(Some(&error));
            Err(error)
        }
        (None, Some(BatchEnd::Kept)) => transaction.commit().map(|_| BatchEnd::Kept),
        (None, _) => {
            transaction.abort(None);
            Ok(BatchEnd::Abandoned)
        }
    }
}

/// What comes, and what of it is expected.
struct Stream<'i> {
    input: &'i mut Input,
    /// What was offered last; `None` for what is not wanted, or has come.
    items: Vec<Option<Item>>,
    /// The number of the first of them.
    base: u64,
    end: Option<BatchEnd>,
    error: Option<Error>,
}

struct Taker<'t> {
    directory: &'t Directory,
    transaction: &'t Transaction<'t>,
    output: &'t Shared,
    peer: Peer,
    stream: Mutex<Stream<'t>>,
}

/// What is left to do when something has been read.
enum Next {
    /// Nothing.
    Nothing,
    /// To store a small file.
    Store(u32, ObjectName, Vec<u8>),
}

impl<'t> Taker<'t> {
    fn stream(&self) -> MutexGuard<'_, Stream<'t>> {
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and stores until the end, with as many threads as there are processors; this one alone
    /// if there can be no others.
    fn take_all(&self) {
        let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
        thread::scope(|scope| {
            for _ in 1..threads {
                let thread = thread::Builder::new().name("receive".to_owned());
                if thread.spawn_scoped(scope, || self.take_turns()).is_err() {
                    break;
                }
            }
            self.take_turns();
        });
    }

    fn take_turns(&self) {
        loop {
            let mut stream = self.stream();
            if stream.end.is_some() || stream.error.is_some() {
                return;
            }
            match self.read(&mut stream) {
                Ok(Next::Nothing) => {}
                Ok(Next::Store(number, name, bytes)) => {
                    drop(stream);
                    if let Err(error) = self.store(number, &name, &mut &bytes[..]) {
                        self.fail(error);
                    }
                }
                Err(error) => {
                    stream.error.get_or_insert(error);
                }
            }
        }
    }

    /// Makes the others end, even the one that reads meanwhile, and holds the stream.
    fn fail(&self, error: Error) {
        let is_first = !self.peer.over.swap(true, Ordering::Relaxed);
        let mut stream = self.stream();
        // What the others fail with is only that it is over.
        if is_first || stream.error.is_none() {
            stream.error = Some(error);
        }
    }

    fn read(&self, stream: &mut Stream<'_>) -> Result<Next> {
        match stream.input.next()? {
            Some(Kind::Offer) => self.offer(stream).map(|()| Next::Nothing),
            Some(Kind::Item) => self.item(stream),
            Some(Kind::Commit) => {
                stream.end = Some(BatchEnd::Kept);
                Ok(Next::Nothing)
            }
            Some(Kind::Abandon) => {
                stream.end = Some(BatchEnd::Abandoned);
                Ok(Next::Nothing)
            }
            Some(kind) => {
                let what = Error::failed(format!("{kind:?} is not expected in a batch"));
                Err(self.peer.broken(&what))
            }
            None => Err(Error::failed("the sender ended within a batch")),
        }
    }

    /// Says which items of an offer are wanted.
    fn offer(&self, stream: &mut Stream<'_>) -> Result<()> {
        let mut fields = Fields(stream.input.payload());
        stream.base += stream.items.len() as u64;
        stream.items.clear();
        let mut wanted = Vec::new();
        while !fields.is_empty() {
            let item = fields.item()?;
            let number = stream.items.len();
            let is_wanted = self.is_wanted(&item)?;
            wanted.resize(number / 8 + 1, 0);
            wanted[number / 8] |= u8::from(is_wanted) << (number % 8);
            stream.items.push(Some(item).filter(|_| is_wanted));
        }
        if stream.base + stream.items.len() as u64 > u64::from(u32::MAX) {
            return Err(Error::failed("there are too many items in a batch"));
        }
        let mut output = locked(self.output);
        output.frame(Kind::Wanted, &wanted)?;
        output.flush()
    }

    fn is_wanted(&self, item: &Item) -> Result<bool> {
        match item {
            Item::Delta(path) => check_delta_path(path).map(|_| true),
            // It may have changed.
            Item::Object(name) if name.object_type == ObjectType::CommitMeta => Ok(true),
            Item::Object(name) => Ok(!self.transaction.was_present(name)?),
        }
    }

    fn item(&self, stream: &mut Stream<'_>) -> Result<Next> {
        let mut fields = Fields(stream.input.payload());
        let number = fields.small_number()?;
        fields.end()?;
        let place = u64::from(number).checked_sub(stream.base).map(|place| place as usize);
        let item = place.and_then(|place| stream.items.get_mut(place)).and_then(Option::take);
        let item = item.ok_or_else(|| {
            self.peer.broken(&Error::failed(format!("nobody asked for the item {number}")))
        })?;
        let mut body = Body::new(stream.input);
        let taken = self.take(number, item, &mut body);
        match body.is_abandoned {
            true => {
                stream.end = Some(BatchEnd::Abandoned);
                Ok(Next::Nothing)
            }
            false => taken,
        }
    }

    fn take(&self, number: u32, item: Item, body: &mut Body<'_>) -> Result<Next> {
        match item {
            Item::Object(name) if name.object_type == ObjectType::File => {
                let mut bytes = Vec::new();
                let read = body.by_ref().take(SMALL).read_to_end(&mut bytes);
                read.during("receiving", name.to_string())?;
                if body.is_whole {
                    return Ok(Next::Store(number, name, bytes));
                }
                self.store(number, &name, &mut bytes.chain(body))?;
            }
            Item::Object(name) => {
                let bytes = whole(body, &name.to_string())?;
                self.check(&name, &bytes)?;
                self.store(number, &name, &mut &bytes[..])?;
            }
            Item::Delta(path) => self.store_delta(number, &path, body)?,
        }
        Ok(Next::Nothing)
    }

    /// Makes sure that a metadata object is what its name says, and all that it names is there.
    fn check(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        if name.object_type == ObjectType::CommitMeta {
            return Dict::decode(bytes).map(drop).of_object(*name);
        }
        verify_metadata(name, bytes)?;
        let is_there = |checksum: Checksum, object_type| {
            let named = ObjectName::new(checksum, object_type);
            match self.transaction.is_present(&named)? {
                true => Ok(()),
                false => Err(Error::failed(format!(
                    "{name} names {named}, which is not there; --list sends what is missing"
                ))),
            }
        };
        match name.object_type {
            ObjectType::DirTree => {
                let tree = DirTree::decode(bytes).of_object(*name)?;
                tree.files.iter().try_for_each(|file| is_there(file.1, ObjectType::File))?;
                tree.dirs.iter().try_for_each(|dir| {
                    is_there(dir.dirtree, ObjectType::DirTree)?;
                    is_there(dir.dirmeta, ObjectType::DirMeta)
                })
            }
            ObjectType::Commit => {
                let commit = Commit::decode(bytes).of_object(*name)?;
                is_there(commit.root_dirtree, ObjectType::DirTree)?;
                is_there(commit.root_dirmeta, ObjectType::DirMeta)
            }
            _ => Ok(()),
        }
    }

    fn store(&self, number: u32, name: &ObjectName, body: &mut dyn Read) -> Result<()> {
        let stored = self.directory.store_object(self.transaction, name, body)?;
        self.kept(number, stored)
    }

    fn store_delta(&self, number: u32, path: &str, body: &mut Body<'_>) -> Result<()> {
        let (name, repo) = (check_delta_path(path)?, self.transaction.repo());
        let stored = if path.ends_with("/superblock") {
            let bytes = whole(body, path)?;
            check_superblock(&name, path, &bytes)?;
            self.directory.upload_file(repo, path, &mut &bytes[..])?
        } else {
            self.directory.upload_file(repo, path, body)?
        };
        self.kept(number, stored)
    }

    fn kept(&self, number: u32, bytes: u64) -> Result<()> {
        let payload = Payload::default().small_number(number).number(bytes);
        locked(self.output).soon(Kind::Kept, &payload.0)
    }
}

/// Reads what has to be in memory.
fn whole(body: &mut Body<'_>, name: &str) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    body.take(MAX_METADATA_SIZE + 1).read_to_end(&mut bytes).during("receiving", name)?;
    match bytes.len() as u64 > MAX_METADATA_SIZE {
        true => Err(Error::failed(format!("{name} has more than {MAX_METADATA_SIZE} bytes"))),
        false => Ok(bytes),
    }
}

/// The content of an item, as it comes.
struct Body<'i> {
    input: &'i mut Input,
    /// How much of the frame has been read.
    at: usize,
    length: u64,
    is_whole: bool,
    is_abandoned: bool,
}

impl<'i> Body<'i> {
    fn new(input: &'i mut Input) -> Self {
        let at = input.payload().len();
        Self { input, at, length: 0, is_whole: false, is_abandoned: false }
    }

    fn advance(&mut self) -> Result<()> {
        match self.input.next()? {
            Some(Kind::Bytes) => self.at = 0,
            Some(Kind::End) => {
                let mut fields = Fields(self.input.payload());
                let length = fields.number()?;
                fields.end()?;
                if length != self.length {
                    let what = format!("{} of {length} bytes came", self.length);
                    return Err(Error::failed(what));
                }
                self.is_whole = true;
            }
            Some(Kind::Abandon) => {
                self.is_abandoned = true;
                return Err(Error::failed("the sender has given up"));
            }
            Some(kind) => {
                let what = Error::failed(format!("{kind:?} is not expected in an item"));
                return Err(self.input.peer.broken(&what));
            }
            None => return Err(Error::failed("the sender ended within it")),
        }
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.is_whole || buffer.is_empty() {
                return Ok(0);
            }
            let rest = self.input.payload().get(self.at..).unwrap_or_default();
            if !rest.is_empty() {
                let length = rest.len().min(buffer.len());
                buffer[..length].copy_from_slice(&rest[..length]);
                self.at += length;
                self.length += length as u64;
                return Ok(length);
            }
            self.advance().map_err(|error| io::Error::other(error.chain()))?;
        }
    }
}
