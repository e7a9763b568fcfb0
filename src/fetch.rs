//! Small files over HTTP and HTTPS.
//!
//! Nothing here is about ostree: a [`Fetcher`] gets the bytes behind a URL, all at once and never more than asked for.
//! TLS is rustls with graviola's cryptography, both without C; servers are believed by the certificate authorities of this
//! machine. Proxies are not used.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Error};

/// How long a connection may take to come about, and everything together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
const MAX_REDIRECTS: u32 = 5;

/// Where distributions have the certificates of the authorities they believe, all in one file.
const CERTIFICATES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What a server says of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The file.
    File(Vec<u8>),
    /// There is none.
    Missing,
}

/// Why nothing is known of what is behind a URL, in a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreachable(String);

impl Unreachable {
    /// For that reason.
    pub fn because(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gets files.
pub trait Fetcher {
    /// Gets the file behind `url`, if it has no more than `limit` bytes.
    ///
    /// # Errors
    /// When no server gives an answer that makes sense, or the file is longer.
    fn fetch(&self, url: &str, limit: u64) -> Result<Fetched, Unreachable>;
}

/// Gets files from web servers.
#[derive(Clone, Debug)]
pub struct Http {
    timeout: Duration,
    authorities: Vec<PathBuf>,
}

impl Default for Http {
    fn default() -> Self {
        Self { timeout: TIMEOUT, authorities: CERTIFICATES.iter().map(PathBuf::from).collect() }
    }
}

impl Http {
    /// Gives up after that time.
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Believes the certificate authorities in that PEM file, and not those of the machine.
    pub fn with_authorities(self, file: PathBuf) -> Self {
        Self { authorities: vec![file], ..self }
    }

    fn agent(&self, url: &str) -> Result<Agent, Unreachable> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(MAX_REDIRECTS)
            .proxy(None)
            // One that is kept for the place that a redirect names may be closed by the server at that moment.
            .max_idle_connections(0)
            .timeout_resolve(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .timeout_connect(Some(CONNECT_TIMEOUT.min(self.timeout)))
            .timeout_global(Some(self.timeout))
            .user_agent(concat!("osier/", env!("CARGO_PKG_VERSION")));
        let authorities = match self.authorities() {
            // Nothing is trusted: what redirects lead to is fetched as long as that is not HTTPS.
            None if !is_https(url) => Vec::new(),
            None => return Err(Unreachable("this machine has no file of certificate authorities".to_owned())),
            Some(authorities) => authorities,
        };
        config = match tls(&authorities) {
            // From HTTPS it never goes on to HTTP.
            Ok(tls) => config.tls_config(tls).https_only(is_https(url)),
            Err(why) if is_https(url) => return Err(why),
            // The other place might ask for TLS.
            Err(_) => config.max_redirects(0),
        };
        Ok(config.build().new_agent())
    }

    /// The certificates of the first file that is there.
    fn authorities(&self) -> Option<Vec<Certificate<'static>>> {
        let bundle = self.authorities.iter().find_map(|path| fs::read(path).ok())?;
        let certificates = parse_pem(&bundle).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        Some(certificates.collect())
    }
}

/// What HTTPS needs.
fn tls(authorities: &[Certificate<'static>]) -> Result<TlsConfig, Unreachable> {
    let config = TlsConfig::builder().root_certs(RootCerts::new_with_certs(authorities));
    Ok(config.unversioned_rustls_crypto_provider(Arc::new(cryptography()?)).build())
}

impl Fetcher for Http {
    fn fetch(&self, url: &str, limit: u64) -> Result<Fetched, Unreachable> {
        let mut answer = self.agent(url)?.get(url).call().map_err(told)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND | StatusCode::GONE => return Ok(Fetched::Missing),
            status => return Err(Unreachable(format!("the server answers {status}"))),
        }
        // One byte more tells a longer file from one that just fits.
        let body = answer.body_mut().with_config().limit(limit.saturating_add(1)).read_to_vec().map_err(told)?;
        match body.len() as u64 > limit {
            true => Err(Unreachable(format!("the answer has more than {limit} bytes"))),
            false => Ok(Fetched::File(body)),
        }
    }
}

fn is_https(url: &str) -> bool {
    url.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

fn told(error: Error) -> Unreachable {
    Unreachable(match error {
        Error::Timeout(_) => "the server does not answer in time".to_owned(),
        Error::BodyExceedsLimit(limit) => format!("the answer has more than {} bytes", limit - 1),
        Error::Io(error) => error.to_string(),
        error => error.to_string(),
    })
}

/// graviola has no portable code, and ends the program on processors that it does not know.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn cryptography() -> Result<CryptoProvider, Unreachable> {
    #[cfg(target_arch = "x86_64")]
    let is_known = is_x86_feature_detected!("aes")
        && is_x86_feature_detected!("pclmulqdq")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("adx")
        && is_x86_feature_detected!("avx")
        && is_x86_feature_detected!("avx2");
    #[cfg(target_arch = "aarch64")]
    let is_known = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull")
        && std::arch::is_aarch64_feature_detected!("sha2")
        && std::arch::is_aarch64_feature_detected!("neon");
    match is_known {
        true => Ok(rustls_graviola::default_provider()),
        false => Err(Unreachable("this processor is too old for its cryptography".to_owned())),
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn cryptography() -> Result<CryptoProvider, Unreachable> {
    Err(Unreachable("osier has no cryptography for this kind of processor".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;
    use std::time::Instant;

    use super::*;

    /// Answers each request for a path with what `answer` writes; the URL of the server.
    fn server(answer: fn(&str, &mut TcpStream)) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let request = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                answer(request.split(' ').nth(1).unwrap(), &mut stream);
            }
        });
        url
    }

    fn fetch(url: &str) -> Result<Fetched, String> {
        Http::default().with_timeout(Duration::from_secs(2)).fetch(url, 5).map_err(|why| why.to_string())
    }

    #[test]
    fn files_come_whole_or_not_at_all() {
        let base = server(|path, stream| {
            let answer = match path {
                "/five" => "200 OK\r\nContent-Length: 5\r\n\r\n12345".to_owned(),
                "/empty" => "200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "/six" => "200 OK\r\nContent-Length: 6\r\n\r\n123456".to_owned(),
                "/cut" => "200 OK\r\nContent-Length: 5\r\n\r\n123".to_owned(),
                "/gone" => "410 Gone\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "/broken" => "503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "/moved" => "302 Found\r\nLocation: /five\r\nContent-Length: 0\r\n\r\n".to_owned(),
                "/circle" => "302 Found\r\nLocation: /circle\r\nContent-Length: 0\r\n\r\n".to_owned(),
                _ => "404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
            };
            let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
        });
        let file = |text: &str| Ok(Fetched::File(text.as_bytes().to_vec()));
        let ask = |path: &str| fetch(&format!("{base}/{path}"));
        assert_eq!(ask("five"), file("12345"));
        assert_eq!(ask("empty"), file(""));
        assert_eq!(ask("moved"), file("12345"));
        assert_eq!(ask("nothing"), Ok(Fetched::Missing));
        assert_eq!(ask("gone"), Ok(Fetched::Missing));
        assert_eq!(ask("six"), Err("the answer has more than 5 bytes".to_owned()));
        assert_eq!(ask("broken"), Err("the server answers 503 Service Unavailable".to_owned()));
        assert!(ask("circle").is_err());
        assert!(ask("cut").is_err());
    }

    #[test]
    fn a_machine_without_authorities_follows_redirects_that_need_none() {
        let base = server(|path, stream| {
            let answer = match path {
                "/five" => "200 OK\r\nContent-Length: 5\r\n\r\n12345",
                "/moved" => "302 Found\r\nLocation: /five\r\nContent-Length: 0\r\n\r\n",
                _ => "302 Found\r\nLocation: https://127.0.0.1:1/five\r\nContent-Length: 0\r\n\r\n",
            };
            let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes());
        });
        let http = Http::default().with_timeout(Duration::from_secs(2)).with_authorities("/nonexistent".into());
        assert_eq!(http.fetch(&format!("{base}/moved"), 5), Ok(Fetched::File(b"12345".to_vec())));
        assert!(http.fetch(&format!("{base}/secure"), 5).is_err());
    }

    #[test]
    fn odd_servers_are_given_up() {
        let endless = server(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        assert_eq!(fetch(&endless), Err("the answer has more than 5 bytes".to_owned()));
        let long_header = server(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
            while stream.write_all(&[b'x'; 4096]).is_ok() {}
        });
        assert!(fetch(&long_header).is_err());
        let garbage = server(|_, stream| drop(stream.write_all(b"\0\xff no http\r\n\r\n")));
        assert!(fetch(&garbage).is_err());
        let silent = server(|_, _| thread::sleep(Duration::from_secs(60)));
        assert_eq!(fetch(&silent), Err("the server does not answer in time".to_owned()));
        // Each byte comes in time, the whole would never.
        let slow = server(|_, stream| {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: ");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(100));
            }
        });
        let started = Instant::now();
        assert_eq!(fetch(&slow), Err("the server does not answer in time".to_owned()));
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(fetch(&format!("http://{closed}/")).is_err());
        // TLS with a server that does not speak it.
        assert!(fetch(&garbage.replace("http:", "https:")).is_err());
        assert!(fetch("https:///").is_err());
    }
}
