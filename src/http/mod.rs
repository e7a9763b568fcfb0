//! HTTP and HTTPS for callers that block.
//!
//! Nothing here is about ostree. A [`Client`] has one thread with a small async runtime, one pool
//! of connections and one TLS configuration, and serves any number of requests at a time: HTTP/2
//! where a server offers it over TLS, HTTP/1.1 with keep-alive otherwise. Nothing async appears
//! outside `connect.rs`, `exchange.rs` and `client.rs`.
//!
//! ```text
//! url       what a URL consists of, references resolved, no I/O
//! options   timeouts, proxies, roots, redirects: everything that a client is made from
//! error     what went wrong, by kinds that a retry can be decided on
//! retry     how long to wait before the next attempt, no I/O
//! request   what is asked for, and what comes back
//! tls       roots, client certificates, the provider
//! connect   TCP, directly or through a proxy
//! exchange  one request: redirects, time limits, the body
//! client    the thread, and the door to it
//! ```
//!
//! Bodies stream: of each request at most [`BODY_CHUNKS`] chunks of at most 64 KiB wait in memory
//! for their reader, then the connection is not read any more. A body that [`Request::collect`]
//! allows is handed over whole.

mod client;
mod connect;
mod error;
mod exchange;
mod options;
mod request;
mod retry;
mod tls;
mod url;

pub use client::{Client, Fetch};
pub use error::{HttpError, HttpErrorKind};
pub use exchange::BODY_CHUNKS;
pub use options::{ClientOptions, Downgrade, LowSpeed, Proxies, Roots, Timeouts};
pub use request::{Body, Request, Response, Status, Validators};
pub use retry::RetryPolicy;
pub use url::{Scheme, Url, UrlError};
