//! Signatures of requests that another client makes: that of pulls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3ConfigKey, AwsAuthorizer, AwsCredential};
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::{GetOptions, ObjectStore as _};
use tokio::runtime::Runtime;

use super::credentials::{self, StoreOptions};
use super::crypto::Crypto;
use super::failure::failed;
use super::window::Window;
use crate::error::{Error, Result};
use crate::http::{Signatures, Url};
use crate::push::there::CONFIG;
use crate::remote::stores::OpenedStore;

/// How long credentials are used before their source is asked again. It has those that are valid
/// for longer at hand.
const KEPT: Duration = Duration::from_secs(60);
const DEFAULT_REGION: &str = "us-east-1";

/// The place of a bucket for a pull, and what signs requests to it. Asks the bucket for the config.
///
/// # Errors
/// When there are no credentials, or options are wrong; when there is no config, or it may not be
/// read.
pub fn to_pull_from(options: &StoreOptions) -> Result<OpenedStore> {
    let wrong = |error: String| Error::failed(format!("{}: {error}", options.name()));
    let builder = credentials::builder(options, &Arc::new(Window::new()))?;
    let value = |key| builder.get_config_value(&key);
    let region = value(AmazonS3ConfigKey::Region).unwrap_or_else(|| DEFAULT_REGION.to_owned());
    let endpoint = value(AmazonS3ConfigKey::S3Endpoint);
    let endpoint = endpoint.unwrap_or_else(|| format!("https://s3.{region}.amazonaws.com"));
    let is_anonymous = value(AmazonS3ConfigKey::SkipSignature).as_deref() == Some("true");
    let endpoint = Url::parse(&endpoint).map_err(|error| wrong(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let bucket = endpoint.below(&options.bucket);
    let signer = Signer {
        name: options.name(),
        store: builder.build().map_err(|error| wrong(error.to_string()))?,
        bucket: format!("{bucket}/"),
        region,
        runtime: Some(runtime.map_err(|error| wrong(format!("starting the network: {error}")))?),
        credential: Mutex::new(None),
    };
    signer.check(&options.prefix)?;
    let base = if options.prefix.is_empty() { bucket } else { bucket.below(&options.prefix) };
    let sign = move |url: &Url| match is_anonymous || !url.to_string().starts_with(&signer.bucket) {
        true => Ok(Vec::new()),
        false => signer.headers(url),
    };
    Ok(OpenedStore { base, signatures: Signatures(Arc::new(sign)) })
}

struct Signer {
    name: String,
    store: AmazonS3,
    /// What URLs below the bucket begin with.
    bucket: String,
    region: String,
    /// For the sources of credentials; `None` only while it is dropped.
    runtime: Option<Runtime>,
    credential: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl Signer {
    fn headers(&self, url: &Url) -> Result<Vec<(String, String)>, String> {
        let credential = self.credential().map_err(|error| error.chain())?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.to_string().parse().map_err(|_| "no URL to sign".to_owned())?;
        let authorizer = AwsAuthorizer::new(&credential, "s3", &self.region).with_crypto(&Crypto);
        let signed = authorizer.try_authorize(&mut request, None);
        signed.map_err(|error| failed(&self.name, "", &error).chain())?;
        let headers = request.headers().iter();
        let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        Ok(headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect())
    }

    /// Makes sure that the credentials are good: a pull takes files that it may not read for files
    /// that are not there.
    fn check(&self, prefix: &str) -> Result<()> {
        let name = if prefix.is_empty() { CONFIG.to_owned() } else { format!("{prefix}/{CONFIG}") };
        let path = Path::parse(&name).map_err(|error| Error::failed(error.to_string()))?;
        let found = self.wait_for(self.store.get_opts(&path, GetOptions::default()));
        found.map(drop)
    }

    fn wait_for<T>(&self, asked: impl Future<Output = object_store::Result<T>>) -> Result<T> {
        let ended = || Error::failed("the network ended");
        let answer = self.runtime.as_ref().ok_or_else(ended)?.block_on(asked);
        answer.map_err(|error| failed(&self.name, "", &error))
    }

    /// Waits for other threads that ask at the same time.
    fn credential(&self) -> Result<Arc<AwsCredential>> {
        let mut kept = self.credential.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, credential)) = &*kept
            && since.elapsed() < KEPT
        {
            return Ok(Arc::clone(credential));
        }
        let credential = self.wait_for(self.store.credentials().get_credential())?;
        *kept = Some((Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}

/// The thread of the HTTP client may drop it, where a runtime cannot wait for its end.
impl Drop for Signer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
