//! Bytes whose number is not known before they came: in memory, or if there are too many in a file
//! without a name.

use std::fs::File;
use std::io::{self, Write};

use crate::dir;
use crate::error::{During, Result};
use crate::map::FileBytes;
use crate::repo::Repo;

/// More bytes go to a file. Tests have no time for as many.
const MEMORY: usize = if cfg!(test) { 1 << 20 } else { 32 << 20 };

/// Collects bytes.
pub(super) struct Spool<'r> {
    repo: &'r Repo,
    memory: Vec<u8>,
    file: Option<File>,
    length: u64,
}

impl<'r> Spool<'r> {
    /// For bytes that, if there are many, are put into the `tmp` of a repository. They stay in
    /// memory if it cannot be written to.
    pub(super) fn new(repo: &'r Repo) -> Self {
        Self { repo, memory: Vec::new(), file: None, length: 0 }
    }

    /// The number of bytes so far.
    pub(super) fn len(&self) -> u64 {
        self.length
    }

    /// Takes more.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.length += bytes.len() as u64;
        if let Some(file) = &mut self.file {
            return file.write_all(bytes).during("writing to", self.repo.path().join("tmp"));
        }
        if self.memory.len() + bytes.len() <= MEMORY || !self.repo.is_writable() {
            self.memory.extend_from_slice(bytes);
            return Ok(());
        }
        let mut file = unlinked(self.repo)?;
        let written = file.write_all(&self.memory).and_then(|()| file.write_all(bytes));
        written.during("writing to", self.repo.path().join("tmp"))?;
        self.memory = Vec::new();
        self.file = Some(file);
        Ok(())
    }

    /// All of them.
    pub(super) fn finish(self) -> Result<FileBytes> {
        match self.file {
            None => Ok(FileBytes::Read(self.memory)),
            Some(file) => FileBytes::of_object(file, self.length)
                .during("reading", self.repo.path().join("tmp")),
        }
    }
}

/// A file in the `tmp` of a repository that has no name, so that it goes when it is closed.
fn unlinked(repo: &Repo) -> Result<File> {
    let (name, file) = repo.create_temporary("delta")?;
    let removed: io::Result<()> = dir::remove_file(repo.tmp()?, &name).map_err(io::Error::from);
    removed.during("removing", repo.path().join("tmp").join(name))?;
    Ok(file)
}
