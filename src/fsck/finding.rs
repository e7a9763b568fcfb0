//! The findings of a check, one record for each object.

use crate::checksum::Checksum;
use crate::object::ObjectName;

/// Something that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The damaged or missing object.
    pub object: ObjectName,
    /// What is wrong with it.
    pub fault: Fault,
    /// The commits that reach it, among those that were checked.
    pub commits: Vec<Checksum>,
    /// A description for users.
    pub message: String,
}

/// What is wrong with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is missing.
    Missing,
    /// Its bytes do not match its name or are not valid for its type.
    Corrupted,
    /// It could not be read, which proves nothing about it.
    Unreadable,
    /// It is a commit whose bindings do not match the refs.
    Binding,
    /// It is a commit that an earlier check found damaged, and that this one skipped.
    Damaged,
}
