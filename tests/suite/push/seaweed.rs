//! A real object store for the tests: three nodes of SeaweedFS on loopback. It is started once, and
//! ends with the test run however that ends.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::support::{find, lacks, scratch_root};

/// Who may do what: `test` everything, `poor` nothing here, and whoever has no name everything, so
/// that clients can pull.
const IDENTITIES: &str = r#"{"identities": [
  {"name": "test", "credentials": [{"accessKey": "osieraccess", "secretKey": "osiersecret"}],
   "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
  {"name": "poor", "credentials": [{"accessKey": "pooraccess", "secretKey": "poorsecret"}],
   "actions": ["Read:other"]},
  {"name": "anonymous", "actions": ["Admin", "Read", "Write", "List"]}]}"#;

const NODES: usize = 3;
const PORTS_OF_A_NODE: usize = 8;
/// Which of them is the gateway's.
const GATEWAY: usize = 6;
/// How long an answer may take, and one of a node that has not found the others yet: it may wait
/// for them for ever.
const ANSWER: Duration = Duration::from_secs(30);
const FIRST_ANSWER: Duration = Duration::from_secs(2);
/// How long the nodes may take to find each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// The store.
pub struct Seaweed {
    /// The addresses of its gateways.
    pub gateways: [String; NODES],
    _shell: Child,
}

/// The store, or says that it is missing.
#[track_caller]
pub fn seaweed() -> Option<&'static Seaweed> {
    static STORE: OnceLock<Option<Seaweed>> = OnceLock::new();
    let store = STORE.get_or_init(|| program().map(|program| Seaweed::start(&program)));
    if store.is_none() {
        lacks(&["weed"]);
    }
    store.as_ref()
}

fn program() -> Option<PathBuf> {
    let installed =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/checkers/seaweedfs/bin/weed");
    let given = std::env::var_os("OSIER_WEED").map(PathBuf::from);
    given.or_else(|| find("weed")).or(Some(installed)).filter(|path| path.is_file())
}

impl Seaweed {
    fn start(program: &Path) -> Self {
        let directory = tempfile::Builder::new().prefix("osier-weed-").tempdir_in(scratch_root());
        let directory = directory.unwrap().keep();
        fs::write(directory.join("s3.json"), IDENTITIES).unwrap();
        let ports = free_ports(NODES * PORTS_OF_A_NODE);
        let gateways: [String; NODES] = std::array::from_fn(|node| {
            format!("127.0.0.1:{}", ports[node * PORTS_OF_A_NODE + GATEWAY])
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/push/seaweed.sh");
        let mut shell = Command::new("bash");
        shell.arg(script).arg(program).arg(&directory);
        shell.args(ports.iter().map(u16::to_string));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let store = Self { gateways, _shell: shell.spawn().unwrap() };
        let started = Instant::now();
        let wait_for = |gateway: &str, is_there: &dyn Fn() -> bool| {
            while !is_there() {
                assert!(started.elapsed() < PATIENCE, "{gateway} is not ready");
                std::thread::sleep(Duration::from_millis(100));
            }
        };
        let is_done = |gateway: &str, call: (&str, &str)| {
            let answer = request(gateway, call, b"", FIRST_ANSWER);
            answer.is_some_and(|answer| answer.is_success())
        };
        for (node, gateway) in store.gateways.iter().enumerate() {
            let file = format!("/ready/{node}");
            wait_for(gateway, &|| {
                is_done(gateway, ("PUT", "/ready")) && is_done(gateway, ("PUT", &file))
            });
        }
        // What is written at one gateway shows at the others.
        for gateway in &store.gateways {
            for node in 0..NODES {
                wait_for(gateway, &|| is_done(gateway, ("GET", &format!("/ready/{node}"))));
            }
        }
        store
    }

    /// Makes a bucket of that name.
    #[track_caller]
    pub fn make_bucket(&self, name: &str) {
        let answer = request(&self.gateways[0], ("PUT", &format!("/{name}")), b"", ANSWER).unwrap();
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Waits until all gateways have the same file of that name.
    #[track_caller]
    pub fn settle(&self, path: &str) {
        let started = Instant::now();
        let bodies = || {
            self.gateways.each_ref().map(|gateway| {
                request(gateway, ("GET", path), b"", ANSWER).map(|answer| answer.body)
            })
        };
        loop {
            let [one, two, three] = bodies();
            if one.is_some() && one == two && two == three {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "the gateways differ in {path}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What a client without credentials gets.
    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        request(&self.gateways[0], ("GET", path), b"", ANSWER).unwrap()
    }
}

impl Seaweed {
    /// Writes a file, as whoever has no name.
    #[track_caller]
    pub fn put(&self, path: &str, body: &[u8]) {
        let answer = request(&self.gateways[0], ("PUT", path), body, ANSWER).unwrap();
        assert!(answer.is_success(), "{answer:?}");
    }

    /// Removes a file, as whoever has no name.
    #[track_caller]
    pub fn delete(&self, path: &str) {
        let answer = request(&self.gateways[0], ("DELETE", path), b"", ANSWER).unwrap();
        assert!(answer.head.contains(" 204 "), "{answer:?}");
    }
}

/// Ports that nobody listens at.
pub fn free_ports(number: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> =
        (0..number).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// The answer to a request.
#[derive(Debug)]
pub struct Answer {
    /// The status line and the headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    fn is_success(&self) -> bool {
        // The bucket may be there.
        [" 200 ", " 409 "].iter().any(|status| self.head.lines().next().unwrap().contains(status))
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers
            .filter(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next()
    }
}

fn request(
    gateway: &str,
    (method, path): (&str, &str),
    body: &[u8],
    patience: Duration,
) -> Option<Answer> {
    let mut stream = TcpStream::connect(gateway).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {gateway}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    Some(Answer { head, body: answer[end + 4..].to_vec() })
}
