//! Servers that mean harm: bombs, files without end, names that are paths, floods, noise. Memory
//! and disk stay within bounds, nothing outside the repository is touched, and the pull ends.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder};
use walkdir::WalkDir;

use super::faults::faulty;
use super::*;
use crate::support::osier_path;

/// The most memory of a pull whose objects stream, in bytes. A bomb has more.
const MOST_MEMORY: u64 = 60 << 20;
const BOMB: usize = 80 << 20;
/// The most where one file of 128 MiB is held.
const MOST_WITH_A_FILE: u64 = 420 << 20;
const IN_TIME: Duration = Duration::from_secs(90);

/// Runs osier, and returns its error (empty for success) and its peak of memory in bytes.
fn measured(repo: &Path, arguments: &[&str]) -> (String, u64) {
    let stderr = repo.with_extension("stderr");
    let mut child = Command::new(osier_path())
        .arg(format!("--repo={}", repo.display()))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let started = Instant::now();
    let mut peak = 0;
    let status = loop {
        let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = kilobytes.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0) * 1024);
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > IN_TIME {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{arguments:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = fs::read_to_string(&stderr).unwrap();
    assert!(!text.contains("panicked"), "{text}");
    let code = status.code().unwrap_or_else(|| panic!("{arguments:?}: {status:?} {text}"));
    assert!(code == 0 || code == 1, "{code}: {text}");
    let error = text.lines().rev().find_map(|line| line.strip_prefix("error: "));
    assert_eq!(error.is_none(), code == 0, "{code}: {text}");
    (error.unwrap_or_default().to_owned(), peak)
}

/// What a file system gives to a directory, in bytes.
fn disk(directory: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let entries = WalkDir::new(directory).into_iter().filter_map(Result::ok);
    entries.filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.blocks() * 512).sum()
}

/// Writes zeros until the client has had enough; a gigabyte is more than any limit here.
fn endless(stream: &mut TcpStream, chunked: bool) {
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        let sent = match chunked {
            true => stream
                .write_all(b"100000\r\n")
                .and_then(|()| stream.write_all(&zeros))
                .and_then(|()| stream.write_all(b"\r\n")),
            false => stream.write_all(&zeros),
        };
        if sent.is_err() {
            return;
        }
    }
}

fn with_summary(directory: &Path) -> PathBuf {
    let source = published(directory);
    osier().repo(&source, ["summary", "-u"]).success();
    source
}

/// The header of a file in an archive, and a stream of many zeros behind it.
fn bomb(filez: &[u8]) -> Vec<u8> {
    let header = 8 + u32::from_be_bytes(filez[..4].try_into().unwrap()) as usize;
    let mut encoder = DeflateEncoder::new(filez[..header].to_vec(), Compression::fast());
    let block = vec![0; 1 << 20];
    for _ in 0..BOMB >> 20 {
        encoder.write_all(&block).unwrap();
    }
    encoder.finish().unwrap()
}

#[test]
fn a_file_that_inflates_without_end_is_refused_in_little_memory() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let some = WalkDir::new(source.join("objects")).into_iter().map(Result::unwrap);
    let some =
        some.into_iter().find(|entry| entry.path().extension().is_some_and(|e| e == "filez"));
    let whole = fs::read(some.unwrap().path()).unwrap();
    let honest = {
        // The header says how large the content is: as large as the bomb.
        let mut bytes = whole.clone();
        bytes[8..16].copy_from_slice(&(BOMB as u64).to_be_bytes());
        bytes
    };
    let endless_header = [&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0][..], &vec![0; 200_000]].concat();
    let cases = [
        ("more than it says", bomb(&whole)),
        ("as much as it says", bomb(&honest)),
        ("an endless header", endless_header),
        ("a short header", vec![0, 0, 0, 200, 0, 0, 0, 0, 1, 2]),
        ("no header", vec![0; 8]),
    ];
    for (name, bytes) in cases {
        let server = faulty(&source, move |asked, stream| {
            asked.path.ends_with(".filez").then(|| {
                let _ = stream.write_all(&answer("200 OK", &[], &bytes));
                Then::Keep
            })
        });
        for mode in ["bare-user", "archive"] {
            let repo = destination(directory.path(), "repo", (mode, &server.url));
            let few = "--max-outstanding-fetcher-requests=2";
            let (error, peak) = measured(&repo, &["pull", few, "origin", "main"]);
            let begin = format!("While fetching {}/objects/", server.url);
            assert!(error.starts_with(&begin), "{name} {mode}: {error}");
            assert!(peak < MOST_MEMORY, "{name} {mode}: {peak}");
            assert!(disk(&repo) < 10 << 20, "{name} {mode}: {}", disk(&repo));
            assert_sound(&repo);
        }
    }
}

#[test]
fn metadata_of_ten_gigabytes_is_refused_whether_it_says_so_or_not() {
    let directory = scratch();
    let source = with_summary(directory.path());
    type Wanted = fn(&str) -> bool;
    let files: [(&str, Wanted, u64); 7] = [
        ("summary.sig", |path| path == "/summary.sig", MOST_WITH_A_FILE),
        ("summary", |path| path == "/summary", MOST_WITH_A_FILE),
        ("superblock", |path| path.ends_with("/superblock"), MOST_WITH_A_FILE),
        ("commitmeta", |path| path.ends_with(".commitmeta"), MOST_MEMORY),
        ("commit", |path| path.ends_with(".commit"), MOST_MEMORY),
        ("dirtree", |path| path.ends_with(".dirtree"), MOST_MEMORY),
        ("dirmeta", |path| path.ends_with(".dirmeta"), MOST_MEMORY),
    ];
    let declared = &b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n"[..];
    let until_the_end = &b"HTTP/1.1 200 OK\r\n\r\n"[..];
    let chunked = &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"[..];
    for (name, wanted, most) in files {
        // What is not declared is read up to the limit, which takes a while.
        let heads = match name {
            "summary" => vec![declared, until_the_end],
            "commit" => vec![declared, until_the_end, chunked],
            "dirtree" => vec![declared, chunked],
            _ => vec![declared],
        };
        for head in heads {
            // A superblock is asked for where there is no summary.
            let without_summary = name == "superblock";
            let server = faulty(&source, move |asked, stream| {
                if without_summary && asked.path.starts_with("/summary") {
                    let _ = stream.write_all(&answer("404 No", &[], b""));
                    return Some(Then::Keep);
                }
                wanted(&asked.path).then(|| {
                    let _ = stream.write_all(head);
                    endless(stream, head.ends_with(b"chunked\r\n\r\n"));
                    Then::Close
                })
            });
            let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
            let (error, peak) = measured(&repo, &["pull", "--network-retries=0", "origin", "main"]);
            assert!(error.starts_with(&format!("URI {}/", server.url)), "{name}: {error}");
            assert!(error.contains(" exceeded maximum size of "), "{name}: {error}");
            assert!(peak < most, "{name}: {peak}");
            assert!(disk(&repo) < 10 << 20, "{name}: {}", disk(&repo));
            assert_sound(&repo);
        }
    }
}

#[test]
fn a_compressed_answer_that_inflates_without_end_is_too_large() {
    use osier::http::{Client, ClientOptions, Fetch as _, HttpErrorKind, Request, Url};

    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for _ in 0..32 {
        encoder.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let bytes = encoder.finish().unwrap();
    assert!(bytes.len() < 1 << 18, "{} bytes are small enough as they are sent", bytes.len());
    let server = Server::answering(move |_, stream| {
        let _ = stream.write_all(&answer("200 OK", &[("Content-Encoding", "gzip")], &bytes));
        Then::Keep
    });
    let client = Client::new(ClientOptions::default()).unwrap();
    let url = Url::parse(&server.url).unwrap();
    let small = Request::small(url, 1 << 20);
    let mut body = client.get(Request { gzip: true, ..small.clone() }).unwrap().body;
    let mut came = 0;
    let error = loop {
        match body.next_chunk() {
            Ok(chunk) => came += chunk.expect("it is too large").len(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind, HttpErrorKind::TooLarge);
    assert_eq!(error.what, "exceeded maximum size of 1048576 bytes");
    assert!(came <= 1 << 20, "{came}");
    // Who has not asked for it gets the bytes as they are sent.
    let body = client.get(small).unwrap().body.read_all().unwrap();
    assert_eq!(body[..2], [0x1f, 0x8b]);
}

/// All names in a directory, with those of links, but without what the repository in it has.
fn names(directory: &Path, without: &Path) -> BTreeSet<PathBuf> {
    let entries = WalkDir::new(directory).into_iter().map(Result::unwrap);
    let paths = entries.map(|entry| entry.into_path());
    paths.filter(|path| !path.starts_with(without)).collect()
}

#[test]
fn names_of_a_server_are_no_paths() {
    let directory = scratch();
    let source = directory.path().join("source");
    let tree = directory.path().join("tree");
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("file"), "x").unwrap();
    osier().repo(&source, ["init", "--mode=archive", "--collection-id=org.aa.bb"]).success();
    let tree = tree.to_str().unwrap();
    osier().repo(&source, ["commit", "-b", "aa/bb/cc", "--canonical-permissions", tree]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let summary = fs::read(source.join("summary")).unwrap();
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = summary.windows(from.len()).position(|bytes| bytes == from.as_bytes()).unwrap();
        let mut bytes = summary.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let mut summaries = vec![];
    for name in
        ["../../cc", "/etc/aaa", "aa/../cc", "aa//b/cc", "aa/bb/..", "aa/bb/\u{1}c", "..%2faaa"]
    {
        summaries.push((name, replaced("aa/bb/cc", name)));
    }
    for collection in ["../../..a", "/etc/aa.b", "org/aa/bb", "org.aa..b"] {
        summaries.push((collection, replaced("org.aa.bb", collection)));
    }
    for (name, bytes) in summaries {
        let server = faulty(&source, move |asked, stream| {
            (asked.path == "/summary").then(|| {
                let _ = stream.write_all(&answer("200 OK", &[], &bytes));
                Then::Keep
            })
        });
        let repo = destination(directory.path(), "inner", ("archive", &server.url));
        let before = names(directory.path(), &repo);
        let error = pull(&repo, &["--mirror", "origin"]).failure();
        assert!(error.starts_with("Invalid "), "{name}: {error}");
        osier().repo(&repo, ["remote", "refs", "origin"]).assert_no_panic();
        assert_eq!(names(directory.path(), &repo), before, "{name}");
        assert_eq!(fs::read_dir(repo.join("refs/heads")).unwrap().count(), 0, "{name}");
        assert_sound(&repo);
    }
}

#[test]
fn names_of_remotes_are_no_paths() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let server = Server::start(&source);
    let repo = destination(directory.path(), "inner", ("bare-user", &server.url));
    for name in ["../x", "a/b", "..", ".", "", "/tmp/x"] {
        let before = names(directory.path(), &repo);
        let added = osier().repo(&repo, ["remote", "add", "--no-gpg-verify", name, &server.url]);
        assert_eq!(added.failure(), format!("Invalid remote name {name}"), "{name:?}");
        for verb in ["add-cookie", "delete-cookie"] {
            osier().repo(&repo, ["remote", verb, name, "d", "p", "n", "v"]).failure();
        }
        osier().repo(&repo, ["remote", "delete", name]).failure();
        assert_eq!(names(directory.path(), &repo), before, "{name:?}");
    }
    // One that somebody has written into the config.
    let mut config = fs::read_to_string(repo.join("config")).unwrap();
    for name in ["../../evil", "evil/../../x"] {
        config += &format!(
            "\n[remote \"{name}\"]\nurl={}\ngpg-verify=false\nsign-verify-summary=dummy\n\
             verification-dummy-key=k\n",
            server.url
        );
    }
    fs::write(repo.join("config"), config).unwrap();
    let config = fs::read(repo.join("config")).unwrap();
    for name in ["../../evil", "evil/../../x"] {
        let before = names(directory.path(), &repo);
        for arguments in [
            &["pull", name, "main"][..],
            &["pull", "--mirror", name],
            &["remote", "refs", name],
            &["remote", "summary", name],
            &["remote", "gpg-list-keys", name],
            &["remote", "list-cookies", name],
        ] {
            osier().repo(&repo, arguments).assert_no_panic();
        }
        assert_eq!(names(directory.path(), &repo), before, "{name}");
        let heads = fs::read_dir(repo.join("refs/heads")).unwrap().count();
        assert_eq!(heads, 0, "{name}: a remote's refs are no branches");
    }
    assert_eq!(fs::read(repo.join("config")).unwrap(), config);
}

#[test]
fn lists_of_mirrors_and_metalinks_lead_to_web_servers_only() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let summary = fs::read(source.join("summary")).unwrap();
    let (path, digest) = (source.display().to_string(), osier::Checksum::of(&summary));
    let size = summary.len();
    let server = Server::answering(move |asked, stream| {
        let text = match asked.path.as_str() {
            "/list" => {
                format!("file://{path}\n{path}\n../../{path}\nhttp://[::1\nhttp:///{path}\n")
            }
            "/metalink" => format!(
                "<metalink><files><file name=\"summary\"><size>{size}</size><verification>\
                 <hash type=\"sha256\">{digest}</hash></verification><resources>\
                 <url protocol=\"file\" type=\"file\" location=\"US\" preference=\"1\">\
                 file://{path}/summary</url>\
                 <url protocol=\"http\" type=\"http\" location=\"US\" preference=\"1\">\
                 file://{path}/summary</url></resources></file></files></metalink>"
            ),
            _ => String::new(),
        };
        let _ = stream.write_all(&answer("200 OK", &[], text.as_bytes()));
        Then::Keep
    });
    let list = format!("mirrorlist={}/list", server.url);
    let repo = destination(directory.path(), "listed", ("bare-user", &list));
    let error = pull(&repo, &["origin", "main"]).failure();
    assert_eq!(error, format!("No valid mirrors were found in mirrorlist '{}/list'", server.url));
    let metalink = format!("metalink={}/metalink", server.url);
    let repo = destination(directory.path(), "linked", ("bare-user", &metalink));
    let error = pull(&repo, &["origin", "main"]).failure();
    assert!(error.contains("metalink") || error.contains("<url"), "{error}");
    assert_eq!(objects(&repo), [""; 0]);
}

#[test]
fn floods_of_headers_and_cookies_are_refused_in_little_memory() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let floods: [(&str, &[u8]); 3] = [
        ("headers", b"X-Y: z\r\n"),
        ("cookies", b"Set-Cookie: a=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n"),
        ("one header", &[b'x'; 4096]),
    ];
    for (name, line) in floods {
        for path in ["/summary", ".filez"] {
            let server = faulty(&source, move |asked, stream| {
                asked.path.ends_with(path).then(|| {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
                    let lines = line.repeat(100);
                    let sent = (0..10_000).try_for_each(|_| stream.write_all(&lines));
                    let _ = sent.and_then(|()| stream.write_all(b"\r\n\r\n"));
                    Then::Close
                })
            });
            let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
            let (error, peak) = measured(&repo, &["pull", "--network-retries=1", "origin", "main"]);
            let begin = format!("While fetching {}/", server.url);
            assert!(error.starts_with(&begin), "{name} {path}: {error}");
            assert!(peak < MOST_MEMORY, "{name} {path}: {peak}");
            assert_sound(&repo);
        }
    }
}

#[test]
fn noise_is_an_error_and_nothing_else() {
    let directory = scratch();
    let source = with_summary(directory.path());
    let throws = AtomicU64::new(0);
    let original = source.clone();
    let server = Server::answering(move |asked, stream| {
        let mut dice = Dice::new(throws.fetch_add(1, Ordering::Relaxed));
        let size = dice.below(3000) as usize;
        let noise = dice.bytes(size);
        let real = fs::read(original.join(asked.path.trim_start_matches('/'))).ok();
        let bytes = match (dice.below(8), real) {
            (0, _) => noise,
            (1, _) => [b"HTTP/1.1 200 OK\r\n", &noise[..]].concat(),
            (2, _) => answer("200 OK", &[], &noise),
            (3, Some(mut real)) => {
                let at = dice.below(real.len() as u64) as usize;
                real[at] = dice.bits() as u8;
                answer("200 OK", &[], &real)
            }
            (4, Some(real)) => {
                let end = dice.below(real.len() as u64) as usize;
                answer("200 OK", &[], &real[..end])
            }
            (_, Some(real)) => answer("200 OK", &[], &real),
            (_, None) => answer("404 No", &[], b""),
        };
        let _ = stream.write_all(&bytes);
        Then::Close
    });
    for round in 0..40 {
        let mode = if round % 2 == 0 { "bare-user" } else { "archive" };
        let repo = destination(directory.path(), "repo", (mode, &server.url));
        let (error, peak) = measured(&repo, &["pull", "--network-retries=2", "origin", "main"]);
        assert!(peak < MOST_MEMORY, "{round}: {peak} {error}");
        assert_sound(&repo);
        if error.is_empty() {
            assert_eq!(rev(&repo, "origin:main"), rev(&source, "main"));
        }
    }
}
