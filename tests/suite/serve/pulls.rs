//! Files of the repository, as those who pull get them.

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::support::ostree;

fn pull_with(program: &Program, served: &Served, scene: &Scene, name: &str) {
    let other = scene.directory.path().join(name);
    program.repo(&other, ["init", "--mode=bare-user-only"]).success();
    let url = format!("http://127.0.0.1:{}", served.port());
    program.repo(&other, ["remote", "add", "--no-gpg-verify", "origin", &url]).success();
    program.repo(&other, ["pull", "--depth=-1", "origin", "exampleos/x86_64/main"]).success();
    let pulled = scene.program.repo(&other, ["rev-parse", "origin:exampleos/x86_64/main"]);
    assert_eq!(pulled.line(), scene.commits[1]);
    scene.program.repo(&other, ["fsck", "-q", "-a"]).success();
}

#[test]
fn osier_and_ostree_pull_from_repositories_of_every_mode() {
    let ostree = ostree();
    for mode in ["archive", "bare-user", "bare-user-only"] {
        let scene = scene(mode);
        let served = scene.serve();
        pull_with(&scene.program, &served, &scene, "by-osier");
        if let Some(ostree) = &ostree {
            pull_with(ostree, &served, &scene, "by-ostree");
        }
    }
}

#[test]
fn what_a_parent_repository_has_is_served_too() {
    let mut scene = scene("archive");
    let child = scene.directory.path().join("child");
    scene.program.repo(&child, ["init", "--mode=archive"]).success();
    let parent = scene.repo();
    scene
        .program
        .repo(&child, ["config", "set", "core.parent", parent.to_str().unwrap()])
        .success();
    let commit = scene.commits[1].clone();
    scene.program.repo(&child, ["refs", "--create=exampleos/x86_64/main", &commit]).success();
    let served = serve(&child);
    pull_with(&scene.program, &served, &scene, "pulled");
    scene.commits.clear();
}

#[test]
fn files_have_tags_dates_and_ranges() {
    let scene = scene("archive");
    scene.program.repo(&scene.repo(), ["summary", "-u"]).success();
    let served = scene.serve();
    let (first, rest) = scene.commits[0].split_at(2);
    let object = format!("/objects/{first}/{rest}.commit");
    let bytes = fs::read(scene.repo().join(&object[1..])).unwrap();
    let whole = served.get(&object);
    assert_eq!((whole.status, &whole.body), (200, &bytes));
    let for_ever = "public, max-age=31536000, immutable";
    assert_eq!(whole.header("cache-control"), Some(for_ever));
    assert_eq!(whole.header("content-type"), Some("application/octet-stream"));
    let (etag, date) = (whole.header("etag").unwrap(), whole.header("last-modified").unwrap());
    assert_eq!(etag, format!("\"{}\"", scene.commits[0]));
    for (headers, status, body) in [
        (format!("If-None-Match: {etag}\r\n"), 304, &bytes[..0]),
        (format!("If-Modified-Since: {date}\r\n"), 304, &bytes[..0]),
        ("Range: bytes=2-5\r\n".to_owned(), 206, &bytes[2..6]),
        (format!("Range: bytes=2-5\r\nIf-Range: {etag}\r\n"), 206, &bytes[2..6]),
        ("Range: bytes=2-5\r\nIf-Range: \"other\"\r\n".to_owned(), 200, &bytes[..]),
        ("Range: bytes=99999-\r\n".to_owned(), 416, &bytes[..0]),
    ] {
        let reply = served.ask("GET", &object, &headers);
        assert_eq!((reply.status, &reply.body[..]), (status, body), "{headers}");
    }
    let summary = served.get("/summary");
    assert_eq!(summary.header("cache-control"), Some("no-cache"));
    assert_eq!(summary.body, fs::read(scene.repo().join("summary")).unwrap());
    let tip = served.get("/refs/heads/exampleos/x86_64/main");
    assert_eq!(tip.text(), format!("{}\n", scene.commits[1]));
}

#[test]
fn the_config_has_no_secrets_and_other_modes_look_like_an_archive() {
    let scene = scene("bare-user-only");
    let secret = ["config", "set", "remote \"origin\".http-headers", "token"];
    let _ = scene.program.repo(&scene.repo(), secret);
    let served = scene.serve();
    assert_eq!(served.get("/config").text(), "[core]\nrepo_version=1\nmode=archive-z2\n");
    let listed = scene.program.repo(&scene.repo(), ["ls", "-C", &scene.commits[0], "/page.html"]);
    let listed = listed.line();
    let checksum = listed.split(' ').find(|word| word.len() == 64).unwrap();
    let path = |extension| format!("/objects/{}/{}.{extension}", &checksum[..2], &checksum[2..]);
    let filez = served.get(&path("filez"));
    assert_eq!((filez.status, filez.header("transfer-encoding")), (200, Some("chunked")));
    assert_eq!(filez.header("accept-ranges"), Some("none"));
    let etag = format!("If-None-Match: {}\r\n", filez.header("etag").unwrap());
    assert_eq!(served.ask("GET", &path("filez"), &etag).status, 304);
    assert_eq!(served.get(&path("file")).status, 404);
    let missing = format!("/objects/00/{}.filez", "0".repeat(62));
    assert_eq!(served.get(&missing).status, 404);
}

#[test]
fn the_command_says_where_it_serves_and_ends_at_a_signal() {
    let scene = scene("archive");
    for signal in [Signal::INT, Signal::TERM] {
        let log = scene.directory.path().join("log");
        let log_file = format!("--log-file={}", log.display());
        let mut command = Command::start(&scene.repo(), &["--json", &log_file]);
        let document: Value = serde_json::from_str(&command.line).unwrap();
        let schemas = crate::json::shapes::schemas();
        let shape = &schemas["serve"];
        assert_eq!(crate::json::shapes::misfit(&schemas, shape, &document), None);
        let port = u16::try_from(document["port"].as_u64().unwrap()).unwrap();
        assert_eq!(document["url"], format!("http://127.0.0.1:{port}/"));
        let request = b"GET /config?x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        assert_eq!(parse(&send(port, request)).status, 200);
        let logged = fs::read_to_string(&log).unwrap();
        assert!(logged.ends_with("Z GET /config?x 200\n"), "{logged}");
        kill_process(Pid::from_child(&command.child), signal).unwrap();
        assert_eq!(command.child.wait().unwrap().code(), Some(0));
    }
    let command = Command::start(&scene.repo(), &[]);
    let start = format!("Serving {} at http://127.0.0.1:", scene.repo().display());
    assert!(command.line.starts_with(&start), "{}", command.line);
    for (option, message) in [
        ("--port=70000", "Invalid port 70000"),
        ("--address=example.org", "Invalid address example.org"),
    ] {
        let output = scene.program.repo(&scene.repo(), ["serve", option]);
        assert_eq!(output.failure(), message);
    }
}
