//! A pull that cannot fit is refused before anything comes, where that is known.

use std::fs;
use std::path::{Path, PathBuf};

use super::support::{Dice, Output, Server, osier, scratch};

/// Bytes of content in each of the two files.
const SIZE: usize = 300_000;

/// An archive with two commits on `main`, the second with one file more, that list their sizes.
fn published(directory: &Path) -> PathBuf {
    let (repo, tree) = (directory.join("published"), directory.join("tree"));
    fs::create_dir_all(&tree).unwrap();
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    for number in 1..=2 {
        fs::write(tree.join(number.to_string()), Dice::new(number).bytes(SIZE)).unwrap();
        let (time, tree) = (format!("--timestamp=@{number}"), tree.to_str().unwrap());
        let options = ["commit", "-b", "main", "--generate-sizes", "--canonical-permissions"];
        osier().repo(&repo, options.iter().chain(&[time.as_str(), tree])).line();
    }
    repo
}

/// A new repository that must leave so many MB free.
fn destination(directory: &Path, (mode, url): (&str, &str), free: &str) -> PathBuf {
    let repo = directory.join("repo");
    let _ = fs::remove_dir_all(&repo);
    osier().repo(&repo, ["init", "--mode", mode]).success();
    osier().repo(&repo, ["remote", "add", "--no-gpg-verify", "origin", url]).success();
    set_free(&repo, free);
    repo
}

fn set_free(repo: &Path, free: &str) {
    osier().repo(repo, ["config", "set", "core.min-free-space-size", free]).success();
}

fn pull(repo: &Path, arguments: &[&str]) -> Output {
    osier().repo(repo, ["pull", "origin", "main"].iter().chain(arguments))
}

/// More than any disk has, in MB.
const EVERYTHING: &str = "1000000000MB";

/// The number before ` bytes`, nearest to the end.
fn needed(message: &str) -> u64 {
    let before = message.split(" bytes, ").next().unwrap();
    before.rsplit('(').next().unwrap().parse().unwrap()
}

#[test]
fn a_commit_that_cannot_fit_is_refused_before_its_objects_come() {
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    let commit = osier().repo(&source, ["rev-parse", "main"]).line();
    for mode in ["archive", "bare-user"] {
        let repo = destination(directory.path(), (mode, &server.url), EVERYTHING);
        let before = server.paths().len();
        let message = pull(&repo, &[]).failure();
        let expected = format!("Commit {commit} requires ");
        assert!(message.starts_with(&expected), "{message}");
        assert!(message.contains(" free space, but only 0 bytes available with min-free-space"));
        // Random bytes do not get smaller; two files take some blocks more at most.
        let bytes = needed(&message);
        assert!((600_000..640_000).contains(&bytes), "{mode}: {message}");
        assert!(message.ends_with(&format!("({bytes} bytes, 0 bytes)")), "{message}");
        let asked = server.paths().split_off(before);
        assert!(asked.iter().any(|path| path.ends_with(".commit")), "{asked:?}");
        let objects = |path: &String| path.contains(".dirtree") || path.contains(".file");
        assert!(!asked.iter().any(objects), "{asked:?}");
        // A dry run says the same, and with enough space it is no obstacle.
        assert_eq!(pull(&repo, &["--dry-run"]).failure(), message);
        set_free(&repo, "1MB");
        pull(&repo, &[]).success();
    }
}

#[test]
fn only_what_is_missing_has_to_fit() {
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    let repo = destination(directory.path(), ("bare-user", &server.url), "1MB");
    let old = osier().repo(&source, ["rev-parse", "main^"]).line();
    osier().repo(&repo, ["pull", "origin", &format!("main@{old}")]).success();
    set_free(&repo, EVERYTHING);
    let bytes = needed(&pull(&repo, &[]).failure());
    assert!((300_000..320_000).contains(&bytes), "{bytes}");
    // With its history, too: what two commits list is counted once.
    let fresh = destination(directory.path(), ("bare-user", &server.url), EVERYTHING);
    let bytes = needed(&pull(&fresh, &["--depth=-1"]).failure());
    assert!((600_000..640_000).contains(&bytes), "{bytes}");
    // What is there already needs no space.
    set_free(&fresh, "1MB");
    pull(&fresh, &[]).success();
    set_free(&fresh, EVERYTHING);
    pull(&fresh, &[]).success();
}

#[test]
fn a_delta_that_cannot_fit_is_refused_in_upstreams_words() {
    let directory = scratch();
    let source = published(directory.path());
    osier().repo(&source, ["static-delta", "generate", "--empty", "main"]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let repo = destination(directory.path(), ("bare-user", &server.url), EVERYTHING);
    for arguments in [&[][..], &["--dry-run", "--require-static-deltas"]] {
        let message = pull(&repo, arguments).failure();
        assert!(message.starts_with("Delta requires "), "{message}");
        assert!(message.contains(" free space, but only 0 bytes available"), "{message}");
        assert!((600_000..640_000).contains(&needed(&message)), "{message}");
    }
    let parts = |path: &String| path.starts_with("/deltas/") && !path.ends_with("superblock");
    assert!(!server.paths().iter().any(parts));
    set_free(&repo, "1MB");
    assert!(pull(&repo, &[]).success().starts_with("1 delta parts, "));
}

#[test]
fn what_is_written_from_a_local_repository_has_to_fit_too_but_links_take_nothing() {
    let directory = scratch();
    let source = published(directory.path());
    let commit = osier().repo(&source, ["rev-parse", "main"]).line();
    let source = source.to_str().unwrap();
    for arguments in [&["pull-local", source, "main"][..], &["pull-local", "--untrusted", source]] {
        let repo = destination(directory.path(), ("bare-user", "http://unused"), EVERYTHING);
        let message = osier().repo(&repo, arguments).failure();
        assert!(message.starts_with(&format!("Commit {commit} requires ")), "{message}");
        assert!((600_000..640_000).contains(&needed(&message)), "{message}");
        assert_eq!(osier().repo(&repo, ["refs", "--list"]).success(), "");
    }
    let repo = destination(directory.path(), ("bare-user", "http://unused"), "1MB");
    osier().repo(&repo, ["pull-local", source, "main"]).success();
    let repo = destination(directory.path(), ("archive", "http://unused"), EVERYTHING);
    osier().repo(&repo, ["pull-local", source, "main"]).success();
}
