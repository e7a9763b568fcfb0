//! `static-delta indexes`: lists the commits that there are indexes for.

use osier::repo::deltas;

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `static-delta indexes`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Ignored, as in ostree.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments: _ } = args;
    let targets = deltas::list_indexes(&context.open_repo()?)?;
    if targets.is_empty() {
        return writeln!(context.out, "(No static deltas indexes)");
    }
    targets.iter().try_for_each(|target| writeln!(context.out, "{target}"))
}
