//! The HTTP client: against servers that answer as a test says, and against nginx for TLS and
//! HTTP/2.

mod faults;
mod tls;

use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use osier::http::{
    Client, ClientOptions, Downgrade, Fetch, HttpError, HttpErrorKind, LowSpeed, Proxies, Request,
    Status, Timeouts, Url, Validators,
};

use crate::support::{Server, Then, answer, scratch};

fn client() -> Client {
    Client::new(options()).unwrap()
}

/// Everything ends within seconds.
fn options() -> ClientOptions {
    let short = Some(Duration::from_secs(2));
    let low_speed = Some(LowSpeed { bytes_per_second: 1000, window: Duration::from_secs(1) });
    ClientOptions {
        timeouts: Timeouts { connect: short, response: short, low_speed, ..Default::default() },
        ..Default::default()
    }
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn get(client: &Client, text: &str, limit: u64) -> Result<Vec<u8>, HttpError> {
    client.get(Request { limit, ..Request::get(url(text)) })?.body.read_all()
}

#[test]
fn files_come_whole_and_connections_are_kept() {
    let directory = scratch();
    let large: Vec<u8> = (0..3_000_000u32).map(|number| number.to_le_bytes()[1]).collect();
    std::fs::write(directory.path().join("large"), &large).unwrap();
    std::fs::write(directory.path().join("small"), "12345").unwrap();
    let server = Server::start(directory.path());
    let client = client();
    for _ in 0..20 {
        assert_eq!(get(&client, &format!("{}/small", server.url), 5).unwrap(), b"12345");
        let missing = get(&client, &format!("{}/missing", server.url), 5).unwrap_err();
        assert_eq!(
            (missing.kind, missing.what.as_str()),
            (HttpErrorKind::Missing, "Server returned HTTP 404")
        );
    }
    assert_eq!(get(&client, &format!("{}/large", server.url), u64::MAX).unwrap(), large);
    let too_large = get(&client, &format!("{}/large", server.url), 2_999_999).unwrap_err();
    assert_eq!(too_large.what, "exceeded maximum size of 2999999 bytes");
    assert_eq!(too_large.kind, HttpErrorKind::TooLarge);
    assert_eq!((server.asked().len(), server.connections()), (42, 1));
    let headers = &server.asked()[0];
    assert_eq!(headers.header("user-agent"), Some(concat!("osier/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(headers.header("accept"), Some("*/*"));
}

#[test]
fn hundreds_of_requests_are_under_way_at_once() {
    let (arrived, arrivals) = mpsc::sync_channel(1000);
    let gate = std::sync::Arc::new(std::sync::Barrier::new(101));
    let shared = std::sync::Arc::clone(&gate);
    let server = Server::answering(move |asked, stream| {
        shared.wait();
        let _ = stream.write_all(&answer("200 OK", &[], asked.path.as_bytes()));
        Then::Keep
    });
    let client = client();
    for number in 0..100 {
        let arrived = arrived.clone();
        let request = Request::small(url(&format!("{}/{number}", server.url)), 100);
        client.submit(request, move |result| drop(arrived.send((number, result))));
    }
    gate.wait();
    for _ in 0..100 {
        let (number, result) = arrivals.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(result.unwrap().body.read_all().unwrap(), format!("/{number}").into_bytes());
    }
}

#[test]
fn a_file_goes_on_where_it_broke_unless_it_changed() {
    let directory = scratch();
    let path = directory.path().join("file");
    std::fs::write(&path, "0123456789").unwrap();
    let server = Server::start(directory.path());
    let client = client();
    let target = url(&format!("{}/file", server.url));
    let first = client.get(Request::get(target.clone())).unwrap();
    assert_eq!((first.status, first.length), (Status::Whole, Some(10)));
    let unless = first.validators.clone();
    let rest = |unless: Validators| {
        let response =
            client.get(Request { from: 4, unless, ..Request::get(target.clone()) }).unwrap();
        let status = response.status;
        (status, String::from_utf8(response.body.read_all().unwrap()).unwrap())
    };
    assert_eq!(rest(unless.clone()), (Status::From(4), "456789".to_owned()));
    assert_eq!(rest(Validators::default()), (Status::From(4), "456789".to_owned()));
    let unchanged =
        client.get(Request { unless: unless.clone(), ..Request::get(target.clone()) }).unwrap();
    assert_eq!(unchanged.status, Status::NotModified);
    assert_eq!(unchanged.body.read_all().unwrap(), b"");
    std::fs::write(&path, "abcdefghij").unwrap();
    assert_eq!(rest(unless.clone()), (Status::Whole, "abcdefghij".to_owned()));
    let changed = client.get(Request { unless, ..Request::get(target.clone()) }).unwrap();
    assert_eq!(changed.status, Status::Whole);
    let past = client.get(Request { from: 10, ..Request::get(target) }).unwrap_err();
    assert_eq!(past.kind, HttpErrorKind::Status(416));
}

#[test]
fn redirects_are_followed_and_carry_no_credentials_elsewhere() {
    let other = Server::answering(|asked, stream| {
        let seen = ["authorization", "cookie", "x-own"]
            .map(|name| asked.header(name).unwrap_or("-"))
            .join(" ");
        let _ = stream.write_all(&answer("200 OK", &[], seen.as_bytes()));
        Then::Keep
    });
    let elsewhere = other.url.clone();
    let server = Server::answering(move |asked, stream| {
        let seen = ["authorization", "cookie", "x-own"]
            .map(|name| asked.header(name).unwrap_or("-"))
            .join(" ");
        let location = format!("{elsewhere}/x");
        let bytes = match asked.path.as_str() {
            "/home" => answer("302 Found", &[("Location", "seen")], b"<html>moved"),
            "/away" => answer("301 Moved Permanently", &[("Location", &location)], b""),
            "/circle" => answer("307 Temporary Redirect", &[("Location", "/circle")], b""),
            "/odd" => answer("302 Found", &[("Location", "ftp://host/")], b""),
            _ => answer("200 OK", &[], seen.as_bytes()),
        };
        let _ = stream.write_all(&bytes);
        Then::Keep
    });
    let headers = [("Cookie", "a=b"), ("X-Own", "y")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let client =
        Client::new(ClientOptions { headers: headers.to_vec(), max_redirects: 3, ..options() })
            .unwrap();
    let base = server.url.replace("http://", "http://us%40er:pass@");
    let ask = |path: &str| get(&client, &format!("{base}{path}"), 1000);
    let text = |path: &str| String::from_utf8(ask(path).unwrap()).unwrap();
    assert_eq!(text("/home"), "Basic dXNAZXI6cGFzcw== a=b y");
    assert_eq!(text("/away"), "- - y");
    assert_eq!(ask("/circle").unwrap_err().what, "more than 3 redirects");
    assert_eq!(ask("/odd").unwrap_err().what, "bad redirect: Invalid URI scheme in ftp://host/");
    assert!(!ask("/circle").unwrap_err().to_string().contains("pass"));
}

#[test]
fn headers_of_a_request_take_the_place_of_those_of_the_client() {
    let server = Server::answering(|_, stream| {
        let _ = stream.write_all(&answer("200 OK", &[], b""));
        Then::Keep
    });
    let client = client();
    let headers = [("User-Agent", "own/1"), ("Accept", ""), ("X-New", "z")];
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    client.get(Request { headers, ..Request::get(url(&server.url)) }).unwrap();
    let asked = &server.asked()[0];
    let seen = ["user-agent", "accept", "x-new"].map(|name| asked.header(name));
    assert_eq!(seen, [Some("own/1"), None, Some("z")]);
    let bad = [("a b".to_owned(), "c".to_owned())].to_vec();
    let error = client.get(Request { headers: bad, ..Request::get(url(&server.url)) }).unwrap_err();
    assert_eq!(
        (error.kind, error.what.as_str()),
        (HttpErrorKind::Invalid, "'a b' is no name of a header")
    );
}

#[test]
fn a_proxy_gets_whole_urls_and_its_credentials() {
    let proxy = Server::answering(|asked, stream| {
        let seen = format!("{} {}", asked.path, asked.header("proxy-authorization").unwrap_or("-"));
        let _ = stream.write_all(&answer("200 OK", &[], seen.as_bytes()));
        Then::Keep
    });
    let through = |proxies: Proxies, target: &str| {
        let client = Client::new(ClientOptions { proxies, ..options() }).unwrap();
        get(&client, target, 1000).map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let with_password = proxy.url.replace("http://", "http://u:p@");
    assert_eq!(
        through(Proxies::only(&with_password), "http://host.invalid/x").unwrap(),
        "http://host.invalid/x Basic dTpw"
    );
    let own = Server::answering(|asked, stream| {
        let _ = stream.write_all(&answer("200 OK", &[], asked.path.as_bytes()));
        Then::Keep
    });
    let direct =
        Proxies { none_for: Some("127.0.0.1,localhost".to_owned()), ..Proxies::only(&proxy.url) };
    assert_eq!(through(direct, &format!("{}/direct", own.url)).unwrap(), "/direct");
    // The proxy does not know CONNECT: it answers 200 and goes on with what is no TLS.
    let error = through(Proxies::only(&proxy.url), "https://host.invalid/x").unwrap_err();
    assert!(matches!(error.kind, HttpErrorKind::Tls | HttpErrorKind::Unreachable), "{error:?}");
    let error = through(Proxies::only("https://127.0.0.1:1"), "http://host.invalid/").unwrap_err();
    assert_eq!(error.what, "proxies of the kind https:// are not supported");
}

#[test]
fn a_body_is_a_reader_and_waits_for_its_reader() {
    let directory = scratch();
    let large = vec![7u8; 20_000_000];
    std::fs::write(directory.path().join("large"), &large).unwrap();
    let server = Server::start(directory.path());
    let client = client();
    let mut body = client.get(Request::get(url(&format!("{}/large", server.url)))).unwrap().body;
    // Longer than the window in which too little would have come: the reader is slow, not the
    // server.
    std::thread::sleep(Duration::from_millis(1500));
    let mut read = Vec::new();
    body.read_to_end(&mut read).unwrap();
    assert_eq!(read.len(), large.len());
}

#[test]
fn a_downgrade_can_be_refused() {
    // Only the redirect from TLS counts; the test with nginx has that.
    let options = ClientOptions { downgrade: Downgrade::Refused, ..options() };
    let server = Server::answering(|asked, stream| {
        let bytes = match asked.path.as_str() {
            "/a" => answer("302 Found", &[("Location", "/b")], b""),
            _ => answer("200 OK", &[], b"b"),
        };
        let _ = stream.write_all(&bytes);
        Then::Keep
    });
    assert_eq!(get(&Client::new(options).unwrap(), &format!("{}/a", server.url), 5).unwrap(), b"b");
}
