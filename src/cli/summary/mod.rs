//! `summary`: updates or prints the summary.

pub(super) mod text;

#[cfg(feature = "gpg")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use osier::gvariant::Dict;
use osier::gvariant::text::parse as parse_variant;
use osier::repo::Repo;
use osier::signer::Signer;
use osier::summary::{self, UpdateOptions, store};

use super::clock;
use super::context::Context;
use super::elsewhere::{Elsewhere, KeyOptions};
use super::engine_signatures;
use super::error::Failure;
use super::options::{OWN_OPTIONS, integer, path};
#[cfg(feature = "gpg")]
use super::signatures;
use super::signing::Signing;
use super::values::key_value;
use text::Part;

/// The options of `summary`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Update the summary
    #[arg(short, long)]
    update: bool,
    /// View the local summary file
    #[arg(short, long)]
    view: bool,
    /// View the raw bytes of the summary file
    #[arg(long)]
    raw: bool,
    /// List the available metadata keys
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print string value of metadata key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// GPG Key ID to sign the summary with
    #[arg(long, value_name = "KEY-ID")]
    gpg_sign: Vec<String>,
    /// GPG Homedir to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR")]
    gpg_homedir: Option<String>,
    /// Key ID to sign the summary with
    #[arg(long, value_name = "KEY-ID")]
    sign: Vec<String>,
    /// Signature type to use (defaults to 'ed25519')
    #[arg(long, value_name = "NAME")]
    sign_type: Option<String>,
    /// Additional metadata field to add to the summary
    #[arg(short = 'm', long, value_name = "KEY=VALUE")]
    add_metadata: Vec<String>,
    /// Have PROGRAM sign, with the arguments of the command
    #[arg(long, value_name = "PROGRAM", help_heading = OWN_OPTIONS)]
    exec: Option<String>,
    /// How long PROGRAM may take (default: 60)
    #[arg(long, value_name = "SECONDS", value_parser = integer, help_heading = OWN_OPTIONS)]
    exec_timeout: Option<i32>,
    /// With -u: write the summary to DIR instead, to be signed elsewhere
    #[arg(long, value_name = "DIR", value_parser = path(), help_heading = OWN_OPTIONS)]
    prepare: Option<PathBuf>,
    /// Publish the summary in DIR, with its signature
    #[arg(long, value_name = "DIR", value_parser = path(), help_heading = OWN_OPTIONS)]
    publish: Option<PathBuf>,
    /// The signature in FILE, for --publish
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    attach: Vec<PathBuf>,
    /// A public KEY that signatures of --attach or --exec must be valid with
    #[arg(long, value_name = "KEY", help_heading = OWN_OPTIONS)]
    verify_key: Vec<String>,
    /// Read such keys from FILE
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    keys_file: Option<PathBuf>,
    /// Redefine system-wide directories with public and revoked keys for verification
    #[arg(long, value_name = "DIR", value_parser = path(), help_heading = OWN_OPTIONS)]
    keys_dir: Option<PathBuf>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    refuse_idle(&args)?;
    let writes = args.update || args.publish.is_some();
    if args.json && writes {
        return Err(Failure::failed("--json is for reading the summary"));
    }
    let repo = if writes { context.open_writable_repo()? } else { context.open_repo()? };
    let signers = signers(&repo, &args)?;
    if let Some(directory) = &args.publish {
        return Ok(summary::publish(&repo, directory, &signers)?);
    }
    if args.update {
        let (metadata, now) = (parse_metadata(&args.add_metadata)?, clock::now());
        if let Some(directory) = &args.prepare {
            return Ok(summary::prepare_in(&repo, directory, &metadata, now)?);
        }
        let commit_timestamp = clock::commit_time()?;
        let options = UpdateOptions { metadata, now, commit_timestamp, signers };
        return Ok(summary::update(&repo, &options)?);
    }
    read(args, &repo, context)
}

/// Refuses osier's own options where they would have no effect.
fn refuse_idle(args: &Args) -> Result<(), Failure> {
    let elsewhere = !args.attach.is_empty() || args.exec.is_some();
    let signs = elsewhere || !args.sign.is_empty() || !args.gpg_sign.is_empty();
    let checks = !args.verify_key.is_empty() || args.keys_file.is_some() || args.keys_dir.is_some();
    for (is_idle, message) in [
        (args.update && args.publish.is_some(), "-u and --publish cannot be given together"),
        (args.prepare.is_some() && !args.update, "--prepare needs -u"),
        (args.prepare.is_some() && signs, "--prepare signs nothing; --publish takes signatures"),
        (args.publish.is_some() && !signs, "--publish needs --attach=FILE"),
        (
            args.publish.is_some() && !args.add_metadata.is_empty(),
            "--add-metadata is for --prepare, not for --publish",
        ),
        (!args.attach.is_empty() && args.publish.is_none(), "--attach needs --publish"),
        (
            args.exec.is_some() && !args.update && args.publish.is_none(),
            "--exec needs -u or --publish",
        ),
        (args.exec_timeout.is_some() && args.exec.is_none(), "--exec-timeout needs --exec"),
        (checks && !elsewhere, "--verify-key, --keys-file and --keys-dir need --attach or --exec"),
    ] {
        if is_idle {
            return Err(Failure::usage(message));
        }
    }
    Ok(())
}

/// What signs the summary, as far as the options say.
fn signers(repo: &Repo, args: &Args) -> Result<Vec<Arc<dyn Signer>>, Failure> {
    let signing = Signing {
        gpg_sign: args.gpg_sign.clone(),
        gpg_homedir: args.gpg_homedir.clone(),
        sign: args.sign.clone(),
        sign_from_file: Vec::new(),
        sign_type: args.sign_type.clone(),
    };
    let mut signers = signing.of_summary()?;
    let keys = || {
        let options = KeyOptions {
            sign_type: args.sign_type.clone(),
            verify_key: args.verify_key.clone(),
            keys_file: args.keys_file.clone(),
            keys_dir: args.keys_dir.clone(),
            gpg_homedir: args.gpg_homedir.as_ref().map(PathBuf::from),
        };
        options.load(repo)
    };
    for file in &args.attach {
        signers.push(Arc::new(Elsewhere::file(file, keys()?)?));
    }
    if let Some(program) = &args.exec {
        let program = Elsewhere::program(program, &args.arguments, args.exec_timeout, keys()?)?;
        signers.push(Arc::new(program));
    }
    Ok(signers)
}

/// Prints the summary, or something of it.
fn read(args: Args, repo: &Repo, context: &mut Context) -> Result<(), Failure> {
    let Args { view, raw, list_metadata_keys, print_metadata_key, json, .. } = args;
    let out = &context.out;
    let part = match (print_metadata_key, view) {
        _ if list_metadata_keys => Part::Keys,
        (Some(key), _) => Part::Key(key),
        _ if raw => Part::Raw,
        (None, true) => Part::All,
        (None, false) => {
            return Err(Failure::failed("No option specified; use -u to update summary"));
        }
    };
    let bytes = store::load_bytes(repo)?;
    text::print(&bytes, &part, json, out)?;
    if part != Part::All || json {
        return Ok(());
    }
    engine_signatures::explain_summary(repo, &bytes)?;
    #[cfg(feature = "gpg")]
    {
        let homedir = args.gpg_homedir.as_deref().map(Path::new);
        signatures::print_of_summary(repo, &bytes, homedir, out)?;
    }
    Ok(())
}

/// Parses `KEY=VALUE`, the values in GVariant's text format.
fn parse_metadata(arguments: &[String]) -> Result<Dict, Failure> {
    let mut metadata = Dict::new();
    for argument in arguments {
        let (key, text) = key_value(argument)?;
        let value = parse_variant(None, text).map_err(|error| {
            Failure::failed(format!("Error parsing variant ‘{text}’: : {}", error.what))
        })?;
        metadata.push(key, value);
    }
    Ok(metadata)
}
