//! `pull` from a server that limits what it does for one client, and the memory that it takes.

use std::fs;
use std::path::Path;
use std::time::Duration;

use osier::fsck::{FsckOptions, fsck};
use osier::progress::Silent;
use osier::repo::Repo;
use serde_json::Value;

use super::support::nginx::{self, openssl};
use super::support::{Program, has_programs, osier, osier_path, scratch};

/// Files in the tree.
const FILES: usize = 400;

/// nginx with an archive in `published`, and with these lines in its server.
struct Nginx(nginx::Nginx);

impl Nginx {
    /// `None`, with a line that says so, where nginx or openssl is missing.
    #[track_caller]
    fn start((listen, http, server): (&str, &str, &str)) -> Option<Self> {
        nginx::Nginx::start(|root, port| {
            openssl(
                root,
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                 -subj /CN=test -addext subjectAltName=IP:127.0.0.1 \
                 -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out own.pem",
            );
            publish(root);
            let root = root.display();
            let http = format!(
                "log_format answers '$connection $status'; access_log {root}/access answers; {http}"
            );
            let server = format!(
                "listen 127.0.0.1:{port} {listen}; root {root}/published;
                 ssl_certificate {root}/own.pem; ssl_certificate_key {root}/key.pem; {server}"
            );
            [http, server]
        })
        .map(Self)
    }

    /// Pulls everything, and returns the connection and the status of each answer.
    fn pull(&self, scheme: &str) -> Vec<(String, String)> {
        let (repo, program) = (self.0.path("destination"), osier());
        program.repo(&repo, ["init", "--mode=bare-user"]).success();
        let trusted = format!("--set=tls-ca-path={}", self.0.path("own.pem").display());
        let url = format!("{scheme}://127.0.0.1:{}", self.0.port);
        program
            .repo(&repo, ["remote", "add", "--no-gpg-verify", &trusted, "origin", &url])
            .success();
        program.repo(&repo, ["pull", "origin", "main"]).success();
        let repo = Repo::open(&repo).unwrap();
        let published = Repo::open(&self.0.path("published")).unwrap();
        assert_eq!(
            repo.resolve_rev("origin:main").unwrap(),
            published.resolve_rev("main").unwrap()
        );
        assert_eq!(repo.list_objects().unwrap().len(), FILES + 3);
        assert!(!fsck(&repo, &FsckOptions::default(), &Silent).unwrap().corrupted);
        let log = fs::read_to_string(self.0.path("access")).unwrap();
        let answer = |line: &str| {
            let (connection, status) = line.split_once(' ').unwrap();
            (connection.to_owned(), status.to_owned())
        };
        log.lines().map(answer).collect()
    }
}

/// An archive with a commit of [`FILES`] files on `main`.
fn publish(root: &Path) {
    let (repo, tree, program) = (root.join("published"), root.join("tree"), osier());
    fs::create_dir(&tree).unwrap();
    for number in 0..FILES {
        fs::write(tree.join(number.to_string()), number.to_string()).unwrap();
    }
    program.repo(&repo, ["init", "--mode=archive"]).success();
    let tree = tree.to_str().unwrap();
    program.repo(&repo, ["commit", "-b", "main", "--canonical-permissions", tree]).success();
    program.repo(&repo, ["summary", "-u"]).success();
}

fn connections(answers: &[(String, String)]) -> usize {
    answers
        .iter()
        .map(|(connection, _)| connection)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}

#[test]
fn connections_that_end_after_some_requests_are_replaced() {
    let Some(nginx) = Nginx::start(("", "", "keepalive_requests 20;")) else { return };
    let answers = nginx.pull("http");
    assert!(connections(&answers) >= FILES / 20, "{}", connections(&answers));
    assert!(answers.iter().all(|(_, status)| status == "200" || status == "404"));
}

/// The requests that are on their way when the server ends a connection are refused. Each of them
/// may be refused many times; that is no failure.
#[test]
fn http2_requests_that_the_server_has_not_looked_at_are_sent_again() {
    let Some(nginx) = Nginx::start(("ssl http2", "", "keepalive_requests 20;")) else { return };
    let answers = nginx.pull("https");
    assert!(connections(&answers) >= FILES / 20, "{}", connections(&answers));
    // Nothing is sent twice.
    let sent = answers.iter().filter(|(_, status)| status == "200").count();
    assert!(sent < FILES + 10, "{sent}");
}

#[test]
fn a_server_that_wants_fewer_requests_gets_fewer() {
    let zone = "limit_conn_zone $binary_remote_addr zone=few:1m;";
    // Waits make requests meet each other on a machine that is fast enough to serve one by one.
    let server = "limit_conn few 3; limit_rate 2k;";
    let Some(nginx) = Nginx::start(("ssl http2", zone, server)) else { return };
    nginx.pull("https");
}

/// All requests of a window are refused at once, over and over; the pull waits as for one.
#[test]
fn a_server_that_wants_slower_requests_gets_them() {
    let zone = "limit_req_zone $binary_remote_addr zone=slow:1m rate=400r/s;";
    let Some(nginx) = Nginx::start(("", zone, "limit_req zone=slow burst=60 nodelay;")) else {
        return;
    };
    let started = std::time::Instant::now();
    let answers = nginx.pull("http");
    // The pauses double when each refusal counts, to half a minute each.
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    assert!(answers.iter().any(|(_, status)| status == "503"), "nothing was refused");
}

/// The peak memory of a pull of so many objects, in bytes.
fn peak_memory(objects: u64) -> Option<u64> {
    if !has_programs(&["nginx", "openssl"]) {
        return None;
    }
    let directory = scratch();
    let text = Program::other(osier_path(), "osier")
        .run([
            "bench",
            "--remote",
            "--json",
            "--no-ostree",
            "--only=http1",
            "--rtt=0",
            &format!("--objects={objects}"),
            &format!("--scratch={}", directory.path().display()),
        ])
        .success();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["pulls"][0]["osier"]["peak_memory_bytes"].as_u64()
}

/// As docs/performance.md says: 60 MB and 90 bytes for each object.
fn most_memory(objects: u64) -> u64 {
    60_000_000 + 90 * objects
}

#[test]
fn the_memory_of_a_pull_is_bounded() {
    let Some(peak) = peak_memory(4000) else { return };
    assert!(peak < most_memory(4000), "{peak}");
}

#[test]
#[ignore = "takes minutes and 5 GB"]
fn the_memory_of_a_large_pull_is_bounded() {
    let Some(peak) = peak_memory(1_000_000) else { return };
    println!("{peak} bytes");
    assert!(peak < most_memory(1_000_000).min(150_000_000), "{peak}");
}
