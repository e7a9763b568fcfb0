//! `static-delta reindex`: makes the indexes match the deltas.

use osier::Checksum;
use osier::repo::{LockKind, deltas};

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `static-delta reindex`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Only update delta index to revision REV
    #[arg(long, value_name = "REV")]
    to: Option<String>,
    /// Ignored, as in ostree.
    #[arg(hide = true)]
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { to, arguments: _ } = args;
    let repo = context.open_writable_repo()?;
    let to = to.map(|to| Checksum::from_hex(&to)).transpose();
    let to = to.map_err(osier::Error::InvalidChecksum)?;
    let _lock = repo.lock(LockKind::Shared)?;
    match to {
        Some(to) => deltas::reindex_target(&repo, &to)?,
        None => deltas::reindex(&repo)?,
    }
    Ok(())
}
