//! `init`: creates a repository.

use super::context::Context;
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
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { mode, collection_id } = args;
    let path = context.repo_path()?;
    let _ = (mode, collection_id, path);
    Err(Failure::failed("init: not supported yet"))
}
