//! What a server has been asked for, and what it answers.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// What a client wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// To have the content.
    Get,
    /// To know about the content.
    Head,
    /// Anything else.
    Other,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What is to be done.
    pub method: Method,
    /// The path, decoded, without `.` and `..`.
    pub path: Vec<u8>,
    /// The path as it was sent, not decoded.
    pub raw_path: String,
    /// What follows the first `?`, not decoded.
    pub query: Option<String>,
    /// Host and port that the client has asked, if it says so.
    pub host: Option<String>,
    /// The headers in their order, with names in lower case. Values have visible ASCII characters,
    /// blanks and tabs; others are not there.
    pub headers: Vec<(String, String)>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code, as in 404.
    pub status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    /// The parts of the body, one after the other.
    pub(super) body: Vec<Part>,
    /// How much of the body is sent before the connection is closed.
    pub(super) cut: Option<u64>,
}

/// A part of a body.
#[derive(Debug)]
pub(super) enum Part {
    Bytes(Arc<[u8]>, Range<u64>),
    File(Arc<File>, Range<u64>),
    /// So many bytes of a stream, or all that it has.
    Stream(Stream, Option<u64>),
}

/// Content that can be read once, on one thread at a time.
#[derive(Clone)]
pub(super) struct Stream(pub(super) Arc<Mutex<Box<dyn Read + Send>>>);

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stream")
    }
}

impl Received {
    /// The value of the first header of that name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }
}

impl Answer {
    /// An answer without a body.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), cut: None }
    }

    /// The same with a header, whose name is given in lower case. A value that is not allowed in a
    /// header is left out.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The same with a header unless it has that one, as an answer with several ranges has its own
    /// type.
    #[must_use]
    pub fn or_with(self, name: &'static str, value: impl Into<String>) -> Self {
        match self.header(name) {
            Some(_) => self,
            None => self.with(name, value),
        }
    }

    /// The same with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Arc<[u8]>>) -> Self {
        let body = body.into();
        let length = body.len() as u64;
        self.body.push(Part::Bytes(body, 0..length));
        self
    }

    /// The same with what `content` has as its body, read as it is sent: exactly `length` bytes, or
    /// everything up to its end where no length is given. When it fails, or ends before that, the
    /// connection is closed.
    #[must_use]
    pub fn with_stream(mut self, content: impl Read + Send + 'static, length: Option<u64>) -> Self {
        let stream = Stream(Arc::new(Mutex::new(Box::new(content))));
        self.body.push(Part::Stream(stream, length));
        self
    }

    /// The words for the status, as in `Not Found`.
    pub fn reason(&self) -> &'static str {
        let status = hyper::StatusCode::from_u16(self.status).ok();
        status.and_then(|status| status.canonical_reason()).unwrap_or_default()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str())
    }

    /// The same, of which half of the body is sent before the connection is closed: what happens
    /// on a bad line. An empty body stays whole.
    #[must_use]
    pub fn cut_in_half(mut self) -> Self {
        let length = self.length().unwrap_or(0);
        self.cut = (length > 0).then_some(length / 2);
        self
    }

    /// The length of the body in bytes, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        self.body.iter().map(Part::length).sum()
    }
}

impl Part {
    pub(super) fn length(&self) -> Option<u64> {
        match self {
            Self::Bytes(_, range) | Self::File(_, range) => Some(range.end - range.start),
            Self::Stream(_, length) => *length,
        }
    }
}
