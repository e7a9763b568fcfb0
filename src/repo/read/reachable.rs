//! Which objects a commit needs.

use std::collections::HashSet;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;

/// Collects the names of reachable objects; what two commits share is walked once.
#[derive(Clone, Debug, Default)]
pub struct Reachable {
    objects: HashSet<ObjectName>,
}

impl Reachable {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a commit with its dirtrees, dirmetas and files, but not its parents.
    ///
    /// # Errors
    /// When a metadata object on the way is missing or malformed.
    pub fn add_commit(&mut self, repo: &Repo, commit: &Checksum) -> Result<()> {
        if !self.objects.insert(ObjectName::new(*commit, ObjectType::Commit)) {
            return Ok(());
        }
        log::debug!("Traversing commit {commit}");
        let decoded = repo.load_commit(commit)?;
        self.objects.insert(ObjectName::new(decoded.root_dirmeta, ObjectType::DirMeta));
        self.add_dirtree(repo, &decoded.root_dirtree)
    }

    /// Adds a dirtree with everything below it.
    ///
    /// # Errors
    /// As [`Reachable::add_commit`].
    pub fn add_dirtree(&mut self, repo: &Repo, dirtree: &Checksum) -> Result<()> {
        // A list instead of recursion: dirtrees come from outside and may be nested without end.
        let mut waiting = vec![*dirtree];
        while let Some(dirtree) = waiting.pop() {
            if !self.objects.insert(ObjectName::new(dirtree, ObjectType::DirTree)) {
                continue;
            }
            log::debug!("Traversing dirtree {dirtree}");
            let decoded = repo.load_dirtree(&dirtree)?;
            let files = decoded.files.iter().map(|(_, checksum)| ObjectName::new(*checksum, ObjectType::File));
            self.objects.extend(files);
            for dir in &decoded.dirs {
                self.objects.insert(ObjectName::new(dir.dirmeta, ObjectType::DirMeta));
                waiting.push(dir.dirtree);
            }
        }
        Ok(())
    }

    /// Whether the object has been reached.
    pub fn contains(&self, name: &ObjectName) -> bool {
        self.objects.contains(name)
    }

    /// Everything reached, in no order.
    pub fn objects(&self) -> &HashSet<ObjectName> {
        &self.objects
    }
}
