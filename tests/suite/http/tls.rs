//! TLS and HTTP/2 with a server that is not ours: nginx, with certificates of OpenSSL's.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use osier::http::{Client, ClientOptions, Downgrade, HttpError, HttpErrorKind, Roots};

use super::{get, options};
use crate::support::nginx::{self, openssl};
use crate::support::scratch;

struct Nginx(nginx::Nginx);

impl Nginx {
    /// `None`, with a line that says so, where nginx or openssl is missing.
    #[track_caller]
    fn start() -> Option<Self> {
        nginx::Nginx::start(|root, port| {
            let request = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
            for name in ["own", "other"] {
                let call = format!(
                    "req -x509 {request} -days 2 -subj /CN=localhost -addext \
                     subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE \
                     -keyout {name}.key -out {name}.pem"
                );
                openssl(root, &call);
            }
            fs::create_dir(root.join("files")).unwrap();
            fs::write(root.join("files/summary"), "12345").unwrap();
            fs::write(root.join("files/large"), vec![b'x'; 5_000_000]).unwrap();
            let root = root.display();
            let http = format!(
                "access_log {root}/access;
                 log_format protocol '$server_protocol $connection $ssl_client_verify $uri';"
            );
            let server = format!(
                "listen 127.0.0.1:{port} ssl http2; server_name localhost; root {root}/files;
                 ssl_certificate {root}/own.pem; ssl_certificate_key {root}/own.key;
                 ssl_client_certificate {root}/other.pem; ssl_verify_client optional_no_ca;
                 access_log {root}/access protocol;
                 location /plain {{ return 302 http://localhost:1/x; }}"
            );
            [http, server]
        })
        .map(Self)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path(name)
    }

    fn url(&self, path: &str) -> String {
        format!("https://localhost:{}/{path}", self.0.port)
    }

    /// The lines about requests, once there are that many.
    fn access(&self, lines: usize) -> Vec<String> {
        for _ in 0..100 {
            let text = fs::read_to_string(self.path("access")).unwrap_or_default();
            if text.lines().count() >= lines {
                return text.lines().map(str::to_owned).collect();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("fewer than {lines} requests");
    }
}

fn fetch(options: ClientOptions, url: &str) -> Result<Vec<u8>, HttpError> {
    get(&Client::new(options).unwrap(), url, 10_000_000)
}

#[test]
fn a_server_is_trusted_by_its_root_and_no_other() {
    let Some(nginx) = Nginx::start() else { return };
    let trusting = |name: &str| ClientOptions { roots: Roots::File(nginx.path(name)), ..options() };
    assert_eq!(fetch(trusting("own.pem"), &nginx.url("summary")).unwrap(), b"12345");
    for (options, url) in [
        (trusting("other.pem"), nginx.url("summary")),
        (trusting("own.pem"), nginx.url("summary").replace("localhost", "127.0.0.1")),
        (options(), nginx.url("summary")),
    ] {
        let error = fetch(options, &url).unwrap_err();
        // Where the machine has no roots at all, that is what is said.
        assert!(matches!(error.kind, HttpErrorKind::Tls | HttpErrorKind::Invalid), "{error:?}");
        assert!(error.what.contains("certificate"), "{error}");
    }
    let permissive = ClientOptions { roots: Roots::Unchecked, ..options() };
    assert_eq!(fetch(permissive, &nginx.url("summary")).unwrap(), b"12345");
    let missing = fetch(trusting("missing.pem"), &nginx.url("summary")).unwrap_err();
    assert_eq!(missing.kind, HttpErrorKind::Invalid);
    assert!(
        missing.what.starts_with(&nginx.path("missing.pem").display().to_string()),
        "{missing}"
    );
    // A broken TLS configuration does not matter to plain HTTP.
    let directory = scratch();
    fs::write(directory.path().join("file"), "plain").unwrap();
    let plain = crate::support::Server::start(directory.path());
    assert_eq!(fetch(trusting("missing.pem"), &format!("{}/file", plain.url)).unwrap(), b"plain");
}

#[test]
fn http_2_carries_all_requests_on_one_connection() {
    let Some(nginx) = Nginx::start() else { return };
    let roots = Roots::File(nginx.path("own.pem"));
    let client = Client::new(ClientOptions { roots: roots.clone(), ..options() }).unwrap();
    assert_eq!(get(&client, &nginx.url("large"), u64::MAX).unwrap().len(), 5_000_000);
    for _ in 0..10 {
        assert_eq!(get(&client, &nginx.url("summary"), 5).unwrap(), b"12345");
    }
    let lines = nginx.access(11);
    let connections: std::collections::BTreeSet<&str> =
        lines.iter().filter_map(|line| line.split(' ').nth(1)).collect();
    assert!(lines.iter().all(|line| line.starts_with("HTTP/2.0 ")), "{lines:?}");
    assert_eq!(connections.len(), 1, "{lines:?}");
    let old = Client::new(ClientOptions { roots, http2: false, ..options() }).unwrap();
    assert_eq!(get(&old, &nginx.url("summary"), 5).unwrap(), b"12345");
    assert!(nginx.access(12)[11].starts_with("HTTP/1.1 "));
}

#[test]
fn a_client_certificate_is_shown() {
    let Some(nginx) = Nginx::start() else { return };
    let roots = Roots::File(nginx.path("own.pem"));
    let with = |certificate: &str, key: &str| {
        let client_certificate = Some((nginx.path(certificate), nginx.path(key)));
        fetch(
            ClientOptions { roots: roots.clone(), client_certificate, ..options() },
            &nginx.url("summary"),
        )
    };
    assert_eq!(with("other.pem", "other.key").unwrap(), b"12345");
    let line = nginx.access(1)[0].clone();
    let verdict = line.split(' ').nth(2).unwrap();
    assert!(verdict == "SUCCESS" || verdict.starts_with("FAILED"), "{line}");
    assert_eq!(
        fetch(ClientOptions { roots: roots.clone(), ..options() }, &nginx.url("summary")).unwrap(),
        b"12345"
    );
    assert_eq!(nginx.access(2)[1].split(' ').nth(2), Some("NONE"));
    let swapped = with("other.key", "other.pem").unwrap_err();
    assert_eq!(swapped.kind, HttpErrorKind::Invalid, "{swapped}");
    let mixed = with("own.pem", "other.key").unwrap_err();
    assert_eq!(mixed.kind, HttpErrorKind::Invalid, "{mixed}");
}

#[test]
fn a_redirect_out_of_tls_can_be_refused() {
    let Some(nginx) = Nginx::start() else { return };
    let options = |downgrade| ClientOptions {
        roots: Roots::File(nginx.path("own.pem")),
        downgrade,
        ..options()
    };
    let refused = fetch(options(Downgrade::Refused), &nginx.url("plain")).unwrap_err();
    assert_eq!(refused.what, "redirected from https to http://localhost:1/x");
    let followed = fetch(options(Downgrade::Allowed), &nginx.url("plain")).unwrap_err();
    assert_eq!(
        (followed.kind, followed.url.as_str()),
        (HttpErrorKind::Unreachable, "http://localhost:1/x")
    );
}
