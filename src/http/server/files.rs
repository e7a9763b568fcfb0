//! The files below a directory, as answers.
//!
//! No path leads out of the directory, neither by `..` nor by a symbolic link, and unless
//! [`Audience::Process`] is given only what all users of the machine may read is served.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

use super::condition::State;
use super::exchange::{Answer, Method, Part, Received};
use super::range::{Wanted, wanted};
use crate::checksum::Checksum;
use crate::dir::{self, Dir};

/// A file up to this size, in bytes, is read as a whole and has its checksum as `ETag`, as
/// upstream's files have. The `ETag` of a larger one comes from its inode, size and time.
const WHOLE_FILE_SIZE: u64 = 1 << 20;
/// How often a path is looked up anew when something is renamed meanwhile.
const LOOKUPS: usize = 8;

/// A directory that is served.
#[derive(Debug)]
pub struct Files {
    dir: Dir,
    audience: Audience,
}

/// Which files are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Those that every user of the machine may read.
    Everybody,
    /// Those that this process may read.
    Process,
}

impl Files {
    /// Opens a directory.
    ///
    /// # Errors
    /// When it is not there or is no directory.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { dir: Dir::open(path)?, audience: Audience::Everybody })
    }

    /// Those of an open directory.
    #[cfg(feature = "serve")]
    pub(crate) fn of(dir: Dir, audience: Audience) -> Self {
        Self { dir, audience }
    }

    /// The answer with one file; `None` when there is none at the path, which is decoded and
    /// relative. A directory is none.
    #[cfg(feature = "serve")]
    pub(crate) fn find(&self, path: &[u8], request: &Received) -> Option<Answer> {
        match self.file(path, request) {
            Ok(answer) => Some(answer),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ISDIR) => None,
            Err(error) => Some(Answer::new(status(error))),
        }
    }

    /// Whether the directory has been removed.
    pub fn is_removed(&self) -> bool {
        rustix::fs::fstat(&self.dir).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// The answer to a request: a file with its ranges, `index.html` of a directory or a list of
    /// its names, or a status for what is not there.
    pub fn answer(&self, request: &Received) -> Answer {
        match request.method {
            Method::Get | Method::Head => {}
            Method::Other => return Answer::new(501),
        }
        self.at(&request.path, request)
    }

    fn at(&self, path: &[u8], request: &Received) -> Answer {
        let relative = without_slashes(path);
        let found = match self.open_beneath(relative, OFlags::PATH) {
            Ok(found) => found,
            Err(error) => return Answer::new(status(error)),
        };
        let Ok(stat) = rustix::fs::fstat(&found) else { return Answer::new(500) };
        match FileType::from_raw_mode(stat.st_mode) {
            _ if !self.may_serve(&stat) => Answer::new(403),
            FileType::Directory if relative.ends_with(b"/") => self.directory(relative, request),
            FileType::Directory => redirect(path, request),
            _ => self.file(relative, request).unwrap_or_else(|error| Answer::new(status(error))),
        }
    }

    fn directory(&self, path: &[u8], request: &Received) -> Answer {
        let index = [path, b"index.html"].concat();
        if self.open_beneath(&index, OFlags::PATH).is_ok() {
            return self.at(&index, request);
        }
        let listed = self.open_beneath(path, OFlags::RDONLY | OFlags::DIRECTORY);
        match listed.and_then(dir::names) {
            Ok(mut names) => {
                names.sort_unstable();
                let names: Vec<&OsStr> = names.iter().map(AsRef::as_ref).collect();
                let page = list(path, &names).into_bytes();
                Answer::new(200).with("content-type", "text/html").with_body(page)
            }
            Err(error) => Answer::new(status(error)),
        }
    }

    fn file(&self, path: &[u8], request: &Received) -> Result<Answer, Errno> {
        // A pipe that has taken the place of a file must not make the server wait.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = self.open_beneath(path, flags)?;
        let stat = rustix::fs::fstat(&file)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || !self.may_serve(&stat) {
            return Err(Errno::ACCESS);
        }
        let size = u64::try_from(stat.st_size).map_err(|_| Errno::IO)?;
        if size > WHOLE_FILE_SIZE {
            let etag = format!(
                "\"{:x}-{size:x}-{:x}.{:x}\"",
                stat.st_ino, stat.st_mtime, stat.st_mtime_nsec
            );
            let file = Arc::new(file);
            let part = |range| Part::File(Arc::clone(&file), range);
            return Ok(content(request, &State::new(etag, stat.st_mtime), size, part));
        }
        let mut bytes = Vec::new();
        file.take(WHOLE_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(|_| Errno::IO)?;
        let etag = format!("\"{}\"", Checksum::of(&bytes));
        let (bytes, size): (Arc<[u8]>, u64) = (bytes.as_slice().into(), bytes.len() as u64);
        let part = |range| Part::Bytes(Arc::clone(&bytes), range);
        Ok(content(request, &State::new(etag, stat.st_mtime), size, part))
    }

    fn may_serve(&self, stat: &Stat) -> bool {
        self.audience == Audience::Process || is_public(stat)
    }

    /// Opens what is at a path; links are followed as far as they stay below the directory.
    fn open_beneath(&self, path: &[u8], flags: OFlags) -> Result<File, Errno> {
        let (path, flags) = (OsStr::from_bytes(path), flags | OFlags::CLOEXEC);
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..LOOKUPS {
            match rustix::fs::openat2(self.dir.as_fd(), path, flags, Mode::empty(), resolve) {
                Ok(file) => return Ok(file.into()),
                Err(Errno::AGAIN) => {}
                // Old kernels do not know the call, and filters may forbid it.
                Err(Errno::NOSYS | Errno::PERM) => break,
                Err(error) => return Err(error),
            }
        }
        // Without it no link is followed.
        dir::open(&self.dir, path, flags, Mode::empty())
    }
}

fn without_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
    &path[start..]
}

/// The status for what cannot be opened, as upstream gives it; for what leads out, `Forbidden`.
fn status(error: Errno) -> u16 {
    match error {
        Errno::NOENT | Errno::INVAL | Errno::NAMETOOLONG => 404,
        Errno::ACCESS | Errno::PERM | Errno::XDEV | Errno::LOOP => 403,
        _ => 500,
    }
}

/// Whether it is a file that every user may read, or a directory that every user may list.
fn is_public(stat: &Stat) -> bool {
    let wanted = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => 0o004,
        FileType::Directory => 0o005,
        _ => return false,
    };
    stat.st_mode & wanted == wanted
}

/// Sends a client to the same path with a slash at its end.
fn redirect(path: &[u8], request: &Received) -> Answer {
    use percent_encoding::{NON_ALPHANUMERIC, percent_encode};

    const ESCAPED: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    // Two slashes in front would name a host.
    let path = percent_encode(without_slashes(path), ESCAPED);
    let location = match &request.host {
        Some(host) => format!("http://{host}/{path}/"),
        None => format!("/{path}/"),
    };
    Answer::new(301).with("location", location)
}

/// The answer with this content, or with what the client wants of it.
fn content(
    request: &Received,
    state: &State,
    size: u64,
    part: impl Fn(Range<u64>) -> Part,
) -> Answer {
    let answer = |status| {
        let answer = Answer::new(status).with("etag", &state.etag);
        match state.last_modified() {
            Some(date) => answer.with("last-modified", date),
            None => answer,
        }
    };
    if state.is_known(request) {
        return answer(304);
    }
    let wanted = match request.header("range") {
        Some(header) if request.method == Method::Get && state.may_be_split(request) => {
            wanted(header, size)
        }
        _ => Wanted::Everything,
    };
    match wanted {
        Wanted::Everything => Answer { body: vec![part(0..size)], ..answer(200) },
        Wanted::Nothing => answer(416).with("content-range", format!("bytes */{size}")),
        Wanted::Parts(ranges) => match ranges.as_slice() {
            [range] => Answer { body: vec![part(range.clone())], ..answer(206) }
                .with("content-range", content_range(range, size)),
            ranges => {
                let boundary = Checksum::of(format!("{} {size} {ranges:?}", state.etag).as_bytes());
                let kind = format!("multipart/byteranges; boundary={boundary}");
                let bytes = |text: String| {
                    let bytes: Arc<[u8]> = text.into_bytes().into();
                    let length = bytes.len() as u64;
                    Part::Bytes(bytes, 0..length)
                };
                let mut body = Vec::new();
                let mut separator = "";
                for range in ranges {
                    let described = content_range(range, size);
                    body.push(bytes(format!(
                        "{separator}--{boundary}\r\nContent-Range: {described}\r\n\r\n"
                    )));
                    body.push(part(range.clone()));
                    separator = "\r\n";
                }
                body.push(bytes(format!("\r\n--{boundary}--\r\n")));
                Answer { body, ..answer(206) }.with("content-type", kind)
            }
        },
    }
}

/// The answer with this file, or with what the client wants of it.
#[cfg(feature = "serve")]
pub(crate) fn whole(request: &Received, etag: String, file: File, size: u64) -> Answer {
    let file = Arc::new(file);
    let part = |range| Part::File(Arc::clone(&file), range);
    content(request, &State { etag, modified: None }, size, part)
}

/// The answer with these bytes, or with what the client wants of them.
#[cfg(feature = "serve")]
pub(crate) fn bytes(request: &Received, etag: String, bytes: Vec<u8>) -> Answer {
    let size = bytes.len() as u64;
    let bytes: Arc<[u8]> = bytes.into();
    let part = |range| Part::Bytes(Arc::clone(&bytes), range);
    content(request, &State { etag, modified: None }, size, part)
}

/// Whether the client has the content with this `ETag` already.
#[cfg(feature = "serve")]
pub(crate) fn is_known(request: &Received, etag: &str) -> bool {
    State { etag: etag.to_owned(), modified: None }.is_known(request)
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

/// The page that lists a directory, as upstream writes it: its title lacks the first component.
fn list(path: &[u8], names: &[&OsStr]) -> String {
    let slash = path.iter().position(|byte| *byte == b'/').unwrap_or(0);
    let title = escape(&String::from_utf8_lossy(&path[slash..]));
    let mut lines = vec![
        "<html>".to_owned(),
        format!("<head><title>Index of {title}</title></head>"),
        format!("<body><h1>Index of {title}</h1>"),
        "<p>".to_owned(),
    ];
    for name in names {
        let name = name.to_string_lossy();
        // Upstream leaves these as they are, and then the link leads elsewhere.
        let mut reference = String::new();
        for character in name.chars() {
            match character {
                '%' | '?' | '#' | ':' => {
                    let _ = write!(reference, "%{:02X}", u32::from(character));
                }
                _ => reference.push(character),
            }
        }
        lines.push(format!("<a href=\"{}\">{}</a><br>", escape(&reference), escape(&name)));
    }
    lines.extend(["</body>".to_owned(), "</html>".to_owned(), String::new()]);
    lines.join("\r\n")
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => escaped.push(character),
            character if character.is_control() => {
                let _ = write!(escaped, "&#x{:x};", u32::from(character));
            }
            character => escaped.push(character),
        }
    }
    escaped
}
