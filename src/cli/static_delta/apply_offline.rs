//! `static-delta apply-offline`: applies a delta in files.

use std::path::{Path, PathBuf};

use osier::delta::{self, ApplyOptions};

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::super::signing;
use super::{KeySources, WithoutKeys};

/// The options of `static-delta apply-offline`.
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
    let repo = context.open_writable_repo()?;
    let Some((path, inline)) = arguments.split_first() else {
        return Err(Failure::failed("PATH must be specified"));
    };
    let keys = KeySources { inline, file: keys_file.as_deref(), directory: keys_dir.as_deref() };
    let keys = keys.load(signing::engine(sign_type.as_deref())?, WithoutKeys::GoOn)?;
    delta::apply_offline(&repo, Path::new(path), &ApplyOptions { keys })?;
    Ok(())
}
