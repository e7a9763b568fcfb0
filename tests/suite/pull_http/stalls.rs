//! Connections on which nothing comes any more, and nothing says so: each is noticed in time, and
//! the pull goes on over another one.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::faults::{faulty, is_file};
use super::*;
use crate::support::{Program, find, osier_path, program, skip};

/// A shell script that takes a network down for a while in the middle of a pull. It runs in a
/// network of its own, where there is nothing but the loopback.
const SCRIPT: &str = r#"
set -e
ip link set lo up
"$OSIER" trivial-httpd --port-file=port --log-file=log published &
server=$!
trap 'kill $server 2>/dev/null' EXIT
until [ -s port ]; do sleep 0.02; done
"$OSIER" --repo=repo init --mode=bare-user
"$OSIER" --repo=repo remote add --no-gpg-verify origin "http://127.0.0.1:$(cat port)"
"$OSIER" --repo=repo -v pull --max-outstanding-fetcher-requests=1 --low-speed-time-seconds=1 \
    --network-retries=20 origin main >out 2>err &
pull=$!
until [ "$(grep -c filez log)" -gt 20 ]; do :; done
ip link set lo down
asked=$(grep -c filez log)
sleep 3
[ "$(grep -c filez log)" -le "$((asked + 1))" ]
kill -0 $pull
ip link set lo up
wait $pull
"#;

#[test]
fn a_network_that_is_gone_for_a_while_is_waited_for() {
    if program("unshare").is_none() || program("ip").is_none() {
        return;
    }
    let directory = scratch();
    let alone = |arguments: &[&str]| {
        let own = if crate::support::is_root() { "-n" } else { "-rn" };
        Program::other(find("unshare").unwrap(), "unshare")
            .in_directory(directory.path())
            .with("OSIER", osier_path())
            .run([own].iter().chain(arguments))
    };
    if alone(&["ip", "link", "set", "lo", "up"]).status != 0 {
        return skip("no network of its own can be made here");
    }
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..1500 {
        fs::write(tree.join(number.to_string()), number.to_string()).unwrap();
    }
    let source = directory.path().join("published");
    osier().repo(&source, ["init", "--mode=archive"]).success();
    let commit = ["commit", "-b", "main", "--canonical-permissions", tree.to_str().unwrap()];
    osier().repo(&source, commit).success();
    let started = Instant::now();
    let output = alone(&["sh", "-c", SCRIPT]);
    let said = fs::read_to_string(directory.path().join("err")).unwrap_or_default();
    assert_eq!(output.status, 0, "{output:?} {said}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    let repo = directory.path().join("repo");
    assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"));
    assert_sound(&repo);
}

#[test]
fn peers_that_fall_silent_are_replaced() {
    let directory = scratch();
    let source = published(directory.path());
    // Each fifth request is never answered, and its connection stays open.
    let count = AtomicUsize::new(0);
    let server = faulty(&source, move |asked, stream| {
        if !is_file(asked) || !count.fetch_add(1, Ordering::SeqCst).is_multiple_of(5) {
            return None;
        }
        let _ = std::io::Read::read(stream, &mut [0; 10]);
        Some(Then::Close)
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let started = Instant::now();
    pull(&repo, &["--low-speed-time-seconds=1", "origin", "main"]).success();
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert_sound(&repo);
}

#[test]
fn a_listener_that_accepts_nobody_is_given_up_in_time() {
    // The kernel completes connections that no program ever takes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let directory = scratch();
    let repo = destination(directory.path(), "repo", ("bare-user", &url));
    let started = Instant::now();
    let call = ["--low-speed-time-seconds=1", "--network-retries=1", "origin", "main"];
    let error = pull(&repo, &call).failure();
    let expected = format!(
        "While fetching {url}/summary.sig: [28] Timeout was reached: the server does not answer in \
         time"
    );
    assert_eq!(error, expected);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert!(started.elapsed() >= Duration::from_secs(4), "two attempts of two seconds");
}

#[test]
fn without_a_least_speed_silence_is_noticed_all_the_same() {
    use osier::http::{Client, ClientOptions, Fetch as _, HttpErrorKind, Request, Timeouts, Url};

    let server = Server::answering(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nabc");
        // Slow is allowed, silent is not.
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(300));
            let _ = stream.write_all(b"d");
        }
        let _ = std::io::Read::read(stream, &mut [0; 10]);
        Then::Close
    });
    let idle = Some(Duration::from_secs(1));
    let timeouts = Timeouts { low_speed: None, idle, ..Timeouts::default() };
    let client = Client::new(ClientOptions { timeouts, ..ClientOptions::default() }).unwrap();
    let started = Instant::now();
    let mut body = client.get(Request::get(Url::parse(&server.url).unwrap())).unwrap().body;
    let mut came = Vec::new();
    let error = loop {
        match body.next_chunk() {
            Ok(chunk) => came.extend_from_slice(&chunk.expect("it does not end")),
            Err(error) => break error,
        }
    };
    assert_eq!(came, b"abcddddd");
    assert_eq!(error.kind, HttpErrorKind::Stalled);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(Timeouts::default().idle, Some(Duration::from_secs(300)));
}
