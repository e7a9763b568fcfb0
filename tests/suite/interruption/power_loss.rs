//! What a power loss leaves is decided by the order of system calls: strace records them, and the
//! order is checked.
//!
//! - A staged object is written, then `syncfs` returns, then it is renamed into `objects/`.
//! - The directories of `objects/` are synced after the renames into them and before any ref moves.
//! - What replaces a file as a whole (a ref, the summary) is synced before it gets its name; the
//!   directory of a ref, and of every directory made for it, is synced afterwards.
//! - Prune removes commits, syncs, then removes dirtrees, then what those need.

use std::fs;
use std::path::Path;

use super::trace::{Call, record};
use crate::support::{osier, scratch};

/// Three trees, an archive with a commit of the first and one of the second that no ref needs, and
/// one process's trace of `call` on it.
fn traced(call: &[&str]) -> Option<(tempfile::TempDir, Vec<Call>)> {
    let directory = scratch();
    let at = directory.path();
    for (tree, text) in [("first", "one"), ("second", "two"), ("third", "three")] {
        for file in 0..60 {
            let folder = at.join(tree).join(format!("folder-{}", file % 3));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(format!("file-{file}")), format!("{text} {file}\n").repeat(50))
                .unwrap();
        }
    }
    let run =
        |arguments: &[&str]| osier().in_directory(at).repo(Path::new("repo"), arguments).success();
    run(&["init", "--mode=archive"]);
    run(&["commit", "-b", "main", "--tree=dir=first"]);
    run(&["commit", "--orphan", "--tree=dir=second"]);
    run(&["refs", "--create=side", "main"]);
    let calls = record(at, &[&["--repo=repo"], call].concat())?;
    Some((directory, calls))
}

#[test]
fn the_objects_of_a_commit_are_durable_before_its_ref_moves() {
    // Into directories that are there and into ones that are not.
    let Some((_directory, calls)) = traced(&["commit", "-b", "new/deep/ref", "--tree=dir=third"])
    else {
        return;
    };
    assert_ordered(&calls, &["refs/heads/new/deep/ref"]);
}

#[test]
fn the_objects_of_a_first_commit_are_durable_before_its_ref_moves() {
    let directory = scratch();
    let at = directory.path();
    fs::create_dir(at.join("tree")).unwrap();
    (0..40).for_each(|file| {
        fs::write(at.join(format!("tree/{file}")), format!("content {file}")).unwrap()
    });
    osier().in_directory(at).repo(Path::new("repo"), ["init", "--mode=bare-user-only"]).success();
    let call = ["--repo=repo", "commit", "-b", "main", "--tree=dir=tree"];
    let Some(calls) = record(at, &call) else { return };
    assert_ordered(&calls, &["refs/heads/main"]);
}

#[test]
fn the_objects_of_a_pull_are_durable_before_its_ref_moves() {
    let directory = scratch();
    let Some((source, _)) = traced(&["refs"]) else { return };
    let at = directory.path();
    osier().in_directory(at).repo(Path::new("repo"), ["init", "--mode=archive"]).success();
    let source = source.path().join("repo");
    let call = ["--repo=repo", "pull-local", source.to_str().unwrap(), "main"];
    let Some(calls) = record(at, &call) else { return };
    assert_ordered(&calls, &["refs/heads/main"]);
}

#[test]
fn a_summary_and_a_ref_are_durable_before_they_get_their_names() {
    for (call, name) in [
        (&["summary", "-u"][..], "summary"),
        (&["refs", "--create=other/deep", "main"], "refs/heads/other/deep"),
        (&["reset", "side", "main"], "refs/heads/side"),
        (&["config", "set", "a.b", "c"], "config"),
    ] {
        let Some((_directory, calls)) = traced(call) else { return };
        assert_replaced_durably(&calls, name);
    }
}

#[test]
fn prune_removes_commits_for_good_before_what_they_need() {
    let Some((_directory, calls)) = traced(&["prune", "--refs-only"]) else { return };
    let removed = |kind: &str| -> Vec<&Call> {
        calls
            .iter()
            .filter(|call| call.name == "unlinkat" && call.path(0).ends_with(kind))
            .collect()
    };
    let (commits, dirtrees, files) = (removed(".commit"), removed(".dirtree"), removed(".filez"));
    assert!(!commits.is_empty() && !dirtrees.is_empty() && files.len() > 50, "{calls:#?}");
    let end = |calls: &[&Call]| calls.iter().map(|call| call.end).max().unwrap();
    let start = |calls: &[&Call]| calls.iter().map(|call| call.start).min().unwrap();
    let synced = calls
        .iter()
        .any(|c| c.name == "syncfs" && c.start > end(&commits) && c.end < start(&dirtrees));
    assert!(synced, "commits are not gone for good when the first dirtree goes");
    assert!(end(&dirtrees) < start(&files), "files go before the dirtrees that list them");
}

#[test]
fn a_ref_is_deleted_for_good() {
    let Some((_directory, calls)) = traced(&["refs", "--delete", "side"]) else { return };
    let deleted = calls
        .iter()
        .find(|call| call.name == "unlinkat" && call.path(0).ends_with("refs/heads/side"));
    let deleted = deleted.unwrap_or_else(|| panic!("the ref is not deleted: {calls:#?}"));
    assert!(synced_after(&calls, "/repo/refs/heads", deleted.end), "{calls:#?}");
}

/// Checks the whole order of a transaction that sets the refs.
#[track_caller]
fn assert_ordered(calls: &[Call], refs: &[&str]) {
    let is_staged = |path: &str| path.contains("/tmp/staging-");
    let into_place: Vec<&Call> = calls
        .iter()
        .filter(|call| call.is_rename() && is_staged(&call.path(0)) && !is_staged(&call.path(2)))
        .collect();
    assert!(into_place.len() > 20, "only {} objects are moved into place", into_place.len());
    let sync = calls.iter().rfind(|call| call.name == "syncfs").expect("no syncfs");
    for call in calls.iter().filter(|call| call.name == "write" && is_staged(&call.fd_path(0))) {
        assert!(call.end < sync.start, "written after the sync: {call:?}");
    }
    for rename in &into_place {
        assert!(rename.start > sync.end, "moved before the sync has ended: {rename:?}");
    }

    let first_ref = refs.iter().map(|name| replacing(calls, name).start).min().unwrap();
    for rename in &into_place {
        let target = rename.path(2);
        let synced = |directory: &str| {
            calls
                .iter()
                .any(|c| c.is_sync_of(directory) && c.start > rename.end && c.end < first_ref)
        };
        let parent = Path::new(&target).parent().unwrap().to_str().unwrap();
        assert!(rename.end < first_ref, "moved after a ref: {rename:?}");
        assert!(synced(parent), "{parent} is not synced before the refs move: {rename:?}");
        let is_directory = parent.ends_with("/objects");
        assert!(!is_directory || synced(&target), "{target} is not synced before the refs move");
    }
    for made in calls.iter().filter(|call| call.name == "mkdirat" && call.succeeded()) {
        let path = made.path(0);
        if path.contains("/repo/objects/") {
            let synced = calls
                .iter()
                .any(|c| c.is_sync_of("/repo/objects") && c.start > made.end && c.end < first_ref);
            assert!(synced, "{path} is not synced before the refs move");
        }
    }
    refs.iter().for_each(|name| assert_replaced_durably(calls, name));
}

/// The rename that gives a file of the repository its name.
#[track_caller]
fn replacing<'c>(calls: &'c [Call], name: &str) -> &'c Call {
    let ending = format!("/repo/{name}");
    let found = calls.iter().find(|call| call.is_rename() && call.path(2).ends_with(&ending));
    found.unwrap_or_else(|| panic!("{name} is not replaced: {calls:#?}"))
}

#[track_caller]
fn assert_replaced_durably(calls: &[Call], name: &str) {
    let rename = replacing(calls, name);
    let temporary = rename.path(0);
    // A file that got its temporary name late was written and synced through a descriptor.
    let linked = calls.iter().find(|call| call.name == "linkat" && call.path(2) == temporary);
    let descriptor =
        linked.map(|call| call.arguments[1].trim_matches('"').replace("/proc/self/fd/", ""));
    let is_it = |call: &&Call| match &descriptor {
        Some(number) => call.fd_number(0) == number && call.fd_path(0).contains("/repo/tmp/"),
        None => call.fd_path(0) == temporary,
    };
    let before: Vec<&Call> =
        calls.iter().filter(|call| call.end < rename.start).filter(is_it).collect();
    let written =
        before.iter().rev().find(|call| call.name == "write").expect("nothing is written");
    let synced = before
        .iter()
        .any(|c| matches!(c.name.as_str(), "fsync" | "fdatasync") && c.start > written.end);
    assert!(synced, "{name} gets its name before it is synced: {before:#?}");
    if name.starts_with("refs/") {
        let parent = Path::new(name).parent().unwrap().to_str().unwrap();
        assert!(
            synced_after(calls, &format!("/repo/{parent}"), rename.end),
            "{parent} is not synced"
        );
        let made = calls.iter().filter(|call| call.name.starts_with("mkdir") && call.succeeded());
        for made in made.filter(|call| call.path(0).contains("repo/refs/")) {
            let path = made.path(0);
            let parent = Path::new(&path).parent().unwrap().to_str().unwrap().to_owned();
            assert!(
                synced_after(calls, &parent, made.end),
                "{parent} is not synced after {path} was made"
            );
        }
    }
}

fn synced_after(calls: &[Call], directory: &str, moment: usize) -> bool {
    calls.iter().any(|call| call.is_sync_of(directory) && call.start > moment)
}
