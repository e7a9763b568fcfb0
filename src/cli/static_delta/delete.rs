//! `static-delta delete`: removes a delta from the repository.

use std::io::ErrorKind;

use osier::repo::LockKind;
use osier::repo::deltas::{self, DeltaName};

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `static-delta delete`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_writable_repo()?;
    let Some(named) = arguments.first() else {
        return Err(Failure::failed("DELTA must be specified"));
    };
    let name: DeltaName = named.parse().map_err(osier::Error::InvalidChecksum)?;
    let _lock = repo.lock(LockKind::Shared)?;
    match deltas::remove(&repo, &name) {
        Err(error) if error.io_kind() == Some(ErrorKind::NotFound) => {
            Err(Failure::failed(format!("Can't find delta {named}")))
        }
        removed => Ok(removed?),
    }
}
