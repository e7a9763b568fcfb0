//! `remote delete`: deletes a remote.

use std::ffi::OsString;
use std::path::PathBuf;

use osier::remote::{self, Absent};

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::Place;

/// The options of `remote delete`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Do nothing if the provided remote does not exist
    #[arg(long)]
    if_exists: bool,
    /// Path to OSTree repository (defaults to /sysroot/ostree/repo)
    #[arg(long, value_name = "PATH")]
    repo: Option<OsString>,
    /// Use sysroot at PATH (overrides --repo)
    #[arg(long, value_name = "PATH", value_parser = path())]
    sysroot: Option<PathBuf>,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { if_exists, repo: _, sysroot, arguments } = args;
    let place = Place::open(context, sysroot.as_deref())?;
    let Some(name) = arguments.first() else {
        return Err(Failure::usage("NAME must be specified"));
    };
    let absent = if if_exists { Absent::Ignore } else { Absent::Refuse };
    Ok(remote::delete(&place.repo, place.sysroot(), name, absent)?)
}
