//! What a commit reaches, in the order in which upstream comes to it.
//!
//! The order decides that of objects in a delta, because upstream collects them in hash tables,
//! whose order depends on what was there before.

use std::collections::HashSet;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::gvariant::table::{HashTable, raw_hash};
use crate::object::{Commit, DirTree, ObjectName, ObjectType};
use crate::repo::Repo;
use crate::repo::tree::Descent;

/// Objects by name, in the order of upstream's tables of object names.
#[derive(Debug, Default)]
pub(super) struct ObjectTable(HashTable<ObjectName>);

impl ObjectTable {
    /// Adds an object and returns whether it is new.
    pub(super) fn insert(&mut self, name: ObjectName) -> bool {
        let hash = raw_hash(name.checksum.to_hex().as_bytes());
        let hash = hash.wrapping_add(u32::from(name.object_type as u8));
        self.0.insert_hashed(hash, name.to_string(), name).is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ObjectName> {
        self.0.iter().map(|(_, name)| name)
    }
}

/// Puts checksums into the order of one of upstream's tables with names as keys. Each must be there
/// once.
pub(super) fn in_table_order<T>(
    items: impl IntoIterator<Item = (Checksum, T)>,
) -> Vec<(Checksum, T)> {
    let mut table = HashTable::new();
    for (checksum, item) in items {
        table.insert(checksum.to_hex(), (checksum, item));
    }
    table.into_iter().map(|(_, item)| item).collect()
}

/// Everything that a commit consists of: the commit, and of every directory its metadata, files,
/// subdirectories with all below them, and itself. Files and metadata come each time that they
/// occur, files with their names; a directory whose content has been visited does not come again.
pub(super) fn reachable(
    repo: &Repo,
    commit: &Checksum,
    visit: &mut dyn FnMut(ObjectName, Option<&str>),
) -> Result<()> {
    let Commit { root_dirtree, root_dirmeta, .. } = repo.load_commit(commit)?;
    visit(ObjectName::new(*commit, ObjectType::Commit), None);
    let mut known = HashSet::new();
    let mut descent = Descent::default();
    let mut open: Vec<Open> = Vec::new();
    let mut next = Some((root_dirtree, root_dirmeta));
    loop {
        if let Some((checksum, dirmeta)) = next.take() {
            visit(ObjectName::new(dirmeta, ObjectType::DirMeta), None);
            if known.insert(checksum) {
                descent.enter(&checksum)?;
                let dirtree = repo.load_dirtree(&checksum)?;
                for (name, checksum) in &dirtree.files {
                    visit(ObjectName::new(*checksum, ObjectType::File), Some(name));
                }
                open.push(Open { checksum, dirtree, next: 0 });
            }
        }
        let Some(Open { checksum, dirtree, next: index }) = open.last_mut() else { return Ok(()) };
        match dirtree.dirs.get(*index) {
            Some(dir) => {
                *index += 1;
                next = Some((dir.dirtree, dir.dirmeta));
            }
            None => {
                visit(ObjectName::new(*checksum, ObjectType::DirTree), None);
                descent.leave();
                open.pop();
            }
        }
    }
}

/// A directory of which everything but some subdirectories has been visited.
struct Open {
    checksum: Checksum,
    dirtree: DirTree,
    next: usize,
}
