//! Resolves the requested refs and commits of the source.

use super::{PullOptions, Want};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::gvariant::table::HashTable;
use crate::refspec::{CollectionId, CollectionRef, InvalidRefspec, RefName, Refspec};
use crate::repo::{ListRefs, Repo};

/// What to pull.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The commits in upstream's order.
    pub(super) commits: Vec<Found>,
    /// The refs to set.
    pub(super) refs: Vec<(Target, Checksum)>,
}

/// A commit that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) commit: Checksum,
    /// What it was found by.
    pub(super) want: Want,
    /// The size of the commit object in bytes, if the summary says it.
    #[cfg_attr(not(feature = "pull"), expect(dead_code, reason = "only servers need a limit"))]
    pub(super) size: Option<u64>,
}

/// A ref that is to be set.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A local ref, or one of a remote.
    Ref(Refspec),
    /// A ref of a collection, which is mirrored.
    CollectionRef(CollectionRef),
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ref(refspec) => refspec.fmt(f),
            Self::CollectionRef(name) => name.fmt(f),
        }
    }
}

/// Where refs are looked for.
pub(super) trait Lookup {
    /// The commit of a ref.
    fn find(&self, name: &RefName) -> Result<InSource>;

    /// The commit of a ref of a collection.
    fn find_in_collection(&self, name: &CollectionRef) -> Result<InSource>;
}

/// What a ref names in the source.
pub(super) struct InSource {
    pub(super) commit: Checksum,
    pub(super) size: Option<u64>,
    /// The collection of the ref, if the source says it.
    pub(super) collection: Option<CollectionId>,
}

/// All refs of a repository, as requests. A ref of a remote cannot be requested.
///
/// # Errors
/// When there is one, with upstream's message: upstream asks for it by a name that no ref can have.
pub(super) fn all_of(source: &Repo) -> Result<Vec<Want>> {
    let mut listed = HashTable::new();
    for (refspec, _) in source.list_refs(None, ListRefs::Full)? {
        listed.insert(refspec.to_string(), refspec);
    }
    let want = |(text, refspec): (String, Refspec)| match refspec.remote {
        Some(_) => Err(InvalidRefspec::RefName(text).into()),
        None => Ok(Want::Ref(refspec.name)),
    };
    listed.into_iter().map(want).collect()
}

/// Finds the requested commits.
///
/// Upstream keeps refs in a hash table. Its order decides which of several missing refs is
/// reported, and, where several refs name one commit, which of them is held against the commit's
/// bindings.
pub(super) fn resolve(
    wanted: &[Want],
    lookup: &dyn Lookup,
    options: &PullOptions,
    own_collection: Option<&CollectionId>,
) -> Result<Wanted> {
    let mut table = HashTable::new();
    let mut resolved = Wanted::default();
    let mut collection_refs = Vec::new();
    for want in wanted {
        match want {
            Want::Commit(commit) => {
                resolved.commits.push(Found { commit: *commit, want: want.clone(), size: None });
            }
            Want::Ref(name) => drop(table.insert(name.to_string(), (name.clone(), None))),
            Want::RefAt(name, commit) => {
                drop(table.insert(name.to_string(), (name.clone(), Some(*commit))));
            }
            Want::CollectionRef(name) => collection_refs.push((name.clone(), None)),
            Want::CollectionRefAt(name, commit) => {
                collection_refs.push((name.clone(), Some(*commit)));
            }
        }
    }
    for (_, (name, commit)) in table.into_iter() {
        let (found, want) = match commit {
            Some(commit) => {
                let found = InSource { commit, size: None, collection: None };
                (found, Want::RefAt(name.clone(), commit))
            }
            None => (lookup.find(&name)?, Want::Ref(name.clone())),
        };
        let mirrored = found.collection.filter(|id| options.mirror && own_collection != Some(id));
        let target = match mirrored {
            Some(collection) => Target::CollectionRef(CollectionRef { collection, name }),
            None => Target::Ref(Refspec { remote: target_remote(options), name }),
        };
        resolved.refs.push((target, found.commit));
        resolved.commits.push(Found { commit: found.commit, want, size: found.size });
    }
    for (name, commit) in collection_refs {
        let (found, want) = match commit {
            Some(commit) => {
                let found = InSource { commit, size: None, collection: None };
                (found, Want::CollectionRefAt(name.clone(), commit))
            }
            None => (lookup.find_in_collection(&name)?, Want::CollectionRef(name.clone())),
        };
        let target = match target_remote(options) {
            Some(remote) => Target::Ref(Refspec { remote: Some(remote), name: name.name.clone() }),
            None if own_collection == Some(&name.collection) => {
                Target::Ref(Refspec { remote: None, name: name.name.clone() })
            }
            None => Target::CollectionRef(name.clone()),
        };
        resolved.commits.push(Found { commit: found.commit, want, size: found.size });
        resolved.refs.push((target, found.commit));
    }
    Ok(resolved)
}

/// A mirror's refs are its own.
fn target_remote(options: &PullOptions) -> Option<crate::refspec::RemoteName> {
    options.remote.clone().filter(|_| !options.mirror)
}

/// The refs in a repository on this machine.
pub(super) struct InRepo<'r> {
    pub(super) repo: &'r Repo,
    /// The collection of its own refs as the summary says it; a mirror goes by that.
    pub(super) collection: Option<CollectionId>,
}

impl Lookup for InRepo<'_> {
    /// Looks in `refs/heads` of the source and of its parents; those of remotes do not count.
    fn find(&self, name: &RefName) -> Result<InSource> {
        let commit = first(self.repo, |repo| repo.read_local_ref(name))?;
        let commit = commit.ok_or_else(|| Error::RefNotFound { refspec: name.to_string() })?;
        Ok(InSource { commit, size: None, collection: self.collection.clone() })
    }

    fn find_in_collection(&self, wanted: &CollectionRef) -> Result<InSource> {
        let commit = first(self.repo, |repo| {
            let refs = repo.list_collection_refs(Some(&wanted.collection))?;
            Ok(refs.into_iter().find(|(found, _)| found == wanted).map(|(_, commit)| commit))
        })?;
        let absent = || {
            let CollectionRef { collection, name } = wanted;
            // With an en dash, as upstream.
            Error::failed(format!("Collection–ref ({collection}, {name}) not found"))
        };
        Ok(InSource { commit: commit.ok_or_else(absent)?, size: None, collection: None })
    }
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
