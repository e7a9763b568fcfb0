//! `static-delta verify`: verifies the signatures of a delta.

use std::path::PathBuf;

use osier::delta;
use osier::repo::Repo;
use osier::sign::{SignatureType, VerificationKeys};

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::super::signing;
use super::{KeySources, WithoutKeys};

/// The options of `static-delta verify`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Signature type to use (defaults to 'ed25519')
    #[arg(long, value_name = "NAME")]
    sign_type: Option<String>,
    /// Read key(s) from file
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_file: Option<PathBuf>,
    /// Redefine system-wide directories with public and revoked keys for verification
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_dir: Option<PathBuf>,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { sign_type, keys_file, keys_dir, arguments } = args;
    let repo = context.open_repo()?;
    let Some((named, inline)) = arguments.split_first() else {
        return Err(Failure::failed("DELTA must be specified"));
    };
    if let Some(Err(error)) = sign_type.as_deref().map(SignatureType::parse) {
        writeln!(context.out, "Sign-type not supported")?;
        return Err(osier::Error::from(error).into());
    }
    let keys = KeySources { inline, file: keys_file.as_deref(), directory: keys_dir.as_deref() };
    let keys = keys.load(signing::engine(sign_type.as_deref())?, WithoutKeys::Refuse)?;
    let keys = keys.ok_or_else(|| Failure::failed("no keys loaded"))?;
    let verified = verify(&repo, named, &keys);
    writeln!(context.out, "Verification {}", if verified.is_ok() { "OK" } else { "fails" })?;
    verified
}

fn verify(repo: &Repo, named: &str, keys: &VerificationKeys) -> Result<(), Failure> {
    let delta = super::open(repo, named)?;
    delta::verify(&delta.envelope()?, keys)?;
    Ok(())
}
