//! A proxy between osier and a store, which counts requests and can spoil them.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What happens to requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    Nothing,
    /// Conditions are taken out, as by a store that does not know them.
    Conditions,
    /// One in so many is answered with 503, and its connection closed.
    OneIn(usize),
}

/// The proxy; its threads end with the test run.
pub struct Proxy {
    /// Its URL.
    pub url: String,
    requests: Arc<AtomicUsize>,
}

impl Proxy {
    pub fn new(to: &str, spoil: Spoil) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let (counter, to) = (Arc::clone(&requests), to.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                let (from, back) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let counter = Arc::clone(&counter);
                let answers = client.try_clone().unwrap();
                thread::spawn(move || requests_to(from, server, answers, (&counter, spoil)));
                thread::spawn(move || answers_to(back, client));
            }
        });
        Self { url, requests }
    }

    /// How many requests there were since the last time.
    pub fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::Relaxed)
    }
}

fn requests_to(
    mut from: TcpStream,
    mut to: TcpStream,
    mut answers: TcpStream,
    (counter, spoil): (&AtomicUsize, Spoil),
) {
    let mut buffer = vec![0; 256 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = &mut buffer[..length];
        // The client writes the head of a request at once.
        let heads = occurrences(bytes, b" HTTP/1.1\r\n").len();
        let before = counter.fetch_add(heads, Ordering::Relaxed);
        match spoil {
            Spoil::OneIn(number) if heads > 0 && before % number == number - 1 => {
                let answer =
                    b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                let _ = answers.write_all(answer);
                break;
            }
            Spoil::Conditions => {
                for condition in [&b"\r\nif-match:"[..], b"\r\nif-none-match:"] {
                    for at in occurrences(bytes, condition) {
                        bytes[at + 2] = b'x';
                    }
                }
            }
            Spoil::Nothing | Spoil::OneIn(_) => {}
        }
        if to.write_all(bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

fn answers_to(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}

fn occurrences(bytes: &[u8], wanted: &[u8]) -> Vec<usize> {
    let windows = bytes.windows(wanted.len()).enumerate();
    let found = windows.filter(|(_, window)| window.eq_ignore_ascii_case(wanted));
    found.map(|(at, _)| at).collect()
}
