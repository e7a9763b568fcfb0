//! A web server on the loopback: serves a directory, or answers as a test says.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As it stands in the request, with a query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Whether a connection is kept after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Keep,
    Close,
}

type Answer = dyn Fn(&Asked, &mut TcpStream) -> Then + Send + Sync;

/// Serves until it is dropped; each connection has a thread.
pub struct Server {
    /// Without a slash at the end.
    pub url: String,
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    stopped: AtomicBool,
    connections: Mutex<Vec<TcpStream>>,
    asked: Mutex<Vec<Asked>>,
}

impl Server {
    /// Serves the files of a directory, with ranges and `ETag`.
    pub fn start(directory: &Path) -> Self {
        let directory = directory.to_owned();
        Self::answering(move |asked, stream| {
            let _ = stream.write_all(&file(&directory, asked));
            Then::Keep
        })
    }

    /// Answers each request with what `answer` writes.
    pub fn answering(
        answer: impl Fn(&Asked, &mut TcpStream) -> Then + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
            asked: Mutex::default(),
        });
        let (shared, answer): (_, Arc<Answer>) = (Arc::clone(&state), Arc::new(answer));
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                shared.connections.lock().unwrap().push(stream.try_clone().unwrap());
                let (state, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                thread::spawn(move || serve(stream, &state, &*answer));
            }
        });
        Self { url: format!("http://{address}"), address, state }
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state.asked.lock().unwrap().clone()
    }

    /// The paths of all requests so far.
    pub fn paths(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.path).collect()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.state.connections.lock().unwrap().len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        for connection in self.state.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(mut stream: TcpStream, state: &State, answer: &Answer) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    while let Some(Ok(request)) = lines.next() {
        let Some(path) = request.split(' ').nth(1) else { break };
        let mut headers = Vec::new();
        while let Some(Ok(line)) = lines.next() {
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let asked = Asked { path: path.to_owned(), headers };
        state.asked.lock().unwrap().push(asked.clone());
        if answer(&asked, &mut stream) == Then::Close {
            break;
        }
    }
    // The list of connections holds it open.
    let _ = stream.shutdown(std::net::Shutdown::Both);
}

/// A whole answer with that status line and body.
pub fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n", body.len());
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

fn file(directory: &Path, asked: &Asked) -> Vec<u8> {
    let path = PathBuf::from(asked.path.trim_start_matches('/'));
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let bytes = if inside { fs::read(directory.join(path)).ok() } else { None };
    let Some(bytes) = bytes else { return answer("404 Not Found", &[], b"") };
    let etag = format!("\"{}\"", osier::Checksum::of(&bytes));
    if asked.header("if-none-match") == Some(&etag) {
        return format!("HTTP/1.1 304 Not Modified\r\nETag: {etag}\r\n\r\n").into_bytes();
    }
    let fresh = asked.header("if-range").is_none_or(|wanted| wanted == etag);
    let from = asked.header("range").filter(|_| fresh);
    match from.map(|range| {
        range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
    }) {
        None => answer("200 OK", &[("ETag", &etag)], &bytes),
        Some(from) if from >= bytes.len() => answer("416 Range Not Satisfiable", &[], b""),
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
            answer(
                "206 Partial Content",
                &[("ETag", &etag), ("Content-Range", &range)],
                &bytes[from..],
            )
        }
    }
}
