//! Clients that want more than the repository, and repositories that are damaged.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

#[test]
fn no_path_leads_out_of_what_is_published() {
    let scene = scene("archive");
    let repo = scene.repo();
    fs::write(scene.directory.path().join("secret"), "secret").unwrap();
    for name in ["secret", "state/secret", "tmp/secret", "refs/.secret", "origin.trustedkeys.gpg"] {
        fs::write(repo.join(name), "secret").unwrap();
    }
    symlink("../../secret", repo.join("refs/out")).unwrap();
    fs::remove_dir(repo.join("extensions")).unwrap();
    symlink("/etc/passwd", repo.join("extensions")).unwrap();
    fs::create_dir_all(repo.join("summaries")).unwrap();
    symlink(scene.directory.path(), repo.join("summaries/out")).unwrap();
    let served = scene.serve();
    for path in [
        "/../secret",
        "/secret",
        "/state/secret",
        "/tmp/secret",
        "/.lock",
        "/origin.trustedkeys.gpg",
        "/refs/../secret",
        "/refs/%2e%2e/secret",
        "/refs/..%2fsecret",
        "/refs/%2e%2e%2f%2e%2e%2fsecret",
        "/refs/..%5csecret",
        "/refs/.secret",
        "/refs/heads/%00",
        "/refs/%252e%252e/secret",
        "/refs/out",
        "/refs/heads",
        "/refs/heads/",
        "/extensions",
        "/extensions/x",
        "/summaries/out/secret",
        "/objects/../../secret",
        "/objects/",
        "/-/tree/exampleos/x86_64/main/../../..",
        "/-/raw/exampleos/x86_64/main/..%2f..%2fsecret",
        "/-/raw/exampleos/x86_64/main/usr%2fbin%2fhello",
        "/-/commit/..%2F..%2Fsecret",
        "/-/commit/%2e%2e/%2e%2e/secret",
        "/-/tree/%00",
        "/-/tree/%ff",
        "/-/../config/x",
    ] {
        let reply = served.get(path);
        assert!([400, 403, 404].contains(&reply.status), "{path}: {}", reply.status);
        assert!(!reply.text().contains("secret\n") && reply.text() != "secret", "{path}");
    }
}

#[test]
fn requests_that_break_rules_are_refused() {
    let scene = scene("archive");
    let served = scene.serve();
    let status = |request: &str| parse(&send(served.port(), request.as_bytes())).status;
    let long = "a".repeat(20_000);
    let end = "Connection: close\r\n\r\n";
    for (request, expected) in [
        (format!("GET / HTTP/1.1\r\nHost: evil.example.org\r\n{end}"), 421),
        (format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:1\r\n{end}"), 200),
        (format!("GET / HTTP/1.1\r\nHost: [::1]\r\n{end}"), 200),
        (format!("GET http://evil.example.org/ HTTP/1.1\r\nHost: localhost\r\n{end}"), 421),
        (format!("GET http://localhost/config HTTP/1.1\r\nHost: localhost\r\n{end}"), 200),
        (format!("GET /config HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n{end}"), 400),
        (format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n{end}"), 414),
        (format!("GET /?{long} HTTP/1.1\r\nHost: localhost\r\n{end}"), 414),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nx: {}\r\n{end}", long.repeat(20)), 431),
        (format!("GET /-/refs/heads\0 HTTP/1.1\r\nHost: localhost\r\n{end}"), 400),
        (format!("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n{end}"), 405),
    ] {
        assert_eq!(status(&request), expected, "{:.80}", request);
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE"] {
        let reply = served.ask(method, "/", "");
        assert_eq!((reply.status, reply.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
    // A refusal does not repeat what was asked for as markup.
    let reply = served.get("/-/commit/%3Cscript%3E");
    assert_eq!(reply.status, 404);
    assert!(reply.text().contains("&lt;script&gt;") && !reply.text().contains("<script"));
}

#[test]
fn requests_in_one_go_are_answered_one_after_the_other() {
    let scene = scene("archive");
    let served = scene.serve();
    let one = "GET /config HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let last = "GET /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut stream = TcpStream::connect(("127.0.0.1", served.port())).unwrap();
    stream.write_all(format!("{}{last}", one.repeat(20)).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK\r\n").count(), 21);
    assert_eq!(text.matches("mode=archive-z2\n").count(), 21);
}

#[test]
fn damaged_objects_are_named_and_the_server_goes_on() {
    let scene = scene("archive");
    let served = scene.serve();
    let checksum = |path: &str| {
        let listed = scene.program.repo(&scene.repo(), ["ls", "-C", &scene.commits[1], path]);
        listed.line().split(' ').find(|word| word.len() == 64).unwrap().to_owned()
    };
    let object = |path: &str| {
        let checksum = checksum(path);
        scene.repo().join(format!("objects/{}/{}.filez", &checksum[..2], &checksum[2..]))
    };
    let (checksum, path) = (checksum("/page.html"), object("/page.html"));
    fs::write(&path, "damaged").unwrap();
    let file = served.get("/-/file/exampleos/x86_64/main/page.html");
    assert_eq!(file.status, 500);
    assert!(file.text().contains(&format!("malformed object {checksum}.file")), "{}", file.text());
    let tree = served.document("/-/tree/exampleos/x86_64/main");
    assert_eq!(tree["entries"][6]["type"], "unreadable");
    // One that ends too early is noticed while it is sent: the connection ends before the content.
    let noise = object("/noise");
    let bytes = fs::read(&noise).unwrap();
    fs::write(&noise, &bytes[..bytes.len() / 2]).unwrap();
    let raw = served.get("/-/raw/exampleos/x86_64/main/noise");
    assert_eq!(raw.header("content-length"), Some("300000"));
    assert!(raw.body.len() < 300_000, "{}", raw.body.len());
    fs::remove_file(&path).unwrap();
    assert_eq!(served.get("/-/file/exampleos/x86_64/main/page.html").status, 404);
    let commit = &scene.commits[1];
    let path = scene.repo().join(format!("objects/{}/{}.commit", &commit[..2], &commit[2..]));
    fs::write(path, "damaged").unwrap();
    let refs = served.document("/");
    let error = refs["refs"][0]["error"].as_str().unwrap();
    assert!(error.starts_with(&format!("malformed object {commit}.commit")), "{error}");
    assert_eq!(served.get("/-/commit/exampleos/x86_64/main").status, 500);
}
