//! Remotes that have refs of collections: those of the config, and repositories on removable media.
//!
//! ```text
//! config   every remote with a collection id
//! mount    repositories on mounted file systems, verified with the keys of a configured remote
//! summary  the summary of a remote, and what it says of the wanted refs
//! newest   which commit of a ref is the newest, and who has it
//! fetch    pulling from what was found, one remote after the other
//! ```

mod config;
mod fetch;
mod mount;
mod newest;
mod summary;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::gvariant::table::in_pair_order;
use crate::refspec::{CollectionRef, RemoteName};
use crate::remote::origin::{Origin, OriginOptions};
use crate::remote::{Demands, GpgDemands, Remote, Trust};
use crate::repo::{OpenOptions, Repo};
use crate::sign::GpgPolicy;

pub use fetch::{FetchOptions, pull_from_remotes};
pub use mount::removable_mounts;

/// A way to find remotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finder {
    /// The remotes that are configured.
    Config,
    /// Repositories on removable media.
    Mount,
}

impl Finder {
    /// What upstream calls it in output.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::Config => "OstreeRepoFinderConfig",
            Self::Mount => "OstreeRepoFinderMount",
        }
    }

    /// Remotes with low numbers are preferred.
    pub fn priority(self) -> i32 {
        match self {
            Self::Mount => 50,
            Self::Config => 100,
        }
    }
}

/// Where to look for remotes, and how.
#[derive(Clone, Debug)]
pub struct FindOptions<'o> {
    /// How remotes are found.
    pub finders: Vec<Finder>,
    /// The mount points of removable media.
    pub mounts: Vec<PathBuf>,
    /// Where summaries are cached, instead of the repository's own place.
    pub cache: Option<&'o Path>,
    /// How servers are spoken to.
    pub origin: &'o OriginOptions,
    /// Which keys are trusted besides those of the remotes.
    pub trust: &'o Trust,
    /// How repositories on this machine are opened.
    pub open: &'o OpenOptions,
}

/// A remote that has at least one of the wanted refs, in its newest version.
#[derive(Debug)]
pub struct FoundRemote {
    /// How it was found.
    pub finder: Finder,
    /// Its name; for a repository on a mount a name made of its URL and that of the keyring.
    pub name: String,
    /// The configured remote whose keys its commits are verified with, and whose refs they become.
    pub keyring_remote: RemoteName,
    /// Its URL.
    pub url: String,
    /// The time of its summary, in seconds since 1970.
    pub last_modified: Option<u64>,
    /// All wanted refs in upstream's order, with the commits that the remote has.
    pub refs: Vec<(CollectionRef, Option<Checksum>)>,
    place: Place,
    demands: Arc<Demands>,
}

/// Where the objects of a remote are.
#[derive(Debug)]
enum Place {
    Repo(Box<Repo>),
    Server(Box<Remote>, Box<Origin<'static>>),
}

/// Finds remotes that have `wanted` refs, the preferred ones first. Those that do not answer, or
/// have no summary, are left out.
///
/// # Errors
/// When the repository's own configuration cannot be read.
pub fn find_remotes(
    repo: &Repo,
    wanted: &[CollectionRef],
    options: &FindOptions<'_>,
) -> Result<Vec<FoundRemote>> {
    let mut candidates = Vec::new();
    for finder in &options.finders {
        candidates.extend(match finder {
            Finder::Config => config::find(repo, wanted, options)?,
            Finder::Mount => mount::find(repo, wanted, options)?,
        });
    }
    candidates.sort_by(Candidate::compare);
    newest::keep(repo, &mut candidates);
    candidates.sort_by(Candidate::compare);
    let pairs = wanted.iter().map(|name| (name.collection.as_str(), name.name.as_str()));
    let order = in_pair_order(pairs);
    Ok(candidates.into_iter().map(|candidate| candidate.into_found(wanted, &order)).collect())
}

/// A remote whose summary lists wanted refs, whatever others have.
struct Candidate {
    finder: Finder,
    name: String,
    keyring_remote: RemoteName,
    url: String,
    last_modified: Option<u64>,
    /// What it has of each wanted ref.
    listed: Vec<Option<Listed>>,
    place: Place,
    demands: Arc<Demands>,
}

/// What a summary says of a ref.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listed {
    commit: Checksum,
    /// The size of the commit object, in bytes.
    size: u64,
    /// The time of the commit, in seconds since 1970, if the summary says it.
    timestamp: Option<u64>,
}

impl Candidate {
    /// Upstream's order: by priority, then the older summary, the fewer refs, the name.
    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        let key = |candidate: &Self| {
            (
                candidate.finder.priority(),
                candidate.last_modified.unwrap_or(0),
                candidate.listed.iter().flatten().count(),
            )
        };
        key(self).cmp(&key(other)).then_with(|| self.name.cmp(&other.name))
    }

    fn into_found(self, wanted: &[CollectionRef], order: &[usize]) -> FoundRemote {
        let commit = |index: &usize| {
            let listed = self.listed.get(*index).copied().flatten();
            Some((wanted.get(*index)?.clone(), listed.map(|listed| listed.commit)))
        };
        FoundRemote {
            finder: self.finder,
            refs: order.iter().filter_map(commit).collect(),
            name: self.name,
            keyring_remote: self.keyring_remote,
            url: self.url,
            last_modified: self.last_modified,
            place: self.place,
            demands: self.demands,
        }
    }
}

/// The keys of a remote, for signatures that are demanded whatever its configuration says.
fn gpg_of(repo: &Repo, name: &str, options: &FindOptions<'_>) -> Option<GpgPolicy> {
    let gpg = GpgDemands { commits: true, summary: false };
    Demands::gpg_only(repo, None, name, gpg, options.trust).commits.gpg
}

/// The result, or `None` with a note in the log: a remote that fails is as good as none.
fn usable<T>(name: &str, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            log::debug!("remote {name} is not used: {}", error.chain());
            None
        }
    }
}
