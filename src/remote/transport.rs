//! How the files of a remote come: from web servers, or from a directory of this machine.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use percent_encoding::percent_decode_str;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::dir::{self, Dir};
use crate::error::{During, Result};
use crate::http::{
    Body, Client, Fetch, HttpError, HttpErrorKind, Request, Response, Status, Url, Validators,
};
use crate::input;

/// Where requests go.
#[derive(Debug)]
pub enum Transport {
    /// To web servers.
    Http(Client),
    /// To a directory.
    Directory(Directory),
}

/// A directory whose files are asked for by URLs.
#[derive(Debug)]
pub struct Directory {
    dir: Dir,
    url: Url,
}

/// What is done with an answer.
type Deliver = Box<dyn FnOnce(Result<Response, HttpError>) + Send>;

impl Transport {
    /// Answers from the files of a directory.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn directory(path: &Path) -> Result<(Self, Url)> {
        let dir = Dir::open(path).calling("opendir", path)?;
        let url = Url::of_directory(path);
        Ok((Self::Directory(Directory { dir, url: url.clone() }), url))
    }

    /// Starts a request; `deliver` is called with the answer, for a directory before this returns.
    /// It must not block.
    pub fn submit(&self, request: Request, deliver: Deliver) {
        match self {
            Self::Http(client) => client.submit(request, deliver),
            Self::Directory(directory) => deliver(directory.get(request)),
        }
    }

    /// Ends what is under way, also bodies that are being read. Later requests to servers fail.
    pub fn end(&self) {
        if let Self::Http(client) = self {
            client.end();
        }
    }
}

impl Fetch for Transport {
    fn get(&self, request: Request) -> Result<Response, HttpError> {
        match self {
            Self::Http(client) => client.get(request),
            Self::Directory(directory) => directory.get(request),
        }
    }
}

impl Directory {
    fn get(&self, request: Request) -> Result<Response, HttpError> {
        let Request { url, from, limit, collect, .. } = request;
        let failed = |kind, what: String| HttpError::new(&url, kind, what);
        let base = self.url.path().trim_end_matches('/').len();
        let path = url.path().get(base..).unwrap_or_default().trim_start_matches('/');
        let path = percent_decode_str(path).decode_utf8_lossy();
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let opened = dir::open(&self.dir, path.as_ref(), flags, Mode::empty());
        let mut file: File = match opened {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => {
                let what = "Couldn't read a file:// file".to_owned();
                return Err(failed(HttpErrorKind::Missing, what));
            }
            Err(error) => return Err(failed(HttpErrorKind::Invalid, error.to_string())),
        };
        let broken = |error: std::io::Error| failed(HttpErrorKind::Invalid, error.to_string());
        let metadata = file.metadata().map_err(broken)?;
        file = input::require_regular(file).map_err(broken)?;
        if metadata.len() > limit {
            let what = format!("exceeded maximum size of {limit} bytes");
            return Err(failed(HttpErrorKind::TooLarge, what));
        }
        if from > 0 {
            file.seek(SeekFrom::Start(from)).map_err(broken)?;
        }
        let length = metadata.len().saturating_sub(from);
        let status = if from > 0 { Status::From(from) } else { Status::Whole };
        if length <= collect as u64 {
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes).map_err(broken)?;
            return Ok(Response { status, ..Response::of_bytes(url, bytes) });
        }
        let body = Body::of_reader(&url, file.take(limit));
        let validators = Validators::default();
        Ok(Response { url, status, validators, length: Some(length), http2: false, body })
    }
}
