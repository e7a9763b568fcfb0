//! `prune`: removes what no commit needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Zoned;
use osier::prune::{self, Depth, PruneOptions, PruneStats, Retention, Roots, Scope};
#[cfg(feature = "s3")]
use osier::push::{Bucket, Destination, StorePruneOptions, StorePruneStats, prune_store};
use osier::repo::Repo;
use osier::units::{format_size, parse_duration};
use osier::{Checksum, date};
use serde_json::json;

use super::by_policy;
#[cfg(feature = "s3")]
use super::clock;
use super::context::Context;
use super::destination::{self, StoreArgs, Target};
use super::error::Failure;
use super::json;
use super::options::{OWN_OPTIONS, integer, path};
#[cfg(feature = "s3")]
use super::pulled;

/// What came in so many hours is not removed from a bucket, or by a policy in no ref.
const DEFAULT_GUARD: u64 = 24;

/// The options of `prune`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Only display unreachable objects; don't delete
    #[arg(long)]
    no_prune: bool,
    /// Only compute reachability via refs
    #[arg(long)]
    refs_only: bool,
    /// Only traverse DEPTH parents for each commit (default: -1=infinite)
    #[arg(long, value_name = "DEPTH", value_parser = integer)]
    depth: Option<i32>,
    /// Specify a commit to delete
    #[arg(long, value_name = "COMMIT")]
    delete_commit: Option<String>,
    /// Prune all commits older than the specified date
    #[arg(long, value_name = "DATE")]
    keep_younger_than: Option<String>,
    /// Change the behavior of delete-commit and keep-younger-than to prune only static deltas
    #[arg(long)]
    static_deltas_only: bool,
    /// Additionally retain BRANCH=DEPTH commits
    #[arg(long, value_name = "BRANCH=DEPTH")]
    retain_branch_depth: Vec<String>,
    /// Only prune BRANCH (may be specified multiple times)
    #[arg(long, value_name = "BRANCH")]
    only_branch: Vec<String>,
    // Written this way because clap strips the full stop from a comment.
    #[arg(long, help = "Only traverse and delete commit objects.")]
    commit_only: bool,
    /// Then keep only the static deltas from nothing and from the newest N commits, for each commit
    #[arg(long, value_name = "N", value_parser = count, help_heading = OWN_OPTIONS)]
    deltas_keep: Option<usize>,
    /// As --no-prune
    #[arg(long, help_heading = OWN_OPTIONS)]
    dry_run: bool,
    /// Keep what was written to a bucket in the last HOURS (default: 24)
    #[arg(long, value_name = "HOURS", value_parser = hours, help_heading = OWN_OPTIONS)]
    guard: Option<u64>,
    /// Keep what the key file FILE says, while others write
    #[arg(long, value_name = "FILE", value_parser = path(), help_heading = OWN_OPTIONS)]
    policy: Option<PathBuf>,
    /// Keep what no ref leads to if it came in this time, such as 12h or 7d (default: 24h)
    #[arg(long, value_name = "DURATION", value_parser = duration, help_heading = OWN_OPTIONS)]
    keep_unreferenced_younger_than: Option<Duration>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
    rest: Vec<String>,
}

pub(super) fn run(mut args: Args, context: &mut Context) -> Result<(), Failure> {
    args.no_prune |= args.dry_run;
    let store = std::mem::take(&mut args.store);
    match destination::target(&std::mem::take(&mut args.rest), store, context)? {
        #[cfg(feature = "s3")]
        Target::Store(bucket) => in_store(&bucket, args, context),
        _ if args.guard.is_some() => Err(Failure::usage("--guard is for buckets only")),
        Target::Directory(path) => {
            let repo = destination::open_directory(&path)?;
            if !args.no_prune {
                repo.check_writable()?;
            }
            // What was pushed is what refs lead to.
            args.refs_only = true;
            in_repo(&repo, args, context)
        }
        // A dry run needs no write permission.
        Target::Here if args.no_prune => in_repo(&context.open_repo()?, args, context),
        Target::Here => in_repo(&context.open_writable_repo()?, args, context),
    }
}

fn in_repo(repo: &Repo, args: Args, context: &Context) -> Result<(), Failure> {
    if args.policy.is_some() || args.keep_unreferenced_younger_than.is_some() {
        return by_policy::run(repo, &with_policy(args)?, context);
    }
    let (static_deltas_only, json) = (args.static_deltas_only, args.json);
    let deltas_keep = args.deltas_keep;
    if deltas_keep.is_some() && args.no_prune {
        return Err(Failure::usage("Cannot specify both --deltas-keep and --no-prune"));
    }
    if args.delete_commit.is_some() && args.no_prune {
        return Err(Failure::usage("Cannot specify both --delete-commit and --no-prune"));
    }
    if static_deltas_only && args.delete_commit.is_none() {
        let message = "--static-deltas-only requires --delete-commit; see \
            https://github.com/ostreedev/ostree/issues/1479";
        return Err(Failure::failed(message));
    }
    let delete_commit = args.delete_commit.clone();
    let options = into_options(args, repo)?;
    match delete_commit {
        Some(commit) if static_deltas_only => {
            // An invalid checksum has no deltas.
            if let Ok(commit) = Checksum::from_hex(&commit) {
                prune::delete_static_deltas(repo, &commit)?;
            }
        }
        Some(commit) => {
            let checksum = Checksum::from_hex(&commit).ok();
            if let Some(checksum) = checksum {
                prune::check_unreferenced(repo, &checksum)?;
            }
            repo.enable_tombstones()?;
            prune::delete_commit(repo, &checksum.ok_or_else(|| no_such_commit(&commit))?)?;
        }
        None => {}
    }
    let stats = prune::prune(repo, &options, &context.progress())?;
    let deltas = deltas_keep.map(|keep| prune::keep_newest_deltas(repo, keep)).transpose()?;
    if json {
        let PruneStats { objects_total, objects_deleted, bytes_freed } = stats;
        let mut object = json!({
            "objects_total": objects_total,
            "objects_deleted": objects_deleted,
            "bytes_freed": bytes_freed,
            "dry_run": options.dry_run,
        });
        if let Some(deltas) = deltas {
            object["deltas_deleted"] = deltas.into();
        }
        return json::print(&object, &context.out);
    }
    let (out, scope) =
        (&context.out, if options.scope == Scope::CommitsOnly { " (commit only)" } else { "" });
    writeln!(out, "Total{scope} objects: {}", stats.objects_total)?;
    let (count, size) = (stats.objects_deleted, format_size(stats.bytes_freed));
    match (count, options.dry_run) {
        (0, _) => writeln!(out, "No unreachable objects"),
        (_, true) => writeln!(out, "Would delete: {count} objects, freeing {size}"),
        (_, false) => writeln!(out, "Deleted {count} objects, {size} freed"),
    }?;
    deltas.map_or(Ok(()), |deltas| writeln!(out, "Deleted {deltas} static deltas"))
}

/// What a policy goes with.
fn with_policy(args: Args) -> Result<by_policy::Request, Failure> {
    if args.delete_commit.is_some()
        || args.keep_younger_than.is_some()
        || args.static_deltas_only
        || !args.retain_branch_depth.is_empty()
        || !args.only_branch.is_empty()
        || args.commit_only
        || args.deltas_keep.is_some()
        || args.policy.is_some() && args.depth.is_some()
    {
        return Err(Failure::usage("with --policy only the policy decides what is kept"));
    }
    if args.policy.is_none() && !args.refs_only {
        let message = "--keep-unreferenced-younger-than goes with --policy or --refs-only";
        return Err(Failure::usage(message));
    }
    Ok(by_policy::Request {
        file: args.policy,
        depth: args.depth.map_or(Depth::Unlimited, to_depth),
        guard: args.keep_unreferenced_younger_than,
        default_guard: Duration::from_secs(DEFAULT_GUARD * 3600),
        dry_run: args.no_prune,
        json: args.json,
    })
}

/// Removes what no ref of a bucket reaches.
#[cfg(feature = "s3")]
fn in_store(bucket: &Bucket, args: Args, context: &Context) -> Result<(), Failure> {
    let Args { no_prune, refs_only: _, depth, guard, json, .. } = args;
    if args.delete_commit.is_some()
        || args.keep_younger_than.is_some()
        || args.static_deltas_only
        || !args.retain_branch_depth.is_empty()
        || !args.only_branch.is_empty()
        || args.commit_only
        || args.deltas_keep.is_some()
        || args.policy.is_some()
    {
        return Err(Failure::usage("of a bucket only --depth and --guard decide what is kept"));
    }
    let hours = Duration::from_secs(guard.unwrap_or(DEFAULT_GUARD).saturating_mul(3600));
    let options = StorePruneOptions {
        depth: pulled::generations(Some(depth.unwrap_or(-1)))?,
        guard: args.keep_unreferenced_younger_than.unwrap_or(hours).as_secs(),
        now: clock::now(),
        dry_run: no_prune,
    };
    let progress = context.progress_for(json);
    let stats = prune_store(bucket, &options, &progress)?;
    drop(progress);
    let StorePruneStats {
        objects_total,
        objects_deleted,
        objects_young,
        delta_files_deleted,
        bytes_freed,
    } = stats;
    if json {
        let document = json!({
            "objects_total": objects_total,
            "objects_deleted": objects_deleted,
            "bytes_freed": bytes_freed,
            "dry_run": no_prune,
            "destination": Destination::name(bucket),
            "objects_young": objects_young,
            "delta_files_deleted": delta_files_deleted,
        });
        return json::print(&document, &context.out);
    }
    let (out, size) = (&context.out, format_size(bytes_freed));
    writeln!(out, "Total objects: {objects_total}")?;
    let deltas = match delta_files_deleted {
        0 => String::new(),
        number => format!(" and {number} files of static deltas"),
    };
    match (objects_deleted + delta_files_deleted, no_prune) {
        (0, _) => writeln!(out, "No unreachable objects"),
        (_, true) => {
            writeln!(out, "Would delete: {objects_deleted} objects{deltas}, freeing {size}")
        }
        (_, false) => writeln!(out, "Deleted {objects_deleted} objects{deltas}, {size} freed"),
    }?;
    match objects_young {
        0 => Ok(()),
        number => writeln!(out, "Too young to delete: {number} objects"),
    }
}

fn hours(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("Invalid number of hours '{text}'"))
}

fn duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        None if text == "0" => Ok(Duration::ZERO),
        parsed => parsed.ok_or_else(|| format!("Invalid duration '{text}'; write 12h, 30d or 12w")),
    }
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("Invalid number '{text}'"))
}

fn into_options(args: Args, repo: &Repo) -> Result<PruneOptions, Failure> {
    let Args {
        no_prune,
        refs_only,
        depth,
        delete_commit: _,
        keep_younger_than,
        static_deltas_only: _,
        retain_branch_depth,
        only_branch,
        commit_only,
        deltas_keep: _,
        dry_run: _,
        guard: _,
        policy: _,
        keep_unreferenced_younger_than: _,
        json: _,
        store: _,
        rest: _,
    } = args;
    let depth = depth.map_or(Depth::Unlimited, to_depth);
    let by_branch =
        keep_younger_than.is_some() || !retain_branch_depth.is_empty() || !only_branch.is_empty();
    let roots = match (by_branch, refs_only) {
        (true, _) => {
            let younger_than =
                keep_younger_than.map(|text| date::parse(&text, &Zoned::now())).transpose();
            let younger_than = younger_than.map_err(|error| Failure::failed(error.what))?;
            let mut by_name = BTreeMap::new();
            for text in &retain_branch_depth {
                let (branch, number) = branch_depth(text)?;
                by_name.insert(branch, number);
            }
            // Upstream treats a depth of 0 as no rule for the branch.
            let said = by_name.into_iter().filter(|(_, number)| *number != 0);
            let branch_depth =
                said.map(|(branch, number)| (branch.to_owned(), to_depth(number))).collect();
            for branch in &only_branch {
                repo.resolve_rev(branch)?;
            }
            Roots::Retained(Retention {
                depth,
                younger_than,
                only_branches: only_branch,
                branch_depth,
            })
        }
        (false, true) => Roots::Refs(depth),
        (false, false) => Roots::AllCommits,
    };
    let scope = if commit_only { Scope::CommitsOnly } else { Scope::AllObjects };
    Ok(PruneOptions { roots, scope, dry_run: no_prune })
}

/// -1 is no limit; smaller numbers keep nothing, as upstream.
fn to_depth(number: i32) -> Depth {
    match number {
        -1 => Depth::Unlimited,
        number => Depth::Parents(u32::try_from(number).unwrap_or(0)),
    }
}

/// Parses `BRANCH=DEPTH`, the depth as C's `strtoll` and a cast to `int` read it.
fn branch_depth(text: &str) -> Result<(&str, i32), Failure> {
    let Some((branch, depth)) = text.split_once('=') else {
        return Err(Failure::failed(format!("Invalid value {text}, must specify BRANCH=DEPTH")));
    };
    let number =
        leading_integer(depth).ok_or_else(|| Failure::failed(format!("Invalid depth {depth}")))?;
    Ok((branch, number))
}

fn leading_integer(text: &str) -> Option<i32> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let digits_start = usize::from(text.starts_with(['-', '+']));
    let digits = text[digits_start..].bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return None;
    }
    let saturated = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    let number = text[..digits_start + digits].parse::<i64>().unwrap_or(saturated);
    // Upstream keeps the low 32 bits.
    Some(number as i32)
}

/// Upstream's message for a text that is not a checksum, after trying to remove the object of that
/// name.
fn no_such_commit(text: &str) -> Failure {
    let path = match text.split_at_checked(2) {
        Some((prefix, rest)) => format!("{prefix}/{rest}.commit"),
        None => text.to_owned(),
    };
    Failure::failed(format!(
        "Deleting object {text}.commit: unlinkat({path}): No such file or directory"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_and_its_depth_are_split_at_the_first_equals_sign() {
        // What ostree keeps of a branch with a history of twelve commits.
        for (text, expected) in [
            ("main=2", ("main", 2)),
            ("main=010", ("main", 10)),
            ("main=0x2", ("main", 0)),
            ("main= -1x", ("main", -1)),
            ("main=1=2", ("main", 1)),
            ("=1", ("", 1)),
            ("main=4294967297", ("main", 1)),
            ("main=99999999999999999999", ("main", -1)),
        ] {
            assert_eq!(branch_depth(text).ok(), Some(expected), "{text}");
        }
        for (text, message) in [
            ("main", "Invalid value main, must specify BRANCH=DEPTH"),
            ("main=", "Invalid depth "),
            ("main=x", "Invalid depth x"),
        ] {
            assert!(
                matches!(
                    branch_depth(text),
                    Err(Failure::Error(error)) if error.chain() == message
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn minus_one_is_no_limit_and_less_is_nothing() {
        assert_eq!(to_depth(-1), Depth::Unlimited);
        assert_eq!(to_depth(-2), Depth::Parents(0));
        assert_eq!(to_depth(7), Depth::Parents(7));
    }
}
