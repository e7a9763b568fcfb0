//! What is in a delta.

use std::path::Path;

use super::envelope::{DeltaFile, open_part};
use super::payload::{self, PartBytes};
use super::refused;
use crate::checksum::Checksum;
use crate::delta_format::{
    Endianness, Fallback, ObjectList, Operation, PartHeader, Payload, Slice, Superblock,
};
use crate::error::{During, Error, Result};
use crate::repo::Repo;

/// What a superblock says about a delta.
#[derive(Clone, Debug)]
pub struct DeltaDescription {
    /// Whether the superblock is signed.
    pub signed: bool,
    /// The commit that must be there already.
    pub from: Option<Checksum>,
    /// The commit that the delta leads to.
    pub to: Checksum,
    /// The byte order of its numbers.
    pub endianness: Endianness,
    /// When it was made, in seconds since 1970.
    pub timestamp: u64,
    /// The number of deltas to be applied before.
    pub parents: usize,
    /// The objects that are in no part.
    pub fallbacks: Vec<Fallback>,
    /// The parts.
    pub parts: Vec<PartDescription>,
}

/// What a superblock says about a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartDescription {
    /// The number of objects.
    pub objects: usize,
    /// The size of its file in bytes.
    pub size: u64,
    /// Bytes of the objects.
    pub content_size: u64,
}

/// What is in a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadDescription {
    /// The number of owners and modes.
    pub modes: usize,
    /// The number of sets of xattrs.
    pub xattr_sets: usize,
    /// Bytes of the blob.
    pub blob_size: usize,
    /// Bytes of the operations.
    pub operations_size: usize,
    /// How many operations there are of each kind.
    pub operations: OperationCounts,
}

/// Numbers of operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperationCounts {
    /// Whole objects.
    pub open_splice_and_close: u64,
    /// Files that are begun.
    pub open: u64,
    /// Pieces that are appended.
    pub write: u64,
    /// Read sources that are set.
    pub set_read_source: u64,
    /// Read sources that are dropped.
    pub unset_read_source: u64,
    /// Files that are ended.
    pub close: u64,
    /// Patches.
    pub patch: u64,
}

impl DeltaDescription {
    /// Describes a superblock.
    pub fn new(superblock: &Superblock<'_>, signed: bool) -> Self {
        let part = |part: &PartHeader<'_>| PartDescription {
            objects: part.objects.len(),
            size: part.size,
            content_size: part.content_size,
        };
        Self {
            signed,
            from: superblock.from,
            to: superblock.to,
            endianness: superblock.endianness,
            timestamp: superblock.timestamp,
            parents: superblock.parents.len() / (2 * 32),
            fallbacks: superblock.fallbacks.clone(),
            parts: superblock.parts.iter().map(part).collect(),
        }
    }

    /// The sizes of all parts, as of their files and of their objects, in bytes.
    pub fn part_sizes(&self) -> (u64, u64) {
        total(self.parts.iter().map(|part| (part.size, part.content_size)))
    }

    /// The sizes of all fallbacks, in the repository and of their content, in bytes.
    pub fn fallback_sizes(&self) -> (u64, u64) {
        total(self.fallbacks.iter().map(|fallback| (fallback.size, fallback.content_size)))
    }
}

fn total(sizes: impl Iterator<Item = (u64, u64)>) -> (u64, u64) {
    sizes.fold((0, 0), |(size, content), (more_size, more_content)| {
        (u64::saturating_add(size, more_size), u64::saturating_add(content, more_content))
    })
}

/// Reads a part of a delta and describes it. It is taken from the superblock if it is inlined, as
/// the caller has found it there, else from beside the superblock's file, else from the repository.
///
/// # Errors
/// `openat(deltas/AB/CDEF.../N): No such file or directory`; as
/// [`apply_part`](super::apply_part), but of what operations do only the ranges of `S` and `r` are
/// checked.
pub fn describe(
    repo: &Repo,
    delta: &DeltaFile,
    superblock: &Superblock<'_>,
    number: usize,
    inlined: Option<&[u8]>,
) -> Result<PayloadDescription> {
    let Some(header) = superblock.parts.get(number) else {
        return Err(Error::failed(format!("the delta has no part {number}")));
    };
    let bytes = match inlined {
        Some(part) => payload::read(repo, header, PartBytes::Inlined(part))?,
        None => {
            let path = superblock.name().part_path(number);
            let beside = delta.part(number).or_else(|_| open_part(repo.dir(), Path::new(&path)));
            let mut file = beside.calling("openat", path)?;
            payload::read(repo, header, PartBytes::File(&mut file))?
        }
    };
    let payload = Payload::new(&bytes);
    Ok(PayloadDescription {
        modes: payload.modes(),
        xattr_sets: payload.xattr_sets(),
        blob_size: payload.blob.len(),
        operations_size: payload.operation_bytes().len(),
        operations: count(&payload, header.objects)?,
    })
}

/// Counts the operations of a part without executing them.
pub(super) fn count(payload: &Payload<'_>, objects: ObjectList<'_>) -> Result<OperationCounts> {
    let mut counts = OperationCounts::default();
    let mut cursor = 0;
    let mut operations = payload.operations();
    loop {
        let object = objects.get(cursor).map(|object| object.object_type);
        let Some(operation) = operations.next(object) else { return Ok(counts) };
        let operation = operation.map_err(refused)?;
        let (counter, checked) = match operation {
            Operation::Metadata(slice) | Operation::File { content: slice, .. } => {
                (&mut counts.open_splice_and_close, Some(slice))
            }
            Operation::Open { .. } => (&mut counts.open, None),
            Operation::Write(_) => (&mut counts.write, None),
            Operation::SetReadSource { offset } => {
                (&mut counts.set_read_source, Some(Slice { offset, length: 32 }))
            }
            Operation::UnsetReadSource => (&mut counts.unset_read_source, None),
            Operation::Close => (&mut counts.close, None),
            Operation::Patch(_) => (&mut counts.patch, None),
        };
        *counter += 1;
        if let Some(Err(error)) = checked.map(|slice| slice.of(payload.blob)) {
            let opcode = operation.opcode().unwrap_or_default();
            return Err(Error::failed(format!("{opcode}: {error}")));
        }
        let ends =
            matches!(operation, Operation::Metadata(_) | Operation::File { .. } | Operation::Close);
        cursor += usize::from(ends);
    }
}
