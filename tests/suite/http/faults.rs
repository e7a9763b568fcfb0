//! Servers that do not do what they should.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use osier::http::{Fetch, HttpError, HttpErrorKind, Request};

use super::{client, get, url};
use crate::support::{Server, Then, answer};

/// What a client gets from a server that answers everything so, within ten seconds.
fn fault(answer: impl Fn(&mut TcpStream) + Send + Sync + 'static) -> HttpError {
    let server = Server::answering(move |_, stream| {
        answer(stream);
        Then::Close
    });
    let started = Instant::now();
    let error = get(&client(), &format!("{}/file", server.url), 5).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(error.url, format!("{}/file", server.url));
    error
}

#[test]
fn each_status_has_its_kind() {
    for (status, extra, kind) in [
        ("404 Not Found", "", HttpErrorKind::Missing),
        ("410 Gone", "", HttpErrorKind::Missing),
        ("401 Unauthorized", "", HttpErrorKind::Denied(401)),
        ("403 Forbidden", "", HttpErrorKind::Denied(403)),
        ("407 Proxy Authentication Required", "", HttpErrorKind::Denied(407)),
        ("400 Bad Request", "", HttpErrorKind::Status(400)),
        ("302 Found", "", HttpErrorKind::Status(302)),
        ("408 Request Timeout", "", HttpErrorKind::Busy(408, None)),
        ("429 Too Many Requests", "7", HttpErrorKind::Busy(429, Some(Duration::from_secs(7)))),
        ("500 Internal Server Error", "soon", HttpErrorKind::Busy(500, None)),
        (
            "503 Service Unavailable",
            "Fri, 01 Jan 1999 00:00:00 GMT",
            HttpErrorKind::Busy(503, None),
        ),
    ] {
        let headers: &[(&str, &str)] = &[("Retry-After", extra)];
        let bytes = answer(status, if extra.is_empty() { &[] } else { headers }, b"<html>");
        let error = fault(move |stream| drop(stream.write_all(&bytes)));
        assert_eq!(error.kind, kind, "{status}");
        assert_eq!(error.what, format!("Server returned HTTP {}", &status[..3]));
        assert_eq!(error.kind.is_transient(), matches!(kind, HttpErrorKind::Busy(..)));
    }
}

#[test]
fn what_breaks_is_told_from_what_stalls() {
    let cut =
        fault(|stream| drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123")));
    assert_eq!(cut.kind, HttpErrorKind::CutShort, "{cut}");
    let nothing = fault(|_| ());
    assert_eq!(
        (nothing.kind, nothing.what.as_str()),
        (HttpErrorKind::Broken, "the connection ended early")
    );
    let garbage = fault(|stream| drop(stream.write_all(b"\0\xff no http\r\n\r\n")));
    assert_eq!(garbage.kind, HttpErrorKind::Broken, "{garbage}");
    let chunks = fault(|stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"))
    });
    assert_eq!(chunks.kind, HttpErrorKind::CutShort, "{chunks}");
    let silent = fault(|_| thread::sleep(Duration::from_secs(4)));
    assert_eq!(
        (silent.kind, silent.what.as_str()),
        (HttpErrorKind::Stalled, "the server does not answer in time")
    );
    let half = fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n1");
        thread::sleep(Duration::from_secs(4));
    });
    assert_eq!(
        (half.kind, half.what.as_str()),
        (HttpErrorKind::Stalled, "the server sends too slowly")
    );
    let slow_header = fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
    });
    assert_eq!(slow_header.kind, HttpErrorKind::Stalled, "{slow_header}");
    // Each byte comes in time, the whole would take hours.
    let drip = Server::answering(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n");
        while stream.write_all(b"x").is_ok() {
            thread::sleep(Duration::from_millis(100));
        }
        Then::Close
    });
    let started = Instant::now();
    let error = get(&client(), &drip.url, u64::MAX).unwrap_err();
    assert_eq!(
        (error.kind, error.what.as_str()),
        (HttpErrorKind::Stalled, "the server sends too slowly")
    );
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn floods_are_cut_off() {
    let endless = fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(
        (endless.kind, endless.what.as_str()),
        (HttpErrorKind::TooLarge, "exceeded maximum size of 5 bytes")
    );
    let announced = fault(|stream| {
        drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"))
    });
    assert_eq!(announced.kind, HttpErrorKind::TooLarge);
    let long_header = fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
    });
    assert_eq!(long_header.kind, HttpErrorKind::Broken, "{long_header}");
    let many_headers = fault(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
        while stream.write_all(b"X-Y: z\r\n").is_ok() {}
    });
    assert_eq!(many_headers.kind, HttpErrorKind::Broken, "{many_headers}");
    let other_range = Server::answering(|_, stream| {
        let bytes = answer("206 Partial Content", &[("Content-Range", "bytes 0-4/10")], b"01234");
        let _ = stream.write_all(&bytes);
        Then::Close
    });
    let error =
        client().get(Request { from: 3, ..Request::get(url(&other_range.url)) }).unwrap_err();
    assert_eq!(error.what, "the server sent another range than was asked for");
}

#[test]
fn without_a_server_there_is_no_connection() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = get(&client(), &format!("http://{closed}/"), 5).unwrap_err();
    assert_eq!(refused.kind, HttpErrorKind::Unreachable);
    assert!(refused.what.contains("Connection refused"), "{refused}");
    let unknown = get(&client(), "http://host.invalid/", 5).unwrap_err();
    assert_eq!(unknown.kind, HttpErrorKind::UnknownHost);
    assert!(unknown.what.starts_with("no such host: "), "{unknown}");
    let plain = Server::answering(|_, _| Then::Close);
    let tls = get(&client(), &plain.url.replace("http:", "https:"), 5).unwrap_err();
    assert!(matches!(tls.kind, HttpErrorKind::Tls | HttpErrorKind::Unreachable), "{tls:?}");
}

#[test]
fn a_kept_connection_that_the_server_closes_is_no_fault() {
    // It says that it keeps the connection, and closes it when the next request is on its way.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut buffer = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut buffer);
            let _ = stream.write_all(&answer("200 OK", &[], b"12345"));
            let _ = std::io::Read::read(&mut stream, &mut buffer);
        }
    });
    let client = client();
    for _ in 0..5 {
        assert_eq!(get(&client, &format!("http://{address}/"), 5).unwrap(), b"12345");
    }
}
