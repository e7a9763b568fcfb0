//! The body of an answer: its limits of size and speed, and the memory for what waits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::classified::{classified, within_body};
use super::gunzip::Gunzip;
use super::options::LowSpeed;
use super::protocols::ServerProtocol;
use super::request::Chunk;
use super::{HttpError, HttpErrorKind, Url};

/// Chunks of a body that wait for their reader at most.
pub const BODY_CHUNKS: usize = 4;
/// The most bytes of all bodies that wait for their readers.
pub const WAITING_BYTES: usize = 32 << 20;
/// What is counted of them at a time, in bytes.
const SHARE: usize = 1 << 10;
/// The memory that all requests of a client share for what waits, in units of [`SHARE`].
pub(super) fn memory_for_waiting() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(WAITING_BYTES / SHARE))
}

/// The body of an answer, with its limits.
pub(super) struct Reading {
    pub(super) body: Incoming,
    pub(super) url: Url,
    pub(super) left: u64,
    pub(super) limit: u64,
    pub(super) deadline: Option<Instant>,
    pub(super) pace: Pace,
    pub(super) idle: Option<Duration>,
    /// For a body that comes compressed.
    pub(super) gunzip: Option<Gunzip>,
    /// Of an HTTPS server.
    pub(super) protocols: Option<ServerProtocol>,
}

impl Reading {
    /// The next bytes of the file, `None` at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let Some(mut gunzip) = self.gunzip.take() else {
            let chunk = self.next_frame().await?;
            return chunk.map(|chunk| self.counted(chunk)).transpose();
        };
        let next = self.next_inside(&mut gunzip).await;
        self.gunzip = Some(gunzip);
        next
    }

    /// The same of a compressed body.
    async fn next_inside(&mut self, gunzip: &mut Gunzip) -> Result<Option<Bytes>, HttpError> {
        let url = self.url.to_string();
        let broken = |what: String| {
            let what = format!("the compressed body cannot be read: {what}");
            HttpError::new(&url, HttpErrorKind::Broken, what)
        };
        loop {
            if let Some(bytes) = gunzip.step().map_err(broken)? {
                return self.counted(bytes).map(Some);
            }
            match self.next_frame().await? {
                Some(chunk) => gunzip.feed(chunk),
                None => return gunzip.finish().map_err(broken).map(|()| None),
            }
        }
    }

    fn counted(&mut self, chunk: Bytes) -> Result<Bytes, HttpError> {
        let Some(left) = self.left.checked_sub(chunk.len() as u64) else {
            return Err(HttpError::too_large(&self.url, self.limit));
        };
        self.left = left;
        Ok(chunk)
    }

    /// The next bytes as they are sent.
    async fn next_frame(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            let asked = Instant::now();
            let silent = self.idle.and_then(|limit| asked.checked_add(limit));
            let limits = [self.deadline, self.pace.until(asked), silent];
            let until = limits.into_iter().flatten().min();
            let frame = match until {
                None => self.body.frame().await,
                Some(until) => match timeout_at(until, self.body.frame()).await {
                    Ok(frame) => frame,
                    Err(_)
                        if self.pace.is_too_slow(asked.elapsed())
                            || [self.deadline, silent]
                                .into_iter()
                                .flatten()
                                .any(|end| end <= Instant::now()) =>
                    {
                        return Err(HttpError::new(
                            &self.url,
                            HttpErrorKind::Stalled,
                            "the server sends too slowly",
                        ));
                    }
                    Err(_) => continue,
                },
            };
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                if let Some(protocol) = &self.protocols {
                    protocol.failed(&error, asked);
                }
                within_body(classified(&self.url, &error))
            })?;
            let Ok(chunk) = frame.into_data() else { continue };
            self.pace.came(chunk.len() as u64, asked.elapsed());
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
    }

    /// Reads on in a task; it ends with the body, with an error, or when the receiver is dropped.
    pub(super) fn in_background(
        mut self,
        memory: Arc<Semaphore>,
    ) -> mpsc::Receiver<Result<Chunk, HttpError>> {
        let (sender, receiver) = mpsc::channel(BODY_CHUNKS);
        tokio::spawn(async move {
            loop {
                let item = match self.next().await {
                    Ok(bytes) => {
                        let bytes = bytes.unwrap_or_default();
                        let shares = bytes.len().div_ceil(SHARE).min(WAITING_BYTES / SHARE);
                        let shares = u32::try_from(shares).unwrap_or(u32::MAX);
                        // Nothing closes the semaphore.
                        let share = Arc::clone(&memory).acquire_many_owned(shares).await.ok();
                        Ok(Chunk { bytes, _share: share })
                    }
                    Err(error) => Err(error),
                };
                let is_last = item.as_ref().map_or(true, |chunk| chunk.bytes.is_empty());
                if sender.send(item).await.is_err() || is_last {
                    return;
                }
            }
        });
        receiver
    }
}

/// The rest of a body that has broken already.
pub(super) fn broken(error: HttpError) -> mpsc::Receiver<Result<Chunk, HttpError>> {
    let (sender, receiver) = mpsc::channel(1);
    // There is room for one.
    let _ = sender.try_send(Err(error));
    receiver
}

/// Whether enough bytes come, over windows of time that was spent waiting for the server.
pub(super) struct Pace {
    limit: Option<LowSpeed>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(limit: Option<LowSpeed>) -> Self {
        let limit = limit.filter(|limit| limit.bytes_per_second > 0 && !limit.window.is_zero());
        Self { limit, waited: Duration::ZERO, bytes: 0 }
    }

    /// When the present window ends if nothing comes.
    fn until(&self, now: Instant) -> Option<Instant> {
        self.limit.and_then(|limit| now.checked_add(limit.window.saturating_sub(self.waited)))
    }

    fn came(&mut self, bytes: u64, waited: Duration) {
        self.bytes += bytes;
        self.waited += waited;
        self.next_window();
    }

    /// Counts time in which nothing came, and says whether the window is over with too few bytes.
    fn is_too_slow(&mut self, waited: Duration) -> bool {
        self.waited += waited;
        !self.next_window()
    }

    /// Starts a new window when one is over; false when it had too few bytes.
    fn next_window(&mut self) -> bool {
        let Some(limit) = self.limit.filter(|limit| self.waited >= limit.window) else {
            return true;
        };
        let enough = self.bytes as f64 >= limit.bytes_per_second as f64 * self.waited.as_secs_f64();
        // What came in time decides only at the end of a wait: a chunk that just came is progress.
        self.waited = Duration::ZERO;
        self.bytes = 0;
        enough
    }
}
