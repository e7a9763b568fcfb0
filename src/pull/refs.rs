//! Resolves the requested refs and commits of the source.

use super::{PullOptions, Want};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::gvariant::table::HashTable;
use crate::refspec::{CollectionRef, InvalidRefspec, RefName, Refspec};
use crate::repo::{ListRefs, Repo};

/// What to pull.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The commits in upstream's order, with what each was found by.
    pub(super) commits: Vec<(Checksum, Want)>,
    /// The refs to set.
    pub(super) refs: Vec<(Target, Checksum)>,
}

/// A ref that is to be set.
#[derive(Debug)]
pub(super) enum Target {
    /// A local ref, or one of a remote.
    Ref(Refspec),
    /// A ref of a collection, which is mirrored.
    CollectionRef(CollectionRef),
}

/// Finds the requested commits.
///
/// Upstream keeps refs in a hash table. Its order decides which of several missing refs is
/// reported, and, where several refs name one commit, which of them is held against the commit's
/// bindings.
pub(super) fn resolve(source: &Repo, options: &PullOptions) -> Result<Wanted> {
    let mut table = HashTable::new();
    let mut wanted = Wanted::default();
    if options.wanted.is_empty() {
        let mut listed = HashTable::new();
        for (refspec, _) in source.list_refs(None, ListRefs::Full)? {
            listed.insert(refspec.to_string(), refspec);
        }
        for (text, refspec) in listed.into_iter() {
            // As upstream, which asks for a remote's ref by a name that no ref can have.
            if refspec.remote.is_some() {
                return Err(InvalidRefspec::RefName(text).into());
            }
            table.insert(text, refspec.name);
        }
    }
    let mut collection_refs = Vec::new();
    for want in &options.wanted {
        match want {
            Want::Commit(commit) => wanted.commits.push((*commit, want.clone())),
            Want::Ref(name) => drop(table.insert(name.as_str(), name.clone())),
            Want::CollectionRef(name) => collection_refs.push(name.clone()),
        }
    }
    for (_, name) in table.into_iter() {
        let commit =
            find(source, &name)?.ok_or_else(|| Error::RefNotFound { refspec: name.to_string() })?;
        wanted.commits.push((commit, Want::Ref(name.clone())));
        wanted.refs.push((Target::Ref(Refspec { remote: options.remote.clone(), name }), commit));
    }
    for name in collection_refs {
        let commit = find_in_collection(source, &name)?;
        let commit = commit.ok_or_else(|| Error::RefNotFound { refspec: name.to_string() })?;
        let target = match &options.remote {
            Some(remote) => {
                Target::Ref(Refspec { remote: Some(remote.clone()), name: name.name.clone() })
            }
            None => Target::CollectionRef(name.clone()),
        };
        wanted.commits.push((commit, Want::CollectionRef(name)));
        wanted.refs.push((target, commit));
    }
    Ok(wanted)
}

/// The commit of a ref in `refs/heads` of the source or of its parents; those of remotes do not
/// count.
fn find(source: &Repo, name: &RefName) -> Result<Option<Checksum>> {
    first(source, |repo| repo.read_local_ref(name))
}

/// The commit of a ref of a collection in the source or in its parents.
fn find_in_collection(source: &Repo, wanted: &CollectionRef) -> Result<Option<Checksum>> {
    first(source, |repo| {
        let refs = repo.list_collection_refs(Some(&wanted.collection))?;
        Ok(refs.into_iter().find(|(found, _)| found == wanted).map(|(_, commit)| commit))
    })
}

/// What is found first in the source or in its parents.
fn first(
    source: &Repo,
    find: impl Fn(&Repo) -> Result<Option<Checksum>>,
) -> Result<Option<Checksum>> {
    let mut repo = Some(source);
    while let Some(searched) = repo {
        if let Some(commit) = find(searched)? {
            return Ok(Some(commit));
        }
        repo = searched.parent();
    }
    Ok(None)
}
