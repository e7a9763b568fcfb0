//! The refs that move once the objects of a transaction are in place.

use std::collections::BTreeMap;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::refspec::{CollectionRef, Refspec};
use crate::repo::Repo;

/// Refs with the commits that they will point to; `None` deletes a ref.
#[derive(Debug, Default)]
pub(in crate::repo) struct RefUpdates {
    refs: BTreeMap<Refspec, Option<Checksum>>,
    collection_refs: BTreeMap<CollectionRef, Option<Checksum>>,
}

impl RefUpdates {
    pub(in crate::repo) fn set(&mut self, refspec: Refspec, commit: Option<Checksum>) {
        self.refs.insert(refspec, commit);
    }

    pub(in crate::repo) fn set_in_collection(
        &mut self,
        name: CollectionRef,
        commit: Option<Checksum>,
    ) {
        self.collection_refs.insert(name, commit);
    }

    /// Updates the refs, one after another.
    pub(in crate::repo) fn write(&self, repo: &Repo) -> Result<()> {
        for (refspec, commit) in &self.refs {
            repo.write_ref(refspec.remote.as_ref(), &refspec.name, commit.as_ref())?;
        }
        for (name, commit) in &self.collection_refs {
            repo.write_collection_ref(name, commit.as_ref())?;
        }
        if self.refs.is_empty() && self.collection_refs.is_empty() { Ok(()) } else { repo.touch() }
    }
}
