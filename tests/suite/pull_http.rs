//! `pull` from a web server: what it asks for, what arrives, and what is kept of a pull that ends
//! early. Upstream's own test files are in `upstream`.

mod fallback;
mod faults;
mod hostile;
mod kill;
mod mirrors;
mod oracle;
mod patience;
mod secrets;
mod stalls;
mod terminal;
mod tls;
mod trust;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use osier::fsck::{FsckOptions, fsck};
use osier::progress::Silent;
use osier::repo::Repo;

use super::support::{Asked, Dice, Server, Then, answer};
use super::support::{Output, differences, osier, ostree, scratch, snapshot};

/// Files in the tree, among them one that streams and one that is kept in parts.
const FILES: usize = 43;

/// An archive with two commits on `main`.
fn published(directory: &Path) -> PathBuf {
    let (repo, tree) = (directory.join("published"), directory.join("tree"));
    fs::create_dir_all(tree.join("usr/share")).unwrap();
    fs::write(tree.join("first"), "first\n").unwrap();
    let program = osier();
    program.repo(&repo, ["init", "--mode=archive"]).success();
    let commit = |time: &str| {
        let tree = tree.to_str().unwrap();
        program
            .repo(
                &repo,
                ["commit", "-b", "main", "--timestamp", time, "--canonical-permissions", tree],
            )
            .line()
    };
    commit("@1");
    for number in 0..40 {
        fs::write(tree.join(format!("usr/share/{number}")), number.to_string()).unwrap();
    }
    fs::write(tree.join("usr/large"), Dice::new(7).bytes(400_000)).unwrap();
    std::os::unix::fs::symlink("usr/large", tree.join("link")).unwrap();
    commit("@2");
    repo
}

/// A new repository with the remote `origin` at that URL.
fn destination(directory: &Path, name: &str, (mode, url): (&str, &str)) -> PathBuf {
    let repo = directory.join(name);
    let _ = fs::remove_dir_all(&repo);
    osier().repo(&repo, ["init", "--mode", mode]).success();
    osier().repo(&repo, ["remote", "add", "--no-gpg-verify", "origin", url]).success();
    repo
}

fn pull(repo: &Path, arguments: &[&str]) -> Output {
    osier().repo(repo, ["pull"].iter().chain(arguments))
}

fn rev(repo: &Path, rev: &str) -> String {
    osier().repo(repo, ["rev-parse", rev]).line()
}

#[track_caller]
fn assert_sound(repo: &Path) {
    let repo = Repo::open(repo).unwrap();
    let report = fsck(&repo, &FsckOptions::default(), &Silent).unwrap();
    assert!(!report.corrupted, "{report:?}");
}

/// The names of the objects of a repository.
fn objects(repo: &Path) -> Vec<String> {
    let names = Repo::open(repo).unwrap().list_objects().unwrap();
    names.into_iter().map(|name| name.to_string()).collect()
}

#[test]
fn what_arrives_in_every_mode_is_what_the_real_program_gets() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    for mode in ["archive", "bare-user", "bare-user-only"] {
        let mine = destination(directory.path(), "mine", (mode, &server.url));
        let line = pull(&mine, &["--depth=1", "origin", "main"]).success();
        // A superblock that is not there counts, too.
        let metadata = if mode == "archive" { 9 } else { 10 };
        let expected = format!("{metadata} metadata, 43 content objects fetched; ");
        assert!(line.starts_with(&expected), "{mode}: {line}");
        assert_sound(&mine);
        let theirs = destination(directory.path(), "theirs", (mode, &server.url));
        ostree.repo(&theirs, ["pull", "--depth=1", "origin", "main"]).success();
        assert_eq!(objects(&mine), objects(&theirs), "{mode}");
        let found = differences(&snapshot(&theirs), &snapshot(&mine));
        assert!(found.is_empty(), "{mode}: {found:?}");
        assert_eq!(rev(&mine, "origin:main"), rev(&source, "main"));
    }
}

#[test]
fn nothing_is_asked_for_twice_or_in_vain() {
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    pull(&repo, &["origin", "main"]).success();
    let mut asked = server.paths();
    assert_eq!(asked[..3], ["/summary.sig", "/summary", "/refs/heads/main"]);
    let commit = rev(&source, "main");
    let object = |ending: &str| format!("/objects/{}/{}.{ending}", &commit[..2], &commit[2..]);
    assert!(asked[3].starts_with("/deltas/") && asked[3].ends_with("/superblock"), "{}", asked[3]);
    assert_eq!(asked[4..6], [object("commitmeta"), object("commit")]);
    let count = asked.len();
    asked.sort_unstable();
    asked.dedup();
    assert_eq!(asked.len(), count, "each once");
    // 6 before the tree, the dirtrees /, /usr, /usr/share, their dirmeta, and the files.
    assert_eq!(count, 6 + 3 + 1 + FILES);

    let line = pull(&repo, &["origin", "main"]).success();
    assert_eq!(line, "0 metadata, 0 content objects fetched; 0 bytes content written\n");
    let again = ["/summary.sig", "/summary", "/refs/heads/main"].map(str::to_owned);
    let again: Vec<String> = again.into_iter().chain([object("commitmeta")]).collect();
    assert_eq!(server.paths()[count..], again);
    let line = pull(&repo, &["origin:main"]).success();
    assert!(line.starts_with("0 metadata, 0 content objects fetched; "), "{line}");
}

#[test]
fn a_subpath_and_commits_alone_leave_partial_commits_that_a_later_pull_completes() {
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    let commit = rev(&source, "main");
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let partial = repo.join(format!("state/{commit}.commitpartial"));
    pull(&repo, &["--commit-metadata-only", "origin", "main"]).success();
    assert!(partial.exists());
    assert_eq!(objects(&repo), [format!("{commit}.commit")]);
    let line = pull(&repo, &["--subpath=/usr/share/7", "--subpath=/first", "origin", "main"]);
    let line = line.success();
    assert!(line.starts_with("4 metadata, 2 content objects fetched; "), "{line}");
    assert!(partial.exists());
    let line = pull(&repo, &["origin", "main"]).success();
    assert!(line.starts_with("0 metadata, 41 content objects fetched; "), "{line}");
    assert!(!partial.exists());
    assert_sound(&repo);
}

#[test]
fn what_upstream_aborts_at_is_an_error() {
    let directory = scratch();
    let repo = destination(directory.path(), "repo", ("bare-user", "http://127.0.0.1:1"));
    let some = "0".repeat(64);
    for (arguments, message) in [
        (&["--subpath=d", "origin", "main"][..], "Subpath 'd' must be absolute"),
        (&["--depth=-2", "origin", "main"], "Depth must be at least -1"),
        (
            &["--disable-static-deltas", "--require-static-deltas", "origin", "main"],
            "--disable-static-deltas and --require-static-deltas conflict",
        ),
        (&["-T", "--depth=1", "origin", "main"], "--timestamp-check requires depth 0"),
        (&["-T", "origin", &some], "--timestamp-check requires refs"),
        (&["--json", "--json-events", "origin"], "--json and --json-events conflict"),
        (&["--http-header=x", "origin", "main"], "Missing '=' in --http-header"),
        (&["nope", "main"], "Remote \"nope\" not found"),
        (&["origin"], "No configured branches for remote origin"),
        (&["origin", "main@abc"], "Invalid rev abc"),
        (&["origin", "a b"], "Invalid ref name a b"),
        (&["origin:main:x"], "Invalid refspec origin:main:x"),
    ] {
        assert_eq!(pull(&repo, arguments).failure(), message, "{arguments:?}");
    }
}

#[test]
fn a_downgrade_is_refused_where_it_is_asked_for() {
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    pull(&repo, &["origin", "main"]).success();
    let new = rev(&source, "main");
    let old = rev(&source, "main^");
    osier().repo(&source, ["reset", "main", "main^"]).success();
    let expected = format!(
        "Upgrade target revision '{old}' with timestamp 'Thu Jan \u{2007}1 00:00:01 1970' is \
         chronologically older than current revision '{new}' with timestamp \
         'Thu Jan \u{2007}1 00:00:02 1970'; use --allow-downgrade to permit"
    );
    assert_eq!(pull(&repo, &["-T", "origin", "main"]).failure(), expected);
    let from = format!("--timestamp-check-from-rev={new}");
    assert_eq!(pull(&repo, &[&from, "origin", "main"]).failure(), expected);
    assert_eq!(rev(&repo, "origin:main"), new);
    pull(&repo, &["origin", "main"]).success();
    assert_eq!(rev(&repo, "origin:main"), old);
}

#[test]
fn a_mirror_has_the_files_of_the_server() {
    let directory = scratch();
    let source = published(directory.path());
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let repo = destination(directory.path(), "repo", ("archive", &server.url));
    pull(&repo, &["--mirror", "origin"]).success();
    assert_eq!(rev(&repo, "main"), rev(&source, "main"));
    let summary = |repo: &Path| fs::read(repo.join("summary")).unwrap();
    assert_eq!(summary(&repo), summary(&source));
    for name in objects(&repo).iter().filter(|name| name.ends_with(".file")) {
        let file =
            |repo: &Path| fs::read(repo.join(format!("objects/{}/{}z", &name[..2], &name[2..])));
        assert_eq!(file(&repo).unwrap(), file(&source).unwrap(), "{name}");
    }
    assert_sound(&repo);
    // A remote's ref at the same commit is no reason to leave out the mirror's own.
    let other = destination(directory.path(), "other", ("archive", &server.url));
    pull(&other, &["origin", "main"]).success();
    pull(&other, &["--mirror", "origin", "main"]).success();
    let commit = fs::read_to_string(other.join("refs/heads/main")).unwrap();
    assert_eq!(commit.trim_end(), rev(&source, "main"));
    assert!(!other.join("summary").exists());
    // A signature that is gone at the server goes here, too.
    fs::write(repo.join("summary.sig"), "").unwrap();
    pull(&repo, &["--mirror", "origin"]).success();
    assert!(!repo.join("summary.sig").exists());
}

#[test]
fn json_says_what_has_come() {
    use crate::json::shapes::{misfit, schemas};

    let directory = scratch();
    let source = published(directory.path());
    osier().repo(&source, ["static-delta", "generate", "main"]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let commit = rev(&source, "main");
    let schemas = schemas();
    let read = |schema: &str, repo: &Path, arguments: &[&str]| -> serde_json::Value {
        let output = osier().repo(repo, arguments.iter().chain(&["--json"])).success();
        let document = serde_json::from_str(&output).unwrap();
        assert_eq!(misfit(&schemas, &schemas[schema], &document), None, "{document}");
        document
    };
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let refs = read("remote refs", &repo, &["remote", "refs", "origin"]);
    let expected = serde_json::json!([{ "ref": "origin:main", "commit": commit }]);
    assert_eq!(refs["refs"], expected);
    pull(&repo, &["origin", &format!("main@{}", rev(&source, "main^"))]).success();
    let dry = ["pull", "--dry-run", "--require-static-deltas", "origin", "main"];
    let document = read("pull --dry-run", &repo, &dry);
    assert_eq!((&document["parts_present"], &document["parts"]), (&0.into(), &1.into()));
    let document = read("pull", &repo, &["pull", "origin", "main"]);
    assert_eq!(document["refs"], expected);
    assert_eq!(document["delta_parts_fetched"], 1);
    assert_eq!(document["content_objects_fetched"], 0);
    assert_sound(&repo);
}

#[test]
fn a_delta_that_is_damaged_or_gone_is_no_obstacle() {
    let directory = scratch();
    let source = published(directory.path());
    let from = format!("--from={}", rev(&source, "main^"));
    osier().repo(&source, ["static-delta", "generate", &from, "main"]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let old = format!("main@{}", rev(&source, "main^"));
    let part = walkdir::WalkDir::new(source.join("deltas")).into_iter().map(Result::unwrap);
    let part = part.into_iter().find(|entry| entry.file_name() == "0").unwrap().into_path();
    let good = fs::read(&part).unwrap();
    for damage in ["cut", "changed", "gone"] {
        match damage {
            "cut" => fs::write(&part, &good[..good.len() / 2]).unwrap(),
            "changed" => {
                let mut bytes = good.clone();
                bytes[good.len() / 2] ^= 1;
                fs::write(&part, bytes).unwrap();
            }
            _ => fs::remove_file(&part).unwrap(),
        }
        let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
        pull(&repo, &["origin", &old]).success();
        let required = pull(&repo, &["--require-static-deltas", "origin", "main"]);
        required.failure();
        assert_eq!(rev(&repo, "origin:main"), rev(&source, "main^"), "{damage}");
        let output = pull(&repo, &["origin", "main"]);
        let warning = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(warning.starts_with("warning: part 0 of the static delta "), "{damage}: {warning}");
        output.success();
        assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"), "{damage}");
        assert_sound(&repo);
    }
    fs::write(&part, &good).unwrap();
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    pull(&repo, &["origin", &old]).success();
    osier().repo(&repo, ["config", "set", "core.sign-verify-deltas", "required"]).success();
    let refused = pull(&repo, &["origin", "main"]).failure();
    assert_eq!(refused, "no signatures in static-delta");
    osier().repo(&repo, ["config", "unset", "core.sign-verify-deltas"]).success();
    let line = pull(&repo, &["--require-static-deltas", "origin", "main"]).success();
    assert!(line.starts_with("1 delta parts, "), "{line}");
    assert_sound(&repo);
    let line = pull(&repo, &["origin", "main"]).success();
    assert_eq!(line, "1 metadata, 0 content objects fetched; 0 bytes content written\n");
}
