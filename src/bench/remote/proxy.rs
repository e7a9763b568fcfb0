//! A TCP proxy that delays what passes through it, as a long line does. Kernels can do the same
//! with netem, but many are built without it, and it needs root.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// The most bytes that are read at a time.
const CHUNK: usize = 16 << 10;
/// Chunks under way in one direction of a connection at most: 8 MiB, the line of 1.3 Gbit/s at a
/// delay of 50 ms. More are not read before earlier ones have arrived.
const CHUNKS: usize = 512;
/// Each connection has four threads, which call nothing deep.
const STACK: usize = 128 << 10;

/// A proxy on a port of the loopback interface; it accepts connections until it is dropped.
#[derive(Debug)]
pub(super) struct Proxy {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
}

impl Proxy {
    /// Connects each client to `target`. A byte takes half of `rtt` in each direction, and the
    /// first one of a client a whole `rtt` more, for the handshake of TCP.
    pub(super) fn start(target: SocketAddr, rtt: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let (address, stopped) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let is_stopped = Arc::clone(&stopped);
        spawn(move || {
            for client in listener.incoming() {
                if is_stopped.load(Ordering::Relaxed) {
                    return;
                }
                // A connection that cannot be made is closed, which the client notices.
                let _ = client.and_then(|client| connect(client, target, rtt));
            }
        })?;
        Ok(Self { address, stopped })
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // The thread that accepts has to wake up.
        let _ = TcpStream::connect(self.address);
    }
}

fn spawn(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let named = thread::Builder::new().name("proxy".to_owned()).stack_size(STACK);
    named.spawn(work).map(drop)
}

fn connect(client: TcpStream, target: SocketAddr, rtt: Duration) -> io::Result<()> {
    let open = Instant::now() + rtt;
    let server = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    delay(client.try_clone()?, server.try_clone()?, open, rtt / 2)?;
    delay(server, client, open, rtt / 2)
}

/// Passes on everything that comes, each byte `delay` after it came, none as if before `open`.
fn delay(from: TcpStream, to: TcpStream, open: Instant, delay: Duration) -> io::Result<()> {
    let (chunks, due) = sync_channel(CHUNKS);
    spawn(move || take(from, &chunks, open, delay))?;
    spawn(move || deliver(to, &due))
}

/// Reads chunks, and says when each is due. An empty one is the end.
fn take(
    mut from: TcpStream,
    chunks: &SyncSender<(Instant, Vec<u8>)>,
    open: Instant,
    delay: Duration,
) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = from.read(&mut buffer).unwrap_or(0);
        let due = open.max(Instant::now()) + delay;
        if chunks.send((due, buffer[..length].to_vec())).is_err() || length == 0 {
            return;
        }
    }
}

fn deliver(mut to: TcpStream, due: &Receiver<(Instant, Vec<u8>)>) {
    while let Ok((due, chunk)) = due.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if chunk.is_empty() || to.write_all(&chunk).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what comes, until the client has nothing more to say.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut reader, mut writer) = {
                    let stream = stream.unwrap();
                    (stream.try_clone().unwrap(), stream)
                };
                thread::spawn(move || {
                    let _ = io::copy(&mut reader, &mut writer);
                    let _ = writer.shutdown(Shutdown::Write);
                });
            }
        });
        address
    }

    #[test]
    fn bytes_come_back_in_order_after_a_round_trip() {
        let rtt = Duration::from_millis(80);
        let proxy = Proxy::start(echo(), rtt).unwrap();
        let mut client = TcpStream::connect(proxy.address).unwrap();
        let mut byte = [0];
        for trips in [2, 1, 1] {
            let sent = Instant::now();
            client.write_all(b"x").unwrap();
            client.read_exact(&mut byte).unwrap();
            // The first one waits for a handshake too. A busy machine may add to it.
            let took = sent.elapsed();
            assert!(took > rtt * trips - rtt / 8, "{trips}: {took:?}");
        }
        // More than may be under way, so the writer has to wait for the reader.
        let sent: Vec<u8> = (0..3 * (CHUNKS * CHUNK) as u32).map(|n| (n % 251) as u8).collect();
        let expected = sent.clone();
        let mut writer = client.try_clone().unwrap();
        let sender = thread::spawn(move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut received = Vec::new();
        client.read_to_end(&mut received).unwrap();
        sender.join().unwrap();
        assert!(received == expected, "{} bytes of {}", received.len(), expected.len());
    }

    #[test]
    fn requests_of_one_connection_are_delayed_together() {
        let rtt = Duration::from_millis(200);
        let proxy = Proxy::start(echo(), rtt).unwrap();
        let mut client = TcpStream::connect(proxy.address).unwrap();
        let started = Instant::now();
        for _ in 0..20 {
            client.write_all(b"x").unwrap();
            thread::sleep(Duration::from_millis(5));
        }
        client.read_exact(&mut [0; 20]).unwrap();
        assert!(started.elapsed() < rtt * 10, "{:?}", started.elapsed());
    }

    #[test]
    fn a_dropped_proxy_accepts_no_one() {
        let proxy = Proxy::start(echo(), Duration::ZERO).unwrap();
        let address = proxy.address;
        drop(proxy);
        let refused = (0..200).any(|_| {
            thread::sleep(Duration::from_millis(10));
            TcpStream::connect(address).is_err()
        });
        assert!(refused);
    }
}
