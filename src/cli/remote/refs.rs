//! `remote refs`: lists the refs of a remote.

use std::path::PathBuf;

use osier::summary::Summary;
use serde_json::json;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::json;
use super::super::options::{OWN_OPTIONS, path};
use super::fetched::fetch;

/// The options of `remote refs`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Use custom cache dir
    #[arg(long, value_name = "", value_parser = path())]
    cache_dir: Option<PathBuf>,
    /// Display the revision of each ref
    #[arg(short = 'r', long)]
    revision: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { cache_dir, revision, json, arguments } = args;
    let repo = context.open_repo()?;
    let Some(name) = arguments.first() else {
        return Err(Failure::usage("NAME must be specified"));
    };
    let Some(bytes) = fetch(&repo, name, cache_dir.as_deref())?.summary else {
        return Err(Failure::failed("Remote refs not available; server has no summary file"));
    };
    let summary = match bytes.as_slice() {
        [] => Summary::default(),
        bytes => Summary::decode(bytes).map_err(|error| Failure::failed(error.to_string()))?,
    };
    let mut refs = summary.refs;
    refs.sort_by(|one, other| one.name.cmp(&other.name));
    if json {
        let refs = refs.iter().map(|entry| {
            json!({ "ref": format!("{name}:{}", entry.name), "commit": entry.commit.to_hex() })
        });
        return json::print(&json!({ "refs": refs.collect::<Vec<_>>() }), &context.out);
    }
    refs.iter().try_for_each(|entry| match revision {
        true => writeln!(context.out, "{name}:{}\t{}", entry.name, entry.commit),
        false => writeln!(context.out, "{name}:{}", entry.name),
    })
}
