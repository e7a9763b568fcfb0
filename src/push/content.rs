//! What is sent of an object: files as `.filez`, whatever mode the repository has, and everything
//! else as it is. All of it is verified first, or while it is read.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::destination::{Body, Item};
use crate::checksum::{Checksum, Hasher};
use crate::deflate::{Deflater, Settings};
use crate::dir;
use crate::error::{During, Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{FileObject, Repo, RepoMode};

/// How much of a file is compressed at a time, in bytes.
const CHUNK: usize = 128 << 10;

/// Opens what an item will hold.
///
/// # Errors
/// When it is missing, or (as far as that shows already) is not what its name says.
pub(super) fn load(repo: &Repo, item: &Item) -> Result<Body> {
    match item {
        Item::Object(name) => load_object(repo, name),
        Item::Delta(path) => Ok(Box::new(open(repo, path)?)),
    }
}

/// The number of bytes that the repository itself has of an item.
///
/// # Errors
/// When it is missing.
pub(super) fn stored_size(repo: &Repo, item: &Item) -> Result<u64> {
    match item {
        Item::Object(name) => repo.stored_size(name),
        Item::Delta(path) => {
            let stat = dir::stat(repo.dir(), path).during("examining", repo.path().join(path))?;
            Ok(u64::try_from(stat.st_size).unwrap_or(0))
        }
    }
}

fn open(repo: &Repo, path: &str) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let opened = dir::open(repo.dir(), path, flags, Mode::empty()).map_err(io::Error::from);
    opened.and_then(crate::input::require_regular).during("opening", repo.path().join(path))
}

fn load_object(repo: &Repo, name: &ObjectName) -> Result<Body> {
    match name.object_type {
        ObjectType::File => load_file(repo, name),
        // It is named after its commit.
        ObjectType::CommitMeta => Ok(Box::new(Cursor::new(repo.load_metadata(name)?.to_vec()))),
        _ => Ok(Box::new(Cursor::new(repo.load_verified(name)?.to_vec()))),
    }
}

fn load_file(repo: &Repo, name: &ObjectName) -> Result<Body> {
    if let Some(filez) = filez(repo, name)? {
        repo.load_file(&name.checksum)?.verify()?;
        return Ok(Box::new(filez));
    }
    let object = repo.load_file(&name.checksum)?;
    let settings = Settings { encoding: repo.config().deflate, level: repo.config().zlib_level };
    Encoding::new(*name, object, settings).map(|encoding| Box::new(encoding) as Body)
}

/// The `.filez` that an archive, or a parent of it that is one, has.
fn filez(repo: &Repo, name: &ObjectName) -> Result<Option<File>> {
    let mut repo = Some(repo);
    while let Some(archive) = repo.filter(|repo| repo.mode() == RepoMode::Archive) {
        if let Some(file) = archive.open_own_object(name)? {
            let path = || archive.path().join(name.to_string());
            return crate::input::require_regular(file).during("opening", path()).map(Some);
        }
        repo = archive.parent();
    }
    Ok(None)
}

/// A file object on its way into a `.filez`. Its last bytes only come if it matches its name.
struct Encoding {
    name: ObjectName,
    /// What is left to read; `None` once the end has been reached.
    content: Option<File>,
    /// How many bytes of it there have to be.
    left: u64,
    hasher: Hasher,
    deflater: Deflater,
    buffer: Vec<u8>,
    packed: Cursor<Vec<u8>>,
}

impl Encoding {
    fn new(name: ObjectName, object: FileObject, settings: Settings) -> Result<Self> {
        let mut hasher = Hasher::new();
        hasher.update(&object.header.content_header());
        let mut deflater = Deflater::new(settings);
        deflater.begin();
        let content = object.plain_file().map(File::try_clone).transpose();
        let encoding = Self {
            name,
            content: content.during("opening", name.to_string())?,
            left: object.size,
            hasher,
            deflater,
            buffer: Vec::new(),
            packed: Cursor::new(object.header.archive_header(object.size)),
        };
        if encoding.content.is_none() {
            encoding.check()?;
        }
        Ok(encoding)
    }

    fn check(&self) -> Result<()> {
        let actual: Checksum = self.hasher.clone().finish();
        match actual == self.name.checksum && self.left == 0 {
            true => Ok(()),
            false => Err(Error::CorruptedObject { object: self.name, actual }),
        }
    }

    /// Compresses more; `false` at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(content) = &mut self.content else { return Ok(false) };
        self.buffer.resize(CHUNK, 0);
        let packed = self.packed.get_mut();
        packed.clear();
        let length = content.read(&mut self.buffer)?;
        if length == 0 {
            self.content = None;
            self.deflater.finish(packed);
            self.check().map_err(|error| io::Error::other(error.chain()))?;
        } else {
            let chunk = &self.buffer[..length];
            // A file that has grown does not match its name either.
            self.left = self
                .left
                .checked_sub(length as u64)
                .ok_or_else(|| io::Error::other(format!("{} is longer than it was", self.name)))?;
            self.hasher.update(chunk);
            self.deflater.push(chunk, packed);
        }
        self.packed.set_position(0);
        Ok(true)
    }
}

impl Read for Encoding {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.packed.read(buffer)?;
            if length > 0 || buffer.is_empty() || !self.advance()? {
                return Ok(length);
            }
        }
    }
}

/// The names of the files of a delta, the superblock last.
///
/// # Errors
/// When its directory cannot be listed.
pub(super) fn delta_files(repo: &Repo, directory: &Path) -> Result<Vec<String>> {
    let during = || repo.path().join(directory);
    let names = dir::Dir::beneath(repo.dir(), directory).and_then(dir::names);
    let names = names.during("listing", during())?;
    let mut files = Vec::new();
    for name in names.iter().filter_map(|name| name.to_str()) {
        let is_part = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
        if is_part || name == "superblock" {
            files.push(directory.join(name).to_string_lossy().into_owned());
        }
    }
    // Digits sort before letters.
    files.sort_unstable();
    Ok(files)
}
