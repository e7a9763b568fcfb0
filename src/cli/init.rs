//! `init`: creates a repository.

use osier::Error;
use osier::refspec::CollectionId;
use osier::repo::{Repo, RepoMode};
use serde_json::json;

use super::context::{self, Context};
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;

/// The options of `init`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Initialize repository in given mode (bare, bare-user, bare-user-only, archive)
    #[arg(long, value_name = "")]
    mode: Option<String>,
    /// Globally unique ID for this repository as an collection of refs for redistribution to other
    /// repositories
    #[arg(long, value_name = "COLLECTION-ID")]
    collection_id: Option<String>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    // Upstream ignores them.
    #[arg(hide = true)]
    arguments: Vec<std::ffi::OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { mode, collection_id, json, arguments: _ } = args;
    let path = context.repo_path()?;
    let mode = match mode {
        None => RepoMode::Bare,
        Some(text) => RepoMode::parse(&text).ok_or_else(|| {
            let message = format!("Invalid mode '{text}' in repository configuration");
            context.unknown_word(
                message,
                &text,
                &["archive", "bare", "bare-user", "bare-user-only"],
            )
        })?,
    };
    let collection_id = collection_id.map(|text| CollectionId::parse(&text)).transpose();
    let collection_id = collection_id.map_err(Error::from)?;
    let existed = path.join("objects").is_dir();
    let repo = Repo::create_with(&path, mode, collection_id.as_ref(), &context::open_options()?)?;
    if !json {
        return Ok(());
    }
    // An existing repository keeps its settings.
    let document = json!({
        "repo": path.display().to_string(),
        "mode": repo.mode().as_str(),
        "collection_id": repo.collection_id().as_ref().map(CollectionId::as_str),
        "created": !existed,
    });
    json::print(&document, &context.out)
}
