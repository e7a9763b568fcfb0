//! The errors of requests.

use std::time::Duration;

/// A request that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{url}: {what}")]
pub struct HttpError {
    /// The last URL requested, after redirects, without its password.
    pub url: String,
    /// What a caller may do about it.
    pub kind: HttpErrorKind,
    /// A description of the cause.
    pub what: String,
}

/// Kinds of failures, by what a caller may do about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpErrorKind {
    /// The server has no such file: 404 or 410.
    Missing,
    /// The server, or a proxy, wants other credentials: 401, 403 or 407, as given.
    Denied(u16),
    /// The server cannot answer now: 408, 425, 429 or 5xx, as given, with the wait that it asked
    /// for.
    Busy(u16, Option<Duration>),
    /// Any other failure status.
    Status(u16),
    /// No host has that name.
    UnknownHost,
    /// No connection was established: nothing listens, or the proxy refused.
    Unreachable,
    /// The server sent nothing, or too little, for too long.
    Stalled,
    /// The server's certificate is not trusted, or the handshake failed.
    Tls,
    /// The connection ended within the body.
    CutShort,
    /// The connection ended before the body, or what came is not HTTP.
    Broken,
    /// There are more bytes than the caller asked for.
    TooLarge,
    /// The request or the client's options make no sense.
    Invalid,
}

impl HttpErrorKind {
    /// Whether the same request may succeed later.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Busy(..)
                | Self::UnknownHost
                | Self::Unreachable
                | Self::Stalled
                | Self::CutShort
                | Self::Broken
        )
    }

    /// What a status that is neither 2xx nor 304 means.
    pub(super) fn of_status(status: u16, retry_after: Option<Duration>) -> Self {
        match status {
            404 | 410 => Self::Missing,
            401 | 403 | 407 => Self::Denied(status),
            408 | 425 | 429 | 500..=599 => Self::Busy(status, retry_after),
            other => Self::Status(other),
        }
    }
}

impl HttpError {
    /// A failure of that kind.
    pub fn new(url: impl ToString, kind: HttpErrorKind, what: impl Into<String>) -> Self {
        Self { url: url.to_string(), kind, what: what.into() }
    }
}
