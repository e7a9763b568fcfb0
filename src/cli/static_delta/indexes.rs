//! `static-delta indexes`: lists the commits that there are indexes for.

use osier::repo::deltas;
use serde_json::json;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::json;
use super::super::options::OWN_OPTIONS;

/// The options of `static-delta indexes`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    /// Ignored, as in ostree.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { json, arguments: _ } = args;
    let targets = deltas::list_indexes(&context.open_repo()?)?;
    if json {
        let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
        return json::print(&json!({ "targets": targets }), &context.out);
    }
    if targets.is_empty() {
        return writeln!(context.out, "(No static deltas indexes)");
    }
    targets.iter().try_for_each(|target| writeln!(context.out, "{target}"))
}
