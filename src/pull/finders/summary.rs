//! What a summary says of the wanted refs.

use super::Listed;
use crate::error::{Error, Result};
use crate::gvariant::Dict;
use crate::pull::decode_summary;
use crate::refspec::{CollectionId, CollectionRef};
use crate::summary::{SummaryRef, key, ref_key};

/// Which collections of a summary count.
#[derive(Clone, Copy)]
pub(super) enum Scope<'c> {
    /// All of them.
    All,
    /// That one.
    Only(&'c CollectionId),
}

/// What a remote has.
pub(super) struct Offer {
    /// Of each wanted ref.
    pub(super) listed: Vec<Option<Listed>>,
    /// The time of the summary, in seconds since 1970.
    pub(super) last_modified: Option<u64>,
}

/// Reads a summary.
///
/// # Errors
/// When it is malformed.
pub(super) fn offer(bytes: &[u8], wanted: &[CollectionRef], scope: Scope<'_>) -> Result<Offer> {
    let summary = decode_summary(bytes)?;
    let map = summary.collection_map().map_err(|error| Error::failed(error.to_string()))?;
    let own = summary.metadata.get(key::COLLECTION_ID);
    let own = own.and_then(|value| value.view().as_str().map(str::to_owned));
    let find = |name: &CollectionRef| {
        if matches!(scope, Scope::Only(collection) if *collection != name.collection) {
            return None;
        }
        let is_own = own.as_deref() == Some(name.collection.as_str());
        let others = map.iter().filter(|(id, _)| *id == name.collection.as_str());
        let lists = is_own.then_some(&summary.refs).into_iter();
        lists.chain(others.map(|(_, refs)| refs)).find_map(|refs| entry(refs, name))
    };
    Ok(Offer {
        listed: wanted.iter().map(find).collect(),
        last_modified: time(&summary.metadata, key::LAST_MODIFIED),
    })
}

fn entry(refs: &[SummaryRef], name: &CollectionRef) -> Option<Listed> {
    let found = refs.iter().find(|entry| entry.name == name.name.as_str())?;
    Some(Listed {
        commit: found.commit,
        size: found.commit_size,
        timestamp: time(&found.metadata, ref_key::TIMESTAMP),
    })
}

/// A big-endian number.
fn time(metadata: &Dict, key: &str) -> Option<u64> {
    metadata.get(key)?.view().as_u64().map(u64::from_be)
}
