//! A repository as it will be once a transaction is committed.

use std::fs::File;
use std::sync::RwLock;

use super::transaction::Transaction;
use crate::error::{During, Result};
use crate::repo::fan_out::FanOuts;
use crate::repo::{Repo, lock};

impl Transaction<'_> {
    /// The repository together with the objects that this transaction has written so far,
    /// read-only.
    ///
    /// # Errors
    /// When the operating system has no more file descriptors.
    pub fn view(&self) -> Result<Repo> {
        let repo = self.repo();
        // Objects that are not staged are looked up in the parent, as usual.
        repo.copy(self.staging_dir(), Some(Box::new(repo.copy_whole()?)))
    }
}

impl Repo {
    fn copy_whole(&self) -> Result<Self> {
        let parent = self.parent.as_ref().map(|parent| parent.copy_whole()).transpose()?;
        self.copy(&self.objects, parent.map(Box::new))
    }

    fn copy(&self, objects: &File, parent: Option<Box<Self>>) -> Result<Self> {
        Ok(Self {
            dir: self.dir.try_clone().during("opening", &self.path)?,
            objects: objects.try_clone().during("opening", self.path.join("objects"))?,
            fan_outs: FanOuts::default(),
            tmp: std::sync::OnceLock::new(),
            path: self.path.clone(),
            mode: self.mode,
            config: RwLock::new(self.config()),
            parent,
            writable: false,
            options: self.options.clone(),
            lock_stack: lock::LockStack::default(),
        })
    }
}
