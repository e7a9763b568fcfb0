//! The main job on a real tree: a repository, two commits, a summary, and a look at what came out.
//!
//! ```text
//! cargo run --release --example quickstart [TREE]
//! ```
//!
//! TREE is committed as it is; without one it is `/usr/share`. Nothing but cargo is needed.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use osier::bench::measure_tree;
use osier::commit::{CommitOptions, Description, Source, commit};
use osier::fsck::{FsckOptions, fsck};
use osier::progress::Silent;
use osier::refspec::Refspec;
use osier::repo::{Repo, RepoMode};
use osier::summary::{self, UpdateOptions};
use osier::{Checksum, Error, Result};

/// What the commit is found by.
const BRANCH: &str = "quickstart/main";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let tree =
        std::env::args_os().nth(1).map_or_else(|| PathBuf::from("/usr/share"), PathBuf::from);
    let size = measure_tree(&tree)?;
    let (files, links, megabytes) = (size.files, size.symlinks, size.bytes as f64 / 1e6);
    println!("{}: {files} files, {links} symlinks, {megabytes:.1} MB\n", tree.display());

    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let path = std::env::temp_dir().join(format!("osier-quickstart-{now}-{}", std::process::id()));
    println!("init --mode=archive");
    std::fs::create_dir(&path)
        .map_err(|error| Error::failed(format!("creating {}: {error}", path.display())))?;
    let repo = Repo::create(&path, RepoMode::Archive, None)?;

    let first = commit_tree(&repo, &tree, "The first commit", now)?;
    let second = commit_tree(&repo, &tree, "The same tree again", now)?;

    let started = Instant::now();
    summary::update(
        &repo,
        &UpdateOptions { now, commit_timestamp: now, ..UpdateOptions::default() },
    )?;
    println!("summary -u: {:.3} s", started.elapsed().as_secs_f64());

    let started = Instant::now();
    let report = fsck(&repo, &FsckOptions::default(), &Silent)?;
    println!(
        "fsck: {} commits, no damage, {:.3} s",
        report.commits,
        started.elapsed().as_secs_f64()
    );

    let stored = measure_tree(&path.join("objects"))?;
    let stored_megabytes = stored.bytes as f64 / 1e6;
    println!("\n{} objects, {stored_megabytes:.1} MB, in {}", stored.files, path.display());
    println!("first commit {first}\nsecond commit {second}\n\nLook around:");
    for command in [format!("log {BRANCH}"), format!("ls -R {BRANCH}"), "summary -v".to_owned()] {
        println!("    cargo run --release -- --repo={} {command}", path.display());
    }
    println!(
        "`ostree` takes the same commands, where it is installed. Remove the directory when you \
         are done."
    );
    Ok(())
}

/// What `commit -b BRANCH -s SUBJECT --tree=dir=TREE` does.
fn commit_tree(repo: &Repo, tree: &Path, subject: &str, timestamp: u64) -> Result<Checksum> {
    let branch = Refspec::parse(BRANCH).map_err(|error| Error::failed(error.to_string()))?;
    let options = CommitOptions {
        branch: Some(branch),
        sources: vec![Source::Directory(tree.to_owned())],
        ..CommitOptions::new(Description {
            subject: subject.to_owned(),
            ..Description::new(timestamp)
        })
    };
    let started = Instant::now();
    let outcome = commit(repo, &options, &Silent)?;
    let seconds = started.elapsed().as_secs_f64();
    let (total, written) =
        (outcome.stats.content_objects_total, outcome.stats.content_objects_written);
    println!("commit -s '{subject}': {total} files, {written} new objects, {seconds:.3} s");
    Ok(outcome.commit)
}
