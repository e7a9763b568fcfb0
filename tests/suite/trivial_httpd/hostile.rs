//! Clients that break rules, or would keep the server from others.

use std::net::{Shutdown, TcpListener};
use std::sync::Arc;

use osier::http::server::{Answer, Files, Server, ServerOptions};

use super::*;

/// Serves a directory with limits that a test can wait for.
fn server(directory: &Path, options: ServerOptions) -> Server {
    let files = Arc::new(Files::open(directory).unwrap());
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    Server::start(listener, options, move |request| files.answer(request)).unwrap()
}

fn options() -> ServerOptions {
    ServerOptions {
        header_time: Duration::from_millis(500),
        stall_time: Duration::from_millis(500),
        ..ServerOptions::default()
    }
}

/// What comes until the server closes the connection, in whatever way it does.
fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return received,
            Ok(length) => received.extend(&buffer[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return received,
            Err(error) => panic!("it is still open: {error}"),
        }
    }
}

#[test]
fn requests_that_are_none_are_refused() {
    let place = place();
    let server = server(&place.path().join("root"), options());
    let port = server.address().port();
    let long = "a".repeat(300_000);
    let many = "a: b\r\n".repeat(200);
    for (request, statuses) in [
        ("GET\r\n\r\n".to_owned(), &[400][..]),
        ("GET /hello\r\n\r\n".to_owned(), &[400]),
        ("GET /hello HTTP/0.9\r\n\r\n".to_owned(), &[400]),
        ("GET /hello HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("GET /hello HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n".to_owned(), &[400]),
        ("GET /hello HTTP/1.1\r\nHost: h/x\r\n\r\n".to_owned(), &[400]),
        ("GET /hello HTTP/1.1\r\nHost: h\"><script>\r\n\r\n".to_owned(), &[400]),
        ("GET /hello HTTP/1.1\r\nHost : h\r\n\r\n".to_owned(), &[400]),
        ("GET /he\0llo HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(), &[400]),
        (format!("GET /{long} HTTP/1.1\r\nHost: h\r\n\r\n"), &[400, 414, 431]),
        (format!("GET / HTTP/1.1\r\nHost: h\r\nx: {long}\r\n\r\n"), &[431]),
        (format!("GET / HTTP/1.1\r\nHost: h\r\n{many}\r\n"), &[431]),
        ("\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03\r\n\r\n".to_owned(), &[400]),
        // Another protocol gets no answer.
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), &[]),
        (
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            &[400, 501],
        ),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        // It may be closed before all of a long request is taken.
        let _ = stream.write_all(request.as_bytes());
        let received = until_closed(&mut stream);
        let start: String = request.chars().take(60).collect();
        if received.is_empty() {
            assert!(statuses.is_empty() || request.len() > 60_000, "{start:?}: no answer");
        } else {
            let status = parse(&received).status;
            assert!(statuses.contains(&status), "{start:?}: {status}");
        }
    }
    assert_eq!(get(port, "/hello").text(), "hello\n");
}

#[test]
fn clients_that_are_slow_do_not_stay() {
    let place = place();
    let root = place.path().join("root");
    File::create(root.join("large")).unwrap().set_len(64 << 20).unwrap();
    let server = server(&root, ServerOptions { connections: 3, ..options() });
    let port = server.address().port();
    let connect = || TcpStream::connect(("127.0.0.1", port)).unwrap();
    // One says nothing, one never ends its headers, one does not take what it has asked for.
    let started = Instant::now();
    let mut silent = connect();
    let mut slow = connect();
    slow.write_all(b"GET /hello HTTP/1.1\r\nHost: h\r\n").unwrap();
    let mut full = connect();
    full.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    // All places are taken, so this one waits until one of them has gone.
    assert_eq!(get(port, "/hello").text(), "hello\n");
    assert!(started.elapsed() >= Duration::from_millis(300), "{:?}", started.elapsed());
    until_closed(&mut silent);
    until_closed(&mut slow);
    std::thread::sleep(Duration::from_secs(1));
    let received = until_closed(&mut full);
    assert!(received.len() < 64 << 20, "{} bytes", received.len());
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[test]
fn clients_that_go_away_and_files_that_shrink_leave_the_server_as_it_was() {
    let place = place();
    let root = place.path().join("root");
    let path = root.join("large");
    let file = File::create(&path).unwrap();
    file.set_len(64 << 20).unwrap();
    let server = server(&root, ServerOptions { connections: 2, ..options() });
    let port = server.address().port();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 10]).unwrap();
        stream.shutdown(Shutdown::Both).unwrap();
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    stream.read_exact(&mut [0; 10]).unwrap();
    file.set_len(1).unwrap();
    assert!(until_closed(&mut stream).len() < 64 << 20);
    assert_eq!(get(port, "/hello").text(), "hello\n");
}

#[test]
fn a_handler_that_panics_ends_one_request_and_a_server_that_is_dropped_all() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let server = Server::start(listener, options(), |request| {
        assert!(request.path != b"/panic", "on purpose");
        Answer::new(200).with("x-a", "line\nbreak").with("x-b", "c").with_body(b"body".to_vec())
    });
    let server = server.unwrap();
    let port = server.address().port();
    assert_eq!(get(port, "/panic").status, 500);
    let reply = get(port, "/");
    assert_eq!((reply.text(), reply.header("x-a"), reply.header("x-b")), ("body", None, Some("c")));
    let mut open = TcpStream::connect(("127.0.0.1", port)).unwrap();
    open.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    open.read_exact(&mut [0; 10]).unwrap();
    drop(server);
    until_closed(&mut open);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}
