//! `remote show-url`: prints the URL of a remote.

use osier::remote;

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `remote show-url`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_repo()?;
    let Some(name) = arguments.first() else {
        return Err(Failure::usage("NAME must be specified"));
    };
    writeln!(context.out, "{}", remote::find(&repo, None, name)?.require_url()?)
}
