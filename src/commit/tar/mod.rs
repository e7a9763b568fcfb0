//! Archives, tar and cpio, as sources.
//!
//! One thread reads the archive and collects small files; when there are enough of them, all
//! threads hash and compress them. Hard links wait for the end, as they may come before their
//! target. What the names in an archive mean is in [`names`], how many entries are collected in
//! [`batch`].

mod batch;
mod names;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rayon::prelude::*;
use rustix::fs::FileType;

use super::context::{Ingest, header};
use super::held::Held;
use super::options::TarOptions;
use super::pathname_filter::PathnameFilter;
use super::tree::Tree;
use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::gvariant::table::HashTable;
use crate::object::{
    DirMeta, FileHeader, ObjectType, S_IFDIR, S_IFLNK, S_IFREG, Xattrs, validate_file_name,
};
use crate::progress::Event;
use crate::repo::ContentWriter;
use crate::source::archive::{Archive, Entry, Kind};
use crate::source::{Ownership, Stream};
use batch::{Batch, Collected, Work};
use names::{absolute, relative, shown, split};

/// Files up to this size, in bytes, are collected; larger ones are stored at once.
const MAX_COLLECTED: u64 = 1 << 20;

/// The buffer for the content of large files.
const BUFFER_BYTES: usize = 128 << 10;

/// Overlays an archive onto `tree`; without a path, standard input is read.
pub(super) fn read(
    ingest: &Ingest<'_, '_>,
    path: Option<&Path>,
    options: &TarOptions,
    tree: Tree,
) -> Result<Tree> {
    let names = options.pathname_filter.as_deref().map(PathnameFilter::parse).transpose()?;
    let (mut archive, pipe) = open(path)?;
    let (batch, hard_links) = (Batch::default(), Vec::new());
    let (with_content, held) = (HashSet::new(), Held::default());
    let mut import = Import { ingest, options, names, tree, batch, hard_links, with_content, held };
    while let Some(entry) = archive.next_entry().map_err(in_archive)? {
        import.entry(entry, &mut archive)?;
        import.held.check(&archive)?;
    }
    archive.finish().map_err(in_archive)?;
    pipe.read_to_its_end()?;
    import.finish()
}

/// The pipe or socket that an archive is read from, if any: it is read to its end, so that the
/// writer is not killed by a reader that stops early.
struct Pipe(Option<File>);

impl Pipe {
    fn of(file: BorrowedFd<'_>) -> std::io::Result<Self> {
        let kind = FileType::from_raw_mode(rustix::fs::fstat(file)?.st_mode);
        let is_pipe = matches!(kind, FileType::Fifo | FileType::Socket);
        Ok(Self(if is_pipe { Some(file.try_clone_to_owned()?.into()) } else { None }))
    }

    /// Reads what follows the archive.
    fn read_to_its_end(self) -> Result<()> {
        let Self(Some(mut file)) = self else { return Ok(()) };
        std::io::copy(&mut file, &mut std::io::sink()).map(drop).map_err(in_archive)
    }
}

fn open(path: Option<&Path>) -> Result<(Archive, Pipe)> {
    let Some(path) = path else {
        let opened = || {
            let pipe = Pipe::of(std::io::stdin().as_fd())?;
            Ok((Archive::open(Box::new(std::io::stdin()))?, pipe))
        };
        return opened().map_err(in_archive).context(|| "archive_read_open_fd".to_owned());
    };
    let opened = || -> Result<(Archive, Pipe)> {
        let shown = || std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let file = File::open(path)
            .map_err(|_| Error::failed(format!("Failed to open '{}'", shown().display())))?;
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(Error::failed(format!("Error reading '{}'", shown().display())));
        }
        let pipe = Pipe::of(file.as_fd()).map_err(in_archive)?;
        let stream: Stream = Box::new(file);
        Ok((Archive::open(stream).map_err(in_archive)?, pipe))
    };
    opened().context(|| "archive_read_open_filename".to_owned())
}

/// Errors of the archive use libarchive's wording and need no context.
fn in_archive(error: std::io::Error) -> Error {
    Error::failed(error.to_string())
}

struct Import<'i, 'r, 'o> {
    ingest: &'i Ingest<'i, 'r>,
    options: &'o TarOptions,
    names: Option<PathnameFilter>,
    tree: Tree,
    batch: Batch,
    hard_links: Vec<HardLink>,
    /// The targets of hard links whose content came with one of the links.
    with_content: HashSet<String>,
    held: Held,
}

/// Another name for a file, until the last entry has been read.
struct HardLink {
    path: String,
    target: String,
}

impl Import<'_, '_, '_> {
    fn entry(&mut self, entry: Entry, archive: &mut Archive) -> Result<()> {
        let in_step = |error: Error| match entry.kind {
            Kind::Directory => error_in(error, "ostree-tar: Failed to handle directory"),
            _ => error_in(
                error_in(error, "ostree-tar: Failed to import file"),
                "ostree-tar: Failed to handle file",
            ),
        };
        let path = self.relative_path(&entry.path)?;
        let place = split(&path)?;
        let type_bits = match entry.kind {
            Kind::Directory => S_IFDIR,
            Kind::Symlink { .. } => S_IFLNK,
            _ => S_IFREG,
        };
        let found = Ownership { uid: entry.uid, gid: entry.gid, mode: entry.mode | type_bits };
        let full_path = absolute(&place);
        let Some(recorded) = self.ingest.filter.apply(&full_path, found)? else { return Ok(()) };
        let Some((name, parents)) = place.split_last() else {
            return if entry.kind == Kind::Directory {
                self.tree.dirmeta = Some(self.dirmeta(&full_path, recorded, entry.xattrs)?);
                Ok(())
            } else {
                Err(in_step(Error::failed("Invalid empty filename")))
            };
        };
        self.make_parents(parents, found)?;
        validate_file_name(name).map_err(|error| in_step(Error::failed(error.what)))?;
        match &entry.kind {
            Kind::Special => {
                Err(Error::failed(format!("Unsupported file type for path \"{path}\"")))
            }
            Kind::Directory => {
                let dirmeta = self.dirmeta(&full_path, recorded, entry.xattrs)?;
                let repo = self.ingest.transaction.repo();
                let parent = descend(&mut self.tree, repo, parents)?;
                if !parent.has_directory(name) {
                    self.held.directory(name);
                }
                let directory = parent.directory(repo, name).map_err(in_step)?;
                directory.dirmeta = Some(dirmeta);
                Ok(())
            }
            Kind::HardLink { target, size } => {
                let target = self.relative_path(target)?;
                // The first of the later names that brings content decides about the content of all
                // of them.
                let brings_content = *size > 0 && self.with_content.insert(target.clone());
                self.held.link(&path, &target);
                self.hard_links.push(HardLink { path, target: target.clone() });
                if !brings_content {
                    return Ok(());
                }
                let xattrs = self.xattrs(&full_path, recorded, entry.xattrs)?;
                self.regular(target, header(recorded, xattrs, String::new()), *size, archive)
            }
            Kind::Symlink { target } => {
                let invalid = |what: &str| {
                    in_step(Error::failed(format!("{what} in target of symbolic link {path}")))
                };
                // Upstream's text ends where there is a NUL.
                let target = target.split(|&byte| byte == 0).next().unwrap_or_default();
                let target =
                    String::from_utf8(target.to_vec()).map_err(|_| invalid("Invalid UTF-8"))?;
                if target.is_empty() {
                    return Err(invalid("Invalid empty text"));
                }
                let xattrs = self.xattrs(&full_path, recorded, entry.xattrs)?;
                self.collect(path, Work::Held(header(recorded, xattrs, target), Vec::new()))
            }
            Kind::Regular { size } => {
                let xattrs = self.xattrs(&full_path, recorded, entry.xattrs)?;
                self.regular(path, header(recorded, xattrs, String::new()), *size, archive)
            }
        }
    }

    /// Reads the content of the current entry as that of the file at `path`.
    fn regular(
        &mut self,
        path: String,
        header: FileHeader,
        size: u64,
        archive: &mut Archive,
    ) -> Result<()> {
        let work = if size > MAX_COLLECTED {
            Work::Stored(self.store(header, size, archive)?)
        } else {
            let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
            Content(archive).read_to_end(&mut content).map_err(in_archive)?;
            Work::Held(header, content)
        };
        self.collect(path, work)
    }

    /// The name in the tree: made relative, and after the pathname filter.
    fn relative_path(&self, raw: &[u8]) -> Result<String> {
        let raw = relative(raw);
        let path = String::from_utf8(raw.to_vec()).map_err(|_| {
            let name = String::from_utf8_lossy(raw);
            let error = Error::failed(format!("Invalid UTF-8 in filename {}", shown(&name)));
            error_in(
                error_in(error, "ostree-tar: Failed to import file"),
                "ostree-tar: Failed to handle file",
            )
        })?;
        if let Err(error) = split(&path) {
            return Err(Error::failed(format!(
                "While making relative path \"{}\":{error}",
                shown(&path)
            )));
        }
        match &self.names {
            None => Ok(path),
            Some(names) => names.apply(&path),
        }
    }

    fn xattrs(
        &self,
        path: &str,
        recorded: Ownership,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Xattrs> {
        let xattrs = self
            .ingest
            .xattrs(|| Xattrs::from_pairs(xattrs).map_err(|error| Error::failed(error.what)))?;
        self.ingest.labelled(path, recorded.mode, xattrs)
    }

    fn dirmeta(
        &self,
        path: &str,
        recorded: Ownership,
        xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    ) -> Result<Checksum> {
        let xattrs = self.xattrs(path, recorded, xattrs)?;
        let dirmeta = DirMeta { uid: recorded.uid, gid: recorded.gid, mode: recorded.mode, xattrs };
        self.ingest.transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())
    }

    /// Requires the directories above an entry, or makes them with its owner; the filter does not
    /// apply to these.
    fn make_parents(&mut self, parents: &[&str], found: Ownership) -> Result<()> {
        let made = Ownership { mode: S_IFDIR | 0o755, ..found };
        if self.options.autocreate_parents && self.tree.dirmeta.is_none() {
            self.tree.dirmeta = Some(autocreated(self.ingest, "/", made)?);
        }
        let repo = self.ingest.transaction.repo();
        let mut missing = None;
        let mut tree = &mut self.tree;
        for (depth, name) in parents.iter().enumerate() {
            if !tree.has_directory(name) {
                missing = Some(depth);
                break;
            }
            tree = tree.directory(repo, name)?;
        }
        let Some(depth) = missing else { return Ok(()) };
        let (_, missing) = parents.split_at(depth);
        if let (false, Some(name)) = (self.options.autocreate_parents, missing.first()) {
            return Err(Error::failed(format!("No such file or directory: {name}")));
        }
        for (length, name) in (depth + 1..).zip(missing) {
            tree = tree.directory(repo, name)?;
            self.held.directory(name);
            let path = absolute(parents.get(..length).unwrap_or(parents));
            tree.dirmeta = Some(autocreated(self.ingest, &path, made)?);
        }
        Ok(())
    }

    /// Stores a large file as it comes.
    fn store(&self, header: FileHeader, size: u64, archive: &mut Archive) -> Result<Checksum> {
        let mut writer = ContentWriter::begin(self.ingest.transaction, header, size)?;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match archive.read_content(&mut buffer).map_err(in_archive)? {
                0 => return writer.finish(),
                count => writer.write(buffer.get(..count).unwrap_or_default())?,
            }
        }
    }

    fn collect(&mut self, path: String, work: Work) -> Result<()> {
        self.batch.push(Collected { path, work });
        if self.batch.is_full() { self.flush() } else { Ok(()) }
    }

    /// Stores what has been collected, and puts it in the tree in the order of the archive.
    fn flush(&mut self) -> Result<()> {
        let ingest = self.ingest;
        let store = |Collected { path, work }| {
            let (checksum, bytes) = match work {
                Work::Stored(checksum) => (checksum, 0),
                Work::Held(header, content) => {
                    (ingest.transaction.write_bytes(&header, &content)?, content.len() as u64)
                }
            };
            ingest.progress.event(Event::Advanced { steps: 1, bytes });
            Ok((path, checksum))
        };
        // All are waited for, so that the same error is always reported if there are several.
        let stored: Vec<Result<(String, Checksum)>> =
            self.batch.take().into_par_iter().map(store).collect();
        for result in stored {
            let (path, checksum) = result?;
            self.put(&path, checksum).map_err(|error| {
                error_in(
                    error_in(error, "ostree-tar: Failed to import file"),
                    "ostree-tar: Failed to handle file",
                )
            })?;
        }
        Ok(())
    }

    fn put(&mut self, path: &str, checksum: Checksum) -> Result<()> {
        let place = split(path)?;
        let Some((name, parents)) = place.split_last() else { return Ok(()) };
        let directory = descend(&mut self.tree, self.ingest.transaction.repo(), parents)?;
        if directory.file(name).is_none() {
            self.held.file(name);
        }
        directory.add_file(name, checksum)
    }

    fn finish(mut self) -> Result<Tree> {
        self.flush()?;
        // Upstream keeps the links in a hash table by target, and the order matters where a target
        // is a link itself.
        let mut order = HashTable::new();
        let mut by_target: HashMap<String, Vec<String>> = HashMap::new();
        for HardLink { path, target } in std::mem::take(&mut self.hard_links) {
            order.insert(target.clone(), ());
            by_target.entry(target).or_default().push(path);
        }
        for (target, ()) in order.iter() {
            let paths = by_target.remove(target).unwrap_or_default();
            self.link(target, &paths)
                .context(|| format!("ostree-tar: Processing deferred hardlink {target}"))?;
        }
        if self.options.autocreate_parents && self.tree.dirmeta.is_none() {
            let made = Ownership { uid: 0, gid: 0, mode: S_IFDIR | 0o755 };
            self.tree.dirmeta = Some(autocreated(self.ingest, "/", made)?);
        }
        Ok(self.tree)
    }

    fn link(&mut self, target: &str, paths: &[String]) -> Result<()> {
        let file = self.find(target).map_err(|error| error_in(error, "Failed to find object"))?;
        for path in paths {
            self.put(path, file).map_err(|error| error_in(error, "Failed to replace file"))?;
        }
        Ok(())
    }

    /// The file that a hard link names.
    fn find(&mut self, target: &str) -> Result<Checksum> {
        let is_directory = || {
            Error::failed(format!(
                "Expected hardlink file target at \"{target}\" but found a directory"
            ))
        };
        let place = split(target)?;
        let Some((name, parents)) = place.split_last() else { return Err(is_directory()) };
        let repo = self.ingest.transaction.repo();
        let mut tree = &mut self.tree;
        for parent in parents {
            if !tree.has_directory(parent) {
                return Err(Error::failed(format!("No such file or directory: {parent}")));
            }
            tree = tree.directory(repo, parent)?;
        }
        match tree.file(name) {
            Some(file) => Ok(*file),
            None if tree.has_directory(name) => Err(is_directory()),
            None => Err(Error::failed(format!("No such file or directory: {name}"))),
        }
    }
}

/// The content of the current entry.
struct Content<'a>(&'a mut Archive);

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read_content(buffer)
    }
}

fn autocreated(ingest: &Ingest<'_, '_>, path: &str, made: Ownership) -> Result<Checksum> {
    let xattrs = ingest.labelled(path, made.mode, Xattrs::new())?;
    let dirmeta = DirMeta { uid: made.uid, gid: made.gid, mode: made.mode, xattrs };
    ingest.transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())
}

fn error_in(error: Error, what: &str) -> Error {
    Error::During { what: what.to_owned(), source: Box::new(error) }
}

/// The directory at a path that is known to exist.
fn descend<'t>(
    tree: &'t mut Tree,
    repo: &crate::repo::Repo,
    parents: &[&str],
) -> Result<&'t mut Tree> {
    parents.iter().try_fold(tree, |tree, name| tree.directory(repo, name))
}
