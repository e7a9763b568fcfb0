//! HTTP and HTTPS for callers that block.
//!
//! Nothing here is about ostree. A [`Client`] has one thread with a small async runtime, one pool
//! of connections and one TLS configuration, and serves any number of requests at a time: HTTP/2
//! where a server offers it over TLS, HTTP/1.1 with keep-alive otherwise. Nothing async is in a
//! signature outside this module. [`server`] is the other side.
//!
//! ```text
//! url         what a URL consists of, references resolved, no I/O
//! options     timeouts, proxies, roots, redirects: everything that a client is made from
//! error       what went wrong, by kinds that a retry can be decided on
//! retry       how long to wait before the next attempt, no I/O
//! request     what is asked for, and what comes back
//! tls         roots, client certificates, the provider
//! connect     TCP, directly or through a proxy
//! lanes       several HTTP/2 connections to a server
//! exchange    one request: redirects, time limits, the head of the answer
//! reading     the body of the answer
//! gunzip      a body that comes compressed
//! protocols   which servers are spoken to in HTTP/1.1 after all
//! classified  the kinds of failures below HTTP
//! client      the thread, and the door to it
//! raw         requests with bodies, for the async client of object stores
//! ```
//!
//! Bodies stream: of each request at most [`BODY_CHUNKS`] chunks, and of all requests of a client
//! at most [`WAITING_BYTES`] wait in memory for their readers, then the connection is not read any
//! more. So each body has to be read, or dropped, by a thread that does not wait for another body.
//! A body that [`Request::collect`] allows is handed over whole.

mod classified;
mod client;
mod connect;
mod error;
mod exchange;
mod gunzip;
mod lanes;
mod options;
mod protocols;
#[cfg(feature = "s3")]
mod raw;
mod reading;
mod request;
mod retry;
pub mod server;
mod tls;
mod url;

pub use client::{Client, Fetch};
pub use error::{HttpError, HttpErrorKind};
pub use options::{
    ClientOptions, Cookies, Downgrade, LowSpeed, PrivateHeaders, Proxies, Roots, Sign, Signatures,
    Timeouts,
};
#[cfg(feature = "s3")]
pub(crate) use raw::{Raw, RawError};
pub use reading::{BODY_CHUNKS, WAITING_BYTES};
pub use request::{Body, Request, Response, Status, Validators};
pub use retry::RetryPolicy;
pub use url::{Scheme, Url, UrlError};
