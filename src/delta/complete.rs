//! Whether a delta in files has brought everything that its commit needs: nothing else will.

use std::collections::HashSet;

use super::refused;
use crate::delta_format::Superblock;
use crate::error::{Error, Result};
use crate::object::{Commit, ObjectName, ObjectType};
use crate::repo::{Repo, Transaction};

/// Refuses a delta whose operations made fewer objects than it lists, or that does not list what
/// its commit needs: the root, and the entries of each directory that it brings. Directories that
/// were there before count as whole. Upstream accepts both.
///
/// # Errors
/// `Delta is incomplete: N objects missing`
pub(super) fn check_complete(
    transaction: &Transaction<'_>,
    superblock: &Superblock<'_>,
) -> Result<()> {
    let mut check = Check { transaction, view: None, seen: HashSet::new(), missing: 0 };
    let listed = || superblock.parts.iter().flat_map(|part| part.objects.iter());
    for object in listed() {
        check.look(object)?;
    }
    let name = ObjectName::new(superblock.to, ObjectType::Commit);
    if !transaction.was_present(&name)? {
        let commit = Commit::decode(superblock.commit).map_err(refused)?;
        check.look(ObjectName::new(commit.root_dirmeta, ObjectType::DirMeta))?;
        check.look(ObjectName::new(commit.root_dirtree, ObjectType::DirTree))?;
        let trees = listed().filter(|object| object.object_type == ObjectType::DirTree);
        for tree in trees {
            check.look_into(&tree)?;
        }
    }
    match check.missing {
        0 => Ok(()),
        missing => Err(Error::failed(format!("Delta is incomplete: {missing} objects missing"))),
    }
}

struct Check<'t, 'r> {
    transaction: &'t Transaction<'r>,
    /// The repository as it will be; made when it is needed.
    view: Option<Repo>,
    seen: HashSet<ObjectName>,
    missing: u64,
}

impl Check<'_, '_> {
    fn view(&mut self) -> Result<&Repo> {
        match &mut self.view {
            Some(view) => Ok(view),
            none => Ok(none.insert(self.transaction.view()?)),
        }
    }

    /// Counts an object if it is missing.
    fn look(&mut self, object: ObjectName) -> Result<()> {
        if self.seen.insert(object) && !self.transaction.was_present(&object)? {
            self.missing += u64::from(!self.view()?.has_object(&object)?);
        }
        Ok(())
    }

    /// Counts what is missing of what a directory lists.
    fn look_into(&mut self, tree: &ObjectName) -> Result<()> {
        // It has been counted.
        if !self.view()?.has_object(tree)? {
            return Ok(());
        }
        let tree = self.view()?.load_dirtree(&tree.checksum)?;
        for (_, file) in &tree.files {
            self.look(ObjectName::new(*file, ObjectType::File))?;
        }
        for dir in &tree.dirs {
            self.look(ObjectName::new(dir.dirmeta, ObjectType::DirMeta))?;
            self.look(ObjectName::new(dir.dirtree, ObjectType::DirTree))?;
        }
        Ok(())
    }
}
