//! Where the files of a remote are, and getting one of them.
//!
//! A remote has two sides, each a list of base URLs that hold the same files:
//!
//! | side | files |
//! |---|---|
//! | meta | `config`, `summary`, `summary.sig`, refs, detached metadata of commits |
//! | content | all other objects, deltas and their indexes |

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use percent_encoding::percent_decode_str;

use super::attempts::{Attempts, Need, Next, Retry};
use super::config::{Location, RemoteConfig, Source};
use super::cookies::{Jar, Target};
use super::metalink::{Metalink, MetalinkError};
use super::mirrors::Mirrors;
use super::stores::{self, Stores};
use super::transport::Transport;
use super::{mirrorlist, secrets};
use crate::error::{Context, Error, Result};
use crate::http::{
    Client, ClientOptions, Cookies, Fetch, HttpError, HttpErrorKind, LowSpeed, Proxies, Request,
    Response, Roots, Scheme, Status, Timeouts, Url, UrlError, Validators,
};
use crate::progress::{Event, Progress};
use crate::repo::Repo;

/// The largest file that is held in memory, in bytes: metadata objects, refs, summaries, lists.
pub const MAX_FILE_SIZE: u64 = 128 << 20;

/// What the user adds to a remote's configuration.
#[derive(Clone, Debug)]
pub struct OriginOptions {
    /// The base URL, instead of those that are configured; a metalink stays.
    pub url: Option<String>,
    /// `User-Agent`.
    pub user_agent: String,
    /// Headers of all requests, as `(name, value)`; an empty value removes one.
    pub headers: Vec<(String, String)>,
    /// The proxies of the environment.
    pub proxies: Proxies,
    /// How failed requests are repeated.
    pub retry: Retry,
    /// The least speed of a transfer; `None` for no limit. An answer has to begin within twice its
    /// time, or within a minute.
    pub low_speed: Option<LowSpeed>,
    /// Whether refs and summaries may come compressed with gzip.
    pub gzip: bool,
    /// The time, in seconds since 1970, at which cookies may have expired.
    pub now: i64,
    /// What opens `s3://` URLs.
    pub stores: Option<Stores>,
}

/// Which list of base URLs a file is looked for in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Refs, the summary, the config and detached metadata.
    Meta,
    /// Objects and deltas.
    Content,
}

/// The places of a remote's files, with a client.
pub struct Origin<'p> {
    meta: Arc<Mirrors>,
    content: Arc<Mirrors>,
    transport: Arc<Transport>,
    retry: Retry,
    gzip: bool,
    /// The buckets among the base URLs.
    buckets: stores::Opened,
    /// The summary that a metalink led to.
    summary: Option<Vec<u8>>,
    /// What is repeated is reported to it.
    progress: &'p dyn Progress,
}

impl fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { meta, content, .. } = self;
        f.debug_struct("Origin").field("meta", meta).field("content", content).finish()
    }
}

/// What came of asking for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// There is no such file.
    Absent,
    /// The caller's version is the present one.
    NotModified,
    /// The file, and how to recognise this version.
    File(Vec<u8>, Validators),
}

/// A remote without HTTP: the path of the repository on this machine that its base URL names, if it
/// is a `file://` one.
pub fn local_path(config: &RemoteConfig, url: Option<&str>) -> Option<PathBuf> {
    let base = match (&config.location, url) {
        (Location::Metalink(_), _) => return None,
        (_, Some(url)) => Source::parse(url),
        (Location::Url(source), None) => source.clone(),
        (Location::Nowhere, None) => return None,
    };
    let Source::Base(text) = base else { return None };
    let path = text.strip_prefix("file://")?;
    let path = path.split('#').next().unwrap_or_default();
    use std::os::unix::ffi::OsStringExt;
    Some(std::ffi::OsString::from_vec(percent_decode_str(path).collect()).into())
}

impl<'p> Origin<'p> {
    /// Finds the places of a remote of `repo`, whose jar has its cookies. Lists of mirrors are
    /// fetched, and of each a first mirror that answers is looked for; a metalink leads to the
    /// first place that has the summary it describes.
    ///
    /// # Errors
    /// When there is no valid URL, a list cannot be fetched, or none of its mirrors answers.
    pub fn open(
        repo: &Repo,
        name: &str,
        config: &RemoteConfig,
        options: &OriginOptions,
        progress: &'p dyn Progress,
    ) -> Result<Self> {
        if let Some(client) = &config.tls.client
            && let Some(token) =
                [&client.certificate, &client.key].into_iter().find(|path| is_token(path))
        {
            let token = token.display();
            return Err(Error::failed(format!("keys in tokens are not supported: {token}")));
        }
        // What is no remote has no jar.
        let jar = if name.is_empty() { Jar::default() } else { Jar::load(repo, name)? };
        let buckets = stores::open(config, options.url.as_deref(), options.stores.as_ref())?;
        let mut client_options = client_options(config, options, jar)?;
        client_options.signatures =
            buckets.iter().map(|(_, store)| store.signatures.clone()).collect();
        let client = Client::new(client_options).map_err(|e| failed(&e))?;
        let mut origin = Self {
            meta: mirrors(Vec::new()),
            content: mirrors(Vec::new()),
            transport: Arc::new(Transport::Http(client)),
            retry: options.retry,
            gzip: options.gzip,
            buckets,
            summary: None,
            progress,
        };
        let overridden = options.url.as_deref().map(Source::parse);
        match (&config.location, &overridden) {
            (Location::Metalink(url), _) => origin.follow_metalink(url)?,
            (_, Some(source)) | (Location::Url(source), None) => {
                origin.meta = mirrors(origin.places(source)?);
            }
            (Location::Nowhere, None) => {
                return Err(Error::failed(format!("No \"url\" option in remote \"{name}\"")));
            }
        }
        origin.content = match config.content.as_ref().filter(|_| overridden.is_none()) {
            Some(content) => mirrors(origin.places(content)?),
            None => Arc::clone(&origin.meta),
        };
        Ok(origin)
    }

    /// The files of a repository of this machine, as if a server had them.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn of_directory(path: &Path, retry: Retry, progress: &'p dyn Progress) -> Result<Self> {
        let (transport, url) = Transport::directory(path)?;
        let place = mirrors(vec![url]);
        Ok(Self {
            meta: Arc::clone(&place),
            content: place,
            transport: Arc::new(transport),
            retry,
            gzip: false,
            buckets: Vec::new(),
            summary: None,
            progress,
        })
    }

    fn places(&self, source: &Source) -> Result<Vec<Url>> {
        match source {
            Source::Base(text) => match self.buckets.iter().find(|(url, _)| url == text) {
                Some((_, store)) => Ok(vec![store.base.clone()]),
                None => Ok(vec![parse_url(text)?]),
            },
            Source::MirrorList(url) => self.mirrors(url),
        }
    }

    /// The mirrors of a list from the first one on that has a config; the others are not probed.
    fn mirrors(&self, list: &str) -> Result<Vec<Url>> {
        let fetching = || format!("While fetching mirrorlist '{list}'");
        let url = parse_url(list).context(fetching)?;
        let bytes = match self.fetch_one(&url, &Ask::default()).context(fetching)? {
            Fetched::File(bytes, _) => bytes,
            _ => return Err(absent(&url)).context(fetching),
        };
        let candidates = mirrorlist::candidates(&bytes)
            .map_err(|error| Error::failed(error.to_string()))
            .context(fetching)?;
        let mut mirrors: Vec<Url> =
            candidates.into_iter().filter_map(|u| Url::parse(u).ok()).collect();
        let answers = |mirror: &Url| {
            let asked = self.fetch_one(&mirror.below("config"), &Ask::default());
            matches!(asked, Ok(Fetched::File(..)))
        };
        let first = mirrors.iter().position(answers).ok_or_else(|| {
            Error::failed(format!("No valid mirrors were found in mirrorlist '{list}'"))
        })?;
        mirrors.drain(..first);
        Ok(mirrors)
    }

    /// Finds the summary that a metalink describes. Its directory becomes the place of everything.
    fn follow_metalink(&mut self, url: &str) -> Result<()> {
        let url = parse_url(url)?;
        let document = match self.fetch_one(&url, &Ask::default())? {
            Fetched::File(bytes, _) => bytes,
            Fetched::Absent | Fetched::NotModified => return Err(absent(&url)),
        };
        let metalink = Metalink::parse(&document, "summary").map_err(invalid)?;
        let mut last = None;
        for target in &metalink.urls {
            match self.metalink_target(&metalink, target) {
                Ok((base, summary)) => {
                    (self.meta, self.summary) = (mirrors(vec![base]), Some(summary));
                    return Ok(());
                }
                Err(error) => last = Some(error.chain()),
            }
        }
        let (count, last) = (metalink.urls.len(), last.unwrap_or_default());
        Err(Error::failed(format!("Exhausted {count} metalink targets, last error: {last}")))
    }

    fn metalink_target(&self, metalink: &Metalink, target: &str) -> Result<(Url, Vec<u8>)> {
        let url = parse_url(target)?;
        let ask = Ask { limit: metalink.size.min(MAX_FILE_SIZE), ..Ask::default() };
        match self.fetch_one(&url, &ask)? {
            Fetched::File(bytes, _) => {
                metalink.check(&bytes).map_err(invalid)?;
                Ok((url.directory(), bytes))
            }
            Fetched::Absent | Fetched::NotModified => Err(absent(&url)),
        }
    }

    /// The summary that a metalink led to.
    pub fn summary(&self) -> Option<&[u8]> {
        self.summary.as_deref()
    }

    /// The mirrors of a side.
    pub fn mirrors_of(&self, side: Side) -> &Arc<Mirrors> {
        match side {
            Side::Meta => &self.meta,
            Side::Content => &self.content,
        }
    }

    /// Where requests go, for many at a time.
    pub fn transport(&self) -> &Arc<Transport> {
        &self.transport
    }

    /// How failed requests are repeated.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Gets a small file. All mirrors are asked, and all again as often as the options say.
    ///
    /// # Errors
    /// When it cannot be fetched, or is larger than `ask` allows.
    pub fn fetch(&self, side: Side, path: &str, ask: &Ask) -> Result<Fetched> {
        self.fetch_from(self.mirrors_of(side), path, ask)
    }

    /// [`Origin::fetch`] for a file that must be there.
    ///
    /// # Errors
    /// As [`Origin::fetch`]; when there is no such file.
    pub fn fetch_existing(&self, side: Side, path: &str) -> Result<Vec<u8>> {
        match self.fetch(side, path, &Ask::default())? {
            Fetched::File(bytes, _) => Ok(bytes),
            Fetched::Absent | Fetched::NotModified => {
                Err(self.mirrors_of(side).urls().last().map_or_else(
                    || Error::failed(format!("{path}: no place to look for it")),
                    |mirror| absent(&mirror.below(path)),
                ))
            }
        }
    }

    /// Gets a small file that has one place.
    fn fetch_one(&self, url: &Url, ask: &Ask) -> Result<Fetched> {
        self.fetch_from(&mirrors(vec![url.clone()]), "", ask)
    }

    fn fetch_from(&self, mirrors: &Arc<Mirrors>, path: &str, ask: &Ask) -> Result<Fetched> {
        let mut attempts = Attempts::new(mirrors, Need::Optional);
        loop {
            let Some(url) = attempts.url(path) else { return Ok(Fetched::Absent) };
            let error = match self.attempt(url, ask) {
                Ok(fetched) => return Ok(fetched),
                Err(error) => error,
            };
            match attempts.failed(&error, &self.retry, dice()) {
                Next::Again(wait) => {
                    log::debug!("{error}; again in {wait:?}");
                    let HttpError { url, what: reason, .. } = &error;
                    self.progress.event(Event::Retry { url, reason, wait });
                    thread::sleep(wait);
                }
                Next::Absent => return Ok(Fetched::Absent),
                Next::GiveUp => return Err(failed(&error)),
            }
        }
    }

    fn attempt(&self, url: Url, ask: &Ask) -> Result<Fetched, HttpError> {
        let small = Request::small(url, ask.limit);
        let request = Request { unless: ask.unless.clone(), gzip: self.gzip, ..small };
        let Response { status, validators, body, .. } = self.transport.get(request)?;
        Ok(match status {
            Status::NotModified => Fetched::NotModified,
            Status::Whole | Status::From(_) => Fetched::File(body.read_all()?, validators),
        })
    }
}

/// How a small file is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The most bytes it may have.
    pub limit: u64,
    /// The version that the caller has.
    pub unless: Validators,
}

impl Default for Ask {
    fn default() -> Self {
        Self { limit: MAX_FILE_SIZE, unless: Validators::default() }
    }
}

fn mirrors(urls: Vec<Url>) -> Arc<Mirrors> {
    Arc::new(Mirrors::new(urls))
}

fn invalid(error: MetalinkError) -> Error {
    Error::failed(error.to_string())
}

fn client_options(
    config: &RemoteConfig,
    options: &OriginOptions,
    jar: Jar,
) -> Result<ClientOptions> {
    let now = options.now;
    let cookies = move |url: &Url| {
        let is_secure = url.scheme() == Scheme::Https;
        jar.header(&Target { host: url.host(), path: url.path(), secure: is_secure }, now)
    };
    let mut headers = vec![("User-Agent".to_owned(), options.user_agent.clone())];
    headers.extend(options.headers.iter().cloned());
    let timeouts = Timeouts::default();
    let response = options.low_speed.map(|limit| limit.window.saturating_mul(2));
    Ok(ClientOptions {
        headers,
        private_headers: secrets::headers(config)?,
        timeouts: Timeouts {
            low_speed: options.low_speed,
            response: response.or(timeouts.response),
            ..timeouts
        },
        proxies: match &config.proxy {
            Some(proxy) => Proxies::only(proxy),
            None => options.proxies.clone(),
        },
        roots: match (&config.tls.ca, config.tls.permissive) {
            (_, true) => Roots::Unchecked,
            (Some(path), false) => Roots::File(path.clone()),
            (None, false) => Roots::System,
        },
        client_certificate: config
            .tls
            .client
            .as_ref()
            .map(|client| (client.certificate.clone(), client.key.clone())),
        http2: config.http2,
        cookies: Some(Cookies(Arc::new(cookies))),
        ..ClientOptions::default()
    })
}

/// Whether a path is in fact the URI of a key in a PKCS #11 token.
fn is_token(path: &Path) -> bool {
    path.to_string_lossy().starts_with("pkcs11:")
}

fn parse_url(text: &str) -> Result<Url> {
    Url::parse(text).map_err(|error: UrlError| Error::failed(error.to_string()))
}

fn absent(url: &Url) -> Error {
    failed(&HttpError::new(url, HttpErrorKind::Missing, "Server returned HTTP 404"))
}

/// A random number for the waits between attempts.
pub(crate) fn dice() -> u32 {
    let mut bytes = [0; 4];
    // Without random numbers waits do not vary, which does no harm.
    let _ = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    u32::from_ne_bytes(bytes)
}

/// The error of a request in upstream's words, with the numbers of libcurl, which scripts look for.
pub(crate) fn failed(error: &HttpError) -> Error {
    let HttpError { url, kind, what } = error;
    let text = match kind {
        HttpErrorKind::TooLarge => return Error::failed(format!("URI {url} {what}")),
        HttpErrorKind::UnknownHost => format!("[6] Couldn't resolve host name: {what}"),
        HttpErrorKind::Unreachable => format!("[7] Couldn't connect to server: {what}"),
        HttpErrorKind::CutShort => format!("[18] Transferred a partial file: {what}"),
        HttpErrorKind::Stalled => format!("[28] Timeout was reached: {what}"),
        HttpErrorKind::Tls if what.contains("certificate") => {
            format!("[60] SSL peer certificate was not OK: {what}")
        }
        HttpErrorKind::Tls => format!("[35] SSL connect error: {what}"),
        HttpErrorKind::Denied(401) => format!(
            "{what} (credentials can be in the URL, in --http-header or in `remote add-cookie`)"
        ),
        HttpErrorKind::Denied(407) => {
            format!("{what} (credentials can be in the URL of the proxy)")
        }
        _ => what.clone(),
    };
    Error::failed(format!("While fetching {url}: {text}"))
}
