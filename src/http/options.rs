//! The options of a client.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Url;

/// How a [`super::Client`] connects and how long it waits.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Headers that every request has, `User-Agent` among them, as `(name, value)`.
    pub headers: Vec<(String, String)>,
    /// Headers that only some servers are sent.
    pub private_headers: PrivateHeaders,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Redirects that one request follows at most.
    pub max_redirects: u32,
    /// Whether a redirect may lead from HTTPS to HTTP.
    pub downgrade: Downgrade,
    /// Proxies.
    pub proxies: Proxies,
    /// Which servers are trusted.
    pub roots: Roots,
    /// PEM files of a client certificate (with its chain) and its private key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
    /// Offer HTTP/2 to TLS servers.
    pub http2: bool,
    /// The cookies for each URL that is asked for, after redirects too.
    pub cookies: Option<Cookies>,
    /// What signs requests; the first one that knows a URL counts.
    pub signatures: Vec<Signatures>,
}

/// Headers that are secrets. They come before [`ClientOptions::headers`] of the same name.
#[derive(Clone, Default)]
pub struct PrivateHeaders {
    /// As `(name, value)`.
    pub headers: Vec<(String, String)>,
    /// URLs of the servers that are sent them; no redirect takes them elsewhere.
    pub servers: Vec<Url>,
}

impl std::fmt::Debug for PrivateHeaders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrivateHeaders").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// The value of the header `Cookie` for a URL, if there are any.
#[derive(Clone)]
pub struct Cookies(pub Arc<CookiesOf>);

type CookiesOf = dyn Fn(&Url) -> Option<String> + Send + Sync;

/// Cookies are secrets.
impl std::fmt::Debug for Cookies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cookies")
    }
}

/// Headers that depend on the request and its time, such as the signatures of object stores. The
/// path of what is signed has no plus sign: that comes as `%2B`.
#[derive(Clone)]
pub struct Signatures(pub Arc<Sign>);

/// Makes the headers for a URL, as `(name, value)`; none for the URL of another server. It is
/// called on a thread that may block.
pub type Sign = dyn Fn(&Url) -> Result<Vec<(String, String)>, String> + Send + Sync;

impl std::fmt::Debug for Signatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signatures")
    }
}

/// Time limits of a request; each is off when `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Until a TCP connection is established.
    pub connect: Option<Duration>,
    /// From the request to the end of the response's headers, connecting included. A peer that
    /// acknowledges nothing for half of that is dead, and so are all requests of its connection.
    pub response: Option<Duration>,
    /// The least that a body must bring.
    pub low_speed: Option<LowSpeed>,
    /// Until the next byte of a body, also where there is no least speed.
    pub idle: Option<Duration>,
    /// For everything, body and redirects included.
    pub total: Option<Duration>,
}

/// A body is given up when it brings less than `bytes_per_second` on average for the time `window`,
/// not counting the time in which its reader was slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LowSpeed {
    /// Bytes a second.
    pub bytes_per_second: u64,
    /// For how long.
    pub window: Duration,
}

/// Whether a redirect may leave TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Downgrade {
    /// It may.
    Allowed,
    /// It is an error.
    Refused,
}

/// Which proxy a request goes through: `http://[USER:PASSWORD@]HOST[:PORT]`.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs, by `CONNECT`.
    pub https: Option<String>,
    /// For both where nothing else is given.
    pub all: Option<String>,
    /// Hosts, domains, addresses and networks that are reached directly, separated by commas; `*`
    /// for all.
    pub none_for: Option<String>,
}

/// Which certificate authorities a server may have its certificate from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Roots {
    /// Those of the machine.
    #[default]
    System,
    /// Those in a PEM file, and no others.
    File(PathBuf),
    /// Any certificate at all is taken, as with `tls-permissive`.
    Unchecked,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            headers: vec![(
                "User-Agent".to_owned(),
                concat!("osier/", env!("CARGO_PKG_VERSION")).to_owned(),
            )],
            private_headers: PrivateHeaders::default(),
            timeouts: Timeouts::default(),
            max_redirects: 30,
            downgrade: Downgrade::Allowed,
            proxies: Proxies::default(),
            roots: Roots::System,
            client_certificate: None,
            http2: true,
            cookies: None,
            signatures: Vec::new(),
        }
    }
}

impl Default for LowSpeed {
    fn default() -> Self {
        Self { bytes_per_second: 1000, window: Duration::from_secs(30) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(30)),
            response: Some(Duration::from_secs(60)),
            low_speed: Some(LowSpeed::default()),
            idle: Some(Duration::from_secs(300)),
            total: None,
        }
    }
}

impl Proxies {
    /// The settings of the environment, as libcurl reads them: `http_proxy` only in lower case,
    /// since a CGI program gets `HTTP_PROXY` from its client; the others in both.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).filter(|value| !value.is_empty());
        let either = |name: &str| get(name).or_else(|| get(&name.to_ascii_uppercase()));
        Self {
            http: get("http_proxy"),
            https: either("https_proxy"),
            all: either("all_proxy"),
            none_for: either("no_proxy"),
        }
    }

    /// One proxy for everything, as the key `proxy` of a remote says it.
    pub fn only(url: impl Into<String>) -> Self {
        Self { all: Some(url.into()), ..Self::default() }
    }
}

/// Proxies may have passwords.
impl std::fmt::Debug for Proxies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let given = |proxy: &Option<String>| if proxy.is_some() { "given" } else { "none" };
        f.debug_struct("Proxies")
            .field("http", &given(&self.http))
            .field("https", &given(&self.https))
            .field("all", &given(&self.all))
            .field("none_for", &self.none_for)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_read_as_libcurl_reads_it() {
        let proxies = |variables: &[(&str, &str)]| {
            let find = |name: &str| {
                variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            };
            let Proxies { http, https, all, none_for } = Proxies::from_environment(find);
            [http, https, all, none_for].map(Option::unwrap_or_default)
        };
        assert_eq!(
            proxies(&[("HTTP_PROXY", "a"), ("HTTPS_PROXY", "b"), ("NO_PROXY", "c")]),
            ["", "b", "", "c"]
        );
        assert_eq!(
            proxies(&[("http_proxy", "a"), ("https_proxy", ""), ("ALL_PROXY", "d")]),
            ["a", "", "d", ""]
        );
        assert!(!format!("{:?}", Proxies::only("http://u:secret@h")).contains("secret"));
    }
}
