//! The thread that serves all requests of a client, and the door to it.

use std::sync::Arc;
use std::thread;

use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connect::Connector;
use super::exchange::{Exchange, Pools};
use super::lanes::Lanes;
use super::protocols::Version;
use super::{ClientOptions, HttpError, HttpErrorKind, Request, Response, tls};

/// Gets what a request asks for. Tests answer from memory.
pub trait Fetch: Sync {
    /// Waits for the head of the response.
    ///
    /// # Errors
    /// When no server gives an answer that is a success.
    fn get(&self, request: Request) -> Result<Response, HttpError>;
}

/// A client with its pool of connections. Dropping it ends what is under way.
#[derive(Debug)]
pub struct Client {
    /// `None` is the end.
    jobs: UnboundedSender<Option<Job>>,
}

struct Job {
    request: Request,
    deliver: Box<dyn FnOnce(Result<Response, HttpError>) + Send>,
}

/// No header, and of HTTP/1.1 no chunk of a body, is larger.
const BUFFER_SIZE: usize = 64 << 10;
/// What a server may send on one HTTP/2 connection, and on one stream, before it is acknowledged:
/// enough for 100 Mbit/s over 300 ms, and for a stream over 100 ms.
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAM_WINDOW: u32 = 1 << 20;
/// HTTP/2 connections to one server at most. One packet lost delays all that one connection
/// carries.
const HTTP2_CONNECTIONS: usize = 3;

impl Client {
    /// Starts a client.
    ///
    /// # Errors
    /// When no thread can be started. What is wrong with TLS is an error of each `https` request.
    pub fn new(options: ClientOptions) -> Result<Self, HttpError> {
        let failed = |what: String| HttpError::new("HTTP client", HttpErrorKind::Invalid, what);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(8)
            .build()
            .map_err(|error| failed(format!("starting the network: {error}")))?;
        let (jobs, queue) = unbounded_channel();
        let serve = move || {
            let exchange = Arc::new(Exchange::new(pools(&options), options));
            runtime.block_on(serve(queue, exchange));
            // A look-up of a name may still block a thread; it is not waited for.
            runtime.shutdown_background();
        };
        let thread = thread::Builder::new().name("http".to_owned()).spawn(serve);
        thread.map_err(|error| failed(format!("starting a thread: {error}")))?;
        Ok(Self { jobs })
    }

    /// Starts a request and returns at once. `deliver` is called on the client's own thread, so it
    /// must not block: it may send the response to another thread, but not read its body. It is
    /// dropped uncalled when the client is.
    pub fn submit(
        &self,
        request: Request,
        deliver: impl FnOnce(Result<Response, HttpError>) + Send + 'static,
    ) {
        // The thread ends only after this sender is gone, or when it was told to.
        let _ = self.jobs.send(Some(Job { request, deliver: Box::new(deliver) }));
    }

    /// Ends what is under way, also bodies that are being read. Later requests fail.
    pub fn end(&self) {
        let _ = self.jobs.send(None);
    }
}

impl Fetch for Client {
    fn get(&self, request: Request) -> Result<Response, HttpError> {
        let url = request.url.clone();
        let (answer, answers) = std::sync::mpsc::sync_channel(1);
        self.submit(request, move |result| drop(answer.send(result)));
        let ended = || HttpError::new(url, HttpErrorKind::Broken, "the HTTP client ended");
        answers.recv().map_err(|_| ended())?
    }
}

async fn serve(mut queue: UnboundedReceiver<Option<Job>>, exchange: Arc<Exchange>) {
    while let Some(Some(Job { request, deliver })) = queue.recv().await {
        let exchange = Arc::clone(&exchange);
        tokio::spawn(async move { deliver(exchange.run(request).await) });
    }
}

fn pools(options: &ClientOptions) -> Pools {
    let mut builder = Pool::builder(TokioExecutor::new());
    builder
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .http1_max_buf_size(BUFFER_SIZE)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_max_header_list_size(BUFFER_SIZE as u32);
    // A dead HTTP/2 connection is replaced while the requests on it can still be repeated in time.
    if let Some(limit) = options.timeouts.response {
        builder.http2_keep_alive_interval(limit / 4).http2_keep_alive_timeout(limit / 4);
    }
    let connector = Connector::new(options);
    let secure = tls::configuration(options).map(|config| {
        let pool = |version| {
            let schemes = HttpsConnectorBuilder::new().with_tls_config(config.clone()).https_only();
            let http1 = schemes.enable_http1();
            let https = match version {
                Version::Http2 => http1.enable_http2().wrap_connector(connector.clone()),
                Version::Http1 => http1.wrap_connector(connector.clone()),
            };
            builder.build(https)
        };
        let version = if options.http2 { Version::Http2 } else { Version::Http1 };
        let lanes = (0..HTTP2_CONNECTIONS).map(|_| pool(version)).collect();
        Lanes::new(lanes, pool(Version::Http1))
    });
    Pools { plain: builder.build(connector.clone()), secure, connector }
}
