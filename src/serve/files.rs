//! The files of the repository that pulls fetch, as an archive has them whatever its mode is.

use std::io::Cursor;
use std::io::Read as _;

use flate2::Compression;
use flate2::read::DeflateEncoder;

use super::published::Published;
use crate::checksum::Checksum;
use crate::dir::Dir;
use crate::error::{During as _, Error, Result};
use crate::http::server::{self, Answer, Audience, Files, Received};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{FileObject, FileReader, Repo, RepoMode, loose_path};

/// Files of a repository.
#[derive(Debug)]
pub(super) struct RepoFiles {
    files: Files,
}

/// For what is named by its content.
pub(super) const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// For everything else: it may be kept, and is asked for anew each time.
pub(super) const ASK: &str = "no-cache";

impl RepoFiles {
    pub(super) fn open(repo: &Repo) -> Result<Self> {
        let dir = Dir::beneath(repo.dir(), ".").calling("opendir", repo.path())?;
        Ok(Self { files: Files::of(dir, Audience::Process) })
    }

    /// The answer with a file; `None` if there is no such file.
    pub(super) fn answer(
        &self,
        repo: &Repo,
        published: &Published,
        request: &Received,
    ) -> Result<Option<Answer>> {
        let found = match published {
            Published::Config => {
                let config = config(repo).into_bytes();
                let etag = format!("\"{}\"", Checksum::of(&config));
                Some(server::bytes(request, etag, config))
            }
            Published::File(path) => self.files.find(path.as_bytes(), request),
            Published::Object(name) => self.object(repo, name, request)?,
        };
        let cache = if published.is_immutable() { FOR_EVER } else { ASK };
        Ok(found.map(|answer| {
            let is_good = answer.status < 400;
            let answer = answer.with("cache-control", if is_good { cache } else { "no-store" });
            answer.or_with("content-type", "application/octet-stream")
        }))
    }

    fn object(&self, repo: &Repo, name: &ObjectName, request: &Received) -> Result<Option<Answer>> {
        let is_stored = repo.mode() == RepoMode::Archive || name.object_type != ObjectType::File;
        if is_stored {
            let path = format!("objects/{}", loose_path(name, repo.mode()));
            if let Some(answer) = self.files.find(path.as_bytes(), request) {
                return Ok(Some(answer));
            }
        }
        match repo.parent() {
            _ if !is_stored => {}
            // What a parent has is part of the repository.
            Some(parent) if name.object_type != ObjectType::CommitMeta => {
                if !parent.has_object(name)? {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
        if name.object_type == ObjectType::File {
            return match repo.load_file(&name.checksum) {
                Ok(object) => Ok(Some(compressed(object, request))),
                Err(Error::MissingFile { .. }) => Ok(None),
                Err(error) => Err(error),
            };
        }
        let bytes = repo.load_metadata(name)?.to_vec();
        Ok(Some(server::bytes(request, format!("\"{}\"", name.checksum), bytes)))
    }
}

/// The `config` that pulls need. That of the repository may have secrets of its remotes.
fn config(repo: &Repo) -> String {
    let config = repo.config();
    let mut text = "[core]\nrepo_version=1\nmode=archive-z2\n".to_owned();
    if let Some(id) = &config.collection_id {
        text.push_str(&format!("collection-id={id}\n"));
    }
    if config.tombstone_commits {
        text.push_str("tombstone-commits=true\n");
    }
    text
}

/// A file object as archives store it. It is compressed as it is sent, so its length is not known
/// before, and its parts cannot be had.
fn compressed(object: FileObject, request: &Received) -> Answer {
    let etag = format!("\"{}.filez\"", object.checksum());
    if server::is_known(request, &etag) {
        return Answer::new(304).with("etag", etag);
    }
    let answer = Answer::new(200).with("etag", etag).with("accept-ranges", "none");
    let header = Cursor::new(object.header.archive_header(object.size));
    if object.header.is_symlink() {
        return answer.with_stream(header, None);
    }
    let content = DeflateEncoder::new(FileReader::new(object), Compression::fast());
    answer.with_stream(header.chain(content), None)
}
