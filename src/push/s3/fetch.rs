//! Opens many objects at a time, for threads that read them, with bounded memory.
//!
//! ```text
//! requests   64 at a time, fewer when the store throttles
//! channel    whole objects, or large ones as they come        at most 32 MiB wait, and two large ones at a time
//! threads    read them
//! ```

use std::io::{self, Cursor, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::{Buf as _, Bytes};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::{GetOptions, ObjectStore as _};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Bucket;
use super::failure::failed;
use super::window::MOST;
use crate::error::{Error, Result};
use crate::object::ObjectName;
use crate::push::destination::{Body, object_path};
use crate::push::store::Take;

/// An object that is not larger is handed over whole, in bytes.
const SMALL: u64 = 128 << 10;
/// How many bytes of small objects may wait.
const ROOM: usize = 32 << 20;
/// Large objects under way at a time, and pieces of each that wait.
const LARGE: usize = 2;
const PIECES: usize = 8;
const MOST_THREADS: usize = 16;

/// An object on its way to a thread.
struct Ready {
    name: ObjectName,
    body: Option<Body>,
    _room: Option<OwnedSemaphorePermit>,
}

/// What requests need.
struct Requests<'r> {
    bucket: &'r Bucket,
    sender: Sender<Ready>,
    bytes: Arc<Semaphore>,
    large: Arc<Semaphore>,
    stopped: &'r AtomicBool,
}

/// Opens objects and passes them to `take`.
pub(super) fn fetch(bucket: &Bucket, objects: &[ObjectName], take: &Take<'_>) -> Result<()> {
    let (sender, receiver) = channel(MOST);
    let stopped = AtomicBool::new(false);
    let threads = Threads {
        receiver: Mutex::new(receiver),
        take,
        stopped: &stopped,
        failure: Mutex::new(None),
    };
    let requests = Requests {
        bucket,
        sender,
        bytes: Arc::new(Semaphore::new(ROOM)),
        large: Arc::new(Semaphore::new(LARGE)),
        stopped: &stopped,
    };
    let number = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let fetched = thread::scope(|scope| {
        let mut made = 0;
        for _ in 0..number.min(objects.len()) {
            let name = thread::Builder::new().name("content".to_owned());
            made += usize::from(name.spawn_scoped(scope, || threads.run()).is_ok());
        }
        if made == 0 && !objects.is_empty() {
            return Err(Error::failed("no thread can be started to read files"));
        }
        // The threads end when the requests have.
        bucket.runtime.block_on(requests.run(objects))
    });
    match threads.failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => fetched,
    }
}

struct Threads<'t> {
    receiver: Mutex<Receiver<Ready>>,
    take: &'t Take<'t>,
    stopped: &'t AtomicBool,
    failure: Mutex<Option<Error>>,
}

impl Threads<'_> {
    fn run(&self) {
        while let Some(Ready { name, body, _room }) = self.next() {
            // What comes after a failure is only taken so that the requests end.
            if self.stopped.load(Ordering::Relaxed) {
                continue;
            }
            if let Err(error) = (self.take)(&name, body) {
                self.stopped.store(true, Ordering::Relaxed);
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert(error);
            }
        }
    }

    fn next(&self) -> Option<Ready> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }
}

impl Requests<'_> {
    async fn run(self, objects: &[ObjectName]) -> Result<()> {
        let requests = stream::iter(objects).map(|name| self.one(*name)).buffer_unordered(MOST);
        requests.try_collect().await
    }

    async fn one(&self, name: ObjectName) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) {
            return Ok(());
        }
        let place = self.bucket.window.place().await;
        let opened = self.open(name).await;
        self.bucket.window.leave(place);
        if opened.is_err() {
            self.stopped.store(true, Ordering::Relaxed);
        }
        opened
    }

    async fn open(&self, name: ObjectName) -> Result<()> {
        let path_text = object_path(&name);
        let path = self.bucket.path(&path_text)?;
        let failed = |error| failed(&self.bucket.name, &path_text, &error);
        let found = match self.bucket.store.get_opts(&path, GetOptions::default()).await {
            Err(object_store::Error::NotFound { .. }) => {
                self.hand_over(name, None, None).await;
                return Ok(());
            }
            found => found.map_err(failed)?,
        };
        let size = found.meta.size;
        let mut pieces = found.into_stream();
        if size > SMALL {
            let room = Arc::clone(&self.large).acquire_owned().await.ok();
            let (sender, receiver) = channel(PIECES);
            let body = Pieces { receiver, current: Bytes::new(), is_over: false };
            self.hand_over(name, Some(Box::new(body)), None).await;
            while let Some(piece) = pieces.try_next().await.map_err(failed)? {
                if !piece.is_empty() && sender.send(piece).await.is_err() {
                    return Ok(());
                }
            }
            // The end.
            let _ = sender.send(Bytes::new()).await;
            drop(room);
            return Ok(());
        }
        let units = u32::try_from(size.max(1)).unwrap_or(1);
        let room = Arc::clone(&self.bytes).acquire_many_owned(units).await.ok();
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() as u64 > size {
                let place = &self.bucket.name;
                let message = format!("{place}/{path_text}: longer than the {size} bytes it has");
                return Err(Error::failed(message));
            }
        }
        self.hand_over(name, Some(Box::new(Cursor::new(bytes))), room).await;
        Ok(())
    }

    async fn hand_over(
        &self,
        name: ObjectName,
        body: Option<Body>,
        room: Option<OwnedSemaphorePermit>,
    ) {
        // The threads live as long as this sender.
        let _ = self.sender.send(Ready { name, body, _room: room }).await;
    }
}

/// A large object as it comes.
struct Pieces {
    receiver: Receiver<Bytes>,
    current: Bytes,
    is_over: bool,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.current.is_empty() && !self.is_over {
            let next = self.receiver.blocking_recv();
            self.current = next.ok_or_else(|| io::Error::other("the store failed"))?;
            self.is_over = self.current.is_empty();
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
