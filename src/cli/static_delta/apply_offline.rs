//! `static-delta apply-offline`: applies a delta in files.

use std::path::Path;

use osier::delta::{self, ApplyOptions};

use super::super::context::Context;
use super::super::error::Failure;
use super::{KeyOptions, WithoutKeys};

/// The options of `static-delta apply-offline`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(flatten)]
    keys: KeyOptions,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { keys, arguments } = args;
    let repo = context.open_writable_repo()?;
    let Some((path, inline)) = arguments.split_first() else {
        return Err(Failure::failed("PATH must be specified"));
    };
    let keys = keys.load(inline, WithoutKeys::GoOn)?;
    delta::apply_offline(&repo, Path::new(path), &ApplyOptions { keys })?;
    Ok(())
}
