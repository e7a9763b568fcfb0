//! Requests of any kind, with bodies, for a client that is async itself: that of object stores.

use std::error::Error;

use hyper::body::{Body, Incoming};
use hyper::header::PROXY_AUTHORIZATION;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client as Pool, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::connect::Connector;
use super::{ClientOptions, tls};

/// Pools of connections for bodies of one type. Everything happens on the caller's runtime.
pub(crate) struct Raw<B> {
    plain: Pool<Connector, B>,
    /// Or why there is no TLS.
    secure: Result<Pool<HttpsConnector<Connector>, B>, String>,
    connector: Connector,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RawError {
    /// TLS cannot be used.
    #[error("{0}")]
    Tls(String),
    /// The connection failed.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

impl<B> Raw<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    /// Takes the proxies, roots, client certificate and the time to connect from the options.
    pub(crate) fn new(options: &ClientOptions) -> Self {
        let mut builder = Pool::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).timer(TokioTimer::new());
        let connector = Connector::new(options);
        let secure = tls::configuration(options).map(|config| {
            let schemes = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
            builder.build(schemes.enable_http1().wrap_connector(connector.clone()))
        });
        Self { plain: builder.build(connector.clone()), secure, connector }
    }

    /// Sends a request; redirects are not followed.
    pub(crate) async fn call(
        &self,
        mut request: hyper::Request<B>,
    ) -> Result<hyper::Response<Incoming>, RawError> {
        if let Some(proxy) = self.connector.plain_proxy(request.uri())
            && let Some(credentials) = proxy.basic_auth()
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, credentials.clone());
        }
        match (request.uri().scheme_str(), &self.secure) {
            (Some("https"), Ok(secure)) => Ok(secure.request(request).await?),
            (Some("https"), Err(why)) => Err(RawError::Tls(why.clone())),
            _ => Ok(self.plain.request(request).await?),
        }
    }
}
