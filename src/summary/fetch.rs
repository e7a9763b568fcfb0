//! The summary of a remote, with its signature, verified.
//!
//! ```text
//! 1. GET summary.sig, unless it is the cached one      then the cached summary is used
//! 2. GET summary, unless it is the cached one
//! 3. the pair is verified; a cached summary that fails is fetched once more
//! 4. a signed pair goes into the cache
//! ```

use super::cache::{Cache, Cached};
use super::format::Summary;
use super::verify::{self, Asker};
use crate::error::{Error, Result};
use crate::http::Validators;
use crate::remote::origin::{Ask, Fetched, Origin, Side};
use crate::sign::Policy;

/// The summary of a remote, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteSummary {
    /// The file `summary`; `None` if the remote has none.
    pub summary: Option<Cached>,
    /// The file `summary.sig`.
    pub signature: Option<Cached>,
}

/// Where a summary comes from.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    /// The remote's name.
    pub remote: &'p str,
    /// The remote's files.
    pub origin: &'p Origin<'p>,
    /// Summaries that were fetched before; `None` for no use of them.
    pub cache: Option<&'p Cache>,
    /// Whether a cached summary that is not valid is an error, for tests.
    pub refuse_invalid_cache: bool,
}

/// Whether a file was fetched just now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Server,
    Cache,
}

/// Fetches the summary of a remote and verifies it.
///
/// # Errors
/// When it cannot be fetched, a demanded signature is missing or none is valid, it is no summary,
/// or the cache cannot be used.
pub fn fetch(place: &Place<'_>, policy: &Policy, asker: Asker) -> Result<RemoteSummary> {
    let names =
        Names { summary: place.remote.to_owned(), signature: format!("{}.sig", place.remote) };
    let read = |name: &str| place.cache.map_or(Ok(None), |cache| cache.read(name));
    let (cached, cached_signature) = (read(&names.summary)?, read(&names.signature)?);
    let signature = get(place, "summary.sig", cached_signature.as_ref())?;
    let is_same = match (&signature, &cached_signature) {
        (Some((_, From::Cache)), _) => true,
        (Some((new, From::Server)), Some(old)) => new.bytes == old.bytes,
        _ => false,
    };
    let mut summary = match cached {
        _ if place.origin.summary().is_some() => place.origin.summary().map(|bytes| {
            let file = Cached { bytes: bytes.to_vec(), validators: Validators::default() };
            (file, From::Server)
        }),
        Some(cached) if is_same => Some((cached, From::Cache)),
        cached => get(place, "summary", cached.as_ref())?,
    };
    let signature = signature.map(|(file, _)| file);
    let check = |summary: &Option<(Cached, From)>| {
        let bytes = summary.as_ref().map(|(file, _)| file.bytes.as_slice());
        verify::verify(policy, bytes, signature.as_ref().map(|file| file.bytes.as_slice()), asker)
    };
    if let Err(error) = check(&summary) {
        if !matches!(summary, Some((_, From::Cache))) || asker == Asker::Viewer {
            return Err(error);
        }
        if place.refuse_invalid_cache {
            return Err(Error::failed(format!(
                "Remote {} cached summary invalid and OSTREE_REPO_TEST_ERROR_INVALID_CACHE \
                 specified",
                place.remote
            )));
        }
        // What a kill left in the cache may not be a pair.
        log::debug!("the cached summary of {} is not valid: {}", place.remote, error.chain());
        summary = get(place, "summary", None)?;
        check(&summary)?;
    }
    if let Some((file, _)) = summary.as_ref().filter(|(file, _)| !file.bytes.is_empty()) {
        Summary::decode(&file.bytes).map_err(|error| Error::failed(error.to_string()))?;
    }
    if let (Some((file, From::Server)), Some(signature), Some(cache)) =
        (&summary, &signature, place.cache)
    {
        cache.write(&names.summary, file)?;
        cache.write(&names.signature, signature)?;
    }
    Ok(RemoteSummary { summary: summary.map(|(file, _)| file), signature })
}

struct Names {
    summary: String,
    signature: String,
}

fn get(place: &Place<'_>, name: &str, cached: Option<&Cached>) -> Result<Option<(Cached, From)>> {
    let unless = cached.map_or_else(Validators::default, |cached| cached.validators.clone());
    let ask = Ask { unless, ..Ask::default() };
    Ok(match (place.origin.fetch(Side::Meta, name, &ask)?, cached) {
        (Fetched::Absent, _) => None,
        (Fetched::NotModified, Some(cached)) => Some((cached.clone(), From::Cache)),
        (Fetched::NotModified, None) => {
            return Err(Error::failed(format!("{name}: the server says that nothing has changed")));
        }
        (Fetched::File(bytes, validators), _) => Some((Cached { bytes, validators }, From::Server)),
    })
}
