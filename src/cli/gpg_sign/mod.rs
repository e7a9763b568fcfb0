//! `gpg-sign`: adds OpenPGP signatures to a commit, and removes them.

#[cfg(feature = "gpg")]
mod signer;

use std::path::PathBuf;

use super::context::Context;
use super::error::Failure;
use super::options::path;

/// The options of `gpg-sign`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Delete signatures having any of the GPG KEY-IDs
    #[arg(short, long)]
    delete: bool,
    /// GPG Homedir to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR", value_parser = path())]
    gpg_homedir: Option<PathBuf>,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { delete, gpg_homedir, arguments } = args;
    let repo = context.open_repo()?;
    let Some((commit, ids)) = arguments.split_first() else {
        return Err(Failure::Incomplete("Need a COMMIT to sign".to_owned()));
    };
    if ids.is_empty() {
        return Err(Failure::Incomplete("Need at least one GPG KEY-ID to sign with".to_owned()));
    }
    let commit = repo.resolve_rev(commit)?;
    repo.check_writable()?;
    #[cfg(not(feature = "gpg"))]
    {
        let _ = (delete, gpg_homedir, commit);
        Err(Failure::failed("GPG has been disabled at build time"))
    }
    #[cfg(feature = "gpg")]
    match delete {
        true => {
            let deleted = signer::delete(&repo, &commit, ids)?;
            writeln!(context.out, "Signatures deleted: {deleted}")
        }
        false => signer::sign(&repo, &commit, ids, gpg_homedir.as_deref()),
    }
}
