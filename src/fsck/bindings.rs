//! Bindings: the refs, and their collection, that a commit's metadata says it was made for.

use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::object::Commit;
use crate::refspec::{CollectionId, CollectionRef};
use crate::repo::Repo;

/// The ref by which a commit was found.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'n> {
    /// `None` for a commit that was found by its name or as a parent.
    pub(crate) name: Option<&'n str>,
    /// `Some` requires both bindings; `None` accepts a commit without any.
    pub(crate) collection: Option<&'n str>,
}

/// Checks that the commit was made for the ref.
pub(crate) fn verify(commit: &Commit, wanted: Wanted<'_>) -> Result<()> {
    match commit.ref_binding() {
        None if wanted.collection.is_some() => {
            return Err(Error::failed(
                "Expected commit metadata to have ref binding information, found none",
            ));
        }
        Some(refs) if wanted.name.is_some_and(|wanted| !refs.iter().any(|name| name == wanted)) => {
            let refs = match refs.is_empty() {
                true => "no refs".to_owned(),
                false => refs.iter().map(|name| format!("‘{name}’")).collect::<Vec<_>>().join(", "),
            };
            let name = wanted.name.unwrap_or_default();
            return Err(Error::failed(format!(
                "Commit has no requested ref ‘{name}’ in ref binding metadata ({refs})"
            )));
        }
        _ => {}
    }
    match (wanted.collection, commit.collection_binding()) {
        (Some(_), None) => Err(Error::failed(
            "Expected commit metadata to have collection ID binding information, found none",
        )),
        (Some(wanted), Some(found)) if wanted != found => Err(Error::failed(format!(
            "Commit has collection ID ‘{found}’ in collection binding metadata, while the remote it came from has \
             collection ID ‘{wanted}’"
        ))),
        _ => Ok(()),
    }
}

/// Checks that the refs a commit was made for point to it.
pub(super) fn verify_back_refs(repo: &Repo, checksum: &Checksum, commit: &Commit) -> Result<()> {
    let collection = commit.collection_binding();
    for name in commit.ref_binding().unwrap_or_default() {
        let (label, target) = match &collection {
            Some(collection) => {
                let target = resolve_collection_ref(repo, collection, &name)?;
                (format!("Collection–ref ({collection}, {name})"), target)
            }
            None => (format!("Ref ‘{name}’"), repo.try_resolve_rev(&name)?),
        };
        let fault = match target {
            Some(target) if target == *checksum => continue,
            Some(_) => "does not resolve to that commit",
            None => "does not exist",
        };
        return Err(Error::failed(format!("{label} in bindings for commit {checksum} {fault}")));
    }
    Ok(())
}

fn resolve_collection_ref(repo: &Repo, collection: &str, name: &str) -> Result<Option<Checksum>> {
    // An invalid collection id has no refs.
    let Ok(collection) = CollectionId::parse(collection) else { return Ok(None) };
    let refs = repo.list_collection_refs(Some(&collection))?;
    Ok(refs.into_iter().find(|(found, _)| found.name.as_str() == name).map(|(_, commit)| commit))
}

/// The refs of collections in `refs/heads` and `refs/mirrors`. Those of remotes are left out, as
/// upstream does.
pub(super) fn own_collection_refs(repo: &Repo) -> Result<Vec<(CollectionRef, Checksum)>> {
    let mut refs = Vec::new();
    for (collection_ref, commit) in repo.list_collection_refs(None)? {
        let CollectionRef { collection, name } = &collection_ref;
        let directory = match repo.collection_id().as_ref() == Some(collection) {
            true => "refs/heads".to_owned(),
            false => format!("refs/mirrors/{}", collection.as_str()),
        };
        let path = repo.path().join(directory).join(name.as_str());
        if path.try_exists().during("looking for", &path)? {
            refs.push((collection_ref, commit));
        }
    }
    Ok(refs)
}
