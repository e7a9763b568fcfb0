//! One request from the first connection to the last byte of the body.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::legacy::Client as Pool;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::classified::classified;
use super::connect::Connector;
use super::gunzip::Gunzip;
use super::lanes::{Head, Lanes};
use super::options::Downgrade;
use super::protocols::{MOST_FAILURES, Protocols, ServerProtocol, Version};
use super::reading::{self, Pace, Reading, memory_for_waiting};
use super::request::Body;
use super::{
    ClientOptions, Cookies, HttpError, HttpErrorKind, Request, Response, Scheme, Signatures,
    Status, Url, Validators,
};

/// The most that is read of the body of an answer that is no success, so that its connection can be
/// used again.
const DRAINED: usize = 64 << 10;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(2);
/// How often a request is sent again that a server has refused unread. Servers end an HTTP/2
/// connection after some number of requests, nginx after 1,000, and those that are on their way by
/// then have to be sent on another one.
const MOST_REFUSALS: u32 = 50;

/// A request as it is sent.
type Prepared = hyper::Request<Empty<Bytes>>;

pub(super) struct Pools {
    pub(super) plain: Pool<Connector, Empty<Bytes>>,
    /// Or why there is no TLS.
    pub(super) secure: Result<Lanes, String>,
    pub(super) connector: Connector,
}

pub(super) struct Exchange {
    pools: Pools,
    options: ClientOptions,
    /// For the bytes of bodies that wait for their readers.
    memory: Arc<Semaphore>,
}

impl Pools {
    /// Which protocol the server of an HTTPS URL is spoken to in.
    fn protocols(&self, url: &Url) -> Option<ServerProtocol> {
        let lanes = self.secure.as_ref().ok().filter(|_| url.scheme() == Scheme::Https)?;
        Some(Protocols::of_server(lanes.protocols(), url))
    }
}

impl Exchange {
    pub(super) fn new(pools: Pools, options: ClientOptions) -> Self {
        Self { pools, options, memory: memory_for_waiting() }
    }

    /// Sends the request, follows redirects, and returns the head of the last answer; the body
    /// follows from a task of its own.
    pub(super) async fn run(&self, request: Request) -> Result<Response, HttpError> {
        let deadline = self.options.timeouts.total.map(|total| Instant::now() + total);
        let start = self.start(&request, deadline);
        let (url, head) = match deadline {
            None => start.await?,
            Some(deadline) => {
                let late = |_| {
                    HttpError::new(
                        &request.url,
                        HttpErrorKind::Stalled,
                        "the server does not answer in time",
                    )
                };
                timeout_at(deadline, start).await.map_err(late)??
            }
        };
        self.respond(request, url, head, deadline).await
    }

    async fn start(
        &self,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<(Url, Head), HttpError> {
        let mut url = request.url.clone();
        let mut redirects = 0;
        loop {
            let head = self.send(request, &url, deadline).await?;
            let Some(next) = redirect(&head, &url)? else {
                let status = head.status();
                if status.is_success() || status == hyper::StatusCode::NOT_MODIFIED {
                    return Ok((url, head));
                }
                let retry_after = retry_after(head.headers());
                drain(head).await;
                let kind = HttpErrorKind::of_status(status.as_u16(), retry_after);
                return Err(HttpError::new(
                    &url,
                    kind,
                    format!("Server returned HTTP {}", status.as_u16()),
                ));
            };
            drain(head).await;
            redirects += 1;
            if redirects > self.options.max_redirects {
                let what = format!("more than {} redirects", self.options.max_redirects);
                return Err(HttpError::new(&request.url, HttpErrorKind::Invalid, what));
            }
            let leaves_tls = url.scheme() == Scheme::Https && next.scheme() == Scheme::Http;
            if leaves_tls && self.options.downgrade == Downgrade::Refused {
                let what = format!("redirected from https to {next}");
                return Err(HttpError::new(&url, HttpErrorKind::Invalid, what));
            }
            url = next;
        }
    }

    /// One request and the head of its answer.
    async fn send(
        &self,
        request: &Request,
        url: &Url,
        deadline: Option<Instant>,
    ) -> Result<Head, HttpError> {
        let mut again = true;
        let (mut refusals, mut failures) = (0, 0);
        let protocol = self.pools.protocols(url);
        loop {
            let prepared = self.signed(self.prepare(request, url)?, url).await?;
            let asked = Instant::now();
            let version = protocol.as_ref().map_or(Version::Http2, ServerProtocol::version);
            let answer = async {
                match (url.scheme(), &self.pools.secure) {
                    (Scheme::Http, _) => Ok(self.pools.plain.request(prepared).await),
                    (Scheme::Https, Ok(secure)) => Ok(secure.request(prepared, version).await),
                    (Scheme::Https, Err(why)) => {
                        Err(HttpError::new(url, HttpErrorKind::Invalid, why.clone()))
                    }
                    (Scheme::File, _) => {
                        let what = "no server answers for files".to_owned();
                        Err(HttpError::new(url, HttpErrorKind::Invalid, what))
                    }
                }
            };
            let limit = self.options.timeouts.response.unwrap_or(Duration::MAX);
            let until = [deadline, Instant::now().checked_add(limit)].into_iter().flatten().min();
            let late = |_| {
                HttpError::new(url, HttpErrorKind::Stalled, "the server does not answer in time")
            };
            let answer = match until {
                Some(until) => timeout_at(until, answer).await.map_err(late)??,
                None => answer.await?,
            };
            match answer {
                Ok(head) => return Ok(head),
                // The server closed a connection that was kept, just when the request went out on
                // it.
                Err(error) if again && is_early_end(&error) => again = false,
                Err(error) if refusals < MOST_REFUSALS && is_refused_unread(&error) => {
                    refusals += 1;
                }
                Err(error) => {
                    let is_http2 = protocol.as_ref().is_some_and(|p| p.failed(&error, asked));
                    // It is not the server as such that has failed.
                    if !is_http2 || failures >= MOST_FAILURES {
                        return Err(classified(url, &error));
                    }
                    failures += 1;
                }
            }
        }
    }

    fn prepare(&self, request: &Request, url: &Url) -> Result<Prepared, HttpError> {
        let invalid = |what: String| HttpError::new(url, HttpErrorKind::Invalid, what);
        let mut prepared = hyper::Request::get(url.request_target())
            .body(Empty::new())
            .map_err(|error| invalid(format!("the request cannot be made: {error}")))?;
        let proxy = self.pools.connector.plain_proxy(prepared.uri());
        let headers = prepared.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if request.gzip {
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let is_home = url.is_same_server(&request.url);
        if let Some((user, password)) = url.credentials() {
            let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
            let mut value =
                HeaderValue::try_from(value).map_err(|error| invalid(error.to_string()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(credentials) = proxy.as_ref().and_then(|proxy| proxy.basic_auth()) {
            headers.insert(header::PROXY_AUTHORIZATION, credentials.clone());
        }
        if let Some(Cookies(cookies)) = &self.options.cookies
            && let Some(value) = cookies(url)
        {
            let mut value = HeaderValue::try_from(value)
                .map_err(|_| invalid("a cookie cannot be sent".into()))?;
            value.set_sensitive(true);
            headers.insert(header::COOKIE, value);
        }
        for (name, value) in validator_headers(request) {
            headers.insert(
                name,
                HeaderValue::try_from(value).map_err(|error| invalid(error.to_string()))?,
            );
        }
        let private = &self.options.private_headers;
        if private.servers.iter().any(|server| server.is_same_server(url)) {
            for (name, value) in &private.headers {
                let parsed = HeaderName::try_from(name)
                    .map_err(|_| invalid("a secret header has a name that is none".to_owned()))?;
                let mut value = HeaderValue::try_from(value).map_err(|_| {
                    invalid(format!("the secret header '{name}' has a value that cannot be sent"))
                })?;
                value.set_sensitive(true);
                headers.insert(parsed, value);
            }
        }
        for (name, value) in self.options.headers.iter().chain(&request.headers) {
            let parsed = HeaderName::try_from(name)
                .map_err(|_| invalid(format!("'{name}' is no name of a header")))?;
            if !is_home && [header::AUTHORIZATION, header::COOKIE].contains(&parsed) {
                continue;
            }
            match value.is_empty() {
                true => drop(headers.remove(parsed)),
                false => {
                    let value = HeaderValue::try_from(value);
                    let value = value.map_err(|_| {
                        invalid(format!("the header '{name}' has a value that cannot be sent"))
                    });
                    headers.insert(parsed, value?);
                }
            }
        }
        Ok(prepared)
    }

    /// Adds the headers that sign it.
    async fn signed(&self, mut request: Prepared, url: &Url) -> Result<Prepared, HttpError> {
        for Signatures(sign) in &self.options.signatures {
            let failed = |what: String| HttpError::new(url, HttpErrorKind::Invalid, what);
            let (sign, escaped) = (Arc::clone(sign), url.without_plus_signs());
            let target = escaped.request_target();
            let signing = tokio::task::spawn_blocking(move || sign(&escaped));
            let headers = signing.await.map_err(|error| failed(error.to_string()))?;
            let headers = headers.map_err(failed)?;
            if headers.is_empty() {
                continue;
            }
            *request.uri_mut() = target.parse().map_err(|_| failed("no URL to sign".to_owned()))?;
            for (name, value) in headers {
                let name = HeaderName::try_from(name).map_err(|error| failed(error.to_string()))?;
                let value = HeaderValue::try_from(value);
                let mut value = value.map_err(|error| failed(error.to_string()))?;
                value.set_sensitive(true);
                request.headers_mut().insert(name, value);
            }
            break;
        }
        Ok(request)
    }

    async fn respond(
        &self,
        request: Request,
        url: Url,
        head: Head,
        deadline: Option<Instant>,
    ) -> Result<Response, HttpError> {
        let status = match head.status().as_u16() {
            304 => Status::NotModified,
            206 => match range_start(head.headers()) {
                Some(from) if from == request.from => Status::From(from),
                _ => {
                    return Err(HttpError::new(
                        &url,
                        HttpErrorKind::Status(206),
                        "the server sent another range than was asked for",
                    ));
                }
            },
            _ => Status::Whole,
        };
        let text = |name| {
            head.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let validators =
            Validators { etag: text(header::ETAG), last_modified: text(header::LAST_MODIFIED) };
        let gunzip = (request.gzip && is_gzip(head.headers())).then(Gunzip::default);
        let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
        let length = length.filter(|_| gunzip.is_none());
        let http2 = head.version() == hyper::Version::HTTP_2;
        if length.is_some_and(|length| length > request.limit) {
            return Err(HttpError::too_large(&url, request.limit));
        }
        let mut incoming = Reading {
            body: head.into_body(),
            url: url.clone(),
            left: request.limit,
            limit: request.limit,
            deadline,
            pace: Pace::new(self.options.timeouts.low_speed),
            idle: self.options.timeouts.idle,
            gunzip,
            protocols: self.pools.protocols(&url),
        };
        let mut first = BytesMut::new();
        let mut ended = status == Status::NotModified;
        let mut broken = None;
        while !ended && broken.is_none() && first.len() <= request.collect && request.collect > 0 {
            match incoming.next().await {
                Ok(Some(chunk)) => first.extend_from_slice(&chunk),
                Ok(None) => ended = true,
                Err(error) if first.is_empty() => return Err(error),
                // What came may be of use to a reader that asks for the rest.
                Err(error) => broken = Some(error),
            }
        }
        let rest = match (ended, broken) {
            (true, _) => None,
            (false, Some(error)) => Some(reading::broken(error)),
            (false, None) => Some(incoming.in_background(Arc::clone(&self.memory))),
        };
        let body = Body::new(&url, first.freeze(), rest);
        Ok(Response { url, status, validators, length, http2, body })
    }
}

/// `Range` with its `If-Range`, or what makes the request conditional.
fn validator_headers(request: &Request) -> Vec<(HeaderName, String)> {
    let Validators { etag, last_modified } = &request.unless;
    let mut headers = Vec::new();
    if request.from > 0 {
        headers.push((header::RANGE, format!("bytes={}-", request.from)));
        let strong = etag.as_ref().filter(|etag| !etag.starts_with("W/"));
        headers.extend(
            strong.or(last_modified.as_ref()).map(|value| (header::IF_RANGE, value.clone())),
        );
        return headers;
    }
    headers.extend(etag.iter().map(|value| (header::IF_NONE_MATCH, value.clone())));
    headers.extend(last_modified.iter().map(|value| (header::IF_MODIFIED_SINCE, value.clone())));
    headers
}

/// Where a redirect leads; `None` for an answer that is none.
fn redirect(head: &Head, url: &Url) -> Result<Option<Url>, HttpError> {
    if !matches!(head.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = head.headers().get(header::LOCATION) else { return Ok(None) };
    let location = String::from_utf8_lossy(location.as_bytes());
    let next = url.resolve(&location);
    next.map(Some).map_err(|error| {
        HttpError::new(url, HttpErrorKind::Invalid, format!("bad redirect: {error}"))
    })
}

/// Reads what little an answer without use holds, so that its connection serves the next request.
async fn drain(head: Head) {
    let mut body = head.into_body();
    let read = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > DRAINED {
                return;
            }
        }
    };
    let _ = timeout(DRAIN_TIME, read).await;
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    date.duration_since(std::time::SystemTime::now()).ok()
}

fn is_gzip(headers: &HeaderMap) -> bool {
    let encoding = headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    encoding.is_some_and(|name| ["gzip", "x-gzip"].contains(&name.to_ascii_lowercase().as_str()))
}

/// The first byte of `Content-Range: bytes FIRST-LAST/SIZE`.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    text.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

fn is_early_end(error: &hyper_util::client::legacy::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    !error.is_connect()
        && cause.is_some_and(|cause| cause.is_incomplete_message() || cause.is_canceled())
}

/// Whether the server says that it has not looked at the request.
fn is_refused_unread(error: &hyper_util::client::legacy::Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    let error = cause.and_then(|cause| cause.source()?.downcast_ref::<h2::Error>());
    error.is_some_and(|error| match error.reason() {
        Some(h2::Reason::NO_ERROR) => error.is_go_away() && error.is_remote(),
        Some(h2::Reason::REFUSED_STREAM) => error.is_reset() && error.is_remote(),
        _ => false,
    })
}
