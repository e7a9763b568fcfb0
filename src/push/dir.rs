//! A directory of this machine as a destination.
//!
//! Objects go through transactions: they are staged, made durable, and then moved into place, and
//! what a killed push has staged is found by the next one. Refs and the summary are replaced under
//! the lock of summaries, which keeps other writers of the summary away, too. Prunes wait as long
//! as a push goes on.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

use super::destination::{
    Batch, Conditions, Destination, Expected, Hold, Item, Put, Stored, Version,
};
use super::there::CONFIG;
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{Context, During, Error, Result};
use crate::input;
use crate::keyfile::{KeyFile, text_of};
use crate::object::{ObjectName, ObjectType};
use crate::refspec::RefName;
use crate::repo::{Config, ListRefs, LockKind, OpenOptions, Repo, RepoMode, Transaction, Trust};
use crate::summary::store;
use crate::threads;

/// The directories of refs.
const REFS: &str = "refs/heads/";
/// What else may be written by a name: files that are replaced as a whole.
const OTHERS: [&str; 5] = ["summary", "summary.sig", "config", "deltas/", "delta-indexes/"];
const DIRECTORY_MODE: u32 = 0o777;

/// An archive in a directory, which is created when the first file is written.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    name: String,
    options: OpenOptions,
    trust: Trust,
    repo: OnceLock<Repo>,
}

impl Directory {
    /// A directory in which a repository is or will be. Unless they are trusted, objects are
    /// verified on arrival.
    ///
    /// # Errors
    /// When there is something else.
    pub fn new(path: &Path, options: &OpenOptions, trust: Trust) -> Result<Self> {
        let directory = Self {
            path: path.to_owned(),
            name: path.display().to_string(),
            options: options.clone(),
            trust,
            repo: OnceLock::new(),
        };
        if path.join("objects").is_dir() || path.join(CONFIG).is_file() {
            directory.open()?;
        } else if is_foreign(path) {
            return Err(Error::failed(format!(
                "{} is not empty and no repository",
                path.display()
            )));
        }
        Ok(directory)
    }

    fn open(&self) -> Result<&Repo> {
        if let Some(repo) = self.repo.get() {
            return Ok(repo);
        }
        let repo = Repo::create_with(&self.path, RepoMode::Archive, None, &self.options)?;
        repo.refuse_links()?;
        Ok(self.repo.get_or_init(|| repo))
    }

    /// The repository, if there is one yet.
    pub(super) fn found(&self) -> Option<&Repo> {
        self.repo.get()
    }

    pub(super) fn repo(&self) -> Result<&Repo> {
        self.found()
            .ok_or_else(|| Error::failed(format!("{} is no repository yet", self.path.display())))
    }

    /// Makes the repository, as its config says.
    fn create(&self, config: &[u8]) -> Result<Put> {
        if self.repo.get().is_some() {
            return Ok(Put::Lost);
        }
        let malformed = |source| Error::Malformed { what: CONFIG.to_owned(), source };
        let keyfile = text_of(config).and_then(KeyFile::parse).map_err(malformed)?;
        let settings = Config::from_keyfile(keyfile)?;
        let collection = settings.collection_id.as_ref();
        let options = &self.options;
        let repo = Repo::create_with(&self.path, RepoMode::Archive, collection, options)?;
        repo.refuse_links()?;
        // Whoever else makes it at the same time writes the same.
        repo.replace_file(Path::new(CONFIG), config)?;
        drop(repo);
        self.open()?;
        Ok(Put::Done)
    }

    fn read_one(&self, name: &str, limit: u64) -> Result<Option<Stored>> {
        let Some(repo) = self.repo.get() else { return Ok(None) };
        let read = match name.strip_prefix(REFS) {
            // It may be an alias, which is a link.
            Some(name) => {
                let commit = repo.read_local_ref(&RefName::parse(name)?)?;
                Ok(commit.map(|commit| format!("{commit}\n").into_bytes()))
            }
            None => read_file(repo, check(name)?, limit),
        };
        let read = read.during("reading", self.path.join(name))?;
        let version = |bytes: &[u8]| Version(Checksum::of(bytes).to_hex());
        Ok(read.map(|bytes| Stored { version: version(&bytes), bytes }))
    }

    fn write(&self, repo: &Repo, name: &str, bytes: &[u8]) -> Result<()> {
        if let Some(name) = name.strip_prefix(REFS) {
            let text = String::from_utf8_lossy(bytes);
            let commit = Checksum::from_hex(text.trim_end())?;
            return repo.set_ref_immediate(None, &RefName::parse(name)?, Some(&commit));
        }
        let path = Path::new(check(name)?);
        make_directory(repo, path)?;
        repo.replace_file(path, bytes)?;
        sync(repo, path.parent())
    }

    /// Stores an object as part of a transaction; returns its bytes.
    ///
    /// # Errors
    /// When it cannot be read or written; unless it is trusted, also when it does not match its
    /// name.
    pub(super) fn store_object(
        &self,
        transaction: &Transaction<'_>,
        name: &ObjectName,
        body: &mut dyn Read,
    ) -> Result<u64> {
        let during = || format!("storing {name}");
        if name.object_type == ObjectType::File {
            let counted = &mut Counted { body, bytes: 0 };
            let filez = transaction.receive_filez(name, counted).context(during)?;
            if self.trust == Trust::Untrusted {
                filez.open()?.verify()?;
            }
            filez.place(0)?;
            return Ok(counted.bytes);
        }
        let mut bytes = Vec::new();
        let limit = crate::repo::MAX_METADATA_SIZE;
        let read = body.take(limit + 1).read_to_end(&mut bytes);
        read.during("reading", name.to_string())?;
        if bytes.len() as u64 > limit {
            return Err(Error::failed(format!("{name} has more than {limit} bytes")));
        }
        let trust = match name.object_type {
            ObjectType::CommitMeta => Trust::Trusted,
            _ => self.trust,
        };
        transaction.write_metadata_as(name, &bytes, trust)?;
        Ok(bytes.len() as u64)
    }

    fn upload_objects(&self, repo: &Repo, batch: &Batch<'_>) -> Result<()> {
        let transaction = Transaction::begin(repo)?;
        let stored = threads::run(|| {
            threads::for_each_in_order(batch.items, |item| {
                let Item::Object(name) = item else { return Ok(()) };
                // Detached metadata may have changed.
                let is_there =
                    name.object_type != ObjectType::CommitMeta && transaction.was_present(name)?;
                let bytes = match is_there {
                    true => 0,
                    false => self.store_object(&transaction, name, &mut (batch.load)(item)?)?,
                };
                (batch.done)(item, bytes);
                Ok(())
            })
        });
        match stored {
            Ok(()) => transaction.commit().map(drop),
            Err(error) => {
                transaction.abort(Some(&error));
                Err(error)
            }
        }
    }

    /// Writes a file that is replaced as a whole; returns its bytes.
    ///
    /// # Errors
    /// When it cannot be read or written, or is none of a repository.
    pub(super) fn upload_file(&self, repo: &Repo, path: &str, body: &mut dyn Read) -> Result<u64> {
        let path = Path::new(check(path)?);
        make_directory(repo, path)?;
        let mut replacement = repo.start_replacement()?;
        let copied = io::copy(body, &mut replacement.file).and_then(|copied| {
            rustix::fs::fchmod(&replacement.file, Mode::from_raw_mode(0o644))?;
            if repo.config().fsync {
                replacement.file.sync_data()?;
            }
            Ok(copied)
        });
        let copied = copied.during("writing", self.path.join(path))?;
        replacement.place(path).during("moving to", self.path.join(path))?;
        sync(repo, path.parent())?;
        Ok(copied)
    }
}

impl Destination for Directory {
    fn name(&self) -> &str {
        &self.name
    }

    fn list_refs(&self) -> Result<Vec<RefName>> {
        let Some(repo) = self.repo.get() else { return Ok(Vec::new()) };
        let names = repo.list_ref_names(None, ListRefs::Full)?.into_iter();
        Ok(names.filter(|name| name.remote.is_none()).map(|name| name.name).collect())
    }

    fn list_objects(&self, found: &mut dyn FnMut(ObjectName)) -> Result<()> {
        let Some(repo) = self.repo.get() else { return Ok(()) };
        repo.list_objects()?.into_iter().for_each(found);
        Ok(())
    }

    fn read(&self, names: &[String], limit: u64) -> Result<Vec<Option<Stored>>> {
        names.iter().map(|name| self.read_one(name, limit)).collect()
    }

    fn upload(&self, batch: &Batch<'_>) -> Result<()> {
        let repo = self.repo()?;
        self.upload_objects(repo, batch)?;
        for item in batch.items {
            if let Item::Delta(path) = item {
                let bytes = self.upload_file(repo, path, &mut (batch.load)(item)?)?;
                (batch.done)(item, bytes);
            }
        }
        Ok(())
    }

    fn put_if(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Put> {
        if name == CONFIG {
            return self.create(bytes);
        }
        let repo = self.repo()?;
        let _lock = store::lock(repo)?;
        let there = self.read_one(name, store::MAX_SUMMARY_SIZE)?;
        if *expected != Expected::Anything && *expected != Expected::as_read(there.as_ref()) {
            return Ok(Put::Lost);
        }
        self.write(repo, name, bytes)?;
        Ok(Put::Done)
    }

    fn probe(&self, _: &str, _: &Stored) -> Result<Conditions> {
        Ok(Conditions::Honoured)
    }

    fn hold(&self) -> Result<Hold<'_>> {
        Ok(Hold { _lock: Some(self.repo()?.lock(LockKind::Shared)?) })
    }
}

/// Whether there is a directory with anything but the beginnings of a repository.
fn is_foreign(path: &Path) -> bool {
    const BEGINNINGS: [&str; 6] = [".config-new", CONFIG, "tmp", "extensions", "state", "refs"];
    let Ok(names) = dir::Dir::open(path).and_then(dir::names) else { return false };
    names.iter().any(|name| BEGINNINGS.iter().all(|known| name != known))
}

/// Refuses names that are none of a repository's: they may come from another machine.
fn check(name: &str) -> Result<&str> {
    let is_known = OTHERS.iter().any(|other| match other.strip_suffix('/') {
        Some(directory) => name.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/')),
        None => name == *other,
    }) || name.starts_with("objects/");
    let is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains('\0');
    match is_known && name.split('/').all(is_plain) {
        true => Ok(name),
        false => {
            Err(Error::failed(format!("'{}' is no file of a repository", input::quotable(name))))
        }
    }
}

fn read_file(repo: &Repo, name: &str, limit: u64) -> io::Result<Option<Vec<u8>>> {
    use rustix::io::Errno;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = match dir::open(repo.dir(), name, flags, Mode::empty()) {
        Ok(file) => input::require_regular(file)?,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= limit {
        true => Ok(Some(bytes)),
        false => Err(io::Error::other(format!("larger than {limit} bytes"))),
    }
}

fn make_directory(repo: &Repo, path: &Path) -> Result<()> {
    let Some(directory) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) else {
        return Ok(());
    };
    let made = dir::make_dirs(repo.dir(), directory, DIRECTORY_MODE).map(drop);
    made.during("creating", repo.path().join(directory))
}

/// Makes the names in a directory durable, and its own.
fn sync(repo: &Repo, directory: Option<&Path>) -> Result<()> {
    if !repo.config().fsync {
        return Ok(());
    }
    for directory in directory.into_iter().flat_map(Path::ancestors) {
        let path = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let synced = dir::Dir::beneath(repo.dir(), path).and_then(|dir| rustix::fs::fsync(&dir));
        synced.during("syncing", repo.path().join(directory))?;
    }
    Ok(())
}

/// Counts the bytes that are read.
struct Counted<'b> {
    body: &'b mut dyn Read,
    bytes: u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.body.read(buffer)?;
        self.bytes += length as u64;
        Ok(length)
    }
}
