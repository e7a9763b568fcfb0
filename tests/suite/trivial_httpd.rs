//! `trivial-httpd` and the server behind it: files, ranges and faults, and what hostile clients
//! cannot do. Statuses and bodies are those of the real program where nothing else is said.

mod hostile;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Output, Program, osier_path, scratch};

const HELLO_ETAG: &str = "\"5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\"";
const HELLO_DATE: &str = "Thu, 02 Jan 2020 03:04:05 GMT";

/// What a server sends until it closes the connection.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Sends bytes and reads to the end.
pub fn send(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    reply
}

pub fn parse(reply: &[u8]) -> Reply {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(reply)));
    let mut lines = str::from_utf8(&reply[..end]).unwrap().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Reply { status, headers: headers.collect(), body: reply[end + 4..].to_vec() }
}

/// Asks for a path with further header lines, each with its end.
fn ask(port: u16, method: &str, path: &str, headers: &str) -> Reply {
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    parse(&send(port, request.as_bytes()))
}

fn get(port: u16, path: &str) -> Reply {
    ask(port, "GET", path, "")
}

/// A running `trivial-httpd`.
struct Httpd {
    child: Child,
    port: u16,
}

impl Httpd {
    fn start(directory: &Path, options: &[&str]) -> Self {
        let mut child = Command::new(osier_path())
            .args(["trivial-httpd", "--port-file=-"])
            .args(options)
            .arg(directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap_or_else(|_| panic!("no port: {line:?}"));
        Self { child, port }
    }

    fn get(&self, path: &str) -> Reply {
        get(self.port, path)
    }

    fn ask(&self, path: &str, headers: &str) -> Reply {
        ask(self.port, "GET", path, headers)
    }
}

impl Drop for Httpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory with `hello`, and a few others that are made as they are needed.
fn place() -> tempfile::TempDir {
    let place = scratch();
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    fs::write(root.join("hello"), "hello\n").unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_577_934_245);
    File::options().write(true).open(root.join("hello")).unwrap().set_modified(time).unwrap();
    place
}

fn run(arguments: &[&str]) -> Output {
    let arguments = ["trivial-httpd"].iter().chain(arguments);
    Program::other(osier_path(), "osier").run(arguments)
}

#[test]
fn files_directories_and_what_is_not_there() {
    let place = place();
    let root = place.path().join("root");
    for folder in ["sub", "list/b", "empty", "private", "pages/index.html"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for name in ["sub/index.html", "list/a", "list/Z", "list/q&<>\"'é z", "list/50%?", "p%41"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::write(root.join("secret"), "").unwrap();
    for (name, mode) in [("secret", 0o640), ("private", 0o750)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let pipe = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, root.join("pipe"), pipe, 0o644.into(), 0).unwrap();
    symlink("hello", root.join("link")).unwrap();
    let httpd = Httpd::start(&root, &[]);
    for (path, status, body) in [
        ("/hello", 200, "hello\n"),
        ("/hello?x=1", 200, "hello\n"),
        ("//hello", 200, "hello\n"),
        ("/./sub/../hello", 200, "hello\n"),
        ("/%68ello", 200, "hello\n"),
        ("/link", 200, "hello\n"),
        ("/p%2541", 200, "p%41"),
        ("/p%41", 404, ""),
        ("/%zz", 404, ""),
        ("/hello%00", 404, ""),
        ("/nope", 404, ""),
        ("/", 404, ""),
        ("*", 404, ""),
        ("/hello/", 500, ""),
        ("/sub/", 200, "sub/index.html"),
        ("/sub%2findex.html", 200, "sub/index.html"),
        ("/pipe", 403, ""),
        ("/secret", 403, ""),
        ("/private/", 403, ""),
    ] {
        let reply = httpd.get(path);
        assert_eq!((reply.status, reply.text()), (status, body), "{path}");
    }
    for (path, location) in [
        ("/sub", "http://h/sub/"),
        ("/list?x", "http://h/list/"),
        ("/li%73t", "http://h/list/"),
        ("//list/b", "http://h/list/b/"),
        ("/pages/", "http://h/pages/index.html/"),
    ] {
        let reply = httpd.get(path);
        assert_eq!((reply.status, reply.header("location")), (301, Some(location)), "{path}");
    }
    let page = |title: &str, names: &str| {
        format!(
            "<html>\r\n<head><title>Index of {title}</title></head>\r\n<body><h1>Index of \
             {title}</h1>\r\n<p>\r\n{names}</body>\r\n</html>\r\n"
        )
    };
    let names = "<a href=\"50%25%3F\">50%?</a><br>\r\n<a href=\"Z\">Z</a><br>\r\n\
        <a href=\"a\">a</a><br>\r\n<a href=\"b\">b</a><br>\r\n\
        <a href=\"q&amp;&lt;&gt;&quot;&apos;é z\">q&amp;&lt;&gt;&quot;&apos;é z</a><br>\r\n";
    for (path, title, names) in
        [("/empty/", "/", ""), ("/list/b/", "/b/", ""), ("/list/", "/", names)]
    {
        let reply = httpd.get(path);
        assert_eq!(reply.text(), page(title, names), "{path}");
        assert_eq!(reply.header("content-type"), Some("text/html"));
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "FOO"] {
        let length = "Content-Length: 0\r\n";
        assert_eq!(ask(httpd.port, method, "/hello", length).status, 501, "{method}");
    }
    let head = ask(httpd.port, "HEAD", "/hello", "Range: bytes=0-1\r\n");
    assert_eq!((head.status, head.text(), head.header("content-length")), (200, "", Some("6")));
    // A connection serves one request after the other, and HTTP/1.0 needs no host.
    let request = b"GET /hello HTTP/1.1\r\nHost: h\r\n\r\nGET /sub HTTP/1.0\r\n\r\n";
    let replies = String::from_utf8(send(httpd.port, request)).unwrap();
    assert!(replies.contains("\r\n\r\nhello\nHTTP/1.0 301"), "{replies}");
    assert!(replies.contains("\r\nlocation: /sub/\r\n"), "{replies}");
}

#[test]
fn parts_of_files_and_files_that_the_client_has() {
    let place = place();
    let root = place.path().join("root");
    let large: Vec<u8> = (0..3_000_000u32).flat_map(|number| number.to_le_bytes()).collect();
    fs::write(root.join("large"), &large).unwrap();
    let httpd = Httpd::start(&root, &[]);
    let whole = httpd.get("/hello");
    assert_eq!(whole.header("etag"), Some(HELLO_ETAG));
    assert_eq!(whole.header("last-modified"), Some(HELLO_DATE));
    for (headers, status, body, range) in [
        ("Range: bytes=0-1", 206, "he", Some("bytes 0-1/6")),
        ("Range: bytes=-2", 206, "o\n", Some("bytes 4-5/6")),
        ("Range: bytes=0-100", 206, "hello\n", Some("bytes 0-5/6")),
        ("Range: bytes=0-1,1-2", 206, "hel", Some("bytes 0-2/6")),
        ("Range: bytes=6-", 416, "", Some("bytes */6")),
        ("Range: bytes=5-2", 200, "hello\n", None),
        ("If-Range: \"x\"\r\nRange: bytes=0-1", 200, "hello\n", None),
        (&format!("If-Range: {HELLO_ETAG}\r\nRange: bytes=0-1"), 206, "he", Some("bytes 0-1/6")),
        (&format!("If-Range: {HELLO_DATE}\r\nRange: bytes=0-1"), 206, "he", Some("bytes 0-1/6")),
        (&format!("If-None-Match: {HELLO_ETAG}"), 304, "", None),
        ("If-None-Match: \"x\"", 200, "hello\n", None),
        (&format!("If-Modified-Since: {HELLO_DATE}"), 304, "", None),
        ("If-Modified-Since: Thu, 02 Jan 2020 03:04:05 UTC", 304, "", None),
        ("If-Modified-Since: Thu, 02 Jan 2020 03:04:04 GMT", 200, "hello\n", None),
    ] {
        let reply = httpd.ask("/hello", &format!("{headers}\r\n"));
        assert_eq!((reply.status, reply.text()), (status, body), "{headers}");
        assert_eq!(reply.header("content-range"), range, "{headers}");
        assert_eq!(reply.header("etag"), Some(HELLO_ETAG), "{headers}");
    }
    let parts = httpd.ask("/hello", "Range: bytes=0-0,2-3\r\n");
    let kind = parts.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    assert_eq!(
        parts.text(),
        format!(
            "--{boundary}\r\nContent-Range: bytes 0-0/6\r\n\r\nh\r\n--{boundary}\r\n\
             Content-Range: bytes 2-3/6\r\n\r\nll\r\n--{boundary}--\r\n"
        )
    );

    let reply = httpd.get("/large");
    assert!(reply.body == large, "{} bytes", reply.body.len());
    let etag = reply.header("etag").unwrap().to_owned();
    let part = httpd.ask("/large", "Range: bytes=5000001-11999999\r\n");
    assert!(part.body == large[5_000_001..]);
    assert_eq!(httpd.ask("/large", &format!("If-None-Match: {etag}\r\n")).status, 304);
    fs::write(root.join("large"), &large[1..]).unwrap();
    assert_ne!(httpd.get("/large").header("etag"), Some(etag.as_str()));
}

#[test]
fn no_path_leads_out_of_the_directory() {
    let place = place();
    let root = place.path().join("root");
    fs::write(place.path().join("outside"), "secret").unwrap();
    fs::create_dir(place.path().join("elsewhere")).unwrap();
    fs::write(place.path().join("elsewhere/file"), "secret").unwrap();
    fs::create_dir_all(root.join("sub/below")).unwrap();
    for (link, to) in [
        ("out", "../outside".to_owned()),
        ("absolute", place.path().join("outside").display().to_string()),
        ("own-absolute", root.join("hello").display().to_string()),
        ("folder", "../elsewhere".to_owned()),
        ("sub/up", "../../outside".to_owned()),
        ("loop", "loop".to_owned()),
        ("index.html", "../outside".to_owned()),
        ("process", "/proc/self/environ".to_owned()),
        ("sub/inside", "below/../../hello".to_owned()),
    ] {
        symlink(to, root.join(link)).unwrap();
    }
    let httpd = Httpd::start(&root, &[]);
    for (path, status) in [
        ("/../outside", 404),
        ("/sub/../../outside", 404),
        ("/%2e%2e/outside", 404),
        ("/..%2foutside", 404),
        ("/sub/..%2f..%2f..%2foutside", 404),
        ("//../outside", 404),
        ("/./../outside", 404),
        ("/out", 403),
        ("/absolute", 403),
        ("/own-absolute", 403),
        ("/folder", 403),
        ("/folder/", 403),
        ("/folder/file", 403),
        ("/sub/up", 403),
        ("/loop", 403),
        ("/process", 403),
        ("/index.html", 403),
    ] {
        let reply = httpd.get(path);
        assert_eq!((reply.status, reply.text()), (status, ""), "{path}");
    }
    assert_eq!(httpd.get("/sub/inside").text(), "hello\n");
}

#[test]
fn requests_can_be_required_to_have_something() {
    let place = place();
    let root = place.path().join("root");
    let httpd = Httpd::start(&root, &["--require-basic-auth"]);
    let refused = httpd.get("/nope");
    assert_eq!((refused.status, refused.text()), (401, ""));
    assert_eq!(refused.header("www-authenticate"), Some("Basic realm=auth-test"));
    for (header, status) in [
        ("Basic Zm9vdXNlcjpiYXJwdw==", 200),
        ("Basic Zm9vdXNlcjp4", 401),
        ("Bearer Zm9vdXNlcjpiYXJwdw==", 401),
    ] {
        let reply = httpd.ask("/hello", &format!("Authorization: {header}\r\n"));
        assert_eq!(reply.status, status, "{header}");
    }
    let cookies = ["--expected-cookies", "a=b", "--expected-cookies=c=d"];
    let httpd = Httpd::start(&root, &cookies);
    for (headers, status) in [
        ("", 403),
        ("Cookie: a=b; c=d\r\n", 200),
        ("Cookie: c=d;a=\"b\"; e=f\r\n", 200),
        ("Cookie: a=b\r\n", 403),
        ("Cookie: a=x; c=d\r\n", 403),
    ] {
        assert_eq!(httpd.ask("/hello", headers).status, status, "{headers}");
    }
    let log = place.path().join("log");
    let log_option = format!("--log-file={}", log.display());
    let options = ["--expected-header=X-a=b", "--expected-header=c=d=e", &log_option];
    let httpd = Httpd::start(&root, &options);
    for (headers, status) in [
        ("x-A: b\r\nc: d=e\r\n", 200),
        ("X-a: B\r\nc: d=e\r\n", 403),
        ("X-a: b\r\n", 403),
        ("X-a: x\r\nX-a: b\r\nc: d=e\r\n", 200),
    ] {
        assert_eq!(httpd.ask("/hel%0alo/../hello", headers).status, status, "{headers}");
    }
    httpd.get("/a%0Ab");
    let expected = [
        format!("serving at root {}", root.display()),
        "serving /hello".to_owned(),
        "  status: OK (200)".to_owned(),
        "serving /hello".to_owned(),
        "Expected header X-a: b but found B".to_owned(),
        "  status: Forbidden (403)".to_owned(),
        "serving /hello".to_owned(),
        "Expected header not found c".to_owned(),
        "  status: Forbidden (403)".to_owned(),
        "serving /hello".to_owned(),
        "  status: OK (200)".to_owned(),
        "serving /a\\nb".to_owned(),
        "Expected header not found X-a".to_owned(),
        "  status: Forbidden (403)".to_owned(),
    ];
    let logged = fs::read_to_string(&log).unwrap();
    let logged: Vec<&str> = logged.lines().map(|line| line.split_once(" - ").unwrap().1).collect();
    assert_eq!(logged, expected);
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn requests_fail_on_purpose() {
    let place = place();
    let root = place.path().join("root");
    let options =
        ["--random-500s=99", "--random-500s-max=3", "--random-408s=99", "--random-408s-max=2"];
    let httpd = Httpd::start(&root, &options);
    let mut statuses: Vec<u16> = (0..60).map(|_| httpd.get("/hello").status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses[..55], [200; 55]);
    assert_eq!(statuses[55..], [408, 408, 500, 500, 500]);

    fs::create_dir_all(root.join("repo/objects")).unwrap();
    let content: Vec<u8> = (0..400_001u32).map(|number| number as u8).collect();
    fs::write(root.join("repo/objects/o"), &content).unwrap();
    fs::write(root.join("repo/objects/empty"), "").unwrap();
    fs::write(root.join("repo/config"), "config").unwrap();
    let httpd = Httpd::start(&root, &["--force-range-requests"]);
    let half = httpd.get("/repo/objects/o");
    assert_eq!((half.status, half.header("content-length")), (200, Some("400001")));
    assert!(half.body == content[..200_000], "{} bytes", half.body.len());
    let rest = httpd.ask("/repo/objects/o", "Range: bytes=200000-\r\n");
    assert!(rest.status == 206 && rest.body == content[200_000..]);
    assert_eq!(httpd.get("/repo/config").text(), "config");
    assert_eq!(httpd.get("/repo/objects/empty").status, 200);
    assert!(httpd.get("/repo/objects/").text().ends_with("</html>\r\n"));
}

/// Waits until something is so.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_goes_into_the_background_and_ends_with_its_directory() {
    let place = place();
    let root = place.path().join("root");
    let at = |name: &str| place.path().join(name).display().to_string();
    let options = [
        "-d".to_owned(),
        "--autoexit".to_owned(),
        "-p".to_owned(),
        at("port"),
        format!("--log-file={}", at("log")),
        at("root"),
    ];
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    assert_eq!(run(&options).success(), "");
    let port: u16 = fs::read_to_string(at("port")).unwrap().trim_end().parse().unwrap();
    assert_eq!(get(port, "/hello").text(), "hello\n");

    // What is in the way is in the way in the background, too.
    let message = run(&options).failure();
    assert_eq!(message, format!("Error opening file “{}”: File exists", at("log")));
    fs::remove_dir_all(&root).unwrap();
    wait_until("it ends", || TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn wrong_options_are_refused() {
    let place = place();
    let root = place.path().join("root").display().to_string();
    let root = root.as_str();
    for (options, message) in [
        (&["--random-500s=100", root][..], "Invalid --random-500s=100"),
        (&["--random-408s=-1", root], "Invalid --random-408s=-1"),
        (&["--random-408s-max=-1", root], "Invalid --random-408s-max=-1"),
        (&["--random-500s=abc", root], "Cannot parse integer value “abc” for --random-500s"),
        (&["-P", "abc", root], "Cannot parse integer value “abc” for -P"),
        (&["-P", "65536", root], "Invalid port 65536"),
        (&["--address=nowhere", root], "Invalid address nowhere"),
        (&["--expected-header=a", root], "Missing '=' in KEY=VALUE for --expected-header"),
        (&["--expected-cookies=a", root], "Missing '=' in KEY=VALUE for --expected-cookies"),
        (&["/nonexistent"], "opendir(/nonexistent): No such file or directory"),
        (
            &["--log-file=/nonexistent/x", root],
            "Error opening file “/nonexistent/x”: No such file or directory",
        ),
        (
            &["--port-file=/nonexistent/x", root],
            "Failed to create file “/nonexistent/x”: No such file or directory",
        ),
    ] {
        assert_eq!(run(options).failure(), message, "{options:?}");
    }
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert_eq!(
        run(&["-P", &port, root]).failure(),
        "listening on 127.0.0.1: Address already in use"
    );
    assert_eq!(
        run(&["-d", "-P", &port, root]).failure(),
        "listening on 127.0.0.1: Address already in use"
    );
}
