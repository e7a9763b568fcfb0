//! A web server for callers that block: the counterpart of the client, over HTTP/1.1.
//!
//! A [`Server`] has a thread with a small async runtime. Each request is handed to a function on
//! one of a few further threads, and its [`Answer`] is sent in pieces of at most 64 KiB. Nothing
//! async appears outside `body.rs`, `connection.rs` and `stall.rs`.
//!
//! ```text
//! exchange    what is asked and answered
//! range       which parts of a file are wanted, no I/O
//! condition   whether the client has them already, no I/O
//! files       the files of a directory as answers
//! stall       connections on which nothing moves
//! body        answers on their way
//! connection  the thread, and the connections
//! ```
//!
//! A client cannot hold the server up: headers have a size and a time, connections a number, and
//! one that does not take what it has asked for is closed.

mod body;
mod condition;
mod connection;
mod exchange;
mod files;
mod range;
mod stall;

pub use connection::{Server, ServerOptions};
pub use exchange::{Answer, Method, Received};
pub use files::{Audience, Files};
#[cfg(feature = "serve")]
pub(crate) use files::{bytes, is_known, whole};
