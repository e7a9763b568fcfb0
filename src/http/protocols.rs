//! Which servers are spoken to in HTTP/1.1 although they offer HTTP/2: those whose HTTP/2 has
//! failed twice.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Url;

/// Failures of a server's HTTP/2 after which it is not used any more.
pub(super) const MOST_FAILURES: u32 = 2;

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    Http1,
    Http2,
}

/// What is known of the servers of one client.
#[derive(Default)]
pub(super) struct Protocols {
    servers: Mutex<HashMap<String, Failures>>,
}

/// How often HTTP/2 has failed with a server.
#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    /// When the last one that counts was noticed.
    last: Option<Instant>,
}

/// What is known of one server.
pub(super) struct ServerProtocol {
    protocols: Arc<Protocols>,
    server: String,
}

impl Protocols {
    pub(super) fn of_server(protocols: &Arc<Self>, url: &Url) -> ServerProtocol {
        ServerProtocol { protocols: Arc::clone(protocols), server: url.authority().to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Failures>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ServerProtocol {
    /// The version of the next request.
    pub(super) fn version(&self) -> Version {
        match self.protocols.lock().get(&self.server) {
            Some(failures) if failures.count >= MOST_FAILURES => Version::Http1,
            _ => Version::Http2,
        }
    }

    /// Takes note of a request made at `asked` that has failed, and returns whether it is HTTP/2
    /// that has. Of requests that were under way together only the first counts: they share
    /// connections.
    pub(super) fn failed(&self, error: &(dyn Error + 'static), asked: Instant) -> bool {
        let Some(reason) = http2_failure(error) else { return false };
        let mut servers = self.protocols.lock();
        let failures = servers.entry(self.server.clone()).or_default();
        let is_new = failures.last.is_none_or(|last| last < asked);
        if failures.count >= MOST_FAILURES || !is_new {
            return true;
        }
        failures.last = Some(Instant::now());
        failures.count = match reason {
            h2::Reason::HTTP_1_1_REQUIRED => MOST_FAILURES,
            _ => failures.count + 1,
        };
        if failures.count >= MOST_FAILURES {
            log::info!("HTTP/2 fails with {} ({reason}); going on with HTTP/1.1", self.server);
        }
        true
    }
}

/// Why HTTP/2 has failed, if that is what the error is.
fn http2_failure(error: &(dyn Error + 'static)) -> Option<h2::Reason> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let is_refusal = |reason: &h2::Reason| {
                [h2::Reason::NO_ERROR, h2::Reason::REFUSED_STREAM].contains(reason)
            };
            return error.reason().filter(|reason| !is_refusal(reason));
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server() -> ServerProtocol {
        Protocols::of_server(&Arc::default(), &Url::parse("https://h:81/a").unwrap())
    }

    #[test]
    fn two_failures_one_after_the_other_are_enough() {
        let server = server();
        let broken = h2::Error::from(h2::Reason::PROTOCOL_ERROR);
        let asked = Instant::now();
        assert!(server.failed(&broken, asked));
        assert!(server.failed(&broken, asked));
        assert_eq!(server.version(), Version::Http2, "one connection has broken");
        assert!(!server.failed(&h2::Error::from(h2::Reason::REFUSED_STREAM), Instant::now()));
        assert!(!server.failed(&std::io::Error::other("no HTTP"), Instant::now()));
        assert_eq!(server.version(), Version::Http2);
        assert!(server.failed(&broken, Instant::now()));
        assert_eq!(server.version(), Version::Http1);
    }

    #[test]
    fn a_server_that_asks_for_the_old_version_gets_it() {
        let server = server();
        assert!(server.failed(&h2::Error::from(h2::Reason::HTTP_1_1_REQUIRED), Instant::now()));
        assert_eq!(server.version(), Version::Http1);
    }
}
