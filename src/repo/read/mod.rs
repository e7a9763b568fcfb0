//! Reads objects, files, trees and histories.

pub(in crate::repo) mod bare;
pub(in crate::repo) mod count;
pub(in crate::repo) mod file;
pub(in crate::repo) mod identity;
pub(in crate::repo) mod objects;
pub(in crate::repo) mod presence;
pub(in crate::repo) mod reachable;
pub(in crate::repo) mod read_file;
pub mod tree;
pub(in crate::repo) mod verified;
pub mod walk;
pub(in crate::repo) mod xattrs;
