//! `summary`: updates or prints the summary.

#[cfg(feature = "gpg")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use osier::Error;
use osier::date;
use osier::gvariant::text::{Annotate, parse as parse_variant, print as print_variant};
use osier::gvariant::{Dict, Type, Value, Variant};
use osier::repo::Repo;
use osier::signer::Signer;
use osier::summary::{self, SUMMARY_TYPE, Summary, SummaryRef, UpdateOptions, key, ref_key, store};
use osier::units::format_size;
use serde_json::json;

use super::clock;
use super::context::Context;
use super::elsewhere::{Elsewhere, KeyOptions};
use super::engine_signatures;
use super::error::Failure;
use super::json::{self, Numbers};
use super::options::{OWN_OPTIONS, integer, path};
use super::output::Output;
#[cfg(feature = "gpg")]
use super::signatures;
use super::signing::Signing;
use super::values::key_value;

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
    if list_metadata_keys {
        let summary = store::load(repo)?;
        if json {
            return json::print(&json::keys(&summary.metadata), out);
        }
        let mut keys: Vec<&str> = summary.metadata.iter().map(|(key, _)| key).collect();
        keys.sort_unstable();
        return keys.into_iter().try_for_each(|key| writeln!(out, "{key}"));
    }
    if let Some(key) = print_metadata_key {
        let summary = store::load(repo)?;
        let Some(value) = summary.metadata.get(&key) else {
            return Err(Failure::failed(format!("No such metadata key '{key}'")));
        };
        if json {
            return json::print(&json::with_key(&key, value.view(), Numbers::BigEndian), out);
        }
        return writeln!(
            out,
            "{}",
            print_variant(value.view().byteswapped().view(), Annotate::Yes)
        );
    }
    if raw {
        let bytes = store::load_bytes(repo)?;
        let ty = Type::parse(SUMMARY_TYPE).map_err(|error| Failure::failed(error.what))?;
        let view = Variant::decode(ty, &bytes).map_err(malformed)?;
        if json {
            return json::print(&json::variant_of(view, Numbers::BigEndian), out);
        }
        return writeln!(out, "{}", print_variant(view.byteswapped().view(), Annotate::Yes));
    }
    if view && json {
        return json::print(&document(&store::load(repo)?)?, out);
    }
    if view {
        let bytes = store::load_bytes(repo)?;
        print(&Summary::decode(&bytes).map_err(malformed)?, out)?;
        engine_signatures::explain_summary(repo, &bytes)?;
        #[cfg(feature = "gpg")]
        {
            let homedir = args.gpg_homedir.as_deref().map(Path::new);
            signatures::print_of_summary(repo, &bytes, homedir, out)?;
        }
        return Ok(());
    }
    Err(Failure::failed("No option specified; use -u to update summary"))
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

fn malformed(source: osier::gvariant::DecodeError) -> Failure {
    Failure::Error(Error::Malformed { what: "summary".to_owned(), source })
}

/// The summary as JSON.
fn document(summary: &Summary) -> Result<serde_json::Value, Failure> {
    let metadata = |key| summary.metadata.get(key).map(Value::view);
    let own = metadata(key::COLLECTION_ID).and_then(|id| id.as_str());
    let mut refs: Vec<_> = summary.refs.iter().map(|entry| ref_document(own, entry)).collect();
    for (collection, entries) in summary.collection_map().map_err(malformed)? {
        refs.extend(entries.iter().map(|entry| ref_document(Some(&collection), entry)));
    }
    Ok(json!({
        "collection_id": own,
        "last_modified": metadata(key::LAST_MODIFIED).and_then(seconds).map(json::time),
        "expires": metadata(key::EXPIRES).and_then(seconds).map(json::time),
        "refs": refs,
        "metadata": json::metadata(&summary.metadata, Numbers::BigEndian),
    }))
}

fn ref_document(collection: Option<&str>, entry: &SummaryRef) -> serde_json::Value {
    let metadata = |key| entry.metadata.get(key).map(Value::view);
    json!({
        "collection_id": collection,
        "ref": entry.name,
        "commit": entry.commit.to_hex(),
        "commit_bytes": entry.commit_size,
        "version": metadata(ref_key::VERSION).and_then(|version| version.as_str()),
        "timestamp": metadata(ref_key::TIMESTAMP).and_then(seconds).map(json::time),
        "metadata": json::metadata(&entry.metadata, Numbers::BigEndian),
    })
}

fn print(summary: &Summary, out: &Output) -> Result<(), Failure> {
    let own = summary.metadata.get(key::COLLECTION_ID).and_then(|id| id.view().as_str());
    for entry in &summary.refs {
        print_ref(own, entry, out)?;
    }
    for (collection, refs) in summary.collection_map().map_err(malformed)? {
        for entry in &refs {
            print_ref(Some(&collection), entry, out)?;
        }
    }
    for (key, value) in summary.metadata.iter() {
        print_metadata(key, value, out)?;
    }
    Ok(())
}

fn print_ref(collection: Option<&str>, entry: &SummaryRef, out: &Output) -> Result<(), Failure> {
    match collection {
        Some(collection) => writeln!(out, "* ({collection}, {})", entry.name)?,
        None => writeln!(out, "* {}", entry.name)?,
    }
    writeln!(
        out,
        "    Latest Commit ({}):\n      {}",
        format_size(entry.commit_size),
        entry.commit
    )?;
    for (key, value) in entry.metadata.iter() {
        let view = value.view();
        let (label, text) = match key {
            ref_key::VERSION => (Some("Version"), view.as_str().map(str::to_owned)),
            ref_key::TIMESTAMP => (Some("Timestamp"), timestamp(view)),
            _ => (None, None),
        };
        let text = text.unwrap_or_else(|| print_variant(view, Annotate::No));
        match label {
            Some(label) => writeln!(out, "    {label} ({key}): {text}")?,
            None => writeln!(out, "    {key}: {text}")?,
        }
    }
    writeln!(out)
}

fn print_metadata(key: &str, value: &Value, out: &Output) -> Result<(), Failure> {
    let view = value.view();
    let (label, text) = match key {
        key::STATIC_DELTAS => (Some("Static Deltas"), None),
        key::LAST_MODIFIED => (Some("Last-Modified"), timestamp(view)),
        key::EXPIRES => (Some("Expires"), timestamp(view)),
        key::COLLECTION_ID => (Some("Collection ID"), view.as_str().map(str::to_owned)),
        key::COLLECTION_MAP => (Some("Collection Map"), Some("(printed above)".to_owned())),
        key::MODE => (Some("Repository Mode"), view.as_str().map(str::to_owned)),
        key::TOMBSTONE_COMMITS => {
            let text = view.as_bool().map(|yes| if yes { "Yes" } else { "No" }.to_owned());
            (Some("Has Tombstone Commits"), text)
        }
        _ => (None, None),
    };
    let text = text.unwrap_or_else(|| print_variant(view, Annotate::No));
    match label {
        Some(label) => writeln!(out, "{label} ({key}): {text}"),
        None => writeln!(out, "{key}: {text}"),
    }
}

/// A time in the local zone; `None` for a value of another type.
fn timestamp(value: Variant<'_>) -> Option<String> {
    Some(
        date::format_local_summary(seconds(value)?.cast_signed())
            .unwrap_or_else(|| "invalid".to_owned()),
    )
}

/// Seconds since 1970, which are stored in big-endian order.
fn seconds(value: Variant<'_>) -> Option<u64> {
    value.as_u64().map(u64::from_be)
}
