//! The summary of a remote, for the commands that show it.

use std::path::Path;

use osier::error::Context as _;
use osier::progress::Silent;
use osier::remote::origin::{self, Origin, OriginOptions};
use osier::remote::{self, Demands};
use osier::repo::Repo;
use osier::summary::cache::Cache;
use osier::summary::fetch::{self, Place};
use osier::summary::store;
use osier::summary::verify::{self, Asker};

use super::super::context;
use super::super::error::Failure;
use super::super::origin as defaults;
use super::super::trust::trust;

/// A summary that has been fetched and verified.
pub(super) struct Fetched {
    /// The bytes of the summary, if there is one.
    pub(super) summary: Option<Vec<u8>>,
    /// Those of its signatures.
    pub(super) signature: Option<Vec<u8>>,
    /// What the remote demands.
    pub(super) demands: Demands,
}

/// Fetches the summary of the remote with that name.
pub(super) fn fetch(
    repo: &Repo,
    name: &str,
    cache_directory: Option<&Path>,
) -> Result<Fetched, Failure> {
    let remote = remote::find(repo, None, name)?;
    let config = remote.config()?;
    let demands = Demands::of_remote(repo, None, &remote, &trust())?;
    if let Some(path) = origin::local_path(&config, None) {
        let source = Repo::open_with(&path, &context::open_options()?);
        let source = source.context(|| "opening repo".to_owned())?;
        let summary = store::load_bytes_if_present(&source)?;
        let signature = store::load_signature(&source)?;
        let (bytes, signatures) = (summary.as_deref(), signature.as_deref());
        verify::verify(&demands.summary, bytes, signatures, Asker::Viewer)?;
        return Ok(Fetched { summary, signature, demands });
    }
    // A cache that cannot be written, as for users of the system's repository, is not used.
    let cache = match Cache::open(repo, cache_directory) {
        Ok(cache) => Some(cache),
        Err(error) if cache_directory.is_none() => {
            log::debug!("no cache of summaries: {}", error.chain());
            None
        }
        Err(error) => return Err(error.into()),
    };
    let options = OriginOptions { gzip: true, ..defaults::options() };
    let origin = Origin::open(repo, name, &config, &options, &Silent)?;
    let place =
        Place { remote: name, origin: &origin, cache: cache.as_ref(), refuse_invalid_cache: false };
    let fetched = fetch::fetch(&place, &demands.summary, Asker::Viewer)?;
    Ok(Fetched {
        summary: fetched.summary.map(|file| file.bytes),
        signature: fetched.signature.map(|file| file.bytes),
        demands,
    })
}
