//! What is asked for: refs and commits of the source.

use super::PullOptions;
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::gvariant::table::HashTable;
use crate::refspec::{RefName, Refspec, validate_remote_name};
use crate::repo::{ListRefs, Repo};

/// What to pull.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The commits in upstream's order, with the ref that each was found by.
    pub(super) commits: Vec<(Checksum, Option<String>)>,
    /// The refs to set.
    pub(super) refs: Vec<(Refspec, Checksum)>,
}

/// Finds the commits that are asked for.
///
/// Upstream keeps refs in a hash table. Its order decides which ref is told to be missing, and, where several refs name
/// one commit, which of them is held against the commit's bindings.
pub(super) fn resolve(source: &Repo, options: &PullOptions) -> Result<Wanted> {
    let mut table = HashTable::new();
    let mut wanted = Wanted::default();
    if options.wanted.is_empty() {
        let mut listed = HashTable::new();
        for (refspec, _) in source.list_refs(None, ListRefs::Full)? {
            listed.insert(refspec, ());
        }
        for (refspec, ()) in listed.into_iter() {
            table.insert(refspec.as_str(), parse(&refspec)?);
        }
    }
    for text in &options.wanted {
        match Checksum::from_hex(text) {
            Ok(commit) => wanted.commits.push((commit, None)),
            Err(_) => drop(table.insert(text.as_str(), parse(text)?)),
        }
    }
    for (text, name) in table.into_iter() {
        let commit = find(source, &name)?.ok_or_else(|| Error::RefNotFound { refspec: text.clone() })?;
        let refspec = Refspec { remote: options.remote.clone(), name };
        if let Some(remote) = &refspec.remote {
            validate_remote_name(remote)
                .map_err(|_| Error::failed(format!("Invalid refspec {remote}:{}", refspec.name.as_str())))?;
        }
        wanted.commits.push((commit, Some(text)));
        wanted.refs.push((refspec, commit));
    }
    Ok(wanted)
}

/// The commit of a ref in `refs/heads` of the source or of its parents; those of remotes do not count.
fn find(source: &Repo, name: &RefName) -> Result<Option<Checksum>> {
    let mut repo = Some(source);
    while let Some(searched) = repo {
        if let Some(commit) = searched.read_local_ref(name)? {
            return Ok(Some(commit));
        }
        repo = searched.parent();
    }
    Ok(None)
}

fn parse(text: &str) -> Result<RefName> {
    Ok(RefName::parse(text)?)
}
