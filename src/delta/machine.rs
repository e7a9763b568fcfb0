//! Executes the operations of a part in a transaction.
//!
//! Each object is made by a machine of its own, see [`super::units`]. If the object is there
//! already, its operations are read and have no effect. A file is hashed while it is written, and
//! is an object only if it has the name that the list of objects says.

use std::sync::{Mutex, PoisonError};

use super::refused;
use super::source::Source;
use super::units::{Batch, Unit, Units, source_name};
use crate::delta_format::{ObjectList, Operation, Operations, Patch, Payload, Slice};
use crate::error::{Context, Error, Result};
use crate::object::{
    FileHeader, ObjectName, ObjectType, PERMISSION_BITS, S_IFLNK, S_IFMT, S_IFREG,
};
use crate::progress::{Event, Progress};
use crate::repo::{ContentWriter, RepoMode, Transaction, Trust, check_user_only_mode};
use crate::threads;

/// What a part has brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartStats {
    /// Metadata objects that were written.
    pub metadata_objects: u64,
    /// Files and symlinks that were written.
    pub content_objects: u64,
    /// Bytes of the content of those files.
    pub content_bytes: u64,
}

impl PartStats {
    pub(super) fn add(&mut self, more: Self) {
        let Self { metadata_objects, content_objects, content_bytes } = more;
        self.metadata_objects += metadata_objects;
        self.content_objects += content_objects;
        self.content_bytes = self.content_bytes.saturating_add(content_bytes);
    }
}

/// How many objects are made at a time. Units are small, but there may be millions.
const BATCH: usize = 4096;

/// Executes a part, in parallel as far as no object is made of another one.
///
/// # Errors
/// In upstream's words for everything that an operation may not do, with the operation before.
pub(super) fn execute(
    transaction: &Transaction<'_>,
    objects: ObjectList<'_>,
    payload: &Payload<'_>,
    progress: &dyn Progress,
) -> Result<PartStats> {
    let total = Mutex::new(PartStats::default());
    let mut units = Units::new(objects, payload);
    let work = |unit: &Unit<'_>| -> Result<()> {
        let stats = Machine::new(transaction, objects, payload, unit).run(unit.operations)?;
        // Behind the last object there may be operations, too.
        let steps = u64::from(unit.cursor < objects.len());
        progress.event(Event::Advanced { steps, bytes: stats.content_bytes });
        total.lock().unwrap_or_else(PoisonError::into_inner).add(stats);
        Ok(())
    };
    loop {
        let Batch { units, is_independent } = units.take(BATCH, transaction)?;
        if units.is_empty() {
            break;
        }
        match is_independent && units.len() > 1 {
            true => threads::run(|| threads::for_each_in_order(&units, work))?,
            false => units.iter().try_for_each(work)?,
        }
    }
    Ok(total.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Machine<'m, 't, 'r> {
    transaction: &'t Transaction<'r>,
    payload: &'m Payload<'m>,
    objects: ObjectList<'m>,
    cursor: usize,
    open: Option<OpenFile<'t, 'r>>,
    source: ReadSource,
    stats: PartStats,
}

/// What `w` and `B` read from.
enum ReadSource {
    None,
    /// Set by an earlier unit; opened when it is needed.
    Named(u64),
    Open(Source),
}

/// The file that is being written.
struct OpenFile<'t, 'r> {
    name: ObjectName,
    /// As announced, in bytes. Only a patch has to keep to it, and an archive.
    size: u64,
    written: u64,
    /// None if the object is there already.
    writer: Option<ContentWriter<'t, 'r>>,
}

impl OpenFile<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.written = self.written.saturating_add(bytes.len() as u64);
        match &mut self.writer {
            Some(writer) => writer.write(bytes),
            None => Ok(()),
        }
    }
}

impl<'m, 't, 'r> Machine<'m, 't, 'r> {
    fn new(
        transaction: &'t Transaction<'r>,
        objects: ObjectList<'m>,
        payload: &'m Payload<'m>,
        unit: &Unit<'_>,
    ) -> Self {
        let source = unit.source.map_or(ReadSource::None, ReadSource::Named);
        let stats = PartStats::default();
        Self { transaction, payload, objects, cursor: unit.cursor, open: None, source, stats }
    }

    /// Executes operations up to the one that ends the object.
    fn run(mut self, mut operations: Operations<'_>) -> Result<PartStats> {
        let cursor = self.cursor;
        let object = self.objects.get(cursor);
        while self.cursor == cursor {
            let Some(operation) = operations.next(object.map(|object| object.object_type)) else {
                break;
            };
            let operation = operation.map_err(refused)?;
            let executed = self.execute(operation, object);
            match operation.opcode() {
                Some(opcode) => executed.context(|| opcode.to_owned())?,
                None => executed?,
            }
        }
        Ok(self.stats)
    }

    fn open_source(&mut self, offset: u64) -> Result<()> {
        let name = source_name(self.payload, offset)?;
        self.source = ReadSource::Open(Source::open(self.transaction, name)?);
        Ok(())
    }

    fn execute(&mut self, operation: Operation, object: Option<ObjectName>) -> Result<()> {
        match operation {
            Operation::Metadata(slice) => self.metadata(self.begin(object)?, slice),
            Operation::File { mode, xattrs, content } => {
                let name = self.begin(object)?;
                let header = self.header(mode, xattrs)?;
                self.file(name, header, content)
            }
            Operation::Open { mode, xattrs, size } => {
                let name = self.begin(object)?;
                let header = self.header(mode, xattrs)?;
                if header.is_symlink() {
                    return Err(Error::failed(format!("Invalid mode {}", header.mode)));
                }
                self.open(name, header, size)
            }
            Operation::Write(slice) => self.write(slice),
            Operation::SetReadSource { offset } => self.open_source(offset),
            Operation::UnsetReadSource => {
                self.source = ReadSource::None;
                Ok(())
            }
            Operation::Patch(slice) => self.patch(slice),
            Operation::Close => self.close(),
        }
    }

    /// The object that is made next.
    fn begin(&self, object: Option<ObjectName>) -> Result<ObjectName> {
        match (&self.open, object) {
            (Some(_), _) => Err(Error::failed("Output file already open")),
            (None, None) => Err(Error::failed("Object list exhausted")),
            (None, Some(object)) => Ok(object),
        }
    }

    fn slice(&self, slice: Slice) -> Result<&'m [u8]> {
        slice.of(self.payload.blob).map_err(refused)
    }

    fn header(&self, mode: u64, xattrs: u64) -> Result<FileHeader> {
        let owner = self.payload.mode(mode).map_err(refused)?;
        let mode = owner.mode;
        if !matches!(mode & S_IFMT, S_IFREG | S_IFLNK) || mode & !(S_IFMT | PERMISSION_BITS) != 0 {
            return Err(Error::failed(format!("Invalid mode {mode}")));
        }
        let xattrs = self.payload.xattrs(xattrs).map_err(refused)?;
        let symlink_target = String::new();
        Ok(FileHeader { uid: owner.uid, gid: owner.gid, mode, symlink_target, xattrs })
    }

    fn metadata(&mut self, name: ObjectName, slice: Slice) -> Result<()> {
        let bytes = self.slice(slice)?;
        if !self.transaction.was_present(&name)? {
            self.transaction.write_metadata_as(&name, bytes, Trust::Untrusted)?;
            self.stats.metadata_objects += 1;
        }
        self.cursor += 1;
        Ok(())
    }

    fn file(&mut self, name: ObjectName, mut header: FileHeader, slice: Slice) -> Result<()> {
        let content = self.slice(slice)?;
        if !header.is_symlink() {
            // As upstream does it, so that messages have the names of both operations.
            self.open(name, header, slice.length)?;
            if let Some(open) = &mut self.open {
                open.write(content)?;
            }
            let closed = self.close();
            return match self.transaction.repo().mode() {
                RepoMode::Archive => closed,
                _ => closed.context(|| "opcode close".to_owned()),
            };
        }
        let target = str::from_utf8(content).ok().filter(|target| !target.contains('\0'));
        let target = target.ok_or_else(|| Error::failed("Invalid UTF-8 in symlink target"))?;
        header.symlink_target = target.to_owned();
        if !self.transaction.was_present(&name)? {
            self.transaction.write_file_as(&name, &header, 0, |_| Ok(()))?;
            self.stats.content_objects += 1;
        }
        self.cursor += 1;
        Ok(())
    }

    fn open(&mut self, name: ObjectName, header: FileHeader, size: u64) -> Result<()> {
        if name.object_type != ObjectType::File {
            return Err(Error::failed(format!("{name} is not a file")));
        }
        let transaction = self.transaction;
        let writer = match transaction.was_present(&name)? {
            true => None,
            false => {
                if transaction.repo().mode() == RepoMode::BareUserOnly {
                    check_user_only_mode(&name, &header)?;
                }
                Some(ContentWriter::begin_as(&name, transaction, header, size)?)
            }
        };
        self.open = Some(OpenFile { name, size, written: 0, writer });
        Ok(())
    }

    fn write(&mut self, slice: Slice) -> Result<()> {
        if let ReadSource::Named(offset) = self.source {
            self.open_source(offset)?;
        }
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        if open.writer.is_none() {
            return Ok(());
        }
        open.write(match &self.source {
            ReadSource::Open(source) => source.read(slice.offset, slice.length)?,
            _ => slice.of(self.payload.blob).map_err(refused)?,
        })
    }

    fn patch(&mut self, slice: Slice) -> Result<()> {
        if let ReadSource::Named(offset) = self.source {
            self.open_source(offset)?;
        }
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        if open.writer.is_none() {
            return Ok(());
        }
        let size = open.size;
        if isize::try_from(size).is_err() {
            let message = format!("Invalid content size {size} in static delta bspatch operation");
            return Err(Error::failed(message));
        }
        let patch = slice.of(self.payload.blob).map_err(refused)?;
        let ReadSource::Open(source) = &self.source else {
            return Err(Error::failed("bsdiff patch failed"));
        };
        for record in Patch::new(patch, size) {
            let record = record.map_err(refused)?;
            source.add(record.old_position, record.diff, |sum| open.write(sum))?;
            open.write(record.extra)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let OpenFile { name, size, written, writer } = self.open.take().ok_or_else(nothing_open)?;
        self.source = ReadSource::None;
        if let Some(writer) = writer {
            // An archive has the size before the content, where no checksum covers it.
            if written != size && self.transaction.repo().mode() == RepoMode::Archive {
                let message = format!("{name} has {written} bytes where {size} were announced");
                return Err(Error::failed(message));
            }
            writer.finish_as(&name)?;
            self.stats.content_objects += 1;
            self.stats.content_bytes += written;
        }
        self.cursor += 1;
        debug_assert!(self.cursor <= self.objects.len(), "each operation has had an object");
        Ok(())
    }
}

fn nothing_open() -> Error {
    Error::failed("No output file open")
}
