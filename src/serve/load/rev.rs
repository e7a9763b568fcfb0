//! Which commit, and which path in it, a URL names.

use crate::checksum::Checksum;
use crate::error::Error;
use crate::repo::Repo;
use crate::serve::failure::Failure;

/// A path in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::serve) struct Target {
    pub(in crate::serve) commit: Checksum,
    /// The names of the path.
    pub(in crate::serve) names: Vec<String>,
}

/// The most components of a URL that are taken for those of a ref.
const MAX_REF_COMPONENTS: usize = 32;

/// The commit that a rev names.
pub(in crate::serve) fn commit_of(repo: &Repo, rev: &str) -> Result<Checksum, Failure> {
    resolve(repo, rev)?.ok_or_else(|| Failure::not_found(format!("Refspec '{rev}' not found")))
}

/// Divides the components after the kind of page into rev and path. The longest rev counts: a ref
/// cannot be below another one, but what is above it may be the beginning of a checksum.
pub(in crate::serve) fn target(repo: &Repo, components: &[String]) -> Result<Target, Failure> {
    let most = match components.first() {
        Some(first) if Checksum::from_hex(first).is_ok() => 1,
        _ => components.len().min(MAX_REF_COMPONENTS),
    };
    for length in (1..=most).rev() {
        let (rev, names) = components.split_at(length);
        if let Some(commit) = resolve(repo, &rev.join("/"))? {
            // A name with a slash is none.
            if names.iter().any(|name| name.contains('/')) {
                return Err(Failure::not_found("No such file or directory"));
            }
            return Ok(Target { commit, names: names.to_vec() });
        }
    }
    let rev = components.first().map_or("", String::as_str);
    Err(Failure::not_found(format!("Refspec '{rev}' not found")))
}

/// `None` for a rev that there is not, or that cannot be one.
fn resolve(repo: &Repo, rev: &str) -> Result<Option<Checksum>, Failure> {
    match repo.try_resolve_rev(rev) {
        Ok(found) => Ok(found),
        Err(error @ (Error::Io { .. } | Error::SystemCall { .. })) => Err(error.into()),
        Err(_) => Ok(None),
    }
}
