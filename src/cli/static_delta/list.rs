//! `static-delta list`: lists the deltas of the repository.

use osier::repo::deltas;

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `static-delta list`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Ignored, as in ostree.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments: _ } = args;
    let names = deltas::list(&context.open_repo()?)?;
    if names.is_empty() {
        return writeln!(context.out, "(No static deltas)");
    }
    names.iter().try_for_each(|name| writeln!(context.out, "{name}"))
}
