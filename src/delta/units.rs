//! The operations of a part, in pieces that make one object each and can be executed in parallel.

use super::refused;
use crate::checksum::Checksum;
use crate::delta_format::{ObjectList, Operation, Operations, Payload, Slice};
use crate::error::Result;
use crate::object::{ObjectName, ObjectType};
use crate::repo::Transaction;

/// The operations up to the end of an object, or to the end of the part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit<'a> {
    /// Which object it is.
    pub(super) cursor: usize,
    /// Where they begin. The unit ends with the operation that ends the object.
    pub(super) operations: Operations<'a>,
    /// Where the name of the read source is that is set already.
    pub(super) source: Option<u64>,
}

/// Splits a part.
pub(super) struct Units<'a> {
    payload: Payload<'a>,
    objects: ObjectList<'a>,
    operations: Operations<'a>,
    cursor: usize,
    source: Option<u64>,
    is_at_end: bool,
}

/// Some units in their order.
pub(super) struct Batch<'a> {
    pub(super) units: Vec<Unit<'a>>,
    /// Whether they may be executed in any order: all files that they read have been there before.
    pub(super) is_independent: bool,
}

impl<'a> Units<'a> {
    pub(super) fn new(objects: ObjectList<'a>, payload: &Payload<'a>) -> Self {
        Self {
            payload: *payload,
            objects,
            operations: payload.operations(),
            cursor: 0,
            source: None,
            is_at_end: false,
        }
    }

    /// The next units, at most that many; none at the end.
    pub(super) fn take(&mut self, most: usize, transaction: &Transaction<'_>) -> Result<Batch<'a>> {
        let mut batch = Batch { units: Vec::new(), is_independent: true };
        while batch.units.len() < most && !self.is_at_end {
            let Self { cursor, operations, source, .. } = *self;
            batch.units.push(Unit { cursor, operations, source });
            self.skip_unit(&mut batch.is_independent, transaction)?;
        }
        Ok(batch)
    }

    fn skip_unit(
        &mut self,
        is_independent: &mut bool,
        transaction: &Transaction<'_>,
    ) -> Result<()> {
        loop {
            let object = self.objects.get(self.cursor).map(|object| object.object_type);
            match self.operations.next(object) {
                // An error is found again when the unit is executed.
                None | Some(Err(_)) => {
                    self.is_at_end = true;
                    return Ok(());
                }
                Some(Ok(Operation::Metadata(_) | Operation::File { .. })) => {
                    self.cursor += 1;
                    return Ok(());
                }
                Some(Ok(Operation::Close)) => {
                    self.source = None;
                    self.cursor += 1;
                    return Ok(());
                }
                Some(Ok(Operation::SetReadSource { offset })) => {
                    self.source = Some(offset);
                    if *is_independent && let Ok(name) = source_name(&self.payload, offset) {
                        let name = ObjectName::new(name, ObjectType::File);
                        *is_independent = transaction.was_present(&name)?;
                    }
                }
                Some(Ok(Operation::UnsetReadSource)) => self.source = None,
                Some(Ok(Operation::Open { .. } | Operation::Write(_) | Operation::Patch(_))) => {}
            }
        }
    }
}

/// Whether all files that a part reads have been there before.
pub(super) fn is_independent(
    transaction: &Transaction<'_>,
    objects: ObjectList<'_>,
    payload: &Payload<'_>,
) -> Result<bool> {
    let mut units = Units::new(objects, payload);
    let mut is_independent = true;
    while is_independent && !units.is_at_end {
        units.skip_unit(&mut is_independent, transaction)?;
    }
    Ok(is_independent)
}

/// The name of the file at that place in the blob.
///
/// # Errors
/// `Invalid offset/length O/32`
pub(super) fn source_name(payload: &Payload<'_>, offset: u64) -> Result<Checksum> {
    let bytes = Slice { offset, length: 32 }.of(payload.blob).map_err(refused)?;
    let short = || crate::error::Error::failed("Invalid checksum of a read source");
    Checksum::from_slice(bytes).ok_or_else(short)
}
