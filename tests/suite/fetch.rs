//! HTTPS with a server that is not ours: OpenSSL's.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use osier::fetch::{Fetched, Fetcher, Http};

use crate::support::{has_programs, scratch};

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_server_is_believed_by_its_authority_and_no_other() {
    if !has_programs(&["openssl"]) {
        return;
    }
    let directory = scratch();
    let make = |name: &str| {
        let status = Command::new("openssl")
            .current_dir(directory.path())
            .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test".split(' '))
            .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
            .args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")])
            .stderr(Stdio::null())
            .status();
        assert!(status.unwrap().success());
        directory.path().join(format!("{name}.pem"))
    };
    let (own, other) = (make("own"), make("other"));
    fs::write(directory.path().join("summary"), "12345").unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Command::new("openssl")
        .current_dir(directory.path())
        .args(["s_server", "-quiet", "-WWW", "-cert", "own.pem", "-key", "own.key", "-accept", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = Server(server.unwrap());
    for _ in 0..100 {
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }

    let http = Http::default().with_timeout(Duration::from_secs(10));
    let url = format!("https://localhost:{port}/summary");
    assert_eq!(http.clone().with_authorities(own.clone()).fetch(&url, 5), Ok(Fetched::File(b"12345".to_vec())));
    for (believed, url) in [(other, url.clone()), (own, url.replace("localhost", "127.0.0.1"))] {
        let why = http.clone().with_authorities(believed).fetch(&url, 5).unwrap_err().to_string();
        assert!(why.contains("certificate"), "{why}");
    }
    let http = http.with_authorities("/nonexistent".into());
    let why = http.fetch(&url, 5).unwrap_err().to_string();
    assert_eq!(why, "this machine has no file of certificate authorities");
    // Nor is a server trusted that HTTP leads to.
    let redirecting = TcpListener::bind("127.0.0.1:0").unwrap();
    let moved = format!("http://{}/", redirecting.local_addr().unwrap());
    let answer = thread::spawn(move || {
        let mut stream = redirecting.accept().unwrap().0;
        let mut request = BufReader::new(stream.try_clone().unwrap()).lines();
        while request.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
        let head = format!("HTTP/1.1 302 Found\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
    });
    let why = http.fetch(&moved, 5).unwrap_err().to_string();
    answer.join().unwrap();
    assert!(why.contains("certificate"), "{why}");
}
