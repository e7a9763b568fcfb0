//! `push`: publishes commits. `ostree` has no such command.

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use osier::push::{
    Deltas, Destination, Directory, Listing, Locking, Machine, Moves, Named, Place, PushOptions,
    PushStats, PushedRef, SshOptions, SummaryUpdate, push,
};
use osier::refspec::RefName;
use osier::repo::{OpenOptions, Trust};
use osier::units::format_size;
use serde_json::{Value, json};

use super::clock;
use super::context::{self, Context};
use super::destination;
use super::error::{self, Failure};
use super::json;
use super::options::{integer, path};
use super::pulled;
use super::signing::Signing;

/// The options of `push`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Push DEPTH generations of parents, too (-1=all) (default: 0)
    #[arg(long, value_name = "DEPTH", value_parser = integer)]
    depth: Option<i32>,
    /// Move refs to commits that are no descendants of those there
    #[arg(long)]
    force: bool,
    /// List the objects there instead of relying on its refs
    #[arg(long)]
    list: bool,
    /// Do not push static deltas
    #[arg(long)]
    disable_static_deltas: bool,
    /// Leave the summary as it is
    #[arg(long)]
    no_summary: bool,
    /// Overwrite refs and summary, whoever has changed them meanwhile
    #[arg(long)]
    no_lock: bool,
    /// GPG Key ID to sign the summary with
    #[arg(long, value_name = "KEY-ID")]
    gpg_sign: Vec<String>,
    /// GPG Homedir to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR")]
    gpg_homedir: Option<String>,
    /// Key ID to sign the summary with
    #[arg(long, value_name = "KEY-ID")]
    sign: Vec<String>,
    /// Sign the summary with the key in PATH
    #[arg(long, value_name = "PATH", value_parser = path())]
    sign_from_file: Vec<PathBuf>,
    /// Signature type to use (defaults to 'ed25519')
    #[arg(long, value_name = "NAME")]
    sign_type: Option<String>,
    /// The URL of the store that has the bucket (default: Amazon's)
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The region of the bucket
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Take credentials from this profile of the AWS tools
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Call COMMAND instead of ssh (also in OSIER_SSH)
    #[arg(long, value_name = "COMMAND")]
    ssh: Option<String>,
    /// The osier of the other machine (default: osier)
    #[arg(long, value_name = "PROGRAM")]
    receiver: Option<String>,
    /// Do not invoke fsync()
    #[arg(long)]
    disable_fsync: bool,
    /// Write nothing, only tell what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
    /// The destination, then refs.
    rest: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let (json, dry_run) = (args.json, args.dry_run);
    let Some((place, _)) = args.rest.split_first() else {
        return Err(Failure::usage("DEST must be specified"));
    };
    let repo = context.open_repo()?;
    let named = Named::find(&repo, place)?;
    let named = Named {
        endpoint: args.endpoint.clone().or(named.endpoint),
        region: args.region.clone().or(named.region),
        profile: args.profile.clone().or(named.profile),
        receiver: args.receiver.clone().or(named.receiver),
        ..named
    };
    let ssh = args.ssh.clone().or_else(|| env::var("OSIER_SSH").ok());
    let open = OpenOptions { disable_fsync: args.disable_fsync, ..context::open_options()? };
    let options = options(args)?;
    let to = open_place(&named, ssh, &open)?;
    let progress = context.progress_for(json);
    let started = Instant::now();
    let stats = push(&repo, to.as_ref(), &options, &progress)?;
    drop(progress);
    if json {
        return json::print(&document(to.name(), &stats), &context.out);
    }
    for PushedRef { name, old, new } in &stats.refs {
        let old = old.filter(|old| old != new).map(|old| format!(" (was {old})"));
        writeln!(context.out, "{name}: {new}{}", old.unwrap_or_default())?;
    }
    writeln!(context.out, "{}", status_line(&stats, dry_run, started.elapsed()))
}

fn options(args: Args) -> Result<PushOptions, Failure> {
    let Args {
        depth,
        force,
        list,
        disable_static_deltas,
        no_summary,
        no_lock,
        gpg_sign,
        gpg_homedir,
        sign,
        sign_from_file,
        sign_type,
        endpoint: _,
        region: _,
        profile: _,
        ssh: _,
        receiver: _,
        disable_fsync: _,
        dry_run,
        json: _,
        rest,
    } = args;
    let signs = !gpg_sign.is_empty() || !sign.is_empty() || !sign_from_file.is_empty();
    if no_summary && signs {
        return Err(Failure::usage("--no-summary leaves nothing to sign"));
    }
    let signing = Signing { gpg_sign, gpg_homedir, sign, sign_from_file, sign_type };
    let refs = rest.iter().skip(1).map(|name| RefName::parse(name));
    Ok(PushOptions {
        refs: refs.collect::<Result<_, _>>().map_err(osier::Error::from)?,
        depth: pulled::generations(depth)?,
        listing: if list { Listing::Always } else { Listing::Unsure },
        moves: if force { Moves::Anywhere } else { Moves::Forward },
        locking: if no_lock { Locking::Off } else { Locking::Required },
        deltas: if disable_static_deltas { Deltas::Left } else { Deltas::Sent },
        summary: if no_summary { SummaryUpdate::Left } else { SummaryUpdate::Written },
        signers: signing.of_summary()?,
        dry_run,
        ..PushOptions::new(clock::now())
    })
}

fn open_place(
    named: &Named,
    ssh: Option<String>,
    open: &OpenOptions,
) -> Result<Box<dyn Destination>, Failure> {
    match Place::parse(&named.url)? {
        Place::Directory(path) => Ok(Box::new(Directory::new(&path, open, Trust::Trusted)?)),
        Place::Store { bucket, prefix } => open_store(bucket, prefix, named),
        Place::Machine(address) => {
            let options = SshOptions {
                command: ssh.filter(|command| !command.is_empty()),
                receiver: named.receiver.clone(),
                environment: env::vars_os().collect(),
            };
            Ok(Box::new(Machine::connect(&address, &options, Box::new(error::warn))?))
        }
    }
}

/// Opens what a compose pushes to.
///
/// # Errors
/// When it cannot be reached, or there is something else.
#[cfg(feature = "compose")]
pub(super) fn open_destination(
    named: &Named,
    open: &OpenOptions,
) -> osier::Result<Box<dyn Destination>> {
    open_place(named, env::var("OSIER_SSH").ok(), open).map_err(|failure| match failure {
        Failure::Error(error) => error,
        _ => osier::Error::failed(format!("{} cannot be pushed to", named.url)),
    })
}

#[cfg(feature = "s3")]
fn open_store(
    bucket: String,
    prefix: String,
    named: &Named,
) -> Result<Box<dyn Destination>, Failure> {
    Ok(Box::new(destination::bucket(bucket, prefix, named.clone())?))
}

#[cfg(not(feature = "s3"))]
fn open_store(_: String, _: String, _: &Named) -> Result<Box<dyn Destination>, Failure> {
    Err(destination::without_stores())
}

fn document(destination: &str, stats: &PushStats) -> Value {
    let PushStats {
        refs,
        metadata_objects_sent,
        content_objects_sent,
        delta_files_sent,
        objects_present,
        bytes_sent,
        summary_written,
    } = stats;
    let of_ref = |PushedRef { name, old, new }: &PushedRef| {
        json!({
            "ref": name.as_str(),
            "commit": new.to_hex(),
            "old_commit": old.map(|old| old.to_hex()),
        })
    };
    json!({
        "destination": destination,
        "refs": refs.iter().map(of_ref).collect::<Vec<_>>(),
        "metadata_objects_sent": metadata_objects_sent,
        "content_objects_sent": content_objects_sent,
        "delta_files_sent": delta_files_sent,
        "objects_present": objects_present,
        "bytes_sent": bytes_sent,
        "summary_written": summary_written,
    })
}

fn status_line(stats: &PushStats, dry_run: bool, took: Duration) -> String {
    let mut line = format!(
        "{} metadata, {} content objects",
        stats.metadata_objects_sent, stats.content_objects_sent
    );
    if stats.delta_files_sent > 0 {
        line.push_str(&format!(", {} files of deltas", stats.delta_files_sent));
    }
    let bytes = format_size(stats.bytes_sent);
    let present = stats.objects_present;
    match dry_run {
        true => format!("{line} to send ({bytes}), {present} objects are there"),
        false => {
            let seconds = took.as_secs();
            format!("{line} sent ({bytes}) in {seconds} seconds, {present} objects were there")
        }
    }
}
