//! The HTTP client of the store's client: that of `http`.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use object_store::ClientOptions as StoreClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use tokio::time::timeout;

use super::window::Window;
use crate::http::{ClientOptions, Raw, RawError};

/// From the last byte of a request to the head of the answer, and until then: a part of a large
/// file takes its time on a slow line.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes clients that share connections.
#[derive(Clone)]
pub(super) struct Connector(Arc<Service>);

struct Service {
    raw: Raw<HttpRequestBody>,
    window: Arc<Window>,
}

impl Connector {
    pub(super) fn new(options: &ClientOptions, window: Arc<Window>) -> Self {
        Self(Arc::new(Service { raw: Raw::new(options), window }))
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &StoreClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'a>>;

impl HttpService for Connector {
    fn call<'s, 'a>(&'s self, request: HttpRequest) -> Answer<'a>
    where
        's: 'a,
        Self: 'a,
    {
        Box::pin(async move {
            let late = |error| HttpError::new(HttpErrorKind::Timeout, error);
            let answer = timeout(PATIENCE, self.0.raw.call(request)).await.map_err(late)?;
            let answer = answer.map_err(classified)?;
            if matches!(answer.status().as_u16(), 429 | 503) {
                self.0.window.is_throttled();
            }
            Ok(answer.map(|body| {
                let broken = |error| HttpError::new(HttpErrorKind::Interrupted, error);
                HttpResponseBody::new(body.map_err(broken))
            }))
        })
    }
}

fn classified(error: RawError) -> HttpError {
    let kind = match &error {
        RawError::Tls(_) => HttpErrorKind::Unknown,
        RawError::Pool(error) if error.is_connect() => HttpErrorKind::Connect,
        RawError::Pool(error) => {
            let cause = error.source().and_then(|cause| cause.downcast_ref::<hyper::Error>());
            match cause {
                Some(cause) if cause.is_timeout() => HttpErrorKind::Timeout,
                Some(cause) if cause.is_parse() => HttpErrorKind::Decode,
                Some(_) => HttpErrorKind::Request,
                None => HttpErrorKind::Unknown,
            }
        }
    };
    HttpError::new(kind, error)
}
