//! `rev-parse`: prints the commits that revs stand for.

use super::context::Context;
use super::error::Failure;

/// The options of `rev-parse`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// If the repository has exactly one commit, then print it; any other case will result in an error
    #[arg(short = 'S', long)]
    single: bool,
    revs: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { single, revs } = args;
    let repo = context.open_repo()?;
    if single {
        if !revs.is_empty() {
            return Err(Failure::usage("Cannot specify arguments with --single"));
        }
        return match repo.list_commits_starting_with("")?[..] {
            [] => Err(Failure::failed("No commit objects found")),
            [commit] => writeln!(context.out, "{commit}"),
            _ => Err(Failure::failed("Multiple commit objects found")),
        };
    }
    if revs.is_empty() {
        return Err(Failure::usage("REV must be specified"));
    }
    for rev in &revs {
        let commit = repo.resolve_rev(rev)?;
        writeln!(context.out, "{commit}")?;
    }
    Ok(())
}
