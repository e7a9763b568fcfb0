//! Remotes: where a repository may pull from.

use crate::error::Result;
use crate::repo::Repo;

/// The names of all remotes of a repository and its parents, sorted.
///
/// # Errors
/// None yet.
pub fn names(repo: &Repo) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let mut next = Some(repo);
    while let Some(repo) = next {
        names.extend(repo.config().keyfile.groups().filter_map(name_of_group).map(str::to_owned));
        next = repo.parent();
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// The name in a group of a config file, as in `remote "origin"`.
fn name_of_group(group: &str) -> Option<&str> {
    group.strip_prefix("remote \"")?.strip_suffix('"').filter(|name| !name.is_empty())
}
