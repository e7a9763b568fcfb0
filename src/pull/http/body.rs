//! A body that goes on where it broke, in this run or in an earlier one.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::partial::Partial;
use crate::http::{Fetch, HttpError, HttpErrorKind, Request, Response, Status, Validators};
use crate::remote::Transport;
use crate::remote::attempts::{Attempts, Next, Retry};
use crate::remote::mirrors::Mirrors;
use crate::remote::origin::dice;

/// A body that breaks off more often is given up, however little came in between.
const MOST_BREAKS: u32 = 1000;

/// What the bodies of a pull share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Bytes that have come.
    pub(super) transferred: AtomicU64,
    /// Threads that wait for bytes now.
    pub(super) reading: AtomicUsize,
    /// Whether the pull has failed, so that nothing needs to come any more.
    pub(super) stopped: AtomicBool,
    /// Why bodies broke off, and how long each waits before it goes on. They are to be reported.
    pub(super) retried: Mutex<Vec<(HttpError, Duration)>>,
}

impl Shared {
    /// Waits, unless the pull ends.
    pub(super) fn wait(&self, wait: Duration) {
        const SLICE: Duration = Duration::from_millis(100);
        let mut left = wait;
        while !left.is_zero() && !self.stopped.load(Ordering::Relaxed) {
            let slice = left.min(SLICE);
            thread::sleep(slice);
            left -= slice;
        }
    }
}

/// Where a body can be asked for again.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) mirrors: Arc<Mirrors>,
    /// Its path below each of them.
    pub(super) path: String,
    /// The number of the mirror that it comes from.
    pub(super) mirror: usize,
    pub(super) limit: u64,
    pub(super) retry: Retry,
}

/// The error that ended a body, for whoever reads it through [`Read`].
pub(super) type LastError = Arc<Mutex<Option<HttpError>>>;

/// The body of a response; when it breaks off, the rest is asked for.
pub(super) struct ResumingBody {
    transport: Arc<Transport>,
    shared: Arc<Shared>,
    places: Places,
    attempts: Attempts,
    response: Response,
    /// Bytes of the body so far, whether they came or were there.
    offset: u64,
    /// Bytes that come once more and are skipped.
    skipped: u64,
    /// How often it has broken off.
    breaks: u32,
    pieced: Arc<AtomicBool>,
    pending: Bytes,
    /// Where the body is kept for a later run, if it is.
    kept: Option<Partial>,
    /// Bytes of what was kept before that are still to be passed on first: from, to.
    replayed: (u64, u64),
    error: LastError,
}

impl ResumingBody {
    /// The response is the rest of what was `kept`, or the whole, of which nothing is kept yet.
    pub(super) fn new(
        transport: Arc<Transport>,
        shared: Arc<Shared>,
        places: Places,
        response: Response,
        kept: Option<Partial>,
    ) -> Self {
        let offset = kept.as_ref().map_or(0, |kept| kept.length);
        Self {
            transport,
            shared,
            attempts: Attempts::at(&places.mirrors, places.mirror),
            places,
            response,
            offset,
            skipped: 0,
            breaks: 0,
            pieced: Arc::new(AtomicBool::new(offset > 0)),
            pending: Bytes::new(),
            kept,
            replayed: (0, offset),
            error: LastError::default(),
        }
    }

    /// Whether it has broken off, now or in an earlier run, so that it may be made of parts of two
    /// versions; to be looked at when it has been read.
    pub(super) fn is_pieced(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.pieced)
    }

    /// Where to look for the error when a reader has failed.
    pub(super) fn last_error(&self) -> LastError {
        Arc::clone(&self.error)
    }

    fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            if self.shared.stopped.load(Ordering::Relaxed) {
                let url = &self.response.url;
                return Err(HttpError::new(url, HttpErrorKind::Invalid, "the pull has ended"));
            }
            self.shared.reading.fetch_add(1, Ordering::Relaxed);
            let next = self.response.body.next_chunk();
            self.shared.reading.fetch_sub(1, Ordering::Relaxed);
            match next {
                Ok(None) => return Ok(None),
                Ok(Some(mut chunk)) => {
                    self.shared.transferred.fetch_add(chunk.len() as u64, Ordering::Relaxed);
                    let skip = self.skipped.min(chunk.len() as u64);
                    self.skipped -= skip;
                    // Not more than the chunk has.
                    chunk.advance(skip as usize);
                    if chunk.is_empty() {
                        continue;
                    }
                    self.offset += chunk.len() as u64;
                    if self.offset > self.places.limit {
                        let what = format!("exceeded maximum size of {} bytes", self.places.limit);
                        let url = &self.response.url;
                        return Err(HttpError::new(url, HttpErrorKind::TooLarge, what));
                    }
                    self.keep(&chunk);
                    // It goes on, so the attempts begin anew.
                    self.attempts.goes_on();
                    return Ok(Some(chunk));
                }
                Err(error) => self.resume(error)?,
            }
        }
    }

    /// Keeps bytes as long as they can be written.
    fn keep(&mut self, chunk: &[u8]) {
        if let Some(kept) = &mut self.kept
            && let Err(error) = kept.push(chunk)
        {
            log::debug!("{} is not kept any more: {error}", self.response.url);
            self.kept = None;
        }
    }

    /// Asks for the rest.
    fn resume(&mut self, mut error: HttpError) -> Result<(), HttpError> {
        self.breaks += 1;
        self.pieced.store(true, Ordering::Relaxed);
        if self.breaks > MOST_BREAKS {
            return Err(error);
        }
        let Places { path, limit, retry, .. } = &self.places;
        loop {
            log::debug!("{error}; going on at byte {}", self.offset);
            match self.attempts.failed(&error, retry, dice()) {
                Next::Again(wait) => {
                    let mut retried =
                        self.shared.retried.lock().unwrap_or_else(PoisonError::into_inner);
                    retried.push((error.clone(), wait));
                    drop(retried);
                    self.shared.wait(wait);
                }
                Next::Absent | Next::GiveUp => return Err(error),
            }
            let Some(url) = self.attempts.url(path) else { return Err(error) };
            let ask = |from| {
                let unless = match from {
                    0 => Validators::default(),
                    _ => self.response.validators.clone(),
                };
                let request = Request { from, unless, limit: *limit, ..Request::get(url.clone()) };
                self.transport.get(request)
            };
            let mut answer = ask(self.offset);
            // The file has become shorter, or the server cannot count.
            if let Err(HttpError { kind: HttpErrorKind::Status(206 | 416), .. }) = answer {
                answer = ask(0);
            }
            match answer {
                Ok(response) => {
                    // Another server, or another version: the checksum decides in the end.
                    self.skipped = match response.status {
                        Status::From(_) => 0,
                        Status::Whole | Status::NotModified => self.offset,
                    };
                    self.response = response;
                    return Ok(());
                }
                Err(next) => error = next,
            }
        }
    }
}

impl Read for ResumingBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (at, end) = self.replayed;
        if let Some(kept) = self.kept.as_ref().filter(|_| at < end) {
            let most = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let count = kept.read_at(&mut buffer[..most], at)?;
            self.replayed.0 += count as u64;
            return match count {
                0 if most > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(count),
            };
        }
        if self.pending.is_empty() {
            match self.next() {
                Ok(chunk) => self.pending = chunk.unwrap_or_default(),
                Err(error) => {
                    let text = error.to_string();
                    *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return Err(io::Error::other(text));
                }
            }
        }
        let count = buffer.len().min(self.pending.len());
        self.pending.split_to(count).copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}
