//! `remote gpg-import`: adds OpenPGP keys to those that a remote is verified with.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use osier::error::{Context as _, OsError};
use osier::input::{self, MAX_INPUT_SIZE};
use osier::remote;
use osier::repo::Repo;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::super::output::Output;
use super::Place;

/// The options of `remote gpg-import`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Import keys from a keyring file (repeatable)
    #[arg(short, long, value_name = "FILE", value_parser = path())]
    keyring: Vec<PathBuf>,
    /// Import keys from standard input
    #[arg(long)]
    stdin: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { keyring, stdin, arguments } = args;
    let place = Place::open(context, None)?;
    let Some((name, ids)) = arguments.split_first() else {
        return Err(Failure::usage("NAME must be specified"));
    };
    if stdin && !keyring.is_empty() {
        return Err(Failure::usage("--keyring and --stdin are mutually exclusive"));
    }
    // With neither there are no keys, as in upstream, whose help promises the user's own.
    let mut keys = Vec::new();
    for file in &keyring {
        keys.extend(read_keys(file)?);
    }
    remote::find(&place.repo, place.sysroot(), name).context(|| "GPG".to_owned())?;
    if stdin {
        keys = read_stdin()?;
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    import(&place.repo, name, &keys, &ids, &context.out)
}

/// The bytes of a file with keys.
pub(super) fn read_keys(file: &Path) -> Result<Vec<u8>, Failure> {
    input::read_named(file).map_err(|error| {
        let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Failure::failed(format!("Error opening file {}: {}", shown.display(), OsError(error)))
    })
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut keys = Vec::new();
    let read = std::io::stdin().lock().take(MAX_INPUT_SIZE + 1).read_to_end(&mut keys);
    read.map_err(|error| {
        Failure::failed(format!("Error reading from standard input: {}", OsError(error)))
    })?;
    if keys.len() as u64 > MAX_INPUT_SIZE {
        return Err(Failure::failed("GPG: the keyring would be too large"));
    }
    Ok(keys)
}

/// Imports keys, all or the chosen ones, and prints how many are new.
pub(super) fn import(
    repo: &Repo,
    name: &str,
    keys: &[u8],
    ids: &[&str],
    out: &Output,
) -> Result<(), Failure> {
    let count = remote::import_keys(repo, name, keys, ids)?;
    let plural = if count == 1 { "" } else { "s" };
    writeln!(out, "Imported {count} GPG key{plural} to remote \"{name}\"")
}
