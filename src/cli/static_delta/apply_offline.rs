//! `static-delta apply-offline`: applies a delta in files.

use std::path::Path;

use osier::delta::{self, ApplyOptions, ApplyStats, PartStats};
use serde_json::json;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::json;
use super::super::options::OWN_OPTIONS;
use super::{KeyOptions, WithoutKeys};

/// The options of `static-delta apply-offline`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(flatten)]
    keys: KeyOptions,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { keys, json, arguments } = args;
    let repo = context.open_writable_repo()?;
    let Some((path, inline)) = arguments.split_first() else {
        return Err(Failure::failed("PATH must be specified"));
    };
    let keys = keys.load(inline, WithoutKeys::GoOn)?;
    let progress = context.progress_for(json);
    let options = ApplyOptions { keys };
    let stats = delta::apply_offline(&repo, Path::new(path), &options, &progress)?;
    if !json {
        return Ok(());
    }
    let ApplyStats { commit, parts, skipped_parts, objects } = stats;
    let PartStats { metadata_objects, content_objects, content_bytes } = objects;
    let document = json!({
        "commit": commit.to_string(),
        "parts": parts,
        "skipped_parts": skipped_parts,
        "metadata_objects": metadata_objects,
        "content_objects": content_objects,
        "content_bytes": content_bytes,
    });
    json::print(&document, &context.out)
}
