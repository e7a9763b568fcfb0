//! Object stores as the places of remotes: `s3://BUCKET[/PREFIX]` becomes the URL under which the
//! store has the bucket, and what signs requests to it. The store's own protocol is not known here.

use std::sync::Arc;

use super::config::{Location, RemoteConfig, Source, StoreSettings};
use crate::error::{Error, Result};
use crate::http::{Signatures, Url};

const SCHEME: &str = "s3://";

/// Opens the buckets that URLs name.
#[derive(Clone)]
pub struct Stores(pub Arc<OpenStore>);

/// Opens the bucket of an `s3://` URL.
pub type OpenStore = dyn Fn(&str, &StoreSettings) -> Result<OpenedStore> + Send + Sync;

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stores")
    }
}

/// A bucket, or what is below a prefix in it.
#[derive(Clone, Debug)]
pub struct OpenedStore {
    /// Its URL.
    pub base: Url,
    /// What signs requests.
    pub signatures: Signatures,
}

/// The buckets of a remote, with the URLs that name them.
pub(super) type Opened = Vec<(String, OpenedStore)>;

/// Opens the buckets that the URLs of a remote name.
///
/// # Errors
/// When one cannot be opened, or there is nothing that opens them.
pub(super) fn open(
    config: &RemoteConfig,
    url: Option<&str>,
    stores: Option<&Stores>,
) -> Result<Opened> {
    let own = match (&config.location, url) {
        (Location::Url(Source::Base(url)), None) => Some(url.as_str()),
        (_, url) => url,
    };
    let content = match &config.content {
        Some(Source::Base(content)) if url.is_none() => Some(content.as_str()),
        _ => None,
    };
    let mut opened = Opened::new();
    for url in [own, content].into_iter().flatten().filter(|url| url.starts_with(SCHEME)) {
        let Some(Stores(open)) = stores else {
            let message = format!("{url}: this osier is built without the feature 's3'");
            return Err(Error::failed(message));
        };
        opened.push((url.to_owned(), open(url, &config.store)?));
    }
    Ok(opened)
}
