//! `static-delta verify`: verifies the signatures of a delta.

use osier::delta;
use osier::repo::Repo;
use osier::sign::{SignatureType, VerificationKeys};

use super::super::context::Context;
use super::super::error::Failure;
use super::{KeyOptions, WithoutKeys};

/// The options of `static-delta verify`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    #[command(flatten)]
    keys: KeyOptions,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { keys, arguments } = args;
    let repo = context.open_repo()?;
    let Some((named, inline)) = arguments.split_first() else {
        return Err(Failure::failed("DELTA must be specified"));
    };
    if let Some(Err(error)) = keys.sign_type.as_deref().map(SignatureType::parse) {
        writeln!(context.out, "Sign-type not supported")?;
        return Err(osier::Error::from(error).into());
    }
    let keys = keys.load(inline, WithoutKeys::Refuse)?;
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
