//! `checksum`: prints the name that a file or directory would have as an object.

use std::ffi::OsString;
use std::path::PathBuf;

use osier::source::{self, XattrPolicy};

use super::context::Context;
use super::error::Failure;

/// The options of `checksum`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Don't include xattrs in checksum
    #[arg(long)]
    ignore_xattrs: bool,
    paths: Vec<OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { ignore_xattrs, paths } = args;
    let Some(path) = paths.into_iter().next().map(PathBuf::from) else {
        return Err(Failure::failed("A filename must be given"));
    };
    let xattrs = if ignore_xattrs { XattrPolicy::Ignore } else { XattrPolicy::Read };
    let checksum = source::checksum(&path, xattrs)?;
    writeln!(context.out, "{checksum}")
}
