//! Each fault at each kind of file, once and for ever: the pull succeeds, or ends with an error
//! that names the URL; in time, with a sound repository, and with no ref that has moved.

use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::faults::{faulty, is_file};
use super::*;

/// What a server does instead of sending a file, which is given.
type Fault = fn(&mut TcpStream, &[u8]);

/// No pull of these tests takes longer, on a machine with other work to do.
const IN_TIME: Duration = Duration::from_secs(40);

fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

fn head(stream: &mut TcpStream, length: usize) {
    send(stream, format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
}

fn status(stream: &mut TcpStream, line: &str) {
    let page = b"<!DOCTYPE html><p>an error page";
    send(stream, &answer(line, &[("Content-Type", "text/html")], page));
}

/// What is not there is refused at once, what passes is tried again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// One fault does not matter.
    Passes,
    /// One fault is final, with this in the error.
    Final(&'static str),
}

const FAULTS: [(&str, Outcome, Fault); 27] = {
    use Outcome::{Final, Passes};
    [
        ("no answer", Passes, |_, _| ()),
        ("half a head", Passes, |stream, _| send(stream, b"HTTP/1.1 200 OK\r\nContent-")),
        ("no HTTP", Passes, |stream, _| send(stream, b"220 mail.example.org ESMTP\r\n\r\n")),
        ("no body", Passes, |stream, bytes| head(stream, bytes.len())),
        ("half a body", Passes, |stream, bytes| {
            head(stream, bytes.len());
            send(stream, &bytes[..bytes.len() / 2]);
        }),
        ("a longer length", Passes, |stream, bytes| {
            head(stream, bytes.len() + 10);
            send(stream, bytes);
        }),
        ("chunks without end", Passes, |stream, bytes| {
            send(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            send(stream, format!("{:x}\r\n", bytes.len()).as_bytes());
            send(stream, bytes);
            send(stream, b"\r\n");
        }),
        ("a chunk that is none", Passes, |stream, _| {
            send(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
        }),
        ("two lengths", Passes, |stream, bytes| {
            send(stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
            send(stream, bytes);
        }),
        ("a length that is none", Passes, |stream, bytes| {
            send(stream, b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n");
            send(stream, bytes);
        }),
        ("a head without end", Passes, |stream, _| {
            send(stream, b"HTTP/1.1 200 OK\r\n");
            while stream.write_all(&[b"X: "[..].to_vec(), vec![b'x'; 4000]].concat()).is_ok() {}
        }),
        ("a slow head", Passes, |stream, _| {
            send(stream, b"HTTP/1.1 200 OK\r\nX: ");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }),
        ("a slow body", Passes, |stream, _| {
            send(stream, b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(50));
            }
        }),
        ("silence", Passes, |stream, _| {
            let _ = std::io::Read::read(stream, &mut [0; 10]);
        }),
        ("408", Passes, |stream, _| status(stream, "408 Request Timeout")),
        ("429", Passes, |stream, _| {
            send(stream, &answer("429 Too Many", &[("Retry-After", "1")], b"<html>"));
        }),
        ("500", Passes, |stream, _| status(stream, "500 Oops")),
        ("502", Passes, |stream, _| status(stream, "502 Bad Gateway")),
        ("503", Passes, |stream, _| status(stream, "503 Busy")),
        ("504", Passes, |stream, _| status(stream, "504 Gateway Timeout")),
        ("400", Final("Server returned HTTP 400"), |stream, _| status(stream, "400 Bad")),
        ("401", Final("Server returned HTTP 401"), |stream, _| status(stream, "401 Who")),
        ("407", Final("Server returned HTTP 407"), |stream, _| status(stream, "407 Proxy")),
        ("418", Final("Server returned HTTP 418"), |stream, _| status(stream, "418 Teapot")),
        ("another range", Final("the server sent another range"), |stream, bytes| {
            let range = [("Content-Range", "bytes 5-9/10")];
            send(stream, &answer("206 Partial Content", &range, bytes));
        }),
        ("a circle", Passes, |stream, _| {
            send(stream, &answer("302 Found", &[("Location", "")], b""));
        }),
        ("a redirect to nowhere", Final("bad redirect"), |stream, _| {
            send(stream, &answer("302 Found", &[("Location", "gopher://h/")], b""));
        }),
    ]
};

/// Whether a request for a path is for a file of a kind.
type IsAtFault = fn(&str) -> bool;

/// Kinds of files, and whether a request is for one.
const FILES_AT_FAULT: [(&str, IsAtFault); 6] = [
    ("summary", |path| path == "/summary"),
    ("commitmeta", |path| path.ends_with(".commitmeta")),
    ("commit", |path| path.ends_with(".commit")),
    ("dirtree", |path| path.ends_with(".dirtree")),
    ("dirmeta", |path| path.ends_with(".dirmeta")),
    ("filez", |path| path.ends_with(".filez")),
];

/// A server with a fault at the files of a kind, at most so many times.
fn with_fault(source: &Path, wanted: fn(&str) -> bool, (fault, most): (Fault, usize)) -> Server {
    let (count, original) = (AtomicUsize::new(0), source.to_owned());
    faulty(source, move |asked, stream| {
        if !wanted(&asked.path) || count.fetch_add(1, Ordering::SeqCst) >= most {
            return None;
        }
        let bytes = fs::read(original.join(asked.path.trim_start_matches('/')));
        fault(stream, &bytes.unwrap_or_else(|_| b"0123456789".to_vec()));
        Some(Then::Close)
    })
}

fn with_summary(directory: &Path) -> PathBuf {
    let source = published(directory);
    let key = directory.join("key");
    osier().run(["sign", "--generate-key", "--out", key.to_str().unwrap()]).success();
    // So that there are detached metadata.
    let secret = fs::read_to_string(key.with_extension("sec")).unwrap();
    osier().repo(&source, ["sign", "--sign-type=ed25519", "main", secret.trim()]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    source
}

const QUICK: [&str; 4] = ["--low-speed-time-seconds=1", "--network-retries=1", "origin", "main"];

/// Whether a fault takes a second or two to be noticed: those are not tried with every file.
fn is_slow(fault: &str) -> bool {
    fault.contains("slow") || fault == "silence"
}

/// Runs a check for several kinds of files at a time.
fn for_files(files: &[(&'static str, IsAtFault)], check: impl Fn(&str, fn(&str) -> bool) + Sync) {
    thread::scope(|scope| {
        let check = &check;
        let all: Vec<_> =
            files.iter().map(|(name, wanted)| scope.spawn(move || check(name, *wanted))).collect();
        for one in all {
            one.join().unwrap();
        }
    });
}

#[test]
fn a_fault_that_comes_once_is_no_obstacle_unless_it_is_an_answer() {
    let directory = scratch();
    let source = with_summary(directory.path());
    for_files(&FILES_AT_FAULT, |file, wanted| {
        let slow_too = ["summary", "filez"].contains(&file);
        for (name, outcome, fault) in FAULTS.iter().filter(|fault| slow_too || !is_slow(fault.0)) {
            let server = with_fault(&source, wanted, (*fault, 1));
            let repo = destination(directory.path(), file, ("bare-user", &server.url));
            let started = Instant::now();
            let output = pull(&repo, &QUICK);
            assert!(started.elapsed() < IN_TIME, "{name} {file}: {:?}", started.elapsed());
            match outcome {
                // The summary says how large a commit is.
                Outcome::Passes if (*name, file) == ("a longer length", "commit") => {
                    let error = output.failure();
                    assert!(error.starts_with(&format!("URI {}/", server.url)), "{error}");
                }
                Outcome::Passes => {
                    assert_eq!(output.status, 0, "{name} {file}: {output:?}");
                    assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"), "{name} {file}");
                }
                Outcome::Final(text) => {
                    let error = output.failure();
                    let begin = format!("While fetching {}", server.url);
                    assert!(error.starts_with(&begin), "{name} {file}: {error}");
                    assert!(error.contains(text), "{name} {file}: {error}");
                }
            }
            assert_sound(&repo);
        }
    });
}

#[test]
fn a_fault_that_stays_is_an_error_with_the_url() {
    let directory = scratch();
    let source = with_summary(directory.path());
    // One that is fetched by itself, and one of many.
    for_files(&[FILES_AT_FAULT[0], FILES_AT_FAULT[5]], |file, wanted| {
        for (name, _, fault) in FAULTS {
            let server = with_fault(&source, wanted, (fault, usize::MAX));
            let repo = destination(directory.path(), file, ("archive", &server.url));
            let started = Instant::now();
            let error = pull(&repo, &QUICK).failure();
            assert!(started.elapsed() < IN_TIME, "{name} {file}: {:?}", started.elapsed());
            assert!(error.contains(&server.url), "{name} {file}: {error}");
            assert_eq!(osier().repo(&repo, ["refs", "--list"]).success(), "", "{name} {file}");
            assert_sound(&repo);
        }
    });
}

#[test]
fn bytes_that_are_others_are_fetched_once_more() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let faults: [(&str, Fault); 4] = [
        ("one bit", |stream, bytes| {
            let mut bytes = bytes.to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            send(stream, &answer("200 OK", &[], &bytes));
        }),
        ("a shorter length", |stream, bytes| {
            head(stream, bytes.len() / 2);
            send(stream, bytes);
        }),
        ("nothing", |stream, _| send(stream, &answer("200 OK", &[], b""))),
        ("a page", |stream, _| send(stream, &answer("200 OK", &[], b"<!DOCTYPE html>"))),
    ];
    for (name, fault) in faults {
        for (file, wanted) in [FILES_AT_FAULT[2], FILES_AT_FAULT[3], FILES_AT_FAULT[5]] {
            for mode in ["bare-user", "archive"] {
                let server = with_fault(&source, wanted, (fault, 1));
                let repo = destination(directory.path(), "repo", (mode, &server.url));
                pull(&repo, &QUICK).success();
                assert_sound(&repo);
                let server = with_fault(&source, wanted, (fault, usize::MAX));
                let repo = destination(directory.path(), "repo", (mode, &server.url));
                let error = pull(&repo, &QUICK).failure();
                let begin = format!("While fetching {}/objects/", server.url);
                assert!(error.starts_with(&begin), "{name} {file} {mode}: {error}");
                assert_eq!(osier().repo(&repo, ["refs", "--list"]).success(), "");
                assert_sound(&repo);
            }
        }
    }
}

#[test]
fn a_server_is_given_the_time_that_it_asks_for() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let first: Arc<Mutex<Option<Instant>>> = Arc::default();
    let refused = Arc::clone(&first);
    let server = faulty(&source, move |asked, stream| {
        let mut first = refused.lock().unwrap();
        if !is_file(asked) || first.is_some_and(|first| first.elapsed() >= Duration::from_secs(2)) {
            return None;
        }
        first.get_or_insert_with(Instant::now);
        send(stream, &answer("429 Too Many", &[("Retry-After", "2")], b"<html>"));
        Some(Then::Keep)
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    // One more attempt each is enough when it comes late enough.
    pull(&repo, &["--network-retries=1", "origin", "main"]).success();
    assert!(first.lock().unwrap().unwrap().elapsed() >= Duration::from_secs(2));
    assert_sound(&repo);
}

/// What a server does when it is asked for the rest of a body that it has broken off.
const RANGES: [(&str, Fault); 5] = [
    ("another range", |stream, bytes| {
        let range = format!("bytes 0-{}/{}", bytes.len() - 1, bytes.len());
        send(stream, &answer("206 Part", &[("Content-Range", &range)], bytes));
    }),
    ("no range", |stream, bytes| send(stream, &answer("206 Part", &[], bytes))),
    ("416", |stream, _| status(stream, "416 Range Not Satisfiable")),
    ("the whole", |stream, bytes| send(stream, &answer("200 OK", &[], bytes))),
    ("another version", |stream, bytes| {
        // Each stream of deflate can go on with any number of empty blocks in front.
        let header = 8 + u32::from_be_bytes(bytes[..4].try_into().unwrap()) as usize;
        let empty = [0, 0, 0, 255, 255].repeat(20_000);
        let other = [&bytes[..header], &empty, &bytes[header..]].concat();
        send(stream, &answer("200 OK", &[], &other));
    }),
];

#[test]
fn a_body_that_breaks_off_comes_whole_whatever_the_server_knows_of_ranges() {
    let directory = scratch();
    let source = with_summary(directory.path());
    for (name, fault) in RANGES {
        for mode in ["bare-user", "archive"] {
            let original = source.clone();
            let broken = AtomicUsize::new(0);
            let server = faulty(&source, move |asked, stream| {
                let path = original.join(asked.path.trim_start_matches('/'));
                let bytes = fs::read(path).unwrap_or_default();
                if !is_file(asked) || bytes.len() < 100_000 {
                    return None;
                }
                if broken.fetch_add(1, Ordering::SeqCst) == 0 {
                    head(stream, bytes.len());
                    send(stream, &bytes[..90_000]);
                    return Some(Then::Close);
                }
                asked.header("range")?;
                fault(stream, &bytes);
                Some(Then::Close)
            });
            let repo = destination(directory.path(), "repo", (mode, &server.url));
            let output = pull(&repo, &QUICK);
            assert_eq!(output.status, 0, "{name} {mode}: {output:?}");
            let ranges =
                server.asked().iter().filter(|asked| asked.header("range").is_some()).count();
            assert_eq!(ranges, 1, "{name} {mode}");
            assert_sound(&repo);
        }
    }
}

#[test]
fn mirrors_take_over_from_each_other() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let good = Server::start(&source);
    let (page, original) = (
        with_fault(
            &source,
            |path| path != "/config",
            (|stream, _| status(stream, "404 Not Found"), usize::MAX),
        ),
        source.clone(),
    );
    let damaged = faulty(&source, move |asked, stream| {
        is_file(asked).then(|| {
            let mut bytes = fs::read(original.join(&asked.path[1..])).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            send(stream, &answer("200 OK", &[], &bytes));
            Then::Keep
        })
    });
    let silent = with_fault(
        &source,
        |path| path != "/config" && path.contains("/objects/0"),
        (|stream, _| _ = std::io::Read::read(stream, &mut [0; 10]), usize::MAX),
    );
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let bad = [&page.url, &damaged.url, &silent.url, &closed];
    for order in [vec![0, 1, 2, 3], vec![1, 0], vec![2, 3], vec![3, 0]] {
        let mut list: Vec<String> = order.iter().map(|index| bad[*index].clone()).collect();
        list.push(good.url.clone());
        // A dead one at the end does no harm either.
        list.push(closed.clone());
        let text = format!("# mirrors\n\n{}\n", list.join("\n"));
        let lists = Server::answering(move |_, stream| {
            send(stream, &answer("200 OK", &[], text.as_bytes()));
            Then::Keep
        });
        let url = format!("mirrorlist={}/list", lists.url);
        for mode in ["bare-user", "archive"] {
            let repo = destination(directory.path(), "repo", (mode, &url));
            let started = Instant::now();
            let output = pull(&repo, &QUICK);
            assert_eq!(output.status, 0, "{order:?} {mode}: {output:?}");
            assert!(started.elapsed() < IN_TIME, "{order:?} {mode}: {:?}", started.elapsed());
            assert_sound(&repo);
        }
    }
}

#[test]
fn a_repository_that_changes_meanwhile_gives_the_old_commit_or_none() {
    let directory = scratch();
    for is_pruned in [false, true] {
        let place = directory.path().join(is_pruned.to_string());
        fs::create_dir(&place).unwrap();
        let source = with_summary(&place);
        let old = rev(&source, "main");
        let (changing, tree) = (source.clone(), place.join("tree"));
        let changed = std::sync::Once::new();
        let server = faulty(&source, move |asked, _| {
            if asked.path.ends_with(".dirtree") {
                changed.call_once(|| {
                    fs::write(tree.join("new"), "new\n").unwrap();
                    for number in 0..40 {
                        fs::write(tree.join(format!("usr/share/{number}")), "new\n").unwrap();
                    }
                    let tree = tree.to_str().unwrap();
                    let commit = ["commit", "-b", "main", "--canonical-permissions", tree];
                    osier().repo(&changing, commit).success();
                    osier().repo(&changing, ["summary", "-u"]).success();
                    if is_pruned {
                        osier().repo(&changing, ["prune", "--refs-only", "--depth=0"]).success();
                    }
                });
            }
            None
        });
        let repo = destination(&place, "repo", ("bare-user", &server.url));
        let output = pull(&repo, &QUICK);
        match is_pruned {
            false => {
                output.success();
                assert_eq!(rev(&repo, "origin:main"), old);
            }
            true => {
                let error = output.failure();
                let begin = format!("While fetching {}/objects/", server.url);
                assert!(error.starts_with(&begin) && error.ends_with("HTTP 404"), "{error}");
                assert_eq!(osier().repo(&repo, ["refs", "--list"]).success(), "");
            }
        }
        assert_sound(&repo);
        pull(&repo, &QUICK).success();
        assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"));
        assert_ne!(rev(&repo, "origin:main"), old);
        assert_sound(&repo);
    }
}

#[test]
fn what_is_gone_for_good_is_gone_for_parents_too() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let parent = rev(&source, "main^");
    let path = format!("/objects/{}/{}.commit", &parent[..2], &parent[2..]);
    for line in ["404 Not Found", "403 Forbidden", "410 Gone"] {
        let path = path.clone();
        let server = faulty(&source, move |asked, stream| {
            (asked.path == path).then(|| {
                status(stream, line);
                Then::Keep
            })
        });
        let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
        pull(&repo, &["--depth=-1", "origin", "main"]).success();
        assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"), "{line}");
        assert!(!objects(&repo).contains(&format!("{parent}.commit")));
        assert_sound(&repo);
        // Each is asked for once: that it is gone is an answer.
        let times = server.paths().iter().filter(|asked| asked.contains(&parent[2..])).count();
        assert_eq!(times, 2, "{line}: the commit and its detached metadata");
    }
}
