//! A directory of another machine as a destination: the user's own ssh starts `osier receive`
//! there, and both talk over its standard input and output. There is no daemon.
//!
//! ```text
//! frame       what the two ends say to each other
//! stream      frames over pipes, without waiting for ever
//! address     what the user names a machine by, and how ssh is called
//! connection  this end: who asks, and what is to be said at the end
//! machine     this end: a destination
//! upload      this end: sending many files
//! receive     the far end: answers requests with a directory
//! batch       the far end: taking many files
//! names       the far end: what may be written
//! root        the far end: where, if a key may push below one directory only
//! ```

mod address;
mod batch;
mod connection;
mod frame;
mod machine;
mod names;
mod receive;
mod root;
mod stream;
#[cfg(test)]
mod tests;
mod upload;

pub use address::{Address, SshOptions};
pub use machine::Machine;
pub use receive::{Received, receive, refuse};
pub use root::{below, path_of_command};
