//! `log`: prints a commit and its ancestors.

use osier::Error;
use osier::object::ObjectName;

use super::context::Context;
use super::error::Failure;
use super::print_commit::{self, Form};

/// The options of `log`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show raw variant data
    #[arg(long)]
    raw: bool,
    revs: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { raw, revs } = args;
    let repo = context.open_repo()?;
    let Some(rev) = revs.first() else {
        return Err(Failure::usage("A rev argument is required"));
    };
    let form = if raw { Form::Raw } else { Form::Pretty };
    let mut commit = repo.resolve_rev(rev)?;
    let mut parent = print_commit::print(&repo, &commit, form, &context.out)?;
    while let Some(checksum) = parent {
        commit = checksum;
        parent = match print_commit::print(&repo, &commit, form, &context.out) {
            Err(Failure::Error(Error::MissingMetadata { object: ObjectName { checksum, .. } }))
                if checksum == commit =>
            {
                return writeln!(context.out, "<< History beyond this commit not fetched >>");
            }
            other => other?,
        };
    }
    Ok(())
}
