//! Servers that fail in every way: the pull succeeds nevertheless, or ends with an error that names
//! the URL, in time, and nothing wrong is in the repository.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Serves a repository; `fault` may answer instead.
pub(super) fn faulty(
    source: &Path,
    fault: impl Fn(&Asked, &mut TcpStream) -> Option<Then> + Send + Sync + 'static,
) -> Server {
    let source = source.to_owned();
    Server::answering(move |asked, stream| {
        if let Some(then) = fault(asked, stream) {
            return then;
        }
        let path = source.join(asked.path.trim_start_matches('/'));
        let from = asked.header("range").map(|range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        let bytes = match (fs::read(path), from) {
            (Err(_), _) => answer("404 Not Found", &[], b"nothing here"),
            (Ok(bytes), None) => answer("200 OK", &[], &bytes),
            (Ok(bytes), Some(from)) if from >= bytes.len() => {
                answer("416 Range Not Satisfiable", &[], b"")
            }
            (Ok(bytes), Some(from)) => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                answer("206 Partial Content", &[("Content-Range", &range)], &bytes[from..])
            }
        };
        let _ = stream.write_all(&bytes);
        Then::Keep
    })
}

pub(super) fn is_file(asked: &Asked) -> bool {
    asked.path.ends_with(".filez")
}

/// Each request fails the first time.
pub(super) fn first_time(
    wanted: fn(&Asked) -> bool,
    fault: fn(&mut TcpStream),
) -> impl Fn(&Asked, &mut TcpStream) -> Option<Then> + Send + Sync {
    let seen = std::sync::Mutex::new(std::collections::HashSet::new());
    move |asked, stream| {
        if !wanted(asked) || !seen.lock().unwrap().insert(asked.path.clone()) {
            return None;
        }
        fault(stream);
        Some(Then::Close)
    }
}

#[test]
fn what_passes_is_tried_again() {
    let directory = scratch();
    let source = published(directory.path());
    type Fault = fn(&mut TcpStream);
    let faults: [(&str, Fault); 6] = [
        ("nothing", |_| ()),
        ("500", |stream| drop(stream.write_all(&answer("500 Oops", &[], b"page")))),
        ("408", |stream| drop(stream.write_all(&answer("408 Late", &[], b"")))),
        ("502", |stream| drop(stream.write_all(&answer("502 Gate", &[], b"<html>")))),
        ("garbage", |stream| drop(stream.write_all(b"what?\r\n\r\n"))),
        ("cut short", |stream| {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n"))
        }),
    ];
    for (name, fault) in faults {
        let server = faulty(&source, first_time(|_| true, fault));
        let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
        let output = pull(&repo, &["origin", "main"]);
        output.assert_no_panic();
        output.success();
        assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"), "{name}");
        assert_sound(&repo);
    }
}

#[test]
fn what_stays_is_an_error_with_the_url_and_no_ref() {
    let directory = scratch();
    let source = published(directory.path());
    let statuses = [
        ("401 No", "Server returned HTTP 401"),
        ("403 No", "Server returned HTTP 403"),
        ("404 No", "Server returned HTTP 404"),
        ("407 No", "Server returned HTTP 407"),
        ("500 No", "Server returned HTTP 500"),
        ("400 No", "Server returned HTTP 400"),
    ];
    for (status, message) in statuses {
        let server = faulty(&source, move |asked, stream| {
            is_file(asked).then(|| {
                let _ = stream.write_all(&answer(status, &[], b"page"));
                Then::Keep
            })
        });
        let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
        let error = pull(&repo, &["--network-retries=1", "origin", "main"]).failure();
        let begin = format!("While fetching {}/objects/", server.url);
        assert!(error.starts_with(&begin) && error.contains(message), "{error}");
        assert!(osier().repo(&repo, ["refs", "--list"]).success().is_empty());
        assert_sound(&repo);
    }
}

#[test]
fn credentials_are_sent_decoded_and_never_shown() {
    let directory = scratch();
    let source = published(directory.path());
    let server = faulty(&source, |asked, stream| {
        // us@er:pass word
        if asked.header("authorization") == Some("Basic dXNAZXI6cGFzcyB3b3Jk") {
            return None;
        }
        let _ = stream.write_all(&answer("401 No", &[], b""));
        Some(Then::Keep)
    });
    let with = |user: &str| server.url.replace("http://", &format!("http://{user}@"));
    let repo = destination(directory.path(), "good", ("bare-user", &with("us%40er:pass%20word")));
    pull(&repo, &["origin", "main"]).success();
    let repo = destination(directory.path(), "bad", ("bare-user", &with("user:secret")));
    let error = pull(&repo, &["origin", "main"]).failure();
    assert!(error.contains("HTTP 401") && !error.contains("secret"), "{error}");
}

#[test]
fn damaged_objects_are_refused_by_name_and_nothing_of_them_is_kept() {
    let directory = scratch();
    let source = published(directory.path());
    for ending in [".commit", ".dirtree", ".dirmeta", ".filez"] {
        let original = source.clone();
        let server = faulty(&source, move |asked, stream| {
            if !asked.path.ends_with(ending) {
                return None;
            }
            let mut bytes = fs::read(original.join(asked.path.trim_start_matches('/'))).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            let _ = stream.write_all(&answer("200 OK", &[], &bytes));
            Some(Then::Keep)
        });
        for mode in ["bare-user", "archive"] {
            let repo = destination(directory.path(), "repo", (mode, &server.url));
            let error = pull(&repo, &["origin", "main"]).failure();
            let named = ["Corrupted", "malformed object", "Parsing"];
            assert!(named.iter().any(|words| error.contains(words)), "{ending} {mode}: {error}");
            assert!(osier().repo(&repo, ["refs", "--list"]).success().is_empty());
            assert_sound(&repo);
            // What was staged is good, too: with the right server the rest comes.
            let good = Server::start(&source);
            pull(&repo, &["--url", &good.url, "origin", "main"]).success();
            assert_sound(&repo);
        }
    }
}

#[test]
fn a_stalled_server_is_given_up_in_time() {
    let directory = scratch();
    let source = published(directory.path());
    let server = faulty(&source, |asked, stream| {
        is_file(asked).then(|| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nabc");
            thread::sleep(Duration::from_secs(20));
            Then::Close
        })
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let started = Instant::now();
    let arguments = ["--low-speed-time-seconds=1", "--network-retries=0", "origin", "main"];
    let error = pull(&repo, &arguments).failure();
    assert!(error.contains("[28] Timeout was reached"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_large_object_goes_on_where_it_broke() {
    let directory = scratch();
    let source = published(directory.path());
    let breaks = Arc::new(AtomicUsize::new(0));
    let (counter, original) = (Arc::clone(&breaks), source.clone());
    let server = faulty(&source, move |asked, stream| {
        let bytes = fs::read(original.join(asked.path.trim_start_matches('/'))).unwrap_or_default();
        if !is_file(asked) || bytes.len() < 100_000 || counter.fetch_add(1, Ordering::SeqCst) > 2 {
            return None;
        }
        let from = asked.header("range").map_or(0, |range| {
            range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap()
        });
        let whole = bytes.len();
        let head = match from {
            0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {whole}\r\n\r\n"),
            from => format!(
                "HTTP/1.1 206 Part\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{whole}\r\n\r\n",
                whole - from,
                whole - 1
            ),
        };
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&bytes[from..from + 90_000]);
        Some(Then::Close)
    });
    for mode in ["bare-user", "archive"] {
        breaks.store(0, Ordering::SeqCst);
        let repo = destination(directory.path(), "repo", (mode, &server.url));
        pull(&repo, &["origin", "main"]).success();
        assert_sound(&repo);
        assert_eq!(breaks.load(Ordering::SeqCst), 4, "{mode}");
    }
    let ranges =
        server.asked().into_iter().filter_map(|asked| asked.header("range").map(str::to_owned));
    let one = ["bytes=90000-", "bytes=180000-", "bytes=270000-"];
    assert_eq!(ranges.collect::<Vec<_>>(), [one, one].concat());
}

#[test]
fn what_has_come_is_kept_for_the_next_pull() {
    let directory = scratch();
    let source = published(directory.path());
    let served = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&served);
    let server = faulty(&source, move |asked, stream| {
        if !is_file(asked) || counter.fetch_add(1, Ordering::SeqCst) < 20 {
            return None;
        }
        let _ = stream.write_all(&answer("404 Gone", &[], b""));
        Some(Then::Keep)
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    pull(&repo, &["origin", "main"]).failure();
    let good = Server::start(&source);
    pull(&repo, &["--url", &good.url, "origin", "main"]).success();
    let fetched = good.paths().iter().filter(|path| path.ends_with(".filez")).count();
    assert!(fetched <= FILES - 15, "{fetched} files came once more");
    assert_sound(&repo);
}

#[test]
fn an_endless_summary_is_too_large() {
    let directory = scratch();
    let source = published(directory.path());
    let server = faulty(&source, |asked, stream| {
        (asked.path == "/summary").then(|| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            let zeros = vec![0; 1 << 20];
            while stream.write_all(&zeros).is_ok() {}
            Then::Close
        })
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let error = pull(&repo, &["--network-retries=0", "origin", "main"]).failure();
    let expected =
        format!("URI {}/summary exceeded maximum size of {} bytes", server.url, 128 << 20);
    assert_eq!(error, expected);
}
