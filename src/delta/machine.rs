//! Executes the operations of a part in a transaction.
//!
//! A cursor stands at the object that comes next. If that is there already, its operations are
//! read and have no effect. A file is hashed while it is written, and is an object only if it has
//! the name that the list of objects says.

use super::refused;
use super::source::Source;
use crate::checksum::Checksum;
use crate::delta_format::{ObjectList, Operation, Patch, Payload, Slice};
use crate::error::{Context, Error, Result};
use crate::object::{
    FileHeader, ObjectName, ObjectType, PERMISSION_BITS, S_IFLNK, S_IFMT, S_IFREG,
};
use crate::repo::{ContentWriter, RepoMode, Transaction, Trust, check_user_only_mode};

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

/// Executes a part.
///
/// # Errors
/// In upstream's words for everything that an operation may not do, with the operation before.
pub(super) fn execute(
    transaction: &Transaction<'_>,
    objects: ObjectList<'_>,
    payload: &Payload<'_>,
) -> Result<PartStats> {
    let mut machine = Machine {
        transaction,
        payload,
        objects,
        cursor: 0,
        open: None,
        source: None,
        stats: PartStats::default(),
    };
    let mut operations = payload.operations();
    loop {
        let object = objects.get(machine.cursor);
        let Some(operation) = operations.next(object.map(|object| object.object_type)) else {
            return Ok(machine.stats);
        };
        let operation = operation.map_err(refused)?;
        let executed = machine.execute(operation, object);
        match operation.opcode() {
            Some(opcode) => executed.context(|| opcode.to_owned())?,
            None => executed?,
        }
    }
}

struct Machine<'m, 't, 'r> {
    transaction: &'t Transaction<'r>,
    payload: &'m Payload<'m>,
    objects: ObjectList<'m>,
    cursor: usize,
    open: Option<OpenFile<'t, 'r>>,
    source: Option<Source>,
    stats: PartStats,
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

impl<'m> Machine<'m, '_, '_> {
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
            Operation::SetReadSource { offset } => {
                let name = self.slice(Slice { offset, length: 32 })?;
                let name = Checksum::from_slice(name)
                    .ok_or_else(|| Error::failed("Invalid checksum of a read source"))?;
                self.source = Some(Source::open(self.transaction, name)?);
                Ok(())
            }
            Operation::UnsetReadSource => {
                self.source = None;
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
        let open = self.open.as_mut().ok_or_else(nothing_open)?;
        if open.writer.is_none() {
            return Ok(());
        }
        open.write(match &self.source {
            Some(source) => source.read(slice.offset, slice.length)?,
            None => slice.of(self.payload.blob).map_err(refused)?,
        })
    }

    fn patch(&mut self, slice: Slice) -> Result<()> {
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
        let failed = || Error::failed("bsdiff patch failed");
        let source = self.source.as_ref().ok_or_else(failed)?;
        for record in Patch::new(patch, size) {
            let record = record.map_err(refused)?;
            source.add(record.old_position, record.diff, |sum| open.write(sum))?;
            open.write(record.extra)?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let OpenFile { name, size, written, writer } = self.open.take().ok_or_else(nothing_open)?;
        self.source = None;
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
