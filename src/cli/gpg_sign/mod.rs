//! `gpg-sign`: adds OpenPGP signatures to a commit, and removes them.

#[cfg(feature = "gpg")]
mod signer;

use std::path::PathBuf;

use super::context::Context;
use super::error::Failure;
use super::options::{OWN_OPTIONS, integer, path};

/// The options of `gpg-sign`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Delete signatures having any of the GPG KEY-IDs
    #[arg(short, long)]
    delete: bool,
    /// GPG Homedir to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR", value_parser = path())]
    gpg_homedir: Option<PathBuf>,
    /// Add the signature in FILE, which was made elsewhere
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    attach: Option<PathBuf>,
    /// Have PROGRAM sign, with the arguments after COMMIT
    #[arg(long, value_name = "PROGRAM", help_heading = OWN_OPTIONS)]
    exec: Option<String>,
    /// How long PROGRAM may take (default: 60)
    #[arg(long, value_name = "SECONDS", value_parser = integer, help_heading = OWN_OPTIONS)]
    exec_timeout: Option<i32>,
    /// Take only signatures of --attach or --exec that are valid with a key in FILE
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    keys_file: Option<PathBuf>,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    refuse_idle(&args)?;
    let repo = context.open_repo()?;
    let Some((commit, ids)) = args.arguments.split_first() else {
        return Err(Failure::Incomplete("Need a COMMIT to sign".to_owned()));
    };
    if args.attach.is_some() && !ids.is_empty() {
        return Err(Failure::usage("Too many arguments given"));
    }
    if ids.is_empty() && args.attach.is_none() && args.exec.is_none() {
        return Err(Failure::Incomplete("Need at least one GPG KEY-ID to sign with".to_owned()));
    }
    let commit = repo.resolve_rev(commit)?;
    repo.check_writable()?;
    #[cfg(not(feature = "gpg"))]
    {
        let _ = commit;
        Err(Failure::failed("GPG has been disabled at build time"))
    }
    #[cfg(feature = "gpg")]
    {
        use super::elsewhere::{Elsewhere, KeyOptions};

        let public = || {
            let keys_file = args.keys_file.clone();
            let gpg_homedir = args.gpg_homedir.clone();
            KeyOptions { keys_file, gpg_homedir, ..KeyOptions::gpg() }.load(&repo)
        };
        if args.delete {
            let deleted = signer::delete(&repo, &commit, ids)?;
            return writeln!(context.out, "Signatures deleted: {deleted}");
        }
        let elsewhere = match (&args.attach, &args.exec) {
            (Some(file), _) => Elsewhere::file(file, public()?)?,
            (_, Some(program)) => Elsewhere::program(program, ids, args.exec_timeout, public()?)?,
            (None, None) => return signer::sign(&repo, &commit, ids, args.gpg_homedir.as_deref()),
        };
        signer::attach(&repo, &commit, &elsewhere)
    }
}

/// Refuses osier's own options where they would have no effect.
fn refuse_idle(args: &Args) -> Result<(), Failure> {
    let elsewhere = args.attach.is_some() || args.exec.is_some();
    if args.delete && elsewhere || args.attach.is_some() && args.exec.is_some() {
        let message = "only one of --delete, --attach and --exec can be given";
        return Err(Failure::usage(message));
    }
    for (is_idle, option, needed) in [
        (args.keys_file.is_some() && !elsewhere, "--keys-file", "--attach or --exec"),
        (args.exec_timeout.is_some() && args.exec.is_none(), "--exec-timeout", "--exec"),
    ] {
        if is_idle {
            return Err(Failure::usage(format!("{option} needs {needed}")));
        }
    }
    Ok(())
}
