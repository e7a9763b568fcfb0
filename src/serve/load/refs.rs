//! The refs of the repository.

use rustix::fs::FileType;

use crate::checksum::Checksum;
use crate::dir;
use crate::repo::{ListRefs, Repo};
use crate::serve::failure::Failure;
use crate::serve::view::{Brief, Pages, RefRow, RefsView};

/// Refs on a page.
const PAGE_SIZE: usize = 200;

/// The first page, or one of its followers.
pub(in crate::serve) fn refs(repo: &Repo, page: usize) -> Result<RefsView, Failure> {
    let own = repo.collection_id();
    let mut names: Vec<(String, Option<Checksum>)> = repo
        .list_ref_names(None, ListRefs::Full)?
        .into_iter()
        .map(|refspec| (refspec.to_string(), None))
        .collect();
    // Those of other collections have no refspec.
    for (name, commit) in repo.list_collection_refs(None)? {
        if own.as_ref() != Some(&name.collection) {
            names.push((format!("({}, {})", name.collection, name.name), Some(commit)));
        }
    }
    let pages = Pages::new(page, PAGE_SIZE, names.len())
        .ok_or_else(|| Failure::not_found("there is no such page of refs"))?;
    let mut rows = Vec::new();
    for (name, commit) in names.into_iter().skip((page - 1) * PAGE_SIZE).take(PAGE_SIZE) {
        let commit = match commit {
            Some(commit) => Some(commit),
            // It may have been deleted meanwhile.
            None => repo.try_resolve_rev(&name)?,
        };
        rows.extend(commit.map(|commit| row(repo, name, commit)));
    }
    let summary = dir::stat(repo.dir(), "summary");
    Ok(RefsView {
        mode: repo.mode(),
        collection: own.map(|id| id.to_string()),
        has_summary: summary
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile),
        refs: rows,
        pages,
    })
}

fn row(repo: &Repo, name: String, commit: Checksum) -> RefRow {
    let loaded = repo.load_commit(&commit);
    let brief = match loaded {
        Ok(loaded) => Ok(Brief::of(commit, &loaded)),
        Err(error) => Err(Failure::from(error).message),
    };
    RefRow { name, commit, brief }
}
