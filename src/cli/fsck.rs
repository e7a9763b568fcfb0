//! `fsck`: checks a repository.

use osier::fsck::{FsckOptions, FsckReport, fsck};
use osier::progress::{Event, Progress as _};

use super::context::Context;
use super::error::Failure;

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
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { add_tombstones, quiet, delete, all, verify_bindings, verify_back_refs } = args;
    let repo = if delete || add_tombstones { context.open_writable_repo()? } else { context.open_repo()? };
    let display = context.progress();
    let progress = |event: Event<'_>| match event {
        Event::Message(_) if quiet => {}
        event => display.event(event),
    };
    let options = FsckOptions { all, delete, add_tombstones, verify_bindings, verify_back_refs };
    let FsckReport { commits, partial_commits, damaged_commits, corrupted, tombstones } =
        fsck(&repo, &options, &progress)?;
    for commit in tombstones {
        writeln!(context.out, "Adding tombstone for commit {commit}")?;
    }
    // Upstream tells one or the other.
    if partial_commits > 0 && !add_tombstones {
        writeln!(context.out, "{partial_commits} partial commits not verified")?;
    }
    if corrupted {
        return Err(Failure::failed("Repository corruption encountered"));
    }
    if damaged_commits > 0 {
        return Err(Failure::failed(format!("{damaged_commits} partial commits from fsck-detected corruption")));
    }
    writeln!(context.out, "object fsck of {commits} commits completed successfully - no errors found.")
}
