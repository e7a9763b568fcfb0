//! What can be seen of a pull: what it would do, and what it is doing.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::{Value, json};

use super::json::shapes::{misfit, schemas};
use super::support::{
    Asked, Dice, Output, Server, Then, answer, differences, osier, scratch, snapshot,
};

/// An archive with two commits on `main`, and the branch `other` at the first one. `option` is one
/// of `commit`.
fn published(directory: &Path, option: &str) -> PathBuf {
    let (repo, tree) = (directory.join("published"), directory.join("tree"));
    fs::create_dir_all(tree.join("usr")).unwrap();
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    for number in 1..=2 {
        fs::write(tree.join("large"), Dice::new(number).bytes(200_000)).unwrap();
        fs::write(tree.join(format!("usr/{number}")), number.to_string()).unwrap();
        let (time, tree) = (format!("--timestamp=@{number}"), tree.to_str().unwrap());
        let options =
            ["commit", "-b", "main", "--bind-ref=other", option, "--canonical-permissions"];
        osier().repo(&repo, options.iter().chain(&[time.as_str(), tree])).line();
        if number == 1 {
            osier().repo(&repo, ["refs", "--create=other", "main"]).success();
        }
    }
    osier().repo(&repo, ["summary", "-u"]).success();
    repo
}

fn destination(directory: &Path, url: &str) -> PathBuf {
    let repo = directory.join("repo");
    let _ = fs::remove_dir_all(&repo);
    osier().repo(&repo, ["init", "--mode=bare-user"]).success();
    osier().repo(&repo, ["remote", "add", "--no-gpg-verify", "origin", url]).success();
    repo
}

fn pull(repo: &Path, arguments: &[&str]) -> Output {
    osier().repo(repo, ["pull"].iter().chain(arguments))
}

fn rev(repo: &Path, rev: &str) -> String {
    osier().repo(repo, ["rev-parse", rev]).line()
}

fn names_in(directory: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = entries.collect();
    names.sort_unstable();
    names
}

#[track_caller]
fn dry_run(repo: &Path, arguments: &[&str]) -> Value {
    let (before, tmp) = (snapshot(repo), names_in(&repo.join("tmp")));
    let arguments = [&["--dry-run", "--json"], arguments].concat();
    let document = serde_json::from_str(&pull(repo, &arguments).success()).unwrap();
    let changed = differences(&before, &snapshot(repo));
    assert!(changed.is_empty(), "{changed:?}");
    assert_eq!(names_in(&repo.join("tmp")), tmp);
    let schemas = schemas();
    assert_eq!(misfit(&schemas, &schemas["pull --dry-run"], &document), None, "{document}");
    document
}

#[test]
fn a_dry_run_says_what_a_pull_then_does() {
    for option in ["--generate-sizes", "--subject=none"] {
        let directory = scratch();
        let source = published(directory.path(), option);
        let server = Server::start(&source);
        let repo = destination(directory.path(), &server.url);
        let (old, new) = (rev(&source, "other"), rev(&source, "main"));
        let document = dry_run(&repo, &["origin", "main"]);
        let refs = json!([{ "ref": "origin:main", "old": null, "new": new }]);
        assert_eq!(document["refs"], refs);
        // The commit, the dirtrees of / and /usr, their dirmeta; large, usr/1 and usr/2.
        let missing = &document["missing"];
        let counts = |missing: &Value| {
            [&missing["metadata_objects"], &missing["content_objects"]].map(|n| n.as_u64().unwrap())
        };
        assert_eq!(counts(missing), [4, 3]);
        let has_sizes = option == "--generate-sizes";
        match has_sizes {
            true => {
                assert_eq!(missing["content_bytes"], 200_002);
                let bytes = missing["bytes"].as_u64().unwrap();
                assert!((200_002..202_000).contains(&bytes), "{bytes}");
            }
            false => {
                assert_eq!([&missing["bytes"], &missing["content_bytes"]], [&Value::Null; 2]);
            }
        }
        let files = |path: &String| path.ends_with(".filez");
        assert!(!server.paths().iter().any(files));
        let trees = server.paths().iter().any(|path| path.ends_with(".dirtree"));
        assert_eq!(trees, !has_sizes, "the list says all");

        pull(&repo, &["origin", &format!("main@{old}")]).success();
        let document = dry_run(&repo, &["origin", "main", "other"]);
        let mut refs = document["refs"].as_array().unwrap().clone();
        refs.sort_by_key(|change| change["ref"].to_string());
        let expected = [
            json!({ "ref": "origin:main", "old": old, "new": new }),
            json!({ "ref": "origin:other", "old": null, "new": old }),
        ];
        assert_eq!(refs, expected);
        assert_eq!(counts(&document["missing"]), [3, 2]);
        let text = pull(&repo, &["--dry-run", "origin", "main"]).success();
        let sizes = match has_sizes {
            true => "200.", // kB, of both
            false => "the source does not list their sizes\n",
        };
        let first = format!("origin:main: {old} -> {new}\n3 metadata, 2 content objects missing; ");
        assert!(text.starts_with(&(first + sizes)), "{text}");
        let line = pull(&repo, &["origin", "main"]).success();
        // The index of deltas counts, though it is absent.
        assert!(line.starts_with("4 metadata, 2 content objects fetched; "), "{line}");
        let text = pull(&repo, &["--dry-run", "origin", "main"]).success();
        let first = format!("origin:main: {new} (unchanged)\n0 metadata, 0 content objects ");
        assert!(text.starts_with(&first), "{text}");
    }
}

#[test]
fn a_dry_run_knows_deltas_and_repositories_on_this_machine() {
    let directory = scratch();
    let source = published(directory.path(), "--subject=none");
    let url = format!("file://{}", source.display());
    let repo = destination(directory.path(), &url);
    let document = dry_run(&repo, &["origin", "main"]);
    assert_eq!(document["missing"]["content_objects"], 3);
    assert_eq!(document["missing"]["metadata_objects"], 4);
    assert_eq!(document["missing"]["content_bytes"], 200_002);
    osier().repo(&source, ["static-delta", "generate", "--empty", "main"]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let repo = destination(directory.path(), &server.url);
    let document = dry_run(&repo, &["origin", "main"]);
    assert_eq!(
        [&document["parts"], &document["parts_present"]],
        [1, 0].map(Value::from).each_ref()
    );
    let missing = json!({
        "metadata_objects": 0, "content_objects": 0, "bytes": 0, "content_bytes": 0,
    });
    assert_eq!(document["missing"], missing);
    let required = ["--dry-run", "--require-static-deltas", "origin", "main"];
    let line = pull(&repo, &required).success();
    assert!(line.starts_with("Delta update: 0/1 parts, ") && line.lines().count() == 1, "{line}");
}

/// The events of a pull, each held against its schema.
#[track_caller]
fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let schemas = schemas();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        let schema = format!("pull event {}", event["event"].as_str().unwrap());
        assert_eq!(misfit(&schemas, &schemas[&schema], &event), None, "{event}");
        event
    };
    text.lines().map(event).collect()
}

/// Their names, without those of progress.
fn names(events: &[Value]) -> Vec<&str> {
    let names = events.iter().map(|event| event["event"].as_str().unwrap());
    names.filter(|name| *name != "progress").collect()
}

#[test]
fn events_say_what_happens() {
    let directory = scratch();
    let source = published(directory.path(), "--generate-sizes");
    let (served, failed) = (source.clone(), Mutex::new(HashSet::new()));
    // Each of these the first time.
    let fails = move |asked: &Asked| {
        let is_at_fault = asked.path.ends_with(".commit") || asked.path == "/summary";
        is_at_fault && failed.lock().unwrap().insert(asked.path.clone())
    };
    let server = Server::answering(move |asked, stream| {
        let path = served.join(asked.path.trim_start_matches('/'));
        let bytes = match fs::read(path) {
            _ if fails(asked) => answer("503 Busy", &[], b""),
            Ok(bytes) => answer("200 OK", &[], &bytes),
            Err(_) => answer("404 Not Found", &[], b""),
        };
        let _ = stream.write_all(&bytes);
        Then::Keep
    });
    let repo = destination(directory.path(), &server.url);
    let output = pull(&repo, &["--json-events", "origin", "main"]);
    assert_eq!(output.status, 0, "{output:?}");
    let events = events(&output);
    assert_eq!(names(&events), ["retry", "resolved", "started", "retry", "finished"]);
    let commit = rev(&source, "main");
    assert_eq!([&events[1]["ref"], &events[1]["commit"]], [&json!("origin:main"), &json!(commit)]);
    assert_eq!(events[0]["url"], format!("{}/summary", server.url));
    let retry = events.iter().rfind(|event| event["event"] == "retry").unwrap();
    let url = format!("{}/objects/{}/{}.commit", server.url, &commit[..2], &commit[2..]);
    assert_eq!(retry["url"], url);
    assert_eq!(retry["reason"], "Server returned HTTP 503");
    let result = &events[events.len() - 1]["result"];
    assert_eq!(result["content_objects_fetched"], 3);
    let progress = &events[events.len() - 2];
    assert_eq!([&progress["files"], &progress["files_total"]], [3, 3].map(Value::from).each_ref());
    let total = progress["bytes_total"].as_u64().unwrap();
    assert!((200_000..202_000).contains(&total), "{total}");
}

#[test]
fn the_last_event_of_a_failed_pull_is_the_error() {
    let directory = scratch();
    let source = published(directory.path(), "--subject=none");
    let server = Server::start(&source);
    let file = walkdir::WalkDir::new(source.join("objects")).into_iter().map(Result::unwrap);
    let file =
        file.into_iter().find(|entry| entry.path().extension().is_some_and(|e| e == "filez"));
    fs::remove_file(file.unwrap().path()).unwrap();
    let repo = destination(directory.path(), &server.url);
    let output = pull(&repo, &["--json-events", "origin", "main"]);
    let events = events(&output);
    let last = events.last().unwrap();
    assert_eq!(last["event"], "error");
    assert_eq!(last["message"], output.failure());
    assert!(last["message"].as_str().unwrap().contains("HTTP 404"), "{last}");
    // What came before the error would not come again.
    let repo = destination(directory.path(), &server.url);
    let dry = pull(&repo, &["--dry-run", "--json-events", "origin", "main"]);
    let events = self::events(&dry);
    assert_eq!(events.last().unwrap()["result"]["missing"]["content_objects"], 3);
}
