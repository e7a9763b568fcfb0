//! Files and symbolic links -> file objects, several entries of one directory at a time.
//!
//! Each entry is identified (does the stat cache or a checkout know its object?), described (what
//! header its object has) and stored. Small content is held in a buffer of the thread until the
//! last entry has been read, because hashing two files together is faster than one after the other.
//! Larger files stream, and the largest are deferred.

use std::cell::RefCell;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use super::consume::Seen;
use super::context::{Ingest, header, ownership, ownership_of_header};
use super::large::{DEFERRED, LargeFile};
use super::options::HardLinks;
use super::stat_cache::Question;
use super::unchanged::{Look, Recorded};
use crate::checksum::{Checksum, Messages};
use crate::error::{During, Error, Result};
use crate::object::FileHeader;
use crate::repo::{Adoptable, SourceFile};
use crate::source::{Directory, Entry, EntryKind, Metadata, OpenFile};

/// Files up to this size, in bytes, are read once and held in memory; larger ones may be read
/// twice, to be hashed and to be stored.
const MAX_HELD: u64 = 1 << 20;
/// The most bytes that held files have together: two of the largest.
const MAX_HELD_TOGETHER: u64 = 2 * MAX_HELD;

thread_local! {
    /// The content held by this thread. Kept, so that its buffer is reused.
    static MESSAGES: RefCell<Messages> = const { RefCell::new(Messages::new()) };
}

/// An entry, and where it is.
#[derive(Clone, Copy)]
struct Place<'p> {
    directory: &'p Directory,
    name: &'p str,
}

/// What an entry is.
enum Inode {
    File(OpenFile),
    Symlink,
}

/// An entry that has been identified.
struct Identified {
    inode: Inode,
    metadata: Metadata,
    /// What was recorded when it was identified by name.
    looked: Option<Recorded>,
    /// The object that it is a hard link to or was checked out from.
    known: Option<Checksum>,
}

/// An entry whose object has to be made.
struct Described {
    inode: Inode,
    header: FileHeader,
    /// The question whose answer goes into the stat cache.
    question: Option<Question>,
}

/// Whether an entry still has to be stored.
enum Step<T> {
    /// It is this object, or is left out.
    Done(Option<Checksum>),
    Next(T),
}

/// Entries whose content is held.
struct Held {
    /// Header and content of each.
    messages: Messages,
    entries: Vec<HeldEntry>,
}

struct HeldEntry {
    /// Its index among the entries being processed.
    index: usize,
    header: FileHeader,
    /// Where in the message the content starts.
    header_len: usize,
    /// The length of the content when it was opened, in bytes.
    size: u64,
    question: Option<Question>,
}

type Stored = Result<Option<Checksum>>;

impl Ingest<'_, '_> {
    /// Stores files and symbolic links of one directory, which is `found`; `None` for what is left
    /// out. All of them are processed, even if one fails.
    pub(super) fn leaves(
        &self,
        directory: &Directory,
        found: &Metadata,
        entries: &[Entry],
    ) -> Vec<Stored> {
        let mut held = Held { messages: MESSAGES.take(), entries: Vec::new() };
        held.messages.clear();
        let mut stored: Vec<Stored> = Vec::with_capacity(entries.len());
        let mut seen = Vec::new();
        for (index, Entry { name, kind }) in entries.iter().enumerate() {
            let place = Place { directory, name };
            // A file that is to be removed after the commit is recorded before it is read, so that
            // it stays if it is replaced in between.
            let looked = self.consumed.map(|_| Seen::of(directory, name)).transpose();
            let step = looked.and_then(|looked| {
                seen.extend(looked.map(|looked| (index, looked)));
                match self.identify(place, *kind)? {
                    Step::Done(done) => Ok(Step::Done(done)),
                    Step::Next(identified) => self.describe(place, identified),
                }
            });
            let result = match step {
                Ok(Step::Done(done)) => Ok(done),
                Ok(Step::Next(Described { inode: Inode::File(file), header, question }))
                    if self.streams(&file) =>
                {
                    self.stream(place, file, header, question).map(Some)
                }
                Ok(Step::Next(described)) => {
                    if held.messages.held() as u64 + described.inode.size() > MAX_HELD_TOGETHER {
                        self.store_held(&mut held, &mut stored);
                    }
                    // The checksum is filled in later.
                    self.hold(place, described, index, &mut held).map(|()| None)
                }
                Err(error) => Err(error),
            };
            stored.push(result);
        }
        self.store_held(&mut held, &mut stored);
        MESSAGES.set(held.messages);
        if let Some(consumed) = self.consumed {
            for (index, seen) in
                seen.into_iter().filter(|(index, _)| matches!(stored[*index], Ok(Some(_))))
            {
                consumed.note_file((found.dev, found.ino), &entries[index].name, seen);
            }
        }
        stored
    }

    /// Identifies the entry, and opens it if it is a file.
    fn identify(
        &self,
        Place { directory, name }: Place<'_>,
        kind: EntryKind,
    ) -> Result<Step<Identified>> {
        let looked = match self.look(directory, name, kind)? {
            Look::Skipped => return Ok(Step::Done(None)),
            Look::Unchanged(checksum, size) => {
                let size = if kind == EntryKind::Symlink { 0 } else { size };
                return Ok(Step::Done(Some(self.done(checksum, size))));
            }
            Look::Changed(recorded) => Some(recorded),
            Look::Nothing => None,
        };
        let (inode, metadata) = if kind == EntryKind::Symlink {
            let metadata = directory.metadata_of(name)?;
            if metadata.kind() != Some(EntryKind::Symlink) {
                return Err(Error::SourceChanged { path: directory.shown_path(name).into() });
            }
            (Inode::Symlink, metadata)
        } else {
            let file = directory.open_file(name)?;
            let metadata = file.metadata;
            (Inode::File(file), metadata)
        };
        let known = if looked.is_some() { None } else { self.known_object(&metadata) };
        if let (Some(checksum), HardLinks::Trust) = (known, self.hard_links) {
            return Ok(Step::Done(Some(self.reuse(checksum, inode.size()))));
        }
        Ok(Step::Next(Identified { inode, metadata, looked, known }))
    }

    /// Finds out what is recorded for the entry.
    fn describe(&self, place: Place<'_>, identified: Identified) -> Result<Step<Described>> {
        let Place { directory, name } = place;
        let Identified { inode, metadata, looked, known } = identified;
        let load_header =
            |checksum| self.transaction.repo().load_file(checksum).map(|object| object.header);
        // The checkout of a bare-user repository has lost owner, mode and xattrs of files; the
        // object still has them.
        let original = match (&inode, &known) {
            (Inode::File(_), Some(checksum)) => Some(load_header(checksum)?),
            _ => None,
        };
        let was_looked_at = looked.is_some();
        let recorded = match looked {
            Some(recorded) => recorded.of(&metadata, || directory.shown_path(name))?,
            None => {
                let found = original.as_ref().map_or(ownership(&metadata), ownership_of_header);
                match self.filtered(directory, name, found)? {
                    Some(recorded) => recorded,
                    None => return Ok(Step::Done(None)),
                }
            }
        };
        let xattrs = self.xattrs(|| match (&original, &inode) {
            (Some(header), _) => Ok(header.xattrs.clone()),
            (None, Inode::File(file)) => directory.xattrs_of_file(name, file),
            (None, Inode::Symlink) => directory.xattrs_of_symlink(name),
        })?;
        let xattrs = self.labelled_child(directory, name, recorded.mode, xattrs)?;
        let target = match &inode {
            Inode::File(_) => String::new(),
            Inode::Symlink => directory.symlink_target(name)?,
        };
        let header = header(recorded, xattrs, target);
        if let Some(checksum) = known {
            let original = original.map_or_else(|| load_header(&checksum), Ok)?;
            if original == header {
                return Ok(Step::Done(Some(self.reuse(checksum, inode.size()))));
            }
            return Ok(Step::Next(Described { inode, header, question: None }));
        }
        let Some(cache) = self.stat_cache else {
            return Ok(Step::Next(Described { inode, header, question: None }));
        };
        let is_certain = match &inode {
            Inode::File(_) => true,
            // Everything was looked up by name; it must have been the same link throughout.
            Inode::Symlink => was_looked_at && directory.metadata_of(name)? == metadata,
        };
        let question = match is_certain {
            true => {
                self.question_of_opened(directory, name, &metadata, recorded, &header.xattrs)?
            }
            false => None,
        };
        if let (Some(question), false) = (&question, was_looked_at)
            && let Some(checksum) = self.answer(cache, question, metadata.size)?
        {
            return Ok(Step::Done(Some(self.done(checksum, inode.size()))));
        }
        Ok(Step::Next(Described { inode, header, question }))
    }

    /// Whether a file is stored directly instead of being held. A file that may become the object
    /// itself is never held.
    fn streams(&self, file: &OpenFile) -> bool {
        file.metadata.size > MAX_HELD || self.consumed.is_some()
    }

    /// Reads an entry into the buffer.
    fn hold(
        &self,
        place: Place<'_>,
        described: Described,
        index: usize,
        held: &mut Held,
    ) -> Result<()> {
        let Described { inode, header, question } = described;
        let size = inode.size();
        let content_header = header.content_header();
        held.messages.push(&content_header);
        if let Inode::File(file) = inode {
            let shown_path = || place.directory.shown_path(place.name);
            let read = match read_whole(&file.into_file(), size, &mut held.messages) {
                Ok(true) => Ok(()),
                Ok(false) => Err(Error::SourceChanged { path: shown_path().into() }),
                Err(error) => Err(error).during("reading", shown_path()),
            };
            read.inspect_err(|_| held.messages.cancel())?;
        }
        held.messages.end();
        held.entries.push(HeldEntry {
            index,
            header,
            header_len: content_header.len(),
            size,
            question,
        });
        Ok(())
    }

    /// Hashes and stores everything that is held.
    fn store_held(&self, held: &mut Held, stored: &mut [Stored]) {
        let checksums = held.messages.checksums();
        for ((entry, message), checksum) in
            held.entries.drain(..).zip(held.messages.iter()).zip(checksums)
        {
            let HeldEntry { index, header, header_len, size, question } = entry;
            let written = self.transaction.write_hashed(&header, &message[header_len..], checksum);
            stored[index] = written.map(|()| {
                if let (Some(cache), Some(question)) = (self.stat_cache, question) {
                    cache.remember(question, checksum);
                }
                Some(self.done(checksum, size))
            });
        }
        held.messages.clear();
    }

    /// Stores a file that is not held, or defers it.
    fn stream(
        &self,
        Place { directory, name }: Place<'_>,
        file: OpenFile,
        header: FileHeader,
        question: Option<Question>,
    ) -> Result<Checksum> {
        if self.consumed.is_none() && self.large_files.takes(file.metadata.size) {
            let (path, shown_path) = (directory.child_path(name), directory.shown_path(name));
            self.large_files.defer(LargeFile { path, shown_path, header, file, question });
            return Ok(DEFERRED);
        }
        let adopt =
            self.consumed.is_some().then(|| Adoptable { directory: directory.as_fd(), name });
        let checksum = self.content(&header, file, &directory.shown_path(name), adopt)?;
        if let (Some(cache), Some(question)) = (self.stat_cache, question) {
            cache.remember(question, checksum);
        }
        Ok(checksum)
    }

    /// Stores the content of a file; `shown` is its path in messages.
    pub(super) fn content(
        &self,
        header: &FileHeader,
        file: OpenFile,
        shown: &str,
        adopt: Option<Adoptable<'_>>,
    ) -> Result<Checksum> {
        let size = file.metadata.size;
        let file = file.into_file();
        let source = SourceFile { file: &file, size, path: Path::new(shown), adopt };
        let checksum = self.transaction.write_file(header, source)?;
        Ok(self.done(checksum, size))
    }
}

impl Inode {
    /// The length of the content in bytes.
    fn size(&self) -> u64 {
        match self {
            Self::File(file) => file.metadata.size,
            Self::Symlink => 0,
        }
    }
}

/// Reads a file that had `size` bytes, with one system call if it still has. `false` when it has
/// grown beyond what may be held.
fn read_whole(mut file: &std::fs::File, size: u64, messages: &mut Messages) -> io::Result<bool> {
    // One byte more shows whether it grew.
    let mut length = read_some(&mut file, size + 1, messages)?;
    if length == size {
        return Ok(true);
    }
    while length <= MAX_HELD {
        match read_some(&mut file, MAX_HELD + 1 - length, messages)? {
            0 => return Ok(true),
            read => length += read,
        }
    }
    Ok(false)
}

fn read_some(file: &mut &std::fs::File, most: u64, messages: &mut Messages) -> io::Result<u64> {
    loop {
        match file.read(&mut messages.room(most as usize)[..most as usize]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => {
                let length = result?;
                messages.grow(length);
                return Ok(length as u64);
            }
        }
    }
}
