//! `remote gpg-list-keys`: lists the OpenPGP keys that a remote is verified with, or those of the
//! system.

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `remote gpg-list-keys`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    arguments: Vec<String>,
}

#[cfg(feature = "gpg")]
pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    use osier::remote::keyrings::{self, Directories};
    use osier::sign::openpgp;

    use super::super::{clock, signatures};

    let Args { arguments } = args;
    let repo = context.open_repo()?;
    let keyring = match arguments.first() {
        Some(name) => keyrings::of_remote(&repo, None, name, None)?,
        None => {
            let global = signatures::global_keyrings();
            Directories { global: Some(&global), homedir: None }.keyring()?
        }
    };
    let zone = jiff::tz::TimeZone::system();
    write!(context.out, "{}", openpgp::list(&keyring, clock::now().cast_signed(), &zone))
}

#[cfg(not(feature = "gpg"))]
pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments: _ } = args;
    context.open_repo()?;
    Err(Failure::failed("GPG has been disabled at build time"))
}
