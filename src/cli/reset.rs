//! `reset`: makes a ref point to another commit.

use osier::Checksum;
use osier::refspec::Refspec;
use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;
use super::refs;

/// The options of `reset`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { json, arguments } = args;
    let repo = context.open_writable_repo()?;
    let [name, rev, ..] = &arguments[..] else {
        return Err(Failure::usage("A REF and COMMIT argument is required"));
    };
    let invalid = || Failure::failed(format!("Invalid ref '{name}'"));
    let refspec = Refspec::parse(name).map_err(|_| invalid())?;
    if !refs::exists(&repo, &refspec)? {
        return Err(invalid());
    }
    let commit = repo.resolve_rev(rev)?;
    // Upstream also moves the ref to a missing commit, and leaves a repository that fails its fsck.
    repo.load_commit(&commit)?;
    let old_commit = repo.try_resolve_rev(name)?;
    osier::refs::reset(&repo, refspec, commit)?;
    if !json {
        return Ok(());
    }
    let document = json!({
        "ref": name,
        "commit": commit.to_hex(),
        "old_commit": old_commit.as_ref().map(Checksum::to_hex),
    });
    json::print(&document, &context.out)
}
