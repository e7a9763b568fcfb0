//! `init`: creates a repository.

use osier::Error;
use osier::refspec::CollectionId;
use osier::repo::{Repo, RepoMode};

use super::context::{self, Context};
use super::error::Failure;

/// The options of `init`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Initialize repository in given mode (bare, bare-user, bare-user-only, archive)
    #[arg(long, value_name = "")]
    mode: Option<String>,
    /// Globally unique ID for this repository as an collection of refs for redistribution to other repositories
    #[arg(long, value_name = "COLLECTION-ID")]
    collection_id: Option<String>,
    // Upstream ignores them.
    #[arg(hide = true)]
    arguments: Vec<std::ffi::OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { mode, collection_id, arguments: _ } = args;
    let path = context.repo_path()?;
    let mode = match mode {
        None => RepoMode::Bare,
        Some(text) => RepoMode::parse(&text)
            .ok_or_else(|| Failure::failed(format!("Invalid mode '{text}' in repository configuration")))?,
    };
    let collection_id = collection_id.map(|text| CollectionId::parse(&text)).transpose();
    let collection_id = collection_id.map_err(|error| Error::failed(error.to_string()))?;
    Repo::create_with(&path, mode, collection_id.as_ref(), &context::open_options()?)?;
    Ok(())
}
