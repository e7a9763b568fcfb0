//! Requests and their answers.

use std::net::IpAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::failure::Failure;
use super::files::{ASK, FOR_EVER, RepoFiles};
use super::host::Hosts;
use super::html::Html;
use super::load::{self, Comparisons, Found, Keys, Raw};
use super::published::published;
use super::route::{self, Format, MAX_TARGET, Query, Route};
use super::{document, link, page};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::http::server::{self, Answer, Method, Received};
use crate::repo::{FileReader, Repo};

/// How a repository is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServeOptions {
    /// Where the server listens.
    pub address: IpAddr,
    /// The names that it answers to. On loopback those of this machine are always among them;
    /// elsewhere it answers to all names if there are none.
    pub hosts: Vec<String>,
    /// Directories with public keys of ed25519 and spki, which signatures are verified with.
    pub key_directories: Vec<PathBuf>,
    /// OpenPGP keyrings beside those of the repository; the directory need not exist.
    pub keyrings: Option<PathBuf>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            hosts: Vec::new(),
            key_directories: Vec::new(),
            keyrings: None,
        }
    }
}

/// A repository that is served. Its [`Site::answer`] is what a
/// [`Server`](crate::http::server::Server) calls.
///
/// ```
/// use std::net::TcpListener;
///
/// use osier::http::server::{Server, ServerOptions};
/// use osier::repo::{Repo, RepoMode};
/// use osier::serve::{ServeOptions, Site};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let scratch = tempfile::tempdir()?;
/// let repo = Repo::create(&scratch.path().join("repo"), RepoMode::Archive, None)?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let site = Site::new(repo, &ServeOptions::default())?;
/// let server =
///     Server::start(listener, ServerOptions::default(), move |request| site.answer(request))?;
/// println!("http://{}/", server.address());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Site {
    repo: Repo,
    files: RepoFiles,
    hosts: Hosts,
    keys: Keys,
    comparisons: Comparisons,
}

/// Pages load nothing but the style sheet, and no other site may show or read them.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

const STYLE: &str = include_str!("style.css");

impl Site {
    /// # Errors
    /// When the directory of the repository cannot be opened.
    pub fn new(repo: Repo, options: &ServeOptions) -> Result<Self> {
        let ServeOptions { address, hosts, key_directories, keyrings } = options;
        Ok(Self {
            files: RepoFiles::open(&repo)?,
            repo,
            hosts: Hosts::new(*address, hosts),
            keys: Keys { directories: key_directories.clone(), keyrings: keyrings.clone() },
            comparisons: Comparisons::default(),
        })
    }

    /// The answer to a request: a file of the repository, a page, or a status.
    pub fn answer(&self, request: &Received) -> Answer {
        let answer = match self.checked(request) {
            Ok(answer) => answer,
            Err(failure) => self.failure(&failure, request),
        };
        answer
            .with("x-content-type-options", "nosniff")
            .with("content-security-policy", POLICY)
            .with("cross-origin-resource-policy", "same-origin")
            .with("referrer-policy", "same-origin")
    }

    fn checked(&self, request: &Received) -> Result<Answer, Failure> {
        if request.method == Method::Other {
            return Err(Failure::new(405, "this server only answers GET and HEAD"));
        }
        let query = request.query.as_deref().unwrap_or_default();
        if request.raw_path.len() + query.len() > MAX_TARGET {
            return Err(Failure::new(414, "the URL is too long"));
        }
        if !self.hosts.allow(request.host.as_deref()) {
            return Err(Failure::new(421, "this server does not answer to that name"));
        }
        let Some(published) = published(&request.path).filter(|_| !is_page(&request.raw_path))
        else {
            return self.page(request, &Query::parse(query)?);
        };
        let found = self.files.answer(&self.repo, &published, request)?;
        found.ok_or_else(|| Failure::not_found("the repository has no such file"))
    }

    fn page(&self, request: &Received, query: &Query) -> Result<Answer, Failure> {
        let repo = &self.repo;
        let number = query.page()?;
        let format = query.format(request.header("accept"))?;
        let form = (request, format);
        let answer = match route::route(&request.raw_path, query)? {
            Route::Repository => {
                return Err(Failure::not_found("nothing of that name is published"));
            }
            Route::Style => {
                let etag = format!("\"{}\"", Checksum::of(STYLE.as_bytes()));
                let answer = server::bytes(request, etag, STYLE.into());
                return Ok(answer
                    .with("content-type", "text/css; charset=utf-8")
                    .with("cache-control", ASK));
            }
            Route::Refs => shown(&form, &load::refs(repo, number)?, page::refs, document::refs),
            Route::Commit(rev) => {
                let commit = load::commit_of(repo, &rev.join("/"))?;
                let view = load::commit(repo, &commit, &self.keys)?;
                if format == Format::Json {
                    return Ok(json(request, &document::commit(repo, &view)?));
                }
                return Ok(html(request, page::commit(&view)));
            }
            Route::Entry(rest) => match load::entry(repo, load::target(repo, &rest)?, number)? {
                Found::Tree(view) => shown(&form, &*view, page::tree, document::tree),
                Found::File(view) => shown(&form, &*view, page::file, document::file),
            },
            Route::Raw(rest) => {
                let target = load::target(repo, &rest)?;
                let is_fixed = rest.first().is_some_and(|rev| *rev == target.commit.to_hex());
                let as_text = query.value("as") == Some("text");
                let answer = raw(request, load::raw(repo, &target)?, as_text)?;
                return Ok(answer.with("cache-control", if is_fixed { FOR_EVER } else { ASK }));
            }
            Route::Diff { from, to, is_form } => {
                let commits = [load::commit_of(repo, &from)?, load::commit_of(repo, &to)?];
                if is_form {
                    let target = link::diff(&commits[0], &commits[1]);
                    let target = match format {
                        Format::Html => target,
                        Format::Json => link::with_query(&target, &[("format", "json")]),
                    };
                    return Ok(Answer::new(303).with("location", target));
                }
                let view = load::diff(repo, &self.comparisons, commits, number)?;
                shown(&form, &view, page::diff, document::diff)
            }
            Route::Search(rest) => {
                let wanted = query.value("path").unwrap_or_default();
                let target = load::target(repo, &rest)?;
                let view = load::search(repo, &target, wanted, query.value("after"))?;
                shown(&form, &view, page::search, document::search)
            }
        };
        Ok(answer)
    }

    fn failure(&self, failure: &Failure, request: &Received) -> Answer {
        let Failure { status, message } = failure;
        let query = Query::parse(request.query.as_deref().unwrap_or_default()).unwrap_or_default();
        let accept = request.header("accept");
        let answer = Answer::new(*status).with("cache-control", "no-store");
        let answer = match status {
            405 => answer.with("allow", "GET, HEAD"),
            503 => answer.with("retry-after", "5"),
            _ => answer,
        };
        match query.format(accept) {
            Ok(Format::Json) => {
                let text = format!("{}\n", document::error(*status, message));
                answer.with("content-type", "application/json").with_body(text.into_bytes())
            }
            _ if is_page(&request.raw_path) && self.hosts.allow(request.host.as_deref()) => {
                let page = page::failure(answer.reason(), message).finish();
                answer.with("content-type", HTML).with_body(page.into_bytes())
            }
            _ => {
                let text = format!("{message}\n").into_bytes();
                answer.with("content-type", TEXT).with_body(text)
            }
        }
    }
}

const HTML: &str = "text/html; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// Whether it is the URL of a page rather than that of a file in the repository.
fn is_page(raw_path: &str) -> bool {
    raw_path == "/" || raw_path.starts_with("/-/")
}

/// A view in the form that the client asks for.
fn shown<V>(
    (request, format): &(&Received, Format),
    view: &V,
    page: fn(&V) -> Html,
    document: fn(&V) -> Value,
) -> Answer {
    match format {
        Format::Html => html(request, page(view)),
        Format::Json => json(request, &document(view)),
    }
}

fn html(request: &Received, page: Html) -> Answer {
    document_answer(request, page.finish(), HTML)
}

fn json(request: &Received, document: &Value) -> Answer {
    document_answer(request, format!("{document}\n"), "application/json")
}

fn document_answer(request: &Received, text: String, kind: &str) -> Answer {
    let etag = format!("\"{}\"", Checksum::of(text.as_bytes()));
    server::bytes(request, etag, text.into_bytes())
        .with("content-type", kind)
        .with("cache-control", ASK)
        .with("vary", "accept")
}

/// The content of a file, which no browser takes for anything that it would run or show as a page.
fn raw(request: &Received, raw: Raw, as_text: bool) -> Result<Answer, Failure> {
    let Raw { name, object } = raw;
    let etag = format!("\"{}\"", object.checksum());
    let plain = object.plain_file().and_then(|file| file.try_clone().ok());
    let size = object.size;
    let answer = match plain {
        _ if server::is_known(request, &etag) => Answer::new(304).with("etag", etag),
        Some(file) => server::whole(request, etag, file, size),
        // It is inflated as it is sent.
        None => Answer::new(200)
            .with("etag", etag)
            .with("accept-ranges", "none")
            .with_stream(FileReader::new(object), Some(size)),
    };
    let (kind, disposition) = match as_text {
        true => (TEXT, "inline"),
        false => ("application/octet-stream", "attachment"),
    };
    let disposition = format!("{disposition}; filename*={}", link::in_header(&name));
    Ok(answer.or_with("content-type", kind).with("content-disposition", disposition))
}
