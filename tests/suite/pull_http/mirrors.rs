//! Mirrors that are worse than others: they are asked less, and nobody waits for them.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::faults::{faulty, is_file};
use super::*;

/// A mirror that answers requests for files as `fault` does, and counts them.
fn bad_mirror(
    source: &Path,
    fault: impl Fn(&Asked, &mut TcpStream) -> Option<Then> + Send + Sync + 'static,
) -> (Server, Arc<AtomicUsize>) {
    let asked_for = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked_for);
    let server = faulty(source, move |asked, stream| {
        if !is_file(asked) {
            return None;
        }
        count.fetch_add(1, Ordering::SeqCst);
        fault(asked, stream)
    });
    (server, asked_for)
}

/// Waits until the client hangs up.
fn silence(stream: &mut TcpStream) -> Option<Then> {
    let _ = std::io::Read::read(stream, &mut [0; 10]);
    Some(Then::Close)
}

fn respond(stream: &mut TcpStream, line: &str, body: &[u8]) -> Option<Then> {
    let _ = stream.write_all(&answer(line, &[], body));
    Some(Then::Keep)
}

/// Pulls from the mirrors one after the other, and checks what has come.
fn pull_from(directory: &Path, mirrors: [&Server; 2], options: &[&str]) {
    let list = format!("{}\n{}\n", mirrors[0].url, mirrors[1].url);
    let lists = Server::answering(move |_, stream| {
        let _ = stream.write_all(&answer("200 OK", &[], list.as_bytes()));
        Then::Keep
    });
    let url = format!("mirrorlist={}/list", lists.url);
    let repo = destination(directory, "repo", ("bare-user", &url));
    let started = Instant::now();
    pull(&repo, &[options, &["origin", "main"]].concat()).success();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    assert_eq!(rev(&repo, "origin:main"), rev(&directory.join("published"), "main"));
    assert_sound(&repo);
}

#[test]
fn a_mirror_that_has_failed_twice_goes_to_the_end() {
    let directory = scratch();
    let source = published(directory.path());
    let good = faulty(&source, |_, _| None);
    let one = "--max-outstanding-fetcher-requests=1";
    type Fault = fn(&Asked, &mut TcpStream) -> Option<Then>;
    let faults: [Fault; 3] = [
        |_, stream| respond(stream, "500 Oops", b"<!DOCTYPE html>"),
        |_, stream| respond(stream, "404 Not Found", b"not yet"),
        // Damaged.
        |_, stream| respond(stream, "200 OK", &[0; 100]),
    ];
    for fault in faults {
        let (bad, asked_for) = bad_mirror(&source, fault);
        pull_from(directory.path(), [&bad, &good], &[one]);
        let asked_for = asked_for.load(Ordering::SeqCst);
        // A damaged file may still be looked at while the next one is asked for.
        assert!((2..=4).contains(&asked_for), "{asked_for}");
    }
}

#[test]
fn a_mirror_that_is_silent_is_overtaken() {
    let directory = scratch();
    let source = published(directory.path());
    let good = faulty(&source, |_, _| None);
    let (bad, asked_for) = bad_mirror(&source, |_, stream| silence(stream));
    pull_from(directory.path(), [&bad, &good], &["--max-outstanding-fetcher-requests=2"]);
    let asked_for = asked_for.load(Ordering::SeqCst);
    assert!((2..=4).contains(&asked_for), "{asked_for}");
}

#[test]
fn one_request_that_is_slow_is_overtaken_and_its_mirror_stays_first() {
    let directory = scratch();
    let source = published(directory.path());
    let (other, overflow) = bad_mirror(&source, |_, _| None);
    let count = AtomicUsize::new(0);
    let (first, asked_for) =
        bad_mirror(&source, move |_, stream| match count.fetch_add(1, Ordering::SeqCst) {
            20 => silence(stream),
            _ => None,
        });
    pull_from(directory.path(), [&first, &other], &["--max-outstanding-fetcher-requests=4"]);
    // All files and the link.
    assert_eq!(asked_for.load(Ordering::SeqCst), FILES);
    assert_eq!(overflow.load(Ordering::SeqCst), 1);
}
