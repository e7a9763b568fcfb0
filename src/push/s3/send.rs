//! Sends many files at a time, from threads that make their content, with bounded memory.
//!
//! ```text
//! threads    open and read files, compress them        at most 32 MiB wait, and two large files at a time
//! channel    whole files, or large ones in parts
//! tasks      64 that send, fewer when the store throttles
//! ```

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    Attributes, MultipartUpload, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel, unbounded_channel};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::Bucket;
use super::failure::failed;
use super::headers::headers;
use super::window::{MOST, Window};
use crate::error::{During, Error, Result};
use crate::push::destination::Batch;

/// A file that is larger is sent in parts of this size, in bytes. Stores take 10,000 parts.
const PART: usize = 8 << 20;
/// How much of a file is read before there is sure to be room for all of it, in bytes.
const HEAD: usize = 128 << 10;
/// How many bytes may wait, in units of 1 KiB.
const ROOM: usize = 32 << 10;
const UNIT: usize = 1 << 10;
/// Large files under way at a time, and parts of each.
const LARGE_FILES: usize = 2;
const PARTS: usize = 3;
/// Threads that make content.
const MOST_THREADS: usize = 16;

/// A large file on its way from a thread to a task.
type Parts = Receiver<Result<Vec<u8>>>;

/// What a thread hands to a task.
enum Ready {
    Whole { index: usize, path: Path, bytes: Vec<u8>, room: OwnedSemaphorePermit },
    Large { index: usize, path: Path, parts: Parts, room: OwnedSemaphorePermit },
    Failed(Error),
}

/// One file that was sent, and its bytes.
type Sent = Result<(usize, u64)>;

/// Where room for content is.
struct Room {
    bytes: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// Sends the files of a batch.
pub(super) fn upload(bucket: &Bucket, batch: &Batch<'_>) -> Result<()> {
    let (sender, receiver) = channel(MOST);
    let room = Room {
        bytes: Arc::new(Semaphore::new(ROOM)),
        large: Arc::new(Semaphore::new(LARGE_FILES)),
    };
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS);
    let maker = &Maker { bucket, batch, next: &next, room: &room };
    thread::scope(|scope| {
        let mut made = 0;
        for _ in 0..threads.min(batch.items.len()) {
            let sender = sender.clone();
            let name = thread::Builder::new().name("content".to_owned());
            made += usize::from(name.spawn_scoped(scope, move || maker.run(&sender)).is_ok());
        }
        drop(sender);
        if made == 0 {
            return Err(Error::failed("no thread can be started to send files"));
        }
        let sent = bucket.runtime.block_on(send_all(bucket, batch, receiver));
        // Threads that wait for room are not needed any more.
        room.bytes.close();
        room.large.close();
        sent
    })
}

struct Maker<'m> {
    bucket: &'m Bucket,
    batch: &'m Batch<'m>,
    next: &'m AtomicUsize,
    room: &'m Room,
}

impl Maker<'_> {
    /// Makes content until there is no more to do.
    fn run(&self, sender: &Sender<Ready>) {
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            if index >= self.batch.items.len() {
                return;
            }
            match self.make(index, sender) {
                Ok(true) => {}
                // Nobody takes it.
                Ok(false) => return,
                Err(error) => {
                    let _ = sender.blocking_send(Ready::Failed(error));
                    return;
                }
            }
        }
    }

    fn make(&self, index: usize, sender: &Sender<Ready>) -> Result<bool> {
        let Some(item) = self.batch.items.get(index) else { return Ok(false) };
        let name = item.path();
        let path = self.bucket.path(&name)?;
        let mut body = (self.batch.load)(item)?;
        let mut fill = |bytes: &mut Vec<u8>, size: usize| {
            let missing = size.saturating_sub(bytes.len()) as u64;
            body.by_ref().take(missing).read_to_end(bytes).during("reading", &name)
        };
        let mut bytes = Vec::new();
        fill(&mut bytes, HEAD)?;
        let is_small = bytes.len() < HEAD;
        let units = if is_small { bytes.len().div_ceil(UNIT).max(1) } else { PART / UNIT };
        let Some(mut room) = self.wait(&self.room.bytes, units) else { return Ok(false) };
        if !is_small {
            fill(&mut bytes, PART)?;
        }
        if bytes.len() < PART {
            let unused = units.saturating_sub(bytes.len().div_ceil(UNIT).max(1));
            drop(room.split(unused));
            return Ok(sender.blocking_send(Ready::Whole { index, path, bytes, room }).is_ok());
        }
        // Parts have room of their own.
        drop(room);
        let Some(room) = self.wait(&self.room.large, 1) else { return Ok(false) };
        let (parts, receiver) = channel(1);
        if sender.blocking_send(Ready::Large { index, path, parts: receiver, room }).is_err() {
            return Ok(false);
        }
        while !bytes.is_empty() {
            if parts.blocking_send(Ok(std::mem::take(&mut bytes))).is_err() {
                return Ok(false);
            }
            if let Err(error) = fill(&mut bytes, PART) {
                // The task must not take what came for all.
                return Ok(parts.blocking_send(Err(error)).is_ok());
            }
        }
        Ok(true)
    }

    fn wait(&self, semaphore: &Arc<Semaphore>, units: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let acquired = Arc::clone(semaphore).acquire_many_owned(units);
        handle(&self.bucket.runtime).block_on(acquired).ok()
    }
}

fn handle(runtime: &Runtime) -> &tokio::runtime::Handle {
    runtime.handle()
}

/// Sends what comes, and ends at the first failure.
async fn send_all(bucket: &Bucket, batch: &Batch<'_>, receiver: Receiver<Ready>) -> Result<()> {
    let receiver = Arc::new(Mutex::new(receiver));
    let (reporter, mut reports) = unbounded_channel::<Sent>();
    let mut tasks = JoinSet::new();
    for _ in 0..MOST.min(batch.items.len()) {
        let task = Task {
            store: Arc::clone(&bucket.store),
            place: bucket.name.clone(),
            window: Arc::clone(&bucket.window),
        };
        tasks.spawn(task.run(Arc::clone(&receiver), reporter.clone()));
    }
    drop((receiver, reporter));
    let mut result = Ok(());
    while let Some(report) = reports.recv().await {
        match report {
            Ok((index, bytes)) => {
                if let Some(item) = batch.items.get(index) {
                    (batch.done)(item, bytes);
                }
            }
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    tasks.shutdown().await;
    result
}

struct Task {
    store: Arc<AmazonS3>,
    place: String,
    window: Arc<Window>,
}

impl Task {
    async fn run(self, receiver: Arc<Mutex<Receiver<Ready>>>, reporter: UnboundedSender<Sent>) {
        loop {
            let place = self.window.place().await;
            let Some(ready) = receiver.lock().await.recv().await else {
                self.window.leave(place);
                return;
            };
            let sent = self.send(ready).await;
            self.window.leave(place);
            let failed = sent.is_err();
            if reporter.send(sent).is_err() || failed {
                return;
            }
        }
    }

    async fn send(&self, ready: Ready) -> Sent {
        match ready {
            Ready::Failed(error) => Err(error),
            Ready::Whole { index, path, bytes, room } => {
                let size = bytes.len() as u64;
                let options = PutOptions {
                    mode: PutMode::Overwrite,
                    attributes: headers(path.as_ref()),
                    ..PutOptions::default()
                };
                let sent = self.store.put_opts(&path, PutPayload::from(bytes), options).await;
                drop(room);
                sent.map_err(|error| failed(&self.place, path.as_ref(), &error))?;
                Ok((index, size))
            }
            Ready::Large { index, path, parts, room } => {
                let sent = self.send_parts(&path, parts).await;
                drop(room);
                sent.map(|size| (index, size))
            }
        }
    }

    async fn send_parts(&self, path: &Path, parts: Parts) -> Result<u64> {
        let failed = |error| failed(&self.place, path.as_ref(), &error);
        let attributes: Attributes = headers(path.as_ref());
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let started = self.store.put_multipart_opts(path, options).await;
        let mut upload = started.map_err(failed)?;
        match send_each(upload.as_mut(), parts).await {
            Ok(Ok(size)) => upload.complete().await.map(|_| size).map_err(failed),
            stopped => {
                // The store would keep the parts, and charge for them.
                let _ = upload.abort().await;
                stopped?.map_err(failed)
            }
        }
    }
}

/// The inner error is the store's, the outer one that of the content.
async fn send_each(
    upload: &mut dyn MultipartUpload,
    mut parts: Parts,
) -> Result<object_store::Result<u64>> {
    let (mut size, mut under_way) = (0, JoinSet::new());
    loop {
        let part = parts.recv().await.transpose()?;
        let is_last = part.is_none();
        if let Some(part) = part {
            size += part.len() as u64;
            under_way.spawn(upload.put_part(PutPayload::from(part)));
        }
        while under_way.len() >= PARTS || (is_last && !under_way.is_empty()) {
            match under_way.join_next().await {
                Some(Ok(Ok(()))) | None => {}
                Some(Ok(Err(error))) => return Ok(Err(error)),
                Some(Err(error)) => return Err(Error::failed(format!("a task ended: {error}"))),
            }
        }
        if is_last {
            return Ok(Ok(size));
        }
    }
}
