//! What a server has been asked for, and what it answers.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

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

    /// The same with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Arc<[u8]>>) -> Self {
        let body = body.into();
        let length = body.len() as u64;
        self.body.push(Part::Bytes(body, 0..length));
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
        let length = self.length();
        self.cut = (length > 0).then_some(length / 2);
        self
    }

    /// The length of the body in bytes.
    pub(super) fn length(&self) -> u64 {
        self.body.iter().map(Part::length).sum()
    }
}

impl Part {
    pub(super) fn length(&self) -> u64 {
        let (Self::Bytes(_, range) | Self::File(_, range)) = self;
        range.end - range.start
    }
}
