//! Checks what the installer in the guest will find: an image is only made of a published commit.

use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::http::{
    Client, ClientOptions, Downgrade, Fetch, HttpError, HttpErrorKind, Request, Response, Timeouts,
    Url,
};
use crate::process::Interrupt;
use crate::refspec::RefName;
use crate::repo::{CommitState, Repo};
use crate::summary::Summary;
use crate::summary::store::{self, MAX_SUMMARY_SIZE};

use super::super::pending;

/// The largest ref file that is read, in bytes; a checksum and a newline are 65.
const LONGEST_REF: u64 = 256;
/// The time limits for a connection and for a whole request.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often signals are checked while waiting for a server.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A commit that a client can pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The ref that points to it.
    pub ref_name: RefName,
    /// The commit.
    pub commit: Checksum,
    /// Its version, if it has one.
    pub version: Option<String>,
}

impl Published {
    /// The commit that the ref names; a given `commit` must be that one.
    ///
    /// # Errors
    /// When the ref is missing, points to another commit, or disagrees with the summary.
    pub fn find(repo: &Repo, ref_name: &RefName, commit: Option<&str>) -> Result<Self> {
        let name = ref_name.as_str();
        let wanted = commit.map(|rev| repo.resolve_rev(rev)).transpose()?;
        let pending = pending::read(repo, ref_name)?;
        let Some(public) = repo.read_local_ref(ref_name)? else {
            let hint =
                pending.map(|pending| format!("; {pending} waits for `osier compose publish`"));
            return Err(Error::failed(format!(
                "nothing is published as {name}{}",
                hint.unwrap_or_default()
            )));
        };
        if let Some(wanted) = wanted.filter(|wanted| *wanted != public) {
            let why = match pending == Some(wanted) {
                true => {
                    "it waits for `osier compose publish`, and the installer could not fetch it"
                        .to_owned()
                }
                false => format!("{name} names {public}"),
            };
            return Err(Error::failed(format!("commit {wanted} is not published: {why}")));
        }
        if repo.commit_state(&public)? != CommitState::Complete {
            return Err(Error::failed(format!(
                "commit {public} of {name} is not complete in this repository"
            )));
        }
        let version = repo.load_commit(&public)?.version().map(str::to_owned);
        check_summary(repo, name, &public)?;
        Ok(Self { ref_name: ref_name.clone(), commit: public, version })
    }

    /// Asks the repository behind an `http:`, `https:` or `file:` URL whether it has the same
    /// commit. If it cannot be asked, that is a warning.
    ///
    /// # Errors
    /// When it has another one, or none: the image would hold another tree than its report says.
    pub fn check_served(&self, url: &str, fetch: &dyn Fetch) -> Result<Option<String>> {
        let served = match url.split_once(':') {
            Some(("file", path)) => self.ask_directory(url, Path::new(path)),
            Some(("http" | "https", _)) => self.ask_server(url, fetch),
            _ => Ok(Answer::NotAsked("osier only knows http, https and file".to_owned())),
        };
        match served.context(|| format!("asking {url}"))? {
            Answer::NotAsked(why) => {
                Ok(Some(format!("{url} was not asked which commit it serves: {why}")))
            }
            Answer::Serves(Some(commit)) if commit == self.commit => Ok(None),
            Answer::Serves(other) => {
                let other =
                    other.map_or("no commit".to_owned(), |commit| format!("commit {commit}"));
                let (name, own) = (self.ref_name.as_str(), &self.commit);
                Err(Error::failed(format!(
                    "{url} serves {other} as {name}, the repository has {own}"
                )))
            }
        }
    }

    fn ask_directory(&self, url: &str, path: &Path) -> Result<Answer> {
        let not_asked = |why: &str| Ok(Answer::NotAsked(why.to_owned()));
        if !path.is_absolute() || url.contains('%') {
            return not_asked("the path is not a plain absolute one");
        }
        if !path.join("objects").is_dir() {
            return not_asked("there is no such repository on this machine");
        }
        Ok(Answer::Serves(Repo::open(path)?.read_local_ref(&self.ref_name)?))
    }

    /// As clients do: the summary decides, and the file of the ref only if there is no summary.
    fn ask_server(&self, url: &str, fetch: &dyn Fetch) -> Result<Answer> {
        let (base, name) = (url.trim_end_matches('/'), self.ref_name.as_str());
        let malformed = |what: &str, source| Error::Malformed { what: what.to_owned(), source };
        let base = match Url::parse(base) {
            Ok(base) => base,
            Err(error) => return Ok(Answer::NotAsked(error.to_string())),
        };
        match file(fetch, base.below("summary"), MAX_SUMMARY_SIZE) {
            Ok(Some(bytes)) => {
                let summary =
                    Summary::decode(&bytes).map_err(|source| malformed("its summary", source))?;
                let entry = summary.refs.iter().find(|entry| entry.name == name);
                return Ok(Answer::Serves(entry.map(|entry| entry.commit)));
            }
            Ok(None) => {}
            Err(error) => return Ok(Answer::NotAsked(error.what)),
        }
        match file(fetch, base.below(&format!("refs/heads/{name}")), LONGEST_REF) {
            Ok(Some(bytes)) => {
                let text = String::from_utf8_lossy(&bytes);
                let commit = Checksum::from_hex(text.trim_end());
                let commit = commit.map_err(|_| {
                    Error::failed(format!("its refs/heads/{name} holds no checksum"))
                })?;
                Ok(Answer::Serves(Some(commit)))
            }
            Ok(None) => Ok(Answer::Serves(None)),
            Err(error) => Ok(Answer::NotAsked(error.what)),
        }
    }
}

/// The file behind a URL; `None` when the server has none.
fn file(
    fetch: &dyn Fetch,
    url: Url,
    limit: u64,
) -> std::result::Result<Option<Vec<u8>>, HttpError> {
    match fetch.get(Request::small(url, limit)).and_then(|response| response.body.read_all()) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind == HttpErrorKind::Missing => Ok(None),
        Err(error) => Err(error),
    }
}

/// Queries servers, without waiting any longer after a signal.
pub struct UntilInterrupt<'i> {
    client: Client,
    interrupt: &'i Interrupt,
}

impl<'i> UntilInterrupt<'i> {
    /// A client for small files, which gives up after half a minute and never downgrades from TLS.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(interrupt: &'i Interrupt) -> Result<Self> {
        let timeouts = Timeouts {
            connect: Some(CONNECT_TIMEOUT),
            total: Some(TIMEOUT),
            ..Timeouts::default()
        };
        let options = ClientOptions {
            timeouts,
            max_redirects: 5,
            downgrade: Downgrade::Refused,
            ..Default::default()
        };
        let client = Client::new(options).map_err(|error| Error::failed(error.to_string()))?;
        Ok(Self { client, interrupt })
    }
}

impl Fetch for UntilInterrupt<'_> {
    fn get(&self, request: Request) -> std::result::Result<Response, HttpError> {
        let url = request.url.clone();
        let failed = |what: &str| Err(HttpError::new(&url, HttpErrorKind::Broken, what));
        let (answer, answers) = mpsc::channel();
        self.client.submit(request, move |result| drop(answer.send(result)));
        loop {
            match answers.recv_timeout(POLL_INTERVAL) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) if self.interrupt.count() == 0 => {}
                Err(RecvTimeoutError::Timeout) => return failed("interrupted"),
                Err(RecvTimeoutError::Disconnected) => return failed("the HTTP client ended"),
            }
        }
    }
}

/// What is known about the repository that the installer pulls from.
enum Answer {
    /// Nothing, with the reason.
    NotAsked(String),
    /// The commit of the ref, if it has one.
    Serves(Option<Checksum>),
}

/// Clients that use the summary must find the commit there.
fn check_summary(repo: &Repo, name: &str, commit: &Checksum) -> Result<()> {
    let path = repo.path().join("summary");
    let refresh = "`osier compose tree` or `osier summary -u` refreshes it";
    let bytes = store::load_bytes_if_present(repo)?;
    let bytes =
        bytes.ok_or_else(|| Error::failed(format!("{} is missing; {refresh}", path.display())))?;
    let malformed = |source| Error::Malformed { what: path.display().to_string(), source };
    let summary = Summary::decode(&bytes).map_err(malformed)?;
    match summary.refs.iter().find(|entry| entry.name == name).map(|entry| entry.commit) {
        Some(listed) if listed == *commit => Ok(()),
        Some(listed) => {
            let path = path.display();
            Err(Error::failed(format!(
                "{path} is stale: it has {listed} as {name}, not {commit}; {refresh}"
            )))
        }
        None => Err(Error::failed(format!("{} does not list {name}; {refresh}", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::gvariant::Dict;
    use crate::object::{Commit, DirMeta, DirTree, ObjectType, Xattrs};
    use crate::repo::{RepoMode, Transaction};
    use crate::summary;

    fn commit(repo: &Repo, subject: &str) -> Checksum {
        let transaction = Transaction::begin(repo).unwrap();
        let dirmeta = DirMeta { uid: 0, gid: 0, mode: 0o40755, xattrs: Xattrs::default() };
        let root_dirmeta =
            transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode()).unwrap();
        let root_dirtree =
            transaction.write_metadata(ObjectType::DirTree, &DirTree::default().encode()).unwrap();
        let commit = Commit {
            metadata: Dict::new(),
            parent: None,
            related: Vec::new(),
            subject: subject.to_owned(),
            body: String::new(),
            timestamp: 1,
            root_dirtree,
            root_dirmeta,
        };
        let checksum = transaction.write_metadata(ObjectType::Commit, &commit.encode()).unwrap();
        transaction.commit().unwrap();
        checksum
    }

    /// No server can be reached.
    struct Offline;

    impl Fetch for Offline {
        fn get(&self, request: Request) -> std::result::Result<Response, HttpError> {
            Err(HttpError::new(request.url, HttpErrorKind::Unreachable, "offline"))
        }
    }

    /// A server that has these files.
    struct Files(BTreeMap<&'static str, Vec<u8>>);

    impl Fetch for Files {
        fn get(&self, request: Request) -> std::result::Result<Response, HttpError> {
            let url = request.url;
            let text = url.to_string();
            let file =
                text.strip_prefix("https://c.example.org/repo/").and_then(|path| self.0.get(path));
            match file {
                Some(file) if file.len() as u64 > request.limit => {
                    Err(HttpError::new(url, HttpErrorKind::TooLarge, "too long"))
                }
                Some(file) => Ok(Response::of_bytes(url, file.clone())),
                None => {
                    Err(HttpError::new(url, HttpErrorKind::Missing, "Server returned HTTP 404"))
                }
            }
        }
    }

    #[test]
    fn what_a_server_has_is_compared_by_its_summary_and_without_one_by_the_ref() {
        let (own, other) = (Checksum::of(b"1"), Checksum::of(b"2"));
        let name = RefName::parse("os/host").unwrap();
        let published = Published { ref_name: name, commit: own, version: None };
        let url = "https://c.example.org/repo//";
        let ask = |files: &[(&'static str, Vec<u8>)]| {
            published.check_served(url, &Files(files.iter().cloned().collect()))
        };
        let summary = |name: &str, commit| {
            let entry = summary::SummaryRef {
                name: name.to_owned(),
                commit_size: 1,
                commit,
                metadata: Dict::new(),
            };
            ("summary", Summary { refs: vec![entry], ..Summary::default() }.encode())
        };
        let file = |text: String| ("refs/heads/os/host", text.into_bytes());
        assert_eq!(ask(&[summary("os/host", own), file(format!("{other}\n"))]).unwrap(), None);
        assert_eq!(ask(&[file(format!("{own}\n"))]).unwrap(), None);
        let no_commit = format!("{url} serves no commit as os/host, the repository has {own}");
        let other_commit =
            format!("{url} serves commit {other} as os/host, the repository has {own}");
        for (files, expected) in [
            (vec![], no_commit.clone()),
            (vec![summary("os/guest", own), file(format!("{own}\n"))], no_commit),
            (vec![summary("os/host", other)], other_commit.clone()),
            (vec![file(format!("{other}\n"))], other_commit),
            (
                vec![("summary", b"junk".to_vec())],
                format!("asking {url}: its summary: Not normal form"),
            ),
            (
                vec![file("junk".to_owned())],
                format!("asking {url}: its refs/heads/os/host holds no checksum"),
            ),
        ] {
            assert_eq!(ask(&files).unwrap_err().chain(), expected);
        }
        let endless = ask(&[file("0".repeat(1000))]).unwrap();
        assert_eq!(endless, Some(format!("{url} was not asked which commit it serves: too long")));
    }

    #[test]
    fn only_what_ref_and_summary_name_is_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo");
        let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
        let name = RefName::parse("os/host").unwrap();
        let (first, second) = (commit(&repo, "1"), commit(&repo, "2"));
        let message = |wanted: Option<&Checksum>| {
            let wanted = wanted.map(Checksum::to_hex);
            let error = Published::find(&repo, &name, wanted.as_deref()).unwrap_err().chain();
            error.replace(path.to_str().unwrap(), "REPO")
        };
        let refresh = "`osier compose tree` or `osier summary -u` refreshes it";
        assert_eq!(message(None), "nothing is published as os/host");
        pending::set(&repo, &name, &first).unwrap();
        let expected =
            format!("nothing is published as os/host; {first} waits for `osier compose publish`");
        assert_eq!(message(None), expected);
        repo.set_ref_immediate(None, &name, Some(&first)).unwrap();
        assert_eq!(message(None), format!("REPO/summary is missing; {refresh}"));
        summary::regenerate(&repo, &Dict::new(), 1).unwrap();
        let published = Published::find(&repo, &name, None).unwrap();
        assert_eq!(published, Published { ref_name: name.clone(), commit: first, version: None });
        assert_eq!(Published::find(&repo, &name, Some(&first.to_hex())).unwrap(), published);
        assert_eq!(
            message(Some(&second)),
            format!("commit {second} is not published: os/host names {first}")
        );
        pending::set(&repo, &name, &second).unwrap();
        let expected = "it waits for `osier compose publish`, and the installer could not fetch it";
        assert_eq!(message(Some(&second)), format!("commit {second} is not published: {expected}"));
        repo.set_ref_immediate(None, &name, Some(&second)).unwrap();
        let expected =
            format!("REPO/summary is stale: it has {first} as os/host, not {second}; {refresh}");
        assert_eq!(message(None), expected);
        std::fs::write(path.join("summary"), Summary::default().encode()).unwrap();
        assert_eq!(message(None), format!("REPO/summary does not list os/host; {refresh}"));
        std::fs::write(path.join("summary"), "junk").unwrap();
        assert_eq!(message(None), "REPO/summary: Not normal form");
        repo.mark_commit(&second, CommitState::Partial).unwrap();
        assert_eq!(
            message(None),
            format!("commit {second} of os/host is not complete in this repository")
        );
    }

    #[test]
    fn what_a_file_url_serves_is_compared() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mirror");
        let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
        let name = RefName::parse("os/host").unwrap();
        let (own, other) = (commit(&repo, "1"), commit(&repo, "2"));
        let published = Published { ref_name: name.clone(), commit: own, version: None };
        let url = format!("file://{}", path.display());
        let message = || published.check_served(&url, &Offline).unwrap_err().chain();
        assert_eq!(
            message(),
            format!("{url} serves no commit as os/host, the repository has {own}")
        );
        repo.set_ref_immediate(None, &name, Some(&other)).unwrap();
        assert_eq!(
            message(),
            format!("{url} serves commit {other} as os/host, the repository has {own}")
        );
        repo.set_ref_immediate(None, &name, Some(&own)).unwrap();
        assert_eq!(published.check_served(&url, &Offline).unwrap(), None);
        for (url, why) in [
            ("ftp://c.example.org/repo/", "osier only knows http, https and file"),
            ("http://c.example.org/repo/", "offline"),
            ("file:///nonexistent/repo", "there is no such repository on this machine"),
            ("file:///a%20b", "the path is not a plain absolute one"),
        ] {
            let expected = format!("{url} was not asked which commit it serves: {why}");
            assert_eq!(published.check_served(url, &Offline).unwrap(), Some(expected));
        }
    }
}
