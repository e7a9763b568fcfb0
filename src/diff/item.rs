//! Entries of directories as they are listed.

use crate::checksum::Checksum;
use crate::object::DirRef;
use crate::source::{EntryKind, Metadata};

/// An entry of a directory.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Item {
    pub(super) fn of_directory(dir: DirRef<'_>) -> Self {
        let [dirtree, dirmeta] =
            [dir.dirtree, dir.dirmeta].map(|bytes| Checksum::from_bytes(*bytes));
        Self { name: dir.name.to_owned(), kind: Kind::StoredDirectory { dirtree, dirmeta } }
    }
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    StoredFile(Checksum),
    StoredDirectory { dirtree: Checksum, dirmeta: Checksum },
    Local(Metadata),
}

impl Kind {
    pub(super) fn is_directory(self) -> bool {
        match self {
            Self::StoredFile(_) => false,
            Self::StoredDirectory { .. } => true,
            Self::Local(metadata) => metadata.kind() == Some(EntryKind::Directory),
        }
    }
}
