//! What a check finds, one record for each object.

use crate::checksum::Checksum;
use crate::object::ObjectName;

/// Something that is wrong with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The object.
    pub object: ObjectName,
    /// What is wrong with it.
    pub fault: Fault,
    /// The commits that reach it, as far as they were looked at.
    pub commits: Vec<Checksum>,
    /// The same in words.
    pub message: String,
}

/// What is wrong with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// It is not there.
    Missing,
    /// It is not what its name says, or not what an object of its type may be.
    Corrupted,
    /// It could not be read: that proves nothing about it.
    Unreadable,
    /// It is a commit whose bindings do not agree with the refs.
    Binding,
    /// It is a commit that an earlier check found to be damaged, and that was left out of this one.
    Damaged,
}
