//! `rev-parse`: prints the commits that revs refer to.

use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;

/// The options of `rev-parse`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// If the repository has exactly one commit, then print it; any other case will result in an
    /// error
    #[arg(short = 'S', long)]
    single: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    revs: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { single, json, revs } = args;
    let repo = context.open_repo()?;
    let commits = if single {
        if !revs.is_empty() {
            return Err(Failure::usage("Cannot specify arguments with --single"));
        }
        match repo.list_commits_starting_with("")?[..] {
            [] => return Err(Failure::failed("No commit objects found")),
            [commit] => vec![(None, Ok(commit))],
            _ => return Err(Failure::failed("Multiple commit objects found")),
        }
    } else {
        revs.iter().map(|rev| (Some(rev), repo.resolve_rev(rev))).collect()
    };
    if commits.is_empty() {
        return Err(Failure::usage("REV must be specified"));
    }
    if !json {
        return commits
            .into_iter()
            .try_for_each(|(_, commit)| writeln!(context.out, "{}", commit?));
    }
    let mut list = Vec::new();
    for (rev, commit) in commits {
        list.push(json!({ "rev": rev, "commit": commit?.to_hex() }));
    }
    json::print(&json!({ "revs": list }), &context.out)
}
