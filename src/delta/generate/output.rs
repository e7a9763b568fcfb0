//! Where the files of a delta go: into its directory in the repository, or beside a superblock that
//! the user has named.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::delta_format::DeltaName;
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::repo::{Repo, deltas};

/// The permissions of all files, whatever the umask is.
const FILE_MODE: u32 = 0o644;

/// Takes the files of a delta.
#[derive(Debug)]
pub(super) enum Output<'r> {
    Repository { repo: &'r Repo, name: DeltaName, directory: PathBuf },
    Named { directory: Dir, path: PathBuf, superblock: OsString },
}

impl<'r> Output<'r> {
    /// Makes the directory of the delta, or opens that of the file that the user has named.
    pub(super) fn open(repo: &'r Repo, name: &DeltaName, file: Option<&Path>) -> Result<Self> {
        let Some(file) = file else {
            let directory = name.directory();
            dir::make_dirs(repo.dir(), &directory, 0o775)
                .during("creating", repo.path().join(&directory))?;
            return Ok(Self::Repository { repo, name: *name, directory });
        };
        let Some(superblock) = file.file_name() else {
            return Err(Error::failed("Invalid 'filename' parameter"));
        };
        let path = match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let directory = Dir::open(&path).calling("opendir", &path)?;
        Ok(Self::Named { directory, path, superblock: superblock.to_owned() })
    }

    /// Writes a part in the place of one that may be there.
    pub(super) fn write_part(&self, number: usize, bytes: &[u8]) -> Result<()> {
        self.write(OsStr::new(&number.to_string()), bytes)
    }

    /// Writes the superblock, which is what makes it a delta.
    pub(super) fn write_superblock(&self, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Repository { .. } => self.write(OsStr::new("superblock"), bytes),
            Self::Named { superblock, .. } => self.write(superblock, bytes),
        }
    }

    fn write(&self, name: &OsStr, bytes: &[u8]) -> Result<()> {
        match self {
            Self::Repository { repo, directory, .. } => {
                repo.replace_file(&directory.join(name), bytes)
            }
            Self::Named { directory, path, .. } => {
                replace(directory, name, bytes).during("writing", path.join(name))
            }
        }
    }

    /// Removes that many parts, which get no superblock, and the superblock of an earlier delta,
    /// whose parts they have replaced.
    pub(super) fn discard(&self, parts: usize) -> Result<()> {
        match self {
            Self::Repository { repo, name, .. } => deltas::remove(repo, name),
            Self::Named { directory, path, superblock } => {
                let parts = (0..parts).map(|number| OsString::from(number.to_string()));
                for name in std::iter::once(superblock.clone()).chain(parts) {
                    match dir::remove_file(directory, &name) {
                        Ok(()) | Err(Errno::NOENT) => {}
                        Err(error) => return Err(error).during("removing", path.join(name)),
                    }
                }
                Ok(())
            }
        }
    }

    /// Removes parts that an earlier delta of this name has left: those behind the last. What lies
    /// beside a superblock that the user has named, is not touched.
    pub(super) fn remove_others(&self, parts: usize) -> Result<()> {
        let Self::Repository { repo, directory, .. } = self else { return Ok(()) };
        let during = || repo.path().join(directory);
        let opened = Dir::beneath(repo.dir(), directory).during("opening", during())?;
        for name in dir::names(&opened).during("reading", during())? {
            let number = name.to_str().and_then(|name| name.parse::<usize>().ok());
            if number.is_some_and(|number| number >= parts) {
                dir::remove_file(&opened, &name).during("removing", during().join(&name))?;
            }
        }
        Ok(())
    }
}

fn replace(directory: &Dir, name: &OsStr, bytes: &[u8]) -> std::io::Result<()> {
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}", std::process::id()));
    // Only a process of this number that was killed can have left one.
    let _ = dir::remove_file(directory, &temporary);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let mut file: File = dir::open(directory, &temporary, flags, Mode::from_raw_mode(0o600))?;
    let placed = file.write_all(bytes).and_then(|()| {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(FILE_MODE))?;
        file.sync_data()?;
        Ok(dir::rename((directory, &temporary), (directory, name), RenameFlags::empty())?)
    });
    if placed.is_err() {
        let _ = dir::remove_file(directory, &temporary);
    }
    placed
}
