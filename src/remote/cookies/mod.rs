//! The cookies of a remote, in `NAME.cookies.txt` of the repository.
//!
//! The format is that of Netscape, which curl reads as well: a cookie a line, seven fields
//! separated by tabs.
//!
//! ```text
//! .example.org  TRUE  /repo  FALSE  2584964251  NAME  VALUE
//! |             |     |      |      |
//! |             |     |      |      seconds since 1970, 0 for never
//! |             |     |      TRUE: only over TLS
//! |             |     what the path of a request begins with
//! |             TRUE: hosts below the domain, too
//! domain
//! ```
//!
//! A line that begins with `#` is a comment unless it begins with `#HttpOnly_`. Cookies that
//! servers set are not stored.

mod cookie;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::dir;
use crate::error::{During, Error, Result};
use crate::gvariant::DecodeError;
use crate::input;
use crate::refspec::RemoteName;
use crate::repo::Repo;

pub use cookie::{Cookie, Target};

/// The largest jar, in bytes.
const MAX_JAR_SIZE: u64 = 1 << 20;
/// What one request takes along at most, as with curl: cookies, and bytes of all of them.
const MAX_COOKIES_SENT: usize = 150;
const MAX_HEADER_SIZE: usize = 8190;

/// The cookies of a remote.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jar {
    /// The lines that are cookies.
    lines: Vec<String>,
}

impl Jar {
    /// Reads the jar of a remote; one that is not there is empty. Whether there is such a remote is
    /// not looked at.
    ///
    /// # Errors
    /// When no remote can have that name; when the jar cannot be read, is a link or no file, is
    /// larger than 1 MiB, or is not UTF-8.
    pub fn load(repo: &Repo, remote: &str) -> Result<Self> {
        let (name, path) = names(repo, remote)?;
        match read(repo, &name) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Self::parse(&text)),
                Err(_) => Err(Error::Malformed {
                    what: path.display().to_string(),
                    source: DecodeError::new("Invalid UTF-8"),
                }),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).during("reading", path),
        }
    }

    fn parse(text: &str) -> Self {
        let lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        Self {
            lines: lines.filter(|line| Cookie::parse(line).is_some()).map(String::from).collect(),
        }
    }

    /// All cookies, in the order of the file.
    pub fn cookies(&self) -> impl Iterator<Item = Cookie> {
        self.lines.iter().filter_map(|line| Cookie::parse(line))
    }

    /// The `Cookie` header of a request at `now`, in seconds since 1970; `None` if no cookie goes
    /// with it. Of cookies with the same domain, path and name the last one counts; longer paths
    /// come first, then longer domains, longer names and later lines.
    pub fn header(&self, target: &Target<'_>, now: i64) -> Option<String> {
        let strict = self.lines.iter().filter_map(|line| Cookie::parse_strictly(line));
        let mut places = HashMap::new();
        let mut cookies: Vec<Cookie> = Vec::new();
        for cookie in strict.filter(|cookie| cookie.goes_to(target, now)) {
            let key = (
                cookie.host().to_ascii_lowercase(),
                cookie.subdomains,
                cookie.request_path().to_owned(),
                cookie.name.clone(),
            );
            match places.get(&key) {
                Some(&place) => cookies[place] = cookie,
                None => {
                    places.insert(key, cookies.len());
                    cookies.push(cookie);
                }
            }
        }
        // As with libcurl, the newest of otherwise equal rank is the first.
        cookies.reverse();
        cookies.sort_by_key(|cookie| {
            let lengths = (cookie.path.len(), cookie.host().len(), cookie.name.len());
            std::cmp::Reverse(lengths)
        });
        let mut header = String::new();
        for cookie in cookies.iter().take(MAX_COOKIES_SENT) {
            let separator = if header.is_empty() { "" } else { "; " };
            let pair = format!("{separator}{}={}", cookie.name, cookie.value);
            if header.len() + pair.len() > MAX_HEADER_SIZE {
                break;
            }
            header.push_str(&pair);
        }
        (!header.is_empty()).then_some(header)
    }
}

/// Adds a cookie at the end of a remote's jar, which is made if it is not there.
///
/// # Errors
/// When no remote can have that name; when a field is empty that must not be, or has a character
/// that would end it; when the jar cannot be written, is a link or no file.
pub fn add(repo: &Repo, remote: &str, cookie: &Cookie) -> Result<()> {
    let (name, path) = names(repo, remote)?;
    if !cookie.is_writable() {
        return Err(Error::failed(
            "Domain, path and name of a cookie must not be empty, nor any part have control \
             characters",
        ));
    }
    append(repo, &name, &cookie.to_line()).during("writing", path)
}

/// Deletes the cookies with exactly this domain, path and name from a remote's jar. The jar is
/// written again without what is no cookie, also when none is found.
///
/// # Errors
/// In upstream's words when there is no such cookie; as [`Jar::load`]; when the jar cannot be
/// written.
pub fn delete(repo: &Repo, remote: &str, domain: &str, path: &str, name: &str) -> Result<()> {
    let (file, full_path) = names(repo, remote)?;
    let Jar { mut lines } = Jar::load(repo, remote)?;
    let before = lines.len();
    lines.retain(|line| {
        Cookie::parse(line).is_some_and(|cookie| {
            (cookie.domain.as_str(), cookie.path.as_str(), cookie.name.as_str())
                != (domain, path, name)
        })
    });
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut replacement = repo.prepare_replacement(text.as_bytes())?;
    rustix::fs::fchmod(&replacement.file, Mode::from_raw_mode(0o600))
        .during("changing the mode of", &full_path)?;
    replacement.place(Path::new(&file)).during("replacing", full_path)?;
    match lines.len() < before {
        true => Ok(()),
        false => Err(Error::failed("Cookie not found in jar")),
    }
}

/// The jar of a remote: its name in the repository, and its path.
fn names(repo: &Repo, remote: &str) -> Result<(String, PathBuf)> {
    RemoteName::parse(remote)?;
    let name = format!("{remote}.cookies.txt");
    let path = repo.path().join(&name);
    Ok((name, path))
}

/// Opens a jar without following a link, and without waiting for a pipe.
fn open(repo: &Repo, name: &str, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY;
    input::require_regular(dir::open(repo.dir(), name, flags, Mode::from_raw_mode(0o644))?)
}

fn read(repo: &Repo, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(repo, name, OFlags::RDONLY)?.take(MAX_JAR_SIZE + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= MAX_JAR_SIZE {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("larger than {MAX_JAR_SIZE} bytes"))),
    }
}

fn append(repo: &Repo, name: &str, line: &str) -> io::Result<()> {
    let mut file = open(repo, name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE)?;
    let mut text = format!("{line}\n");
    let size = file.metadata()?.len();
    if size > 0 {
        let mut last = [0];
        file.seek(SeekFrom::Start(size - 1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.insert(0, '\n');
        }
    }
    match size + text.len() as u64 <= MAX_JAR_SIZE {
        true => file.write_all(text.as_bytes()),
        false => Err(io::Error::other(format!("larger than {MAX_JAR_SIZE} bytes"))),
    }
}
