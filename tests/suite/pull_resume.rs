//! A pull that was killed goes on within a large file, in the next run.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use osier::fsck::{FsckOptions, fsck};
use osier::http::Proxies;
use osier::progress::Silent;
use osier::pull::{PullOptions, Source, SummaryCache, Want, pull_http};
use osier::refspec::RemoteName;
use osier::remote::attempts::Retry;
use osier::remote::origin::{Origin, OriginOptions};
use osier::repo::Repo;

use super::support::{Asked, Dice, Output, Server, Then, answer, osier, scratch};

/// Bytes of the large file, which does not get smaller.
const SIZE: usize = 3_000_000;

/// What the server sends of the large file before it waits.
const SENT: usize = 2_000_000;

fn published(directory: &Path) -> PathBuf {
    let (repo, tree) = (directory.join("published"), directory.join("tree"));
    fs::create_dir_all(&tree).unwrap();
    fs::write(tree.join("small"), "small").unwrap();
    fs::write(tree.join("large"), Dice::new(3).bytes(SIZE)).unwrap();
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let tree = tree.to_str().unwrap();
    osier().repo(&repo, ["commit", "-b", "main", "--canonical-permissions", tree]).success();
    repo
}

/// The only file of more than [`SENT`] bytes below a directory.
fn large(directory: &Path) -> PathBuf {
    let files = walkdir::WalkDir::new(directory).into_iter().filter_map(Result::ok);
    let is_large = |size: u64| size > SENT as u64;
    let mut files = files.filter(|entry| entry.metadata().is_ok_and(|data| is_large(data.len())));
    files.next().unwrap().into_path()
}

/// Serves a repository. While `waits` is set, the large file stops after [`SENT`] bytes.
struct Slow {
    server: Server,
    waits: Arc<AtomicBool>,
    /// The `ETag` of the large file.
    etag: Arc<Mutex<Option<String>>>,
}

impl Slow {
    fn start(source: &Path) -> Self {
        let waits = Arc::new(AtomicBool::new(true));
        let etag = Arc::new(Mutex::new(Some("\"1\"".to_owned())));
        let (source, asleep, tag) = (source.to_owned(), Arc::clone(&waits), Arc::clone(&etag));
        let server = Server::answering(move |asked, stream| {
            let etag = tag.lock().unwrap().clone();
            serve(&source, asked, (&asleep, etag.as_deref()), stream)
        });
        Self { server, waits, etag }
    }

    /// Ranges of the requests for files of that ending since the last time.
    fn ranges(&self, ending: &str, from: &mut usize) -> Vec<Option<String>> {
        let asked = self.server.asked().split_off(*from);
        *from += asked.len();
        let wanted = asked.iter().filter(|asked| asked.path.ends_with(ending));
        wanted.map(|asked| asked.header("range").map(str::to_owned)).collect()
    }
}

fn serve(
    source: &Path,
    asked: &Asked,
    (waits, etag): (&AtomicBool, Option<&str>),
    stream: &mut TcpStream,
) -> Then {
    let Ok(bytes) = fs::read(source.join(asked.path.trim_start_matches('/'))) else {
        let _ = stream.write_all(&answer("404 Not Found", &[], b""));
        return Then::Keep;
    };
    let mut headers: Vec<(&str, &str)> = etag.iter().map(|etag| ("ETag", *etag)).collect();
    let range = asked.header("range").filter(|_| {
        let condition = asked.header("if-range");
        condition.is_none() || condition == etag
    });
    let from: usize = range.map_or(0, |range| {
        range.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap()
    });
    if from >= bytes.len() {
        let _ = stream.write_all(&answer("416 Range Not Satisfiable", &[], b""));
        return Then::Keep;
    }
    let content = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    let status = if range.is_some() { "206 Partial Content" } else { "200 OK" };
    if range.is_some() {
        headers.push(("Content-Range", &content));
    }
    let whole = answer(status, &headers, &bytes[from..]);
    if bytes.len() <= SENT || !waits.load(Ordering::SeqCst) {
        let _ = stream.write_all(&whole);
        return Then::Keep;
    }
    let head = whole.len() - (bytes.len() - from);
    let _ = stream.write_all(&whole[..head + SENT]);
    while waits.load(Ordering::SeqCst) {
        thread::sleep(Duration::from_millis(10));
    }
    Then::Close
}

fn destination(directory: &Path, mode: &str, url: &str) -> PathBuf {
    let repo = directory.join("repo");
    let _ = fs::remove_dir_all(&repo);
    osier().repo(&repo, ["init", "--mode", mode]).success();
    osier().repo(&repo, ["remote", "add", "--no-gpg-verify", "origin", url]).success();
    repo
}

fn pull(repo: &Path) -> Output {
    osier().repo(repo, ["pull", "origin", "main"])
}

/// The partial bodies in a repository.
fn partials(repo: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(repo.join("tmp")).into_iter().filter_map(Result::ok);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let paths = files.map(walkdir::DirEntry::into_path);
    paths.filter(|path| path.parent().unwrap().ends_with("partial")).collect()
}

/// Pulls until all that the server sends is kept, and kills it; returns the partial body.
#[track_caller]
fn kill(repo: &Path, slow: &Slow) -> PathBuf {
    slow.waits.store(true, Ordering::SeqCst);
    let option = format!("--repo={}", repo.display());
    let mut child: Child = osier().start(["pull", &option, "origin", "main"]);
    let deadline = Instant::now() + Duration::from_secs(60);
    let partial = loop {
        let found = partials(repo);
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |data| data.len());
        if let Some(partial) = found.into_iter().find(|path| size(path) >= SENT as u64) {
            break partial;
        }
        assert!(child.try_wait().unwrap().is_none(), "it has ended");
        assert!(Instant::now() < deadline, "nothing is kept");
        thread::sleep(Duration::from_millis(10));
    };
    child.kill().unwrap();
    child.wait().unwrap();
    slow.waits.store(false, Ordering::SeqCst);
    partial
}

#[track_caller]
fn assert_whole(repo: &Path, source: &Path) {
    let rev = |repo: &Path, rev: &str| osier().repo(repo, ["rev-parse", rev]).line();
    assert_eq!(rev(repo, "origin:main"), rev(source, "main"));
    let opened = Repo::open(repo).unwrap();
    assert!(!fsck(&opened, &FsckOptions::default(), &Silent).unwrap().corrupted);
    assert_eq!(partials(repo), [] as [PathBuf; 0]);
    let left = fs::read_dir(repo.join("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["cache"]);
}

#[test]
fn a_killed_pull_goes_on_where_it_was_within_a_file() {
    let directory = scratch();
    let source = published(directory.path());
    let slow = Slow::start(&source);
    let mut seen = 0;
    for mode in ["archive", "bare-user"] {
        let repo = destination(directory.path(), mode, &slow.server.url);
        kill(&repo, &slow);
        slow.ranges(".filez", &mut seen);
        let line = pull(&repo).success();
        let ranges = slow.ranges(".filez", &mut seen);
        // The small one is there already, if the kill has not come between.
        assert!(ranges.contains(&Some(format!("bytes={SENT}-"))), "{mode}: {ranges:?}");
        let kib: usize =
            line.split("; ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert!((970..1100).contains(&kib), "{mode}: {line}");
        assert_whole(&repo, &source);
    }
}

#[test]
fn what_is_kept_is_used_only_if_it_fits() {
    let directory = scratch();
    let source = published(directory.path());
    let slow = Slow::start(&source);
    let object = large(&source.join("objects"));
    let size = fs::metadata(&object).unwrap().len();
    let mut seen = 0;
    let range = |from: u64| Some(format!("bytes={from}-"));
    let resumed = range(SENT as u64);
    let again = |repo: &Path, seen: &mut usize| {
        slow.ranges(".filez", seen);
        pull(repo).success();
        assert_whole(repo, &source);
        let mut ranges = slow.ranges(object.file_name().unwrap().to_str().unwrap(), seen);
        ranges.dedup();
        ranges
    };
    for mode in ["archive", "bare-user"] {
        let repo = destination(directory.path(), mode, &slow.server.url);
        // Another version: the server sends all of it.
        kill(&repo, &slow);
        *slow.etag.lock().unwrap() = Some("\"2\"".to_owned());
        assert_eq!(again(&repo, &mut seen), std::slice::from_ref(&resumed), "{mode}");

        // Garbage: noticed by the checksum, and fetched anew once.
        let repo = destination(directory.path(), mode, &slow.server.url);
        let partial = kill(&repo, &slow);
        let mut bytes = fs::read(&partial).unwrap();
        bytes[1_000_000] ^= 1;
        fs::write(&partial, &bytes).unwrap();
        assert_eq!(again(&repo, &mut seen), [resumed.clone(), None], "{mode}");

        // More than there is.
        let repo = destination(directory.path(), mode, &slow.server.url);
        let partial = kill(&repo, &slow);
        let head = fs::metadata(&partial).unwrap().len() - SENT as u64;
        bytes.resize(usize::try_from(head + size + 7).unwrap(), 0);
        fs::write(&partial, &bytes).unwrap();
        assert_eq!(again(&repo, &mut seen), [range(size + 7), None], "{mode}");

        // Without validators the checksum decides.
        *slow.etag.lock().unwrap() = None;
        let repo = destination(directory.path(), mode, &slow.server.url);
        kill(&repo, &slow);
        assert_eq!(again(&repo, &mut seen), std::slice::from_ref(&resumed), "{mode}");
        *slow.etag.lock().unwrap() = Some("\"1\"".to_owned());
    }
}

#[test]
fn a_file_that_is_wrong_at_the_server_is_an_error_and_is_not_kept() {
    let directory = scratch();
    let source = published(directory.path());
    let slow = Slow::start(&source);
    let repo = destination(directory.path(), "bare-user", &slow.server.url);
    kill(&repo, &slow);
    let object = large(&source.join("objects"));
    let good = fs::read(&object).unwrap();
    let mut bad = good.clone();
    bad[2_500_000] ^= 1;
    fs::write(&object, &bad).unwrap();
    pull(&repo).failure();
    assert_eq!(partials(&repo), [] as [PathBuf; 0]);
    fs::write(&object, &good).unwrap();
    pull(&repo).success();
    assert_whole(&repo, &source);
}

#[test]
fn a_part_of_a_delta_goes_on_too() {
    let directory = scratch();
    let source = published(directory.path());
    osier().repo(&source, ["static-delta", "generate", "--empty", "main"]).success();
    let part = large(&source.join("deltas"));
    assert_eq!(part.file_name().unwrap(), "0");
    osier().repo(&source, ["summary", "-u"]).success();
    let slow = Slow::start(&source);
    let repo = destination(directory.path(), "bare-user", &slow.server.url);
    let mut seen = 0;
    kill(&repo, &slow);
    slow.ranges("/0", &mut seen);
    let line = pull(&repo).success();
    assert!(line.starts_with("1 delta parts, "), "{line}");
    assert_eq!(slow.ranges("/0", &mut seen), [Some(format!("bytes={SENT}-"))]);
    assert_whole(&repo, &source);
}

/// The limit of each request for slow transfers is off here.
#[test]
fn a_pull_to_which_nothing_comes_ends_with_what_it_waits_for() {
    let directory = scratch();
    let source = published(directory.path());
    let slow = Slow::start(&source);
    let path = destination(directory.path(), "bare-user", &slow.server.url);
    let repo = Repo::open(&path).unwrap();
    let config = osier::remote::find(&repo, None, "origin").unwrap().config().unwrap();
    let origin = OriginOptions {
        url: None,
        user_agent: "test".to_owned(),
        headers: Vec::new(),
        proxies: Proxies::default(),
        retry: Retry::default(),
        low_speed: None,
        now: 0,
        stores: None,
        gzip: false,
    };
    let origin = Origin::open(&repo, "origin", &config, &origin, &Silent).unwrap();
    let source = Source {
        name: "origin",
        branches: &[],
        collection: None,
        origin: &origin,
        cache: SummaryCache::None,
        local_caches: &[],
    };
    let options = PullOptions {
        wanted: vec![Want::parse("main").unwrap()],
        remote: RemoteName::parse("origin").ok(),
        idle_limit: Duration::from_secs(1),
        ..PullOptions::default()
    };
    let started = Instant::now();
    let message = pull_http(&repo, &source, &options, &Silent).unwrap_err().chain();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    let start = format!("nothing has come for 1 seconds of {}/objects/", slow.server.url);
    assert!(message.starts_with(&start) && message.ends_with(".filez"), "{message}");
    // What came is kept.
    assert_eq!(partials(&path).len(), 1);
    slow.waits.store(false, Ordering::SeqCst);
}
