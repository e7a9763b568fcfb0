//! `pull`: gets commits from a remote.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use osier::http::{LowSpeed, RetryPolicy};
use osier::progress::Progress;
use osier::pull::{
    DeltaUse, DryRun, FileModes, PullOptions, PullStats, Source, SummaryCache, TimestampCheck,
    Want, dry_run_http, dry_run_local, pull_http, pull_local,
};
use osier::refspec::{RefName, Refspec, RemoteName};
use osier::remote::attempts::{Retry, RetryScope};
use osier::remote::origin::{self, Origin, OriginOptions};
use osier::remote::{self, Demands, Remote};
use osier::repo::{ListRefs, OpenOptions, Repo, RepoMode, Trust};
use serde_json::Value;

use super::context::{self, Context};
use super::error::Failure;
use super::json;
use super::options::{OWN_OPTIONS, integer, path};
use super::pull_events::Events;
use super::pull_output::{Place, delta_line, dry_run_document, dry_run_text, status_line};
use super::pulled;
use super::transfer_line::TransferLine;
use super::trust::trust;

/// The options of `pull`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Fetch only the commit metadata
    #[arg(long)]
    commit_metadata_only: bool,
    /// Use custom cache dir
    #[arg(long, value_name = "", value_parser = path())]
    cache_dir: Option<PathBuf>,
    /// Do not invoke fsync()
    #[arg(long)]
    disable_fsync: bool,
    /// Perform writes in such a way that avoids stalling concurrent processes
    #[arg(long)]
    per_object_fsync: bool,
    /// Do not use static deltas
    #[arg(long)]
    disable_static_deltas: bool,
    /// Require static deltas
    #[arg(long)]
    require_static_deltas: bool,
    /// Write refs suitable for a mirror and fetches all refs if none provided
    #[arg(long)]
    mirror: bool,
    /// Only pull the provided subpath(s)
    #[arg(long, value_name = "")]
    subpath: Vec<String>,
    /// Verify checksums of local sources (always enabled for HTTP pulls)
    #[arg(long)]
    untrusted: bool,
    /// Do not verify checksums of HTTP sources (mostly useful when mirroring)
    #[arg(long)]
    http_trusted: bool,
    /// Reject regular files with mode outside of 0775 (world writable, suid, etc.)
    #[arg(long)]
    bareuseronly_files: bool,
    /// Only print information on what will be downloaded
    #[arg(long)]
    dry_run: bool,
    /// Traverse DEPTH parents (-1=infinite) (default: 0)
    #[arg(long, value_name = "DEPTH", value_parser = integer)]
    depth: Option<i32>,
    /// Pull objects from this URL instead of the one from the remote config
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Add NAME=VALUE as HTTP header to all requests
    #[arg(long, value_name = "NAME=VALUE")]
    http_header: Vec<String>,
    /// Sets the update frequency, in milliseconds (0=1000ms) (default: 0)
    #[arg(long, value_name = "FREQUENCY", value_parser = integer)]
    update_frequency: Option<i32>,
    /// Do not retry when network issues happen, instead fail automatically
    #[arg(long)]
    disable_retry_on_network_errors: bool,
    /// Specifies how many times each download should be retried upon error (default: 5)
    #[arg(long, value_name = "N", value_parser = integer)]
    network_retries: Option<i32>,
    /// The limit in bytes per second that is considered too slow (default: 1000)
    #[arg(long, value_name = "N", value_parser = integer)]
    low_speed_limit_bytes: Option<i32>,
    /// The time in seconds for which the low speed limit may be breached (default: 30)
    #[arg(long, value_name = "N", value_parser = integer)]
    low_speed_time_seconds: Option<i32>,
    /// The max amount of concurrent connections allowed (default: as many as the server takes)
    #[arg(long, value_name = "N", value_parser = integer)]
    max_outstanding_fetcher_requests: Option<i32>,
    /// Add REPO as local cache source for objects during this pull
    #[arg(short = 'L', long, value_name = "REPO", value_parser = path())]
    localcache_repo: Vec<PathBuf>,
    /// Require fetched commits to have newer timestamps
    #[arg(short = 'T', long)]
    timestamp_check: bool,
    /// Require fetched commits to have newer timestamps than given rev
    #[arg(long, value_name = "")]
    timestamp_check_from_rev: Option<String>,
    /// Do not verify commit bindings
    #[arg(long)]
    disable_verify_bindings: bool,
    /// Append the text to the User-Agent header
    #[arg(long, value_name = "STRING", hide = true)]
    append_user_agent: Option<String>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    /// Print what happens, as JSON objects, one on each line
    #[arg(long, help_heading = OWN_OPTIONS)]
    json_events: bool,
    /// The remote, then refs.
    rest: Vec<OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let open = OpenOptions {
        disable_fsync: args.disable_fsync,
        per_object_fsync: args.per_object_fsync,
        ..context::open_options()?
    };
    let repo = context.open_repo_with(&open)?;
    repo.check_writable()?;
    let texts: Vec<_> = args.rest.iter().map(|text| text.to_string_lossy()).collect();
    let Some((first, names)) = texts.split_first() else {
        return Err(Failure::usage("REMOTE must be specified"));
    };
    let (name, wanted) = match first.contains(':') {
        true => {
            let refspec = Refspec::parse(first).map_err(osier::Error::from)?;
            let name = refspec.remote.map(|name| name.to_string()).unwrap_or_default();
            (name, vec![Want::Ref(refspec.name)])
        }
        false => {
            let wanted = names.iter().map(|text| Want::parse_with_commit(text));
            (first.to_string(), wanted.collect::<Result<_, _>>()?)
        }
    };
    refuse_conflicts(&args, &wanted)?;
    let remote = remote::find(&repo, None, &name)?;
    let config = remote.config()?;
    let demands = Demands::of_remote(&repo, None, &remote, &trust())?;
    if let Some(state) = &config.unconfigured_state {
        return Err(Failure::failed(format!("remote unconfigured-state: {state}")));
    }
    if let Some(backend) = &config.custom_backend {
        return Err(Failure::failed(format!(
            "Cannot fetch via libostree - remote '{name}' uses custom backend '{backend}'"
        )));
    }
    let mut options = PullOptions {
        wanted,
        remote: RemoteName::parse(&name).ok(),
        mirror: args.mirror,
        depth: pulled::generations(args.depth)?,
        commit_metadata_only: args.commit_metadata_only,
        subpaths: args.subpath.clone(),
        trust: if args.untrusted { Trust::Untrusted } else { Trust::Trusted },
        file_modes: match args.bareuseronly_files {
            true => FileModes::BareUserOnly,
            false => FileModes::Any,
        },
        http_trusted: args.http_trusted,
        max_requests: positive(args.max_outstanding_fetcher_requests).map(|most| most as usize),
        idle_limit: PullOptions::default().idle_limit,
        deltas: match (args.require_static_deltas, args.disable_static_deltas) {
            (true, _) => DeltaUse::Required,
            (false, true) => DeltaUse::Off,
            (false, false) => DeltaUse::Offered,
        },
        verify_bindings: !args.disable_verify_bindings,
        demands: Arc::new(demands),
        timestamps: match (&args.timestamp_check_from_rev, args.timestamp_check) {
            (Some(rev), _) => TimestampCheck::Rev(rev.clone()),
            (None, true) => TimestampCheck::Refs,
            (None, false) => TimestampCheck::None,
        },
    };
    let display = context.transaction_progress(&repo, args.json || args.json_events);
    let period = positive(args.update_frequency).filter(|milliseconds| *milliseconds > 0);
    let period = period.map(|milliseconds| Duration::from_millis(milliseconds.into()));
    let started = Instant::now();
    let mut run = |progress: &dyn Progress| {
        let done = transfer(&repo, &remote, &args, (&mut options, progress))?;
        let document = match &done {
            _ if !args.json && !args.json_events => Value::Null,
            Done::Counted(dry_run) => dry_run_document(dry_run),
            Done::Pulled(stats, _) => {
                let all = pulled_by_default(&repo, &config.branches, args.mirror)?;
                pulled::document(&repo, &options, &all, stats)?
            }
        };
        Ok::<_, Failure>((done, document))
    };
    let is_plain = args.json || args.json_events || args.dry_run;
    if !is_plain && io::stdout().is_terminal() {
        let line = TransferLine::new(display, context.out.clone(), period);
        let result = run(&line);
        let text = match &result {
            Ok((Done::Pulled(stats, place), _)) => {
                Some(status_line(stats, *place, started.elapsed()))
            }
            _ => None,
        };
        line.end(text.as_deref())?;
        return result.map(drop);
    }
    let progress = match period {
        None => display,
        Some(period) => display.redrawn_every(period),
    };
    if args.json_events {
        let events = Events::new(context.out.clone(), progress, period);
        let result = run(&events);
        return events.end(result.map(|(_, document)| document));
    }
    let (done, document) = run(&progress)?;
    drop(progress);
    match done {
        _ if args.json => json::print(&document, &context.out),
        Done::Counted(dry_run) if args.require_static_deltas => {
            writeln!(context.out, "{}", delta_line(&dry_run.deltas))
        }
        Done::Counted(dry_run) => context.out.write_str(&dry_run_text(&dry_run)),
        Done::Pulled(stats, place) => {
            writeln!(context.out, "{}", status_line(&stats, place, started.elapsed()))
        }
    }
}

/// What was done.
enum Done {
    Pulled(PullStats, Place),
    Counted(DryRun),
}

/// Pulls from the place of the remote. Refs that are not given are filled in.
fn transfer(
    repo: &Repo,
    remote: &Remote,
    args: &Args,
    (options, progress): (&mut PullOptions, &dyn Progress),
) -> Result<Done, Failure> {
    let config = remote.config()?;
    let local_path = origin::local_path(&config, args.url.as_deref());
    let mirrors_all = args.mirror && options.wanted.is_empty() && config.branches.is_empty();
    if let Some(path) = &local_path
        && options.deltas != DeltaUse::Required
    {
        let source = open_source(path)?;
        if !mirrors_all || source.mode() != RepoMode::Archive {
            if options.wanted.is_empty() && !mirrors_all {
                options.wanted = branches(&remote.name, &config.branches)?;
            }
            return Ok(match args.dry_run {
                true => Done::Counted(dry_run_local(repo, &source, options)?),
                false => Done::Pulled(pull_local(repo, &source, options, progress)?, Place::Local),
            });
        }
        // As from a server, because the summary is mirrored, too.
        options.deltas = DeltaUse::Off;
    }
    let origin_options = origin_options(args)?;
    let (origin, cache) = match local_path {
        Some(path) => {
            (Origin::of_directory(&path, origin_options.retry, progress)?, SummaryCache::None)
        }
        None => {
            let cache = args.cache_dir.as_deref().map_or(SummaryCache::Own, SummaryCache::In);
            (Origin::open(repo, &remote.name, &config, &origin_options, progress)?, cache)
        }
    };
    let open_cache = |path: &PathBuf| open_source(&context::absolute(path)?);
    let local_caches: Vec<Repo> =
        args.localcache_repo.iter().map(open_cache).collect::<Result<_, _>>()?;
    let source = Source {
        name: &remote.name,
        branches: &config.branches,
        collection: config.collection()?,
        origin: &origin,
        cache,
        local_caches: &local_caches,
    };
    Ok(match args.dry_run {
        true => Done::Counted(dry_run_http(repo, &source, options, progress)?),
        false => Done::Pulled(pull_http(repo, &source, options, progress)?, Place::Server),
    })
}

/// The refs that a remote's configuration names.
fn branches(remote: &str, branches: &[String]) -> Result<Vec<Want>, Failure> {
    if branches.is_empty() {
        let message = format!("No configured branches for remote {remote}");
        return Err(Failure::failed(message));
    }
    let parsed: Result<_, _> = branches.iter().map(|name| Want::parse(name)).collect();
    Ok(parsed.map_err(osier::Error::from)?)
}

/// Refuses what upstream aborts at.
fn refuse_conflicts(args: &Args, wanted: &[Want]) -> Result<(), Failure> {
    let failed = |text: &str| Err(Failure::failed(text.to_owned()));
    if args.json && args.json_events {
        return failed("--json and --json-events conflict");
    }
    if args.disable_static_deltas && args.require_static_deltas {
        return failed("--disable-static-deltas and --require-static-deltas conflict");
    }
    if let Some(path) = args.subpath.iter().find(|path| !path.starts_with('/')) {
        return Err(Failure::failed(format!("Subpath '{path}' must be absolute")));
    }
    if args.timestamp_check && args.depth.is_some_and(|depth| depth != 0) {
        return failed("--timestamp-check requires depth 0");
    }
    if args.timestamp_check && wanted.iter().any(|want| want.name().is_none()) {
        return failed("--timestamp-check requires refs");
    }
    Ok(())
}

fn open_source(path: &Path) -> Result<Repo, Failure> {
    use osier::error::Context as _;
    let opened = Repo::open_with(path, &context::open_options()?);
    Ok(opened.context(|| "opening repo".to_owned())?)
}

/// How a remote's server is spoken to.
fn origin_options(args: &Args) -> Result<OriginOptions, Failure> {
    let mut headers = Vec::new();
    for header in &args.http_header {
        let (name, value) = header
            .split_once('=')
            .ok_or_else(|| Failure::failed("Missing '=' in --http-header".to_owned()))?;
        headers.push((name.to_owned(), value.to_owned()));
    }
    let defaults = super::origin::options();
    let extra = args.append_user_agent.as_ref().map(|text| format!(" {text}"));
    let retries = positive(args.network_retries);
    Ok(OriginOptions {
        url: args.url.clone(),
        user_agent: defaults.user_agent + &extra.unwrap_or_default(),
        headers,
        retry: Retry {
            policy: RetryPolicy {
                retries: retries.unwrap_or(RetryPolicy::default().retries),
                ..RetryPolicy::default()
            },
            scope: match args.disable_retry_on_network_errors {
                true => RetryScope::Answers,
                false => RetryScope::Transient,
            },
        },
        low_speed: low_speed(args),
        ..defaults
    })
}

/// The default for what is not given or negative; 0 in either is off.
fn low_speed(args: &Args) -> Option<LowSpeed> {
    let default = LowSpeed::default();
    let bytes = positive(args.low_speed_limit_bytes).map(u64::from);
    let seconds = positive(args.low_speed_time_seconds).map(u64::from);
    let limit = LowSpeed {
        bytes_per_second: bytes.unwrap_or(default.bytes_per_second),
        window: seconds.map_or(default.window, Duration::from_secs),
    };
    Some(limit).filter(|limit| limit.bytes_per_second > 0 && !limit.window.is_zero())
}

/// A number that is not negative.
fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

/// The refs that are pulled when none are given: the configured branches, or for a mirror all that
/// it has now.
fn pulled_by_default(
    repo: &Repo,
    branches: &[String],
    is_mirror: bool,
) -> Result<Vec<RefName>, Failure> {
    if is_mirror && branches.is_empty() {
        let refs = repo.list_ref_names(None, ListRefs::Full)?;
        let own = refs.into_iter().filter(|refspec| refspec.remote.is_none());
        return Ok(own.map(|refspec| refspec.name).collect());
    }
    let parsed = branches.iter().map(|name| RefName::parse(name));
    Ok(parsed.collect::<Result<_, _>>().map_err(osier::Error::from)?)
}
