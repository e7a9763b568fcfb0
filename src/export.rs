//! A commit as a tar archive, in the bytes of upstream's.
//!
//! GNU tar as libarchive writes it, uncompressed: one record of 512 bytes for each entry, then its
//! content, padded to whole records; two empty records end the archive. All times are the commit's,
//! owners are numbers only, and xattrs are lost: the format has no place for them.
//!
//! ```text
//! at   length
//! 0    100  name (a directory's with a slash at the end), cut off where it does not fit
//! 100  8    mode: 7 octal digits, NUL
//! 108  8    uid: 7 octal digits and NUL, or 0x80 and 7 bytes big-endian
//! 116  8    gid: the same
//! 124  12   size: 11 octal digits and NUL, or 0x80 and 11 bytes big-endian
//! 136  12   time: 11 octal digits, NUL
//! 148  8    sum of all bytes of the record, these 8 taken as blanks: 6 octal digits, NUL, blank
//! 156  1    0 file, 1 hard link, 2 symlink, 5 directory; K long link target, L long name of the entry that follows
//! 157  100  link target, cut off where it does not fit
//! 257  8    "ustar  \0"
//! ```

use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::Arc;

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::object::{DirEntry, DirTree, FileHeader, PERMISSION_BITS, Xattrs};
use crate::progress::{Event, Progress};
use crate::repo::tree::{Descent, Node, lookup};
use crate::repo::{FileObject, Repo};
use crate::threads;

/// What is exported, and how it is named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExportOptions {
    /// The directory that becomes the root of the archive; all by default.
    pub subpath: Option<String>,
    /// The prefix of every name. It is plain text: a directory takes a slash, as in `a/`.
    pub prefix: String,
    /// How the archive ends.
    pub padding: Padding,
}

/// How the archive ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// With whole blocks of 10 KiB, as tapes and pipes have it.
    #[default]
    Blocks,
    /// With the two empty records.
    None,
}

const RECORD: usize = 512;
const BLOCK: u64 = 10_240;
const NAME_LEN: usize = 100;
/// 11 octal digits: libarchive lets sizes and owners be larger than their digits, but not times.
const LATEST: u64 = (1 << 33) - 1;
/// Files up to this size, in bytes, are read ahead.
const MAX_HELD: u64 = 1 << 20;
/// How many bytes, or files, are read ahead at a time.
const BATCH_BYTES: u64 = 8 << 20;
const BATCH_LEN: usize = 256;
/// How many bytes of names are read ahead at a time.
const MAX_NAME_BYTES: usize = 1 << 20;

/// Writes `commit` to `out` as a tar archive.
///
/// # Errors
/// [`Error::NoSuchPath`] when the commit does not have the subpath; what cannot be read or written.
pub fn export(
    repo: &Repo,
    commit: &Checksum,
    out: &mut (dyn Write + Send),
    options: &ExportOptions,
    progress: &dyn Progress,
) -> Result<()> {
    let commit = repo.load_commit(commit)?;
    let root = Node::root_of(&commit);
    let node = match &options.subpath {
        None => root,
        Some(path) => lookup(repo, &root, path)?.node,
    };
    let Node::Directory { dirtree, dirmeta } = node else {
        return Err(Error::failed("Not a directory"));
    };
    let mut walk = Walk {
        repo,
        descent: Descent::default(),
        levels: Vec::new(),
        first_places: HashMap::new(),
    };
    let root = walk.enter(Place { directory: None, name: "".into() }, &dirtree, &dirmeta)?;
    progress.event(Event::Started { task: "export", total: None });
    let prefix = &options.prefix;
    let writer = Writer { out, prefix, time: commit.timestamp, written: 0 };
    let ahead = Ahead { repo, walk, waiting: VecDeque::from([root]) };
    let result = threads::run(|| write_all(ahead, writer, options.padding, progress));
    progress.event(Event::Finished);
    result
}

/// Where an entry is: what is in one directory shares its place, and places that nothing names any
/// more are gone.
struct Place {
    /// None for the root.
    directory: Option<Arc<Place>>,
    name: Box<str>,
}

impl Place {
    /// The names from the root on, with slashes between them; nothing for the root.
    fn path(&self) -> String {
        let places = std::iter::successors(Some(self), |place| place.directory.as_deref());
        let mut names: Vec<&str> =
            places.filter(|place| place.directory.is_some()).map(|place| &*place.name).collect();
        names.reverse();
        names.join("/")
    }
}

struct Entry {
    place: Arc<Place>,
    what: What,
}

enum What {
    Directory {
        uid: u32,
        gid: u32,
        mode: u32,
    },
    /// A file or symlink; `first` is the place of an earlier entry with the same object, if there
    /// is one.
    File {
        checksum: Checksum,
        first: Option<Arc<Place>>,
    },
}

/// Goes through the tree, directories after the files beside them, and holds no more than the
/// directories that it is in.
struct Walk<'r> {
    repo: &'r Repo,
    descent: Descent,
    levels: Vec<Level>,
    /// Where each object occurs first: this grows with the number of objects.
    first_places: HashMap<Checksum, Arc<Place>>,
}

/// What is left of a directory.
struct Level {
    place: Arc<Place>,
    files: std::vec::IntoIter<(String, Checksum)>,
    dirs: std::vec::IntoIter<DirEntry>,
}

impl Walk<'_> {
    fn enter(&mut self, place: Place, dirtree: &Checksum, dirmeta: &Checksum) -> Result<Entry> {
        let meta = self.repo.load_dirmeta(dirmeta)?;
        self.descent.enter(dirtree)?;
        let DirTree { files, dirs } = self.repo.load_dirtree(dirtree)?;
        let place = Arc::new(place);
        self.levels.push(Level {
            place: place.clone(),
            files: files.into_iter(),
            dirs: dirs.into_iter(),
        });
        Ok(Entry { place, what: What::Directory { uid: meta.uid, gid: meta.gid, mode: meta.mode } })
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        while let Some(level) = self.levels.last_mut() {
            let within =
                |name: String| Place { directory: Some(level.place.clone()), name: name.into() };
            if let Some((name, checksum)) = level.files.next() {
                let place = Arc::new(within(name));
                let first = match self.first_places.entry(checksum) {
                    Occupied(first) => Some(first.get().clone()),
                    Vacant(vacant) => {
                        vacant.insert(place.clone());
                        None
                    }
                };
                return Ok(Some(Entry { place, what: What::File { checksum, first } }));
            }
            if let Some(dir) = level.dirs.next() {
                let place = within(dir.name);
                return self.enter(place, &dir.dirtree, &dir.dirmeta).map(Some);
            }
            self.levels.pop();
            self.descent.leave();
        }
        Ok(None)
    }
}

/// An entry of which everything is known that its record says.
enum Loaded {
    Directory,
    /// A symlink, or a hard link to an earlier entry.
    Link(FileHeader),
    Held(FileHeader, Vec<u8>),
    /// Too large to be read ahead.
    Streamed(Box<FileObject>),
}

fn write_all(
    mut ahead: Ahead<'_>,
    mut writer: Writer<'_>,
    padding: Padding,
    progress: &dyn Progress,
) -> Result<()> {
    // While one batch is written the next is read and inflated, by all threads.
    let mut batch = ahead.load_batch()?;
    while !batch.is_empty() {
        let (written, next) = rayon::join(
            || {
                batch.into_iter().try_for_each(|(entry, loaded)| -> Result<()> {
                    writer.entry(&entry, loaded)?;
                    progress.event(Event::Advanced { steps: 1, bytes: 0 });
                    Ok(())
                })
            },
            || ahead.load_batch(),
        );
        written?;
        batch = next?;
    }
    writer.finish(padding)
}

/// Reads ahead of the writer.
struct Ahead<'r> {
    repo: &'r Repo,
    walk: Walk<'r>,
    /// Entries that the walk has found and no batch has taken.
    waiting: VecDeque<Entry>,
}

impl Ahead<'_> {
    /// Takes the next entries and reads them; none at the end.
    fn load_batch(&mut self) -> Result<Vec<(Entry, Loaded)>> {
        let mut name_bytes: usize = self.waiting.iter().map(|entry| entry.place.name.len()).sum();
        while self.waiting.len() < BATCH_LEN && name_bytes < MAX_NAME_BYTES {
            let Some(entry) = self.walk.next_entry()? else { break };
            name_bytes += entry.place.name.len();
            self.waiting.push_back(entry);
        }
        let opened: Vec<Result<Opened>> =
            self.waiting.make_contiguous().par_iter().map(|entry| open(self.repo, entry)).collect();
        let mut held = 0;
        let mut taken = Vec::with_capacity(opened.len());
        for opened in opened {
            let opened = opened?;
            held += match &opened {
                Opened::Directory => 0,
                Opened::Link(header) => header.symlink_target.len() as u64,
                Opened::File(object) if object.size <= MAX_HELD => object.size,
                Opened::File(_) => 0,
            };
            // What has been opened beyond this will be opened again.
            if held > BATCH_BYTES && !taken.is_empty() {
                break;
            }
            taken.push(opened);
        }
        let entries: Vec<Entry> = self.waiting.drain(..taken.len()).collect();
        let loaded: Vec<Result<Loaded>> = taken.into_par_iter().map(read).collect();
        entries.into_iter().zip(loaded).map(|(entry, loaded)| Ok((entry, loaded?))).collect()
    }
}

enum Opened {
    Directory,
    Link(FileHeader),
    File(Box<FileObject>),
}

fn open(repo: &Repo, entry: &Entry) -> Result<Opened> {
    let What::File { checksum, first } = &entry.what else { return Ok(Opened::Directory) };
    let mut object = repo.load_file(checksum)?;
    // They have no place in the archive, and many links to one file would hold them many times.
    object.header.xattrs = Xattrs::new();
    if object.header.is_symlink() || first.is_some() {
        return Ok(Opened::Link(object.header));
    }
    Ok(Opened::File(Box::new(object)))
}

fn read(opened: Opened) -> Result<Loaded> {
    Ok(match opened {
        Opened::Directory => Loaded::Directory,
        Opened::Link(header) => Loaded::Link(header),
        Opened::File(object) if object.size > MAX_HELD => Loaded::Streamed(object),
        Opened::File(object) => {
            let header = object.header.clone();
            let mut content = Vec::with_capacity(usize::try_from(object.size).unwrap_or(0));
            object.read_chunks(&mut |chunk| {
                content.extend_from_slice(chunk);
                Ok(())
            })?;
            Loaded::Held(header, content)
        }
    })
}

struct Writer<'w> {
    out: &'w mut (dyn Write + Send),
    /// The prefix of every name.
    prefix: &'w str,
    /// Seconds since 1970.
    time: u64,
    written: u64,
}

/// What a record says.
struct Record<'n> {
    name: &'n str,
    link: &'n str,
    kind: u8,
    owner: (u32, u32),
    mode: u32,
    size: u64,
}

impl Writer<'_> {
    fn entry(&mut self, Entry { place, what }: &Entry, loaded: Loaded) -> Result<()> {
        let name = &match what {
            What::Directory { .. } => self.directory_name(place),
            What::File { .. } => self.file_name(place),
        };
        let of_file = |header: &FileHeader, size| Record {
            name,
            link: "",
            kind: b'0',
            owner: (header.uid, header.gid),
            mode: header.mode,
            size,
        };
        match (what, loaded) {
            (&What::Directory { uid, gid, mode }, _) => self.record(&Record {
                name,
                link: "",
                kind: b'5',
                owner: (uid, gid),
                mode,
                size: 0,
            }),
            (_, Loaded::Directory) => Ok(()),
            (What::File { first, .. }, Loaded::Link(header)) => {
                let (kind, link) = match first {
                    Some(first) if !header.is_symlink() => (b'1', &self.file_name(first)),
                    _ => (b'2', &header.symlink_target),
                };
                self.record(&Record { kind, link, ..of_file(&header, 0) })
            }
            (_, Loaded::Held(header, content)) => {
                self.record(&of_file(&header, content.len() as u64))?;
                self.write(&content)?;
                self.pad(RECORD as u64)
            }
            (_, Loaded::Streamed(object)) => {
                let (header, size) = (object.header.clone(), object.size);
                self.record(&of_file(&header, size))?;
                let before = self.written;
                object.read_chunks(&mut |chunk| self.write(chunk))?;
                if self.written - before != size {
                    return Err(Error::failed(format!("{name} changed while it was being read")));
                }
                self.pad(RECORD as u64)
            }
        }
    }

    fn file_name(&self, place: &Place) -> String {
        format!("{}{}", self.prefix, place.path())
    }

    /// With a slash at the end.
    fn directory_name(&self, place: &Place) -> String {
        let mut name = self.file_name(place);
        if name.is_empty() {
            name.push('.');
        }
        if !name.ends_with('/') {
            name.push('/');
        }
        name
    }

    /// Writes a record, and before it those for what does not fit into it.
    fn record(&mut self, record: &Record<'_>) -> Result<()> {
        let long = |name, kind, text: &str| Record {
            name,
            link: record.link,
            kind,
            owner: (0, 0),
            mode: 0,
            size: text.len() as u64 + 1,
        };
        for (kind, name, text) in
            [(b'K', "././@LongLink", record.link), (b'L', "././@LongName", record.name)]
        {
            if text.len() > NAME_LEN {
                let mut bytes = bytes_of(&long(name, kind, text), 0);
                // libarchive sets this for these records only.
                put(&mut bytes, 265, b"root");
                put(&mut bytes, 297, b"wheel");
                self.write(&with_sum(bytes))?;
                self.write(text.as_bytes())?;
                self.write(b"\0")?;
                self.pad(RECORD as u64)?;
            }
        }
        self.write(&with_sum(bytes_of(record, self.time)))
    }

    fn finish(mut self, padding: Padding) -> Result<()> {
        self.write(&[0; 2 * RECORD])?;
        if padding == Padding::Blocks {
            self.pad(BLOCK)?;
        }
        self.out.flush().during("writing", "the archive")
    }

    /// Writes zeros up to a multiple of `unit`.
    fn pad(&mut self, unit: u64) -> Result<()> {
        const ZEROS: [u8; BLOCK as usize] = [0; BLOCK as usize];
        let missing = self.written.next_multiple_of(unit) - self.written;
        let missing = usize::try_from(missing).unwrap_or(0).min(ZEROS.len());
        self.write(&ZEROS[..missing])
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes).during("writing", "the archive")?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

/// A record without its sum.
fn bytes_of(record: &Record<'_>, time: u64) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    put(&mut bytes, 0, cut(record.name));
    put(&mut bytes, 100, &number::<8>(u64::from(record.mode & PERMISSION_BITS)));
    put(&mut bytes, 108, &number::<8>(u64::from(record.owner.0)));
    put(&mut bytes, 116, &number::<8>(u64::from(record.owner.1)));
    put(&mut bytes, 124, &number::<12>(record.size));
    put(&mut bytes, 136, &number::<12>(time.min(LATEST)));
    bytes[156] = record.kind;
    put(&mut bytes, 157, cut(record.link));
    put(&mut bytes, 257, b"ustar  \0");
    bytes
}

fn with_sum(mut bytes: [u8; RECORD]) -> [u8; RECORD] {
    put(&mut bytes, 148, b"        ");
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    put(&mut bytes, 148, format!("{sum:06o}\0 ").as_bytes());
    bytes
}

fn put(bytes: &mut [u8; RECORD], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn cut(text: &str) -> &[u8] {
    &text.as_bytes()[..text.len().min(NAME_LEN)]
}

/// Octal digits and a NUL if there are enough of them, else binary with the highest bit set.
fn number<const N: usize>(value: u64) -> [u8; N] {
    let mut field = [0; N];
    let digits = format!("{value:0width$o}", width = N - 1);
    if digits.len() < N {
        field[..digits.len()].copy_from_slice(digits.as_bytes());
        return field;
    }
    let bytes = value.to_be_bytes();
    // The field of 8 bytes has room for 7: ids have 4.
    let kept = bytes.len().min(N - 1);
    field[N - kept..].copy_from_slice(&bytes[bytes.len() - kept..]);
    field[0] = 0x80;
    field
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_while_they_fit() {
        assert_eq!(&number::<8>(0o755), b"0000755\0");
        assert_eq!(&number::<8>(0o7777777), b"7777777\0");
        assert_eq!(&number::<8>(0o10000000), b"\x80\0\0\0\0\x20\0\0");
        assert_eq!(&number::<8>(u64::from(u32::MAX - 1)), b"\x80\0\0\0\xff\xff\xff\xfe");
        assert_eq!(&number::<12>(0o77777777777), b"77777777777\0");
        assert_eq!(&number::<12>(1 << 33), b"\x80\0\0\0\0\0\0\x02\0\0\0\0");
    }
}
