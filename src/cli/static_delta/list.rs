//! `static-delta list`: lists the deltas of the repository.

use osier::repo::deltas::{self, DeltaName};
use serde_json::json;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::json;
use super::super::options::OWN_OPTIONS;

/// The options of `static-delta list`.
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
    let names = deltas::list(&context.open_repo()?)?;
    if json {
        let document = |name: &DeltaName| {
            let from = name.from.map(|from| from.to_string());
            json!({ "name": name.to_string(), "from": from, "to": name.to.to_string() })
        };
        let names: Vec<_> = names.iter().map(document).collect();
        return json::print(&json!({ "deltas": names }), &context.out);
    }
    if names.is_empty() {
        return writeln!(context.out, "(No static deltas)");
    }
    names.iter().try_for_each(|name| writeln!(context.out, "{name}"))
}
