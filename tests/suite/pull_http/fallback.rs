//! Servers that offer HTTP/2 and do not get along with it: after the second failure the pull goes
//! on in HTTP/1.1 by itself, and says so with `-v`.

use std::io::BufRead as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::support::has_programs;
use crate::support::nginx::openssl;

type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A TLS server that offers HTTP/2. What it does with such connections is given; those of HTTP/1.1
/// get the files of a repository.
struct TlsServer {
    url: String,
    /// Connections of either version.
    http2: Arc<AtomicUsize>,
    http1: Arc<AtomicUsize>,
}

impl TlsServer {
    fn start(directory: &Path, source: &Path, http2: fn(&mut Tls)) -> Self {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
        openssl(
            directory,
            &format!(
                "req -x509 {key} -subj /CN=t -addext subjectAltName=IP:127.0.0.1 -addext \
                 basicConstraints=critical,CA:FALSE -keyout key.pem -out own.pem"
            ),
        );
        let certificate = CertificateDer::from_pem_file(directory.join("own.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(directory.join("key.pem")).unwrap();
        let provider = Arc::new(rustls_graviola::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let counts = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
        let [own2, own1] = counts.clone();
        let source = source.to_owned();
        // It ends with the tests.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let (source, own2, own1) = (source.clone(), Arc::clone(&own2), Arc::clone(&own1));
                thread::spawn(move || {
                    let mut tls = StreamOwned::new(connection, stream);
                    while tls.conn.is_handshaking() {
                        if tls.conn.complete_io(&mut tls.sock).is_err() {
                            return;
                        }
                    }
                    if tls.conn.alpn_protocol() == Some(b"h2") {
                        own2.fetch_add(1, Ordering::SeqCst);
                        http2(&mut tls);
                    } else {
                        own1.fetch_add(1, Ordering::SeqCst);
                        serve(&mut tls, &source);
                    }
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                });
            }
        });
        let [http2, http1] = counts;
        Self { url, http2, http1 }
    }
}

/// Files by HTTP/1.1, until the client has enough.
fn serve(tls: &mut Tls, source: &Path) {
    loop {
        let mut reader = std::io::BufReader::new(&mut *tls);
        let mut request = String::new();
        if reader.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut line = String::from("x");
        while !line.trim().is_empty() {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        let bytes = match fs::read(source.join(path.trim_start_matches('/'))) {
            Ok(bytes) => answer("200 OK", &[], &bytes),
            Err(_) => answer("404 No", &[], b""),
        };
        if tls.write_all(&bytes).and_then(|()| tls.flush()).is_err() {
            return;
        }
    }
}

/// The server says itself that it wants HTTP/1.1.
const OLD_VERSION: &str = "HTTP_1_1_REQUIRED";

/// A frame of HTTP/2.
fn frame(kind: u8, (stream, flags): (u32, u8), payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Begins a connection, and sends a frame to each request; given is its stream.
fn answer_all(tls: &mut Tls, reply: fn(u32) -> Vec<u8>) {
    let _ = tls.write_all(&frame(4, (0, 0), &[])).and_then(|()| tls.flush());
    let mut seen = Vec::new();
    let mut buffer = [0; 4096];
    // The preface is in front of the first frame.
    let mut at = 24;
    while let Ok(count @ 1..) = std::io::Read::read(tls, &mut buffer) {
        seen.extend_from_slice(&buffer[..count]);
        while let Some(head) = seen.get(at..at + 9) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes(head[5..9].try_into().unwrap());
            at += 9 + length;
            // One of headers.
            if head[3] == 1 && tls.write_all(&reply(stream)).and_then(|()| tls.flush()).is_err() {
                return;
            }
        }
    }
}

#[test]
fn a_server_whose_http2_fails_gets_http1() {
    if !has_programs(&["openssl"]) {
        return;
    }
    let directory = scratch();
    let source = published(directory.path());
    type Fault = fn(&mut Tls);
    let faults: [(&str, Fault); 5] = [
        ("no HTTP/2", |tls| {
            let _ = tls.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
            answer_all(tls, |_| Vec::new());
        }),
        // PROTOCOL_ERROR.
        ("the end", |tls| answer_all(tls, |_| frame(7, (0, 0), &[0, 0, 0, 0, 0, 0, 0, 1]))),
        // INTERNAL_ERROR.
        ("a reset", |tls| answer_all(tls, |stream| frame(3, (stream, 0), &[0, 0, 0, 2]))),
        (OLD_VERSION, |tls| answer_all(tls, |stream| frame(3, (stream, 0), &[0, 0, 0, 13]))),
        ("no headers", |tls| answer_all(tls, |stream| frame(1, (stream, 4), &[0xff; 20]))),
    ];
    for (name, fault) in faults {
        let server = TlsServer::start(directory.path(), &source, fault);
        let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
        let ca = directory.path().join("own.pem");
        let set =
            ["config", "set", "--group=remote \"origin\"", "tls-ca-path", ca.to_str().unwrap()];
        osier().repo(&repo, set).success();
        let output = osier().repo(&repo, ["-v", "pull", "--network-retries=0", "origin", "main"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status, 0, "{name}: {output:?}");
        let host = server.url.trim_start_matches("https://");
        assert!(said.contains(&format!("HTTP/2 fails with {host} (")), "{name}: {said}");
        assert!(said.contains("going on with HTTP/1.1"), "{name}: {said}");
        assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"));
        assert_sound(&repo);
        let connections = [&server.http2, &server.http1].map(|count| count.load(Ordering::SeqCst));
        let most = if name == OLD_VERSION { 1 } else { 2 };
        assert!(connections[0] <= most && connections[1] > 0, "{name}: {connections:?}");
    }
}
