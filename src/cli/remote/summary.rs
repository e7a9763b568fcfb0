//! `remote summary`: prints the summary of a remote.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use osier::gvariant::Dict;
use osier::sign::openpgp;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::{OWN_OPTIONS, path};
use super::super::output::Output;
use super::super::signatures::signatures_text;
use super::super::summary::text::{self, Part};
use super::fetched::{Fetched, fetch};

/// The options of `remote summary`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Use custom cache dir
    #[arg(long, value_name = "", value_parser = path())]
    cache_dir: Option<PathBuf>,
    /// List the available metadata keys
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print string value of metadata key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// Show raw variant data
    #[arg(long)]
    raw: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { cache_dir, list_metadata_keys, print_metadata_key, raw, json, arguments } = args;
    let repo = context.open_repo()?;
    let Some(name) = arguments.first() else {
        return Err(Failure::usage("NAME must be specified"));
    };
    let fetched = fetch(&repo, name, cache_dir.as_deref())?;
    let Some(bytes) = &fetched.summary else {
        return Err(Failure::failed("Remote server has no summary file"));
    };
    let part = match print_metadata_key {
        _ if list_metadata_keys => Part::Keys,
        Some(key) => Part::Key(key),
        None if raw => Part::Raw,
        None => Part::All,
    };
    text::print(bytes, &part, json, &context.out)?;
    match part == Part::All && !json {
        true => print_signatures(&fetched, bytes, &context.out),
        false => Ok(()),
    }
}

/// Prints what verification says of the OpenPGP signatures, if any is demanded.
fn print_signatures(fetched: &Fetched, bytes: &[u8], out: &Output) -> Result<(), Failure> {
    let policy = &fetched.demands.summary;
    if !policy.demands_gpg() {
        return Ok(());
    }
    let signatures =
        fetched.signature.as_deref().map(|bytes| Dict::decode(bytes).unwrap_or_default());
    // They have been verified before.
    let accepted = policy
        .verify(bytes, signatures.as_ref())
        .map_err(|error| Failure::failed(error.to_string()))?;
    let (counted, zone) = (openpgp::counted(&accepted.gpg), TimeZone::system());
    let count = signatures_text(counted.len());
    writeln!(out, "\nGPG: Verification enabled, found {count}:")?;
    counted.iter().try_for_each(|report| write!(out, "\n{}", report.describe("  ", &zone)))
}
