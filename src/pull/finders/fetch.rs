//! Pulling from the remotes that were found.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::{FoundRemote, Place};
use crate::error::{Error, Result};
use crate::progress::{Event, Progress};
use crate::pull::{PullOptions, Source, SummaryCache, Want, pull_http, pull_local};
use crate::refspec::CollectionRef;
use crate::remote::RemoteConfig;
use crate::repo::{Repo, Trust};

/// How to pull.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchOptions<'o> {
    /// Refs become mirrored ones instead of those of the remote whose keys verify them.
    pub mirror: bool,
    /// Where summaries are cached, instead of the repository's own place.
    pub cache: Option<&'o Path>,
}

/// Pulls the refs that were found, each from the first remote that can deliver it. Commits need an
/// OpenPGP signature of a key of the remote, whatever its configuration says. Returns the refs that
/// none could deliver, in upstream's order; what went wrong becomes warnings.
pub fn pull_from_remotes(
    repo: &Repo,
    found: &[FoundRemote],
    options: &FetchOptions<'_>,
    progress: &dyn Progress,
) -> Vec<CollectionRef> {
    let mut pulled: HashSet<&CollectionRef> = HashSet::new();
    for remote in found {
        let missing: Vec<(&CollectionRef, Want)> = remote
            .refs
            .iter()
            .filter(|(name, _)| !pulled.contains(name))
            .filter_map(|(name, commit)| Some((name, (*commit)?)))
            .map(|(name, commit)| (name, Want::CollectionRefAt(name.clone(), commit)))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let (names, wanted): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        match pull(repo, remote, (wanted, options), progress) {
            Ok(()) => pulled.extend(names),
            Err(error) => {
                let text = format!("warning: pulling from {}: {}", remote.name, error.chain());
                progress.event(Event::Warning(&text));
            }
        }
    }
    let refs = found.first().map_or(&[][..], |remote| remote.refs.as_slice());
    let is_found = |name: &CollectionRef| {
        let mut all = found.iter().flat_map(|remote| &remote.refs);
        all.any(|(other, commit)| other == name && commit.is_some())
    };
    let names = refs.iter().map(|(name, _)| name);
    names.filter(|name| is_found(name) && !pulled.contains(name)).cloned().collect()
}

fn pull(
    repo: &Repo,
    remote: &FoundRemote,
    (wanted, options): (Vec<Want>, &FetchOptions<'_>),
    progress: &dyn Progress,
) -> Result<()> {
    if let Place::Server(configured, _) = &remote.place {
        refuse_unusable(&remote.name, &configured.config()?)?;
    }
    let pull = PullOptions {
        wanted,
        remote: Some(remote.keyring_remote.clone()),
        mirror: options.mirror,
        trust: Trust::Untrusted,
        demands: Arc::clone(&remote.demands),
        ..PullOptions::default()
    };
    match &remote.place {
        Place::Repo(source) => pull_local(repo, source, &pull, progress)?,
        Place::Server(configured, origin) => {
            let config = configured.config()?;
            let source = Source {
                name: &configured.name,
                branches: &config.branches,
                collection: config.collection()?,
                origin,
                cache: options.cache.map_or(SummaryCache::Own, SummaryCache::In),
                local_caches: &[],
            };
            pull_http(repo, &source, &pull, progress)?
        }
    };
    Ok(())
}

fn refuse_unusable(name: &str, config: &RemoteConfig) -> Result<()> {
    if let Some(state) = &config.unconfigured_state {
        return Err(Error::failed(format!("remote unconfigured-state: {state}")));
    }
    match &config.custom_backend {
        Some(backend) => Err(Error::failed(format!(
            "Cannot fetch via libostree - remote '{name}' uses custom backend '{backend}'"
        ))),
        None => Ok(()),
    }
}
