//! Connections of one client over TLS: a few pools side by side, so that HTTP/2, of which a pool
//! has one connection to each server, can use more than one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;

use super::connect::Connector;
use super::protocols::{Protocols, Version};

/// The head of an answer, and its body.
pub(super) type Head = hyper::Response<Incoming>;

/// Pools of which each has at most one HTTP/2 connection to a server.
pub(super) struct Lanes {
    lanes: Vec<Lane>,
    /// For servers that do not get along with HTTP/2.
    http1: SecurePool,
    protocols: Arc<Protocols>,
}

/// Connections over TLS to any servers.
pub(super) type SecurePool = Pool<HttpsConnector<Connector>, Empty<Bytes>>;

struct Lane {
    pool: SecurePool,
    /// Requests whose head has not come.
    waiting: AtomicUsize,
}

/// The most requests that wait for their head on one HTTP/2 connection while another one can be
/// made: about what servers allow.
const REQUESTS_PER_LANE: usize = 100;

impl Lanes {
    pub(super) fn new(pools: Vec<SecurePool>, http1: SecurePool) -> Self {
        let lane = |pool| Lane { pool, waiting: AtomicUsize::new(0) };
        let lanes = pools.into_iter().map(lane).collect();
        Self { lanes, http1, protocols: Arc::default() }
    }

    /// Which servers are spoken to in which protocol.
    pub(super) fn protocols(&self) -> &Arc<Protocols> {
        &self.protocols
    }

    /// Sends a request on the first connection that is not full, else on the emptiest.
    pub(super) async fn request(
        &self,
        request: hyper::Request<Empty<Bytes>>,
        version: Version,
    ) -> Result<Head, hyper_util::client::legacy::Error> {
        if version == Version::Http1 {
            return self.http1.request(request).await;
        }
        let waiting = |lane: &&Lane| lane.waiting.load(Ordering::Relaxed);
        let free = self.lanes.iter().find(|lane| waiting(lane) < REQUESTS_PER_LANE);
        let lane = free.or_else(|| self.lanes.iter().min_by_key(waiting));
        let lane = lane.expect("a client has at least one lane");
        lane.waiting.fetch_add(1, Ordering::Relaxed);
        let _leaves = Leaves(&lane.waiting);
        lane.pool.request(request).await
    }
}

/// Counts down when a request ends, also when it is given up.
struct Leaves<'w>(&'w AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
