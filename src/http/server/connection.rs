//! The thread of a server, and its connections.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue, SERVER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::TokioTimer;
use percent_encoding::percent_decode_str;
use tokio::sync::{Semaphore, oneshot};

use super::body::Outgoing;
use super::exchange::{Answer, Method, Received};
use super::stall::Stream;

/// What a server allows its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Connections at a time; further ones wait until one is closed. 256 by default.
    pub connections: usize,
    /// How long a client may take for the headers of a request, and for the next request on a
    /// connection. 30 seconds by default.
    pub header_time: Duration,
    /// How long a client may take nothing of what it has asked for. 60 seconds by default.
    pub stall_time: Duration,
}

/// A web server. Dropping it closes its connections.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The largest head of a request, in bytes.
const HEAD_SIZE: usize = 64 << 10;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// How long to wait when the system has no descriptor for another connection.
const PAUSE: Duration = Duration::from_millis(100);

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections: 256,
            header_time: Duration::from_secs(30),
            stall_time: Duration::from_secs(60),
        }
    }
}

type Handler = dyn Fn(&Received) -> Answer + Send + Sync;

impl Server {
    /// Starts to answer what comes to a socket with what `handler` says. It is called on several
    /// threads at a time and may block. When it panics the connection is closed.
    ///
    /// # Errors
    /// When the socket has no address or no thread can be started.
    pub fn start(
        listener: TcpListener,
        options: ServerOptions,
        handler: impl Fn(&Received) -> Answer + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(8)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let handler: Arc<Handler> = Arc::new(handler);
        let serve = move || {
            runtime.block_on(async {
                tokio::spawn(accept(listener, options, handler));
                // The sender says nothing; that it is gone is the sign.
                let _ = stopped.await;
            });
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("http-server".to_owned()).spawn(serve)?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, options: ServerOptions, handler: Arc<Handler>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let places = Arc::new(Semaphore::new(options.connections));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let stream = Stream::new(stream, options.stall_time);
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(options.header_time)
            .max_buf_size(HEAD_SIZE)
            .max_headers(MAX_HEADERS);
        let handler = Arc::clone(&handler);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let handler = Arc::clone(&handler);
                async move { Ok::<_, Infallible>(respond(handler, request).await) }
            });
            // A client that has gone, or broke the rules, is no problem of the server.
            let _ = builder.serve_connection(stream, service).await;
            drop(place);
        });
    }
}

async fn respond(handler: Arc<Handler>, request: Request<Incoming>) -> Response<Outgoing> {
    let answer = match received(&request) {
        Some(received) => {
            // Files are read and hashed there.
            let answered = tokio::task::spawn_blocking(move || handler(&received)).await;
            answered.unwrap_or_else(|_| Answer::new(500))
        }
        None => Answer::new(400),
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: Vec<_> = answer
        .headers
        .iter()
        .filter_map(|(name, value)| {
            let value = HeaderValue::from_str(value).ok()?;
            Some((HeaderName::from_static(name), value))
        })
        .collect();
    let mut response = Response::new(Outgoing::new(answer));
    *response.status_mut() = status;
    response.headers_mut().insert(SERVER, HeaderValue::from_static("osier"));
    for (name, value) in headers {
        response.headers_mut().append(name, value);
    }
    response
}

/// The request as handlers get it; `None` for one that is not allowed.
fn received(request: &Request<Incoming>) -> Option<Received> {
    let method = match *request.method() {
        hyper::Method::GET => Method::Get,
        hyper::Method::HEAD => Method::Head,
        _ => Method::Other,
    };
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = request.headers().iter();
    let headers: Vec<(String, String)> = headers
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)))
        .collect();
    let named = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let mut hosts = request.headers().get_all(hyper::header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return None,
        (Some(host), None) => named.or(Some(text(host)?)),
        (None, None) if request.version() == Version::HTTP_11 => return None,
        (None, None) => named,
    };
    if host.as_deref().is_some_and(|host| !is_host(host)) {
        return None;
    }
    let path = percent_decode_str(request.uri().path()).collect::<Vec<u8>>();
    let (raw_path, query) = (request.uri().path().to_owned(), request.uri().query());
    let query = query.map(str::to_owned);
    Some(Received { method, path: without_dots(&path), raw_path, query, host, headers })
}

fn is_host(host: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    host.bytes().all(is_allowed)
}

/// Takes `.` and `..` out of a path, which is then absolute.
fn without_dots(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut components =
        path.strip_prefix(b"/").unwrap_or(path).split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        match component {
            b"." | b".." => {
                if component == b".." {
                    kept.pop();
                }
                if components.peek().is_none() {
                    kept.push(b"");
                }
            }
            other => kept.push(other),
        }
    }
    [b"/", kept.join(&b'/').as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_root() {
        for (path, expected) in [
            ("/", "/"),
            ("", "/"),
            ("*", "/*"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("//a", "//a"),
            ("/./a/.", "/a/"),
            ("/a/../b", "/b"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("/a/.../b", "/a/.../b"),
        ] {
            let found = without_dots(path.as_bytes());
            assert_eq!(str::from_utf8(&found).unwrap(), expected, "{path}");
        }
    }
}
