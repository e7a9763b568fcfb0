//! `fsck`: checks a repository.

use std::sync::{Mutex, PoisonError};

use osier::Checksum;
use osier::fsck::{FsckOptions, FsckReport, fsck};
use osier::progress::{Event, Progress as _};
use osier::repo::Repo;
use serde_json::json;

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
    let repo = if delete || add_tombstones { context.open_writable_repo()? } else { context.open_repo()? };
    let options = FsckOptions { all, delete, add_tombstones, verify_bindings, verify_back_refs };
    if json {
        return run_json(&repo, &options, context);
    }
    let display = context.progress();
    let progress = |event: Event<'_>| match event {
        Event::Message(_) if quiet => {}
        event => display.event(event),
    };
    let FsckReport { commits, partial_commits, damaged_commits, corrupted, tombstones } =
        fsck(&repo, &options, &progress)?;
    for commit in tombstones {
        writeln!(context.out, "Adding tombstone for commit {commit}")?;
    }
    // Upstream tells one or the other.
    if partial_commits > 0 && !add_tombstones {
        writeln!(context.out, "{partial_commits} partial commits not verified")?;
    }
    verdict(corrupted, damaged_commits)?;
    writeln!(context.out, "object fsck of {commits} commits completed successfully - no errors found.")
}

/// What makes the command fail although the check came to its end.
fn verdict(corrupted: bool, damaged_commits: u64) -> Result<(), Failure> {
    if corrupted {
        return Err(Failure::failed("Repository corruption encountered"));
    }
    if damaged_commits > 0 {
        return Err(Failure::failed(format!("{damaged_commits} partial commits from fsck-detected corruption")));
    }
    Ok(())
}

/// Prints a document whatever is found, also when that ends the check early.
fn run_json(repo: &Repo, options: &FsckOptions, context: &Context) -> Result<(), Failure> {
    let display = context.quiet_progress();
    let problems = Mutex::new(Vec::new());
    let progress = |event: Event<'_>| {
        match event {
            Event::Message(_) => return,
            Event::Warning(text) => problems.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned()),
            _ => {}
        }
        display.event(event);
    };
    let result = fsck(repo, options, &progress);
    let problems = problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    let report = match result {
        Ok(report) => report,
        Err(error) => {
            json::print(&json!({ "ok": false, "problems": problems, "error": error.chain() }), &context.out)?;
            return Err(error.into());
        }
    };
    let FsckReport { commits, partial_commits, damaged_commits, corrupted, tombstones } = report;
    let verdict = verdict(corrupted, damaged_commits);
    let document = json!({
        "ok": verdict.is_ok(),
        "problems": problems,
        "error": null,
        "commits": commits,
        "partial_commits": partial_commits,
        "damaged_commits": damaged_commits,
        "corrupted": corrupted,
        "tombstones": tombstones.iter().map(Checksum::to_hex).collect::<Vec<_>>(),
    });
    json::print(&document, &context.out)?;
    verdict
}
