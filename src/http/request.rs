//! Requests and responses.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::Receiver;

use super::{HttpError, HttpErrorKind, Url};

/// How much is read of a file at a time, in bytes.
const CHUNK_SIZE: usize = 64 << 10;

/// A GET request.
#[derive(Clone, Debug)]
pub struct Request {
    /// What to get.
    pub url: Url,
    /// Headers besides those of the client; one of the same name takes the client's place, an empty
    /// value removes it.
    pub headers: Vec<(String, String)>,
    /// Ask for the bytes from this one on, if what is there is still what `unless` names; else all
    /// is sent.
    pub from: u64,
    /// What the caller has already: with `from` 0 the answer may be [`Status::NotModified`].
    pub unless: Validators,
    /// The largest body in bytes, [`HttpErrorKind::TooLarge`] above it.
    pub limit: u64,
    /// A body of at most that many bytes is read before the response is handed over.
    pub collect: usize,
    /// The body may come compressed with gzip; what is handed over, and limited, is what it holds.
    pub gzip: bool,
}

/// How a version of a file is recognised, as servers spell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, with its quotes.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
}

/// The head of a successful answer, and the body.
#[derive(Debug)]
pub struct Response {
    /// Where it came from, after redirects.
    pub url: Url,
    /// What the body is.
    pub status: Status,
    /// By which a later request recognises this version.
    pub validators: Validators,
    /// Bytes of the body, if the server said; not those of a compressed one.
    pub length: Option<u64>,
    /// Whether the connection is one of HTTP/2, which carries many requests at a time.
    pub http2: bool,
    /// The body.
    pub body: Body,
}

/// What the body of a response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The whole file.
    Whole,
    /// The rest of the file from that byte on.
    From(u64),
    /// Nothing: the caller's version is the present one.
    NotModified,
}

/// The bytes of a response, as they come.
#[derive(Debug)]
pub struct Body {
    /// For errors.
    url: String,
    pending: Bytes,
    rest: Rest,
}

/// What is still to come of a body.
enum Rest {
    Nothing,
    /// From a connection.
    Stream(Receiver<Result<Chunk, HttpError>>),
    /// From a file.
    Reader(Box<dyn Read + Send>),
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => "Nothing",
            Self::Stream(_) => "Stream",
            Self::Reader(_) => "Reader",
        })
    }
}

/// A piece of a body that waits for its reader; the empty one is the end. All that wait have a
/// share in the client's memory.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) _share: Option<OwnedSemaphorePermit>,
}

impl Request {
    /// Asks for a whole file of any size.
    pub fn get(url: Url) -> Self {
        let unless = Validators::default();
        let (headers, limit) = (Vec::new(), u64::MAX);
        Self { url, headers, from: 0, unless, limit, collect: 0, gzip: false }
    }

    /// Asks for a file of at most `limit` bytes, of which at most 64 KiB are read before the
    /// response is handed over.
    pub fn small(url: Url, limit: u64) -> Self {
        Self { limit, collect: 64 << 10, ..Self::get(url) }
    }
}

impl Response {
    /// A whole file that is in memory, as tests answer with.
    pub fn of_bytes(url: Url, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let length = Some(bytes.len() as u64);
        let body = Body::new(&url, bytes, None);
        let validators = Validators::default();
        Self { url, status: Status::Whole, validators, length, http2: false, body }
    }
}

impl Body {
    pub(super) fn new(
        url: &Url,
        first: Bytes,
        rest: Option<Receiver<Result<Chunk, HttpError>>>,
    ) -> Self {
        let rest = rest.map_or(Rest::Nothing, Rest::Stream);
        Self { url: url.to_string(), pending: first, rest }
    }

    /// The body that a reader has.
    pub fn of_reader(url: &Url, reader: impl Read + Send + 'static) -> Self {
        Self { url: url.to_string(), pending: Bytes::new(), rest: Rest::Reader(Box::new(reader)) }
    }

    /// The next bytes, as many as are there; `None` at the end. Waits for them.
    ///
    /// # Errors
    /// When the body ends early, is too large or too slow.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        if !self.pending.is_empty() {
            return Ok(Some(std::mem::take(&mut self.pending)));
        }
        let next = match &mut self.rest {
            Rest::Nothing => return Ok(None),
            Rest::Stream(stream) => match stream.blocking_recv() {
                Some(next) => next.map(|chunk| chunk.bytes),
                // Without its end it is not whole.
                None => {
                    Err(HttpError::new(&self.url, HttpErrorKind::Broken, "the HTTP client ended"))
                }
            },
            Rest::Reader(reader) => {
                let mut chunk = vec![0; CHUNK_SIZE];
                match reader.read(&mut chunk) {
                    Ok(length) => {
                        chunk.truncate(length);
                        Ok(Bytes::from(chunk))
                    }
                    Err(error) => {
                        Err(HttpError::new(&self.url, HttpErrorKind::Invalid, error.to_string()))
                    }
                }
            }
        };
        if next.as_ref().map_or(true, Bytes::is_empty) {
            self.rest = Rest::Nothing;
        }
        Ok(Some(next?).filter(|bytes| !bytes.is_empty()))
    }

    /// Whether all of it is here already.
    pub fn is_whole(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// All bytes that are still to come. [`Request::limit`] bounds them.
    ///
    /// # Errors
    /// As [`Body::next_chunk`].
    pub fn read_all(mut self) -> Result<Vec<u8>, HttpError> {
        let mut all = Vec::new();
        while let Some(chunk) = self.next_chunk()? {
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    }
}

/// Errors are [`HttpError`]s, inside an [`io::Error`] of the kind `Other`.
impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.pending.is_empty() {
            match self.next_chunk().map_err(io::Error::other)? {
                Some(chunk) => self.pending = chunk,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.pending.len());
        self.pending.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

impl HttpError {
    pub(super) fn too_large(url: &Url, limit: u64) -> Self {
        Self::new(url, HttpErrorKind::TooLarge, format!("exceeded maximum size of {limit} bytes"))
    }
}
