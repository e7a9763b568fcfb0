//! `remote delete-cookie`: deletes a cookie from the jar of a remote.

use osier::remote::cookies;

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `remote delete-cookie`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_writable_repo()?;
    let [remote, domain, path, name, ..] = arguments.as_slice() else {
        return Err(Failure::usage("NAME, DOMAIN, PATH and COOKIE_NAME must be specified"));
    };
    Ok(cookies::delete(&repo, remote, domain, path, name)?)
}
