//! `fsck`: checks a repository.

use osier::Checksum;
use osier::fsck::{Fault, Finding, FsckOptions, FsckReport, fsck, fsck_into};
use osier::progress::{Event, Progress as _};
#[cfg(feature = "s3")]
use osier::push::{Bucket, fsck_store, refs_of};
use osier::refspec::CollectionRef;
use osier::repo::{ListRefs, Repo};
use serde_json::{Value, json};

use super::context::Context;
use super::destination::{self, StoreArgs, Target};
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;
use super::repair::Request;

/// The options of `fsck`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Add tombstones for missing commits
    #[arg(long)]
    add_tombstones: bool,
    /// Only print error messages
    #[arg(short, long)]
    quiet: bool,
    /// Don't stop on first error
    #[arg(short, long)]
    all: bool,
    /// Remove corrupted objects
    #[arg(long)]
    delete: bool,
    /// Verify ref bindings
    #[arg(long)]
    verify_bindings: bool,
    /// Verify back-references (implies --verify-bindings)
    #[arg(long)]
    verify_back_refs: bool,
    /// Fetch again what is damaged or missing, and list what is lost
    #[arg(long, help_heading = OWN_OPTIONS)]
    repair: bool,
    /// Fetch from SOURCE: a remote, or the path or URL of a repository (may be repeated)
    #[arg(long, value_name = "SOURCE", help_heading = OWN_OPTIONS)]
    from: Vec<String>,
    /// With --repair, only list what would be fetched
    #[arg(long, help_heading = OWN_OPTIONS)]
    dry_run: bool,
    /// Go on where a check with this option was interrupted
    #[arg(long, help_heading = OWN_OPTIONS)]
    resume: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    #[command(flatten)]
    store: StoreArgs,
    rest: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        add_tombstones,
        quiet,
        delete,
        all,
        verify_bindings,
        verify_back_refs,
        repair,
        from,
        dry_run,
        resume,
        json,
        store,
        rest,
    } = args;
    let options =
        FsckOptions { all, delete, add_tombstones, verify_bindings, verify_back_refs, resume };
    if !repair && (dry_run || !from.is_empty()) {
        return Err(Failure::usage("--from and --dry-run need --repair"));
    }
    if repair && (delete || add_tombstones || verify_bindings || verify_back_refs) {
        return Err(Failure::usage(
            "--repair conflicts with --delete, --add-tombstones, --verify-bindings and \
             --verify-back-refs",
        ));
    }
    // The repository need not be writable unless something is to be deleted.
    let repo = match destination::target(&rest, store, context)? {
        Target::Here => context.open_repo()?,
        Target::Directory(path) => destination::open_directory(&path)?,
        #[cfg(feature = "s3")]
        Target::Store(_) if repair => {
            return Err(Failure::usage("what is in a bucket is repaired by another push"));
        }
        #[cfg(feature = "s3")]
        Target::Store(bucket) => {
            let style = if json { Style::Json } else { Style::Text { quiet } };
            return in_store(&bucket, &options, style, context);
        }
    };
    if repair {
        let request = Request { from, dry_run, resume, quiet, json };
        return super::repair::run(&repo, request, context);
    }
    if json {
        return run_json(&repo, &options, context);
    }
    in_repo(&repo, &options, quiet, context)
}

fn in_repo(
    repo: &Repo,
    options: &FsckOptions,
    quiet: bool,
    context: &Context,
) -> Result<(), Failure> {
    let display = context.progress();
    let progress = |event: Event<'_>| match event {
        Event::Message(_) if quiet => {}
        event => display.event(event),
    };
    let report = fsck(repo, options, &progress)?;
    let verdict = verdict(&report, options.delete);
    let FsckReport { commits, partial_commits, tombstones, .. } = report;
    for commit in tombstones {
        writeln!(context.out, "Adding tombstone for commit {commit}")?;
    }
    // Upstream reports one or the other.
    if partial_commits > 0 && !options.add_tombstones {
        writeln!(context.out, "{partial_commits} partial commits not verified")?;
    }
    verdict?;
    say_clean(commits, context)
}

fn say_clean(commits: u64, context: &Context) -> Result<(), Failure> {
    writeln!(
        context.out,
        "object fsck of {commits} commits completed successfully - no errors found."
    )
}

/// How the result is printed.
#[cfg(feature = "s3")]
enum Style {
    Text { quiet: bool },
    Json,
}

#[cfg(feature = "s3")]
fn in_store(
    bucket: &Bucket,
    options: &FsckOptions,
    style: Style,
    context: &Context,
) -> Result<(), Failure> {
    // All that is wrong is reported in any case.
    if *options != (FsckOptions { all: options.all, ..FsckOptions::default() }) {
        return Err(Failure::usage(
            "of a bucket only the objects are checked, and nothing is changed",
        ));
    }
    let display = match style {
        Style::Json => context.display().without_lines(),
        Style::Text { .. } => context.display(),
    };
    let display = display.that_leaves_nothing();
    let progress = |event: Event<'_>| match (&event, &style) {
        (Event::Message(_), Style::Text { quiet: true }) => {}
        (Event::Message(_) | Event::Warning(_), Style::Json) => {}
        _ => display.event(event),
    };
    let mut findings = Vec::new();
    let result = fsck_store(bucket, &mut findings, &progress);
    match style {
        Style::Text { .. } => {
            let report = result?;
            verdict(&report, false)?;
            say_clean(report.commits, context)
        }
        Style::Json => {
            let refs = contents_refs(bucket);
            print_json(&findings, &refs, result.map(|report| (report, false)), context)
        }
    }
}

/// The refs of a bucket, for the findings. If they cannot be read, that is the error already.
#[cfg(feature = "s3")]
fn contents_refs(bucket: &Bucket) -> Vec<(String, Checksum)> {
    let refs = refs_of(bucket).unwrap_or_default().into_iter();
    refs.map(|(name, commit)| (name.to_string(), commit)).collect()
}

/// The failure of the command after a complete check.
fn verdict(report: &FsckReport, delete: bool) -> Result<(), Failure> {
    let FsckReport { corrupted, unreadable_objects, damaged_commits, .. } = *report;
    // Upstream calls that corruption too. With `--delete` it would read as if something had been
    // deleted.
    if corrupted || unreadable_objects > 0 && !delete {
        return Err(Failure::failed("Repository corruption encountered"));
    }
    if unreadable_objects > 0 {
        let objects = if unreadable_objects == 1 { "object" } else { "objects" };
        return Err(Failure::failed(format!("{unreadable_objects} {objects} could not be read")));
    }
    if damaged_commits > 0 {
        return Err(Failure::failed(format!(
            "{damaged_commits} partial commits from fsck-detected corruption"
        )));
    }
    Ok(())
}

/// Prints JSON for any result, also when the check ends early.
fn run_json(repo: &Repo, options: &FsckOptions, context: &Context) -> Result<(), Failure> {
    let display = context.quiet_progress();
    let progress = |event: Event<'_>| match event {
        // The findings are in the JSON document.
        Event::Message(_) | Event::Warning(_) => {}
        event => display.event(event),
    };
    let mut findings = Vec::new();
    let result = fsck_into(repo, options, &mut findings, &progress);
    // If refs cannot be listed, that is the error.
    let listed = repo.list_refs(None, ListRefs::Full).unwrap_or_default().into_iter();
    let mut refs: Vec<(String, Checksum)> =
        listed.map(|(refspec, commit)| (refspec.to_string(), commit)).collect();
    let of_collections = repo.list_collection_refs(None).unwrap_or_default().into_iter();
    // Those of the repository's own collection are included already.
    let of_others = of_collections
        .filter(|(named, _)| repo.collection_id().as_ref() != Some(&named.collection));
    refs.extend(of_others.map(|(CollectionRef { collection, name }, commit)| {
        (format!("({}, {})", collection.as_str(), name.as_str()), commit)
    }));
    print_json(&findings, &refs, result.map(|report| (report, options.delete)), context)
}

fn print_json(
    findings: &[Finding],
    refs: &[(String, Checksum)],
    result: osier::Result<(FsckReport, bool)>,
    context: &Context,
) -> Result<(), Failure> {
    let findings: Vec<Value> = findings.iter().map(|finding| record(finding, refs)).collect();
    let (report, deletes) = match result {
        Ok(report) => report,
        Err(error) => {
            json::print(
                &json!({ "ok": false, "findings": findings, "error": error.chain() }),
                &context.out,
            )?;
            return Err(error.into());
        }
    };
    let verdict = verdict(&report, deletes);
    let FsckReport {
        commits,
        partial_commits,
        damaged_commits,
        corrupted,
        unreadable_objects,
        tombstones,
        partial,
    } = report;
    let document = json!({
        "ok": verdict.is_ok(),
        "findings": findings,
        "error": null,
        "commits": commits,
        "partial_commits": partial_commits,
        "partial": partial.iter().map(Checksum::to_hex).collect::<Vec<_>>(),
        "damaged_commits": damaged_commits,
        "corrupted": corrupted,
        "unreadable_objects": unreadable_objects,
        "tombstones": tombstones.iter().map(Checksum::to_hex).collect::<Vec<_>>(),
    });
    json::print(&document, &context.out)?;
    verdict
}

/// A finding as JSON, with the refs that name one of its commits.
fn record(finding: &Finding, refs: &[(String, Checksum)]) -> Value {
    let Finding { object, fault, commits, message } = finding;
    let fault = match fault {
        Fault::Missing => "missing",
        Fault::Corrupted => "corrupted",
        Fault::Unreadable => "unreadable",
        Fault::Binding => "binding",
        Fault::Damaged => "damaged",
    };
    let refs = refs.iter().filter(|(_, commit)| commits.contains(commit));
    let refs: Vec<String> = refs.map(|(refspec, _)| refspec.to_string()).collect();
    json!({
        "object": object.checksum.to_hex(),
        "type": object.object_type.extension(),
        "fault": fault,
        "commits": commits.iter().map(Checksum::to_hex).collect::<Vec<_>>(),
        "refs": refs,
        "message": message,
    })
}
