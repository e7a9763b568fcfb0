//! Which bucket, and who pushes.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::{BackoffConfig, RetryConfig};

use super::connector::Connector;
use super::crypto::Crypto;
use super::profile::{self, Files, Profile};
use super::window::Window;
use crate::error::{Error, Result};
use crate::http::{ClientOptions, Roots};

/// A bucket and how it is reached.
#[derive(Clone, Debug, Default)]
pub struct StoreOptions {
    /// The bucket.
    pub bucket: String,
    /// Where in the bucket the repository is, without slashes at its ends; empty for the bucket
    /// itself.
    pub prefix: String,
    /// The URL of the store, for one that is not Amazon's. Buckets are below it.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// A profile of the AWS tools.
    pub profile: Option<String>,
    /// Whether the machine is asked for credentials, as those of Amazon have them.
    pub instance_credentials: bool,
    /// The environment: the variables that begin with `AWS_`. They may be secret.
    pub variables: Variables,
    /// The directory of the user, for the files of the AWS tools.
    pub home: Option<PathBuf>,
    /// Proxies, roots, the time to connect.
    pub http: ClientOptions,
}

/// Variables of the environment, which are not shown.
#[derive(Clone, Default)]
pub struct Variables(pub Vec<(String, String)>);

impl std::fmt::Debug for Variables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Variables")
    }
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(variable, _)| variable == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

impl StoreOptions {
    /// What messages call it.
    pub(super) fn name(&self) -> String {
        match self.prefix.as_str() {
            "" => format!("s3://{}", self.bucket),
            prefix => format!("s3://{}/{prefix}", self.bucket),
        }
    }

    fn profile(&self) -> Result<Profile> {
        let file = |variable: &str, name: &str| {
            let given = self.variables.get(variable).map(PathBuf::from);
            given.or_else(|| self.home.as_ref().map(|home| home.join(".aws").join(name)))
        };
        let files = Files {
            config: file("AWS_CONFIG_FILE", "config"),
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials"),
        };
        let name = self.profile.as_deref().or_else(|| self.variables.get("AWS_PROFILE"));
        profile::load(&files, name)
    }
}

/// Makes the client of the store.
///
/// # Errors
/// When there are no credentials, or something is malformed.
pub(super) fn store(options: &StoreOptions, window: &Arc<Window>) -> Result<AmazonS3> {
    let built = builder(options, window)?.build();
    built.map_err(|error| Error::failed(format!("{}: {error}", options.name())))
}

/// What the client of the store is made from.
///
/// # Errors
/// When there are no credentials, or something is malformed.
pub(super) fn builder(options: &StoreOptions, window: &Arc<Window>) -> Result<AmazonS3Builder> {
    let profile = options.profile()?;
    let mut builder = AmazonS3Builder::new();
    for (variable, value) in &options.variables.0 {
        let key = AmazonS3ConfigKey::from_str(&variable.to_ascii_lowercase());
        if let (Ok(key), false) = (key, value.is_empty()) {
            builder = builder.with_config(key, value);
        }
    }
    // A profile that is named counts more than credentials of the environment.
    let is_in_environment = options.variables.get("AWS_ACCESS_KEY_ID").is_some();
    if options.profile.is_some() || !is_in_environment {
        builder = with_credentials(builder, &profile);
    }
    check_credentials(options, &profile)?;
    let given = |option: &Option<String>, variables: &[&str], key: &str| {
        let in_environment = || variables.iter().find_map(|name| options.variables.get(name));
        let found = option.as_deref().or_else(in_environment);
        found.or_else(|| profile.get(key).map(String::as_str)).map(str::to_owned)
    };
    if let Some(region) = given(&options.region, &["AWS_REGION", "AWS_DEFAULT_REGION"], "region") {
        builder = builder.with_region(region);
    }
    let endpoints = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    if let Some(endpoint) = given(&options.endpoint, &endpoints, "endpoint_url") {
        check_endpoint(&endpoint)?;
        builder = builder.with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    let mut http = options.http.clone();
    if let (Some(bundle), Roots::System) = (options.variables.get("AWS_CA_BUNDLE"), &http.roots) {
        http.roots = Roots::File(bundle.into());
    }
    Ok(builder
        .with_bucket_name(&options.bucket)
        .with_virtual_hosted_style_request(false)
        .with_allow_http(true)
        .with_crypto_provider(Arc::new(Crypto))
        .with_http_connector(Connector::new(&http, Arc::clone(window)))
        .with_retry(RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(10),
                base: 2.,
            },
            max_retries: 8,
            retry_timeout: Duration::from_secs(120),
        }))
}

fn with_credentials(mut builder: AmazonS3Builder, profile: &Profile) -> AmazonS3Builder {
    let keys = [
        ("aws_access_key_id", AmazonS3ConfigKey::AccessKeyId),
        ("aws_secret_access_key", AmazonS3ConfigKey::SecretAccessKey),
        ("aws_session_token", AmazonS3ConfigKey::Token),
    ];
    for (name, key) in keys {
        if let Some(value) = profile.get(name) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

/// Without credentials every machine would be asked for its own, which takes minutes where there
/// are none.
fn check_credentials(options: &StoreOptions, profile: &Profile) -> Result<()> {
    let variables = [
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ];
    let is_anonymous = options.variables.get("AWS_SKIP_SIGNATURE") == Some("true");
    let is_given =
        is_anonymous || variables.iter().any(|name| options.variables.get(name).is_some());
    if is_given || profile.contains_key("aws_access_key_id") || options.instance_credentials {
        return Ok(());
    }
    Err(Error::failed(format!(
        "{}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        options.name()
    )))
}

fn check_endpoint(endpoint: &str) -> Result<()> {
    use crate::http::Url;
    match Url::parse(endpoint) {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::failed(format!("the endpoint of the store: {error}"))),
    }
}
