//! `fsck`: checks a repository.

use osier::Checksum;
use osier::fsck::{Fault, Finding, FsckOptions, FsckReport, fsck, fsck_into};
use osier::progress::{Event, Progress as _};
use osier::refspec::CollectionRef;
use osier::repo::{ListRefs, Repo};
use serde_json::{Value, json};

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;

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
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { add_tombstones, quiet, delete, all, verify_bindings, verify_back_refs, json } = args;
    // The repository need not be writable unless something is to be deleted.
    let repo = context.open_repo()?;
    let options = FsckOptions { all, delete, add_tombstones, verify_bindings, verify_back_refs };
    if json {
        return run_json(&repo, &options, context);
    }
    let display = context.progress();
    let progress = |event: Event<'_>| match event {
        Event::Message(_) if quiet => {}
        event => display.event(event),
    };
    let report = fsck(&repo, &options, &progress)?;
    let verdict = verdict(&report, delete);
    let FsckReport { commits, partial_commits, tombstones, .. } = report;
    for commit in tombstones {
        writeln!(context.out, "Adding tombstone for commit {commit}")?;
    }
    // Upstream reports one or the other.
    if partial_commits > 0 && !add_tombstones {
        writeln!(context.out, "{partial_commits} partial commits not verified")?;
    }
    verdict?;
    writeln!(
        context.out,
        "object fsck of {commits} commits completed successfully - no errors found."
    )
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
    let findings: Vec<Value> = findings.iter().map(|finding| record(finding, &refs)).collect();
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            json::print(
                &json!({ "ok": false, "findings": findings, "error": error.chain() }),
                &context.out,
            )?;
            return Err(error.into());
        }
    };
    let verdict = verdict(&report, options.delete);
    let FsckReport {
        commits,
        partial_commits,
        damaged_commits,
        corrupted,
        unreadable_objects,
        tombstones,
    } = report;
    let document = json!({
        "ok": verdict.is_ok(),
        "findings": findings,
        "error": null,
        "commits": commits,
        "partial_commits": partial_commits,
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
