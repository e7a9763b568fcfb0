//! Configured remotes.

use std::sync::Arc;

use rayon::prelude::*;

use super::summary::{Scope, offer};
use super::{Candidate, FindOptions, Finder, Place, gpg_of, usable};
use crate::error::{Context, Result};
use crate::progress::Silent;
use crate::refspec::{CollectionId, CollectionRef, RemoteName};
use crate::remote::origin::{self, Origin};
use crate::remote::{self, Demands, Location, Remote, RemoteConfig};
use crate::repo::Repo;
use crate::summary::cache::Cache;
use crate::summary::fetch::{self, Place as SummaryPlace};
use crate::summary::store;
use crate::summary::verify::{self, Asker};
use crate::threads;

/// The remotes whose collection has one of the wanted refs. Such a remote then counts for all
/// wanted refs that its summary lists.
pub(super) fn find(
    repo: &Repo,
    wanted: &[CollectionRef],
    options: &FindOptions<'_>,
) -> Result<Vec<Candidate>> {
    // A cache that cannot be written, as for users of the system's repository, is not used.
    let cache = match Cache::open(repo, options.cache) {
        Ok(cache) => Some(cache),
        Err(error) if options.cache.is_none() => {
            log::debug!("no cache of summaries: {}", error.chain());
            None
        }
        Err(error) => return Err(error),
    };
    let remotes = remote::list(repo, None)?;
    let look = |remote: Remote| {
        let name = remote.name.clone();
        usable(&name, examine(repo, remote, (wanted, options), cache.as_ref())).flatten()
    };
    threads::run(|| Ok(remotes.into_par_iter().filter_map(look).collect()))
}

fn examine(
    repo: &Repo,
    remote: Remote,
    (wanted, options): (&[CollectionRef], &FindOptions<'_>),
    cache: Option<&Cache>,
) -> Result<Option<Candidate>> {
    let config = remote.config()?;
    let Some(collection) = config.collection()? else { return Ok(None) };
    if !wanted.iter().any(|name| name.collection == collection) {
        return Ok(None);
    }
    let mut demands = Demands::of_remote(repo, None, &remote, options.trust)?;
    demands.commits.gpg = gpg_of(repo, &remote.name, options);
    let name = RemoteName::parse(&remote.name)?;
    let url = displayed_url(&config);
    let (place, bytes) = fetch_summary(repo, remote, (&config, &demands, options), cache)?;
    let Some(bytes) = bytes else { return Ok(None) };
    let offer = offer(&bytes, wanted, Scope::All)?;
    if !has_own(&offer.listed, wanted, &collection) {
        return Ok(None);
    }
    Ok(Some(Candidate {
        finder: Finder::Config,
        name: name.as_str().to_owned(),
        keyring_remote: name,
        url,
        last_modified: offer.last_modified,
        listed: offer.listed,
        place,
        demands: Arc::new(demands),
    }))
}

fn has_own(
    listed: &[Option<super::Listed>],
    wanted: &[CollectionRef],
    collection: &CollectionId,
) -> bool {
    let mut both = wanted.iter().zip(listed);
    both.any(|(name, listed)| name.collection == *collection && listed.is_some())
}

fn displayed_url(config: &RemoteConfig) -> String {
    match &config.location {
        Location::Url(source) => source.to_string(),
        Location::Metalink(url) => format!("metalink={url}"),
        Location::Nowhere => String::new(),
    }
}

fn fetch_summary(
    repo: &Repo,
    remote: Remote,
    (config, demands, options): (&RemoteConfig, &Demands, &FindOptions<'_>),
    cache: Option<&Cache>,
) -> Result<(Place, Option<Vec<u8>>)> {
    if let Some(path) = origin::local_path(config, None) {
        let source = Repo::open_with(&path, options.open).context(|| "opening repo".to_owned())?;
        let summary = store::load_bytes_if_present(&source)?;
        let signature = store::load_signature(&source)?;
        let signature = signature.as_deref();
        verify::verify(&demands.summary, summary.as_deref(), signature, Asker::Pull)?;
        return Ok((Place::Repo(Box::new(source)), summary));
    }
    let origin = Origin::open(repo, &remote.name, config, options.origin, &Silent)?;
    let place =
        SummaryPlace { remote: &remote.name, origin: &origin, cache, refuse_invalid_cache: false };
    let summary = fetch::fetch(&place, &demands.summary, Asker::Pull)?.summary;
    let place = Place::Server(Box::new(remote), Box::new(origin));
    Ok((place, summary.map(|file| file.bytes)))
}
