//! The output directory: an image appears there whole, under its name, with its checksum file, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::Value;

use crate::checksum::{Checksum, Hasher};
use crate::error::{During, Error, Result};

use super::super::program::Interrupt;
use super::super::qemu::checksum_file;

/// What happens to an image of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and there is no new one.
    #[default]
    Refuse,
    /// The new one takes its place.
    Replace,
}

/// Bytes that are copied at once. A block of zeros becomes a hole, as it was one in the source.
const BLOCK: usize = 64 << 10;

/// Two names in the output directory, for an image and its checksum file.
#[derive(Debug)]
pub(super) struct Output {
    directory: PathBuf,
    image: String,
    checksum: String,
    existing: Existing,
}

/// What has appeared.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) file: PathBuf,
    pub(super) size: u64,
    pub(super) sha256: Checksum,
}

impl Output {
    pub(super) fn new(directory: PathBuf, image: String, checksum: String, existing: Existing) -> Self {
        Self { directory, image, checksum, existing }
    }

    /// Where the image will be.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(&self.image)
    }

    /// Where its checksum file will be.
    pub(super) fn checksum_file(&self) -> PathBuf {
        self.directory.join(&self.checksum)
    }

    /// Where the image is while it is made; `run` tells runs apart.
    pub(super) fn temporary_path(&self, run: &str) -> PathBuf {
        self.directory.join(format!(".{}.{run}", self.image))
    }

    /// Fails early when a name is taken that must not be.
    ///
    /// # Errors
    /// Which one.
    pub(super) fn check_free(&self) -> Result<()> {
        if self.existing == Existing::Replace {
            return Ok(());
        }
        match [&self.image, &self.checksum]
            .into_iter()
            .find(|name| self.directory.join(name).symlink_metadata().is_ok())
        {
            Some(name) => Err(self.taken(name)),
            None => Ok(()),
        }
    }

    fn taken(&self, name: &str) -> Error {
        let path = self.directory.join(name);
        Error::failed(format!("{} exists already; --force replaces it", path.display()))
    }

    /// Makes the directory, and a name in it for an image in the making; `run` tells runs apart.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub(super) fn temporary(&self, run: &str) -> Result<Temporary> {
        fs::create_dir_all(&self.directory).during("creating", &self.directory)?;
        Ok(Temporary { path: self.temporary_path(run) })
    }

    /// Lets a finished image appear under its name, then its checksum file. `mode` are its permissions.
    ///
    /// # Errors
    /// When a name is taken, or something cannot be written; nothing new is there then.
    pub(super) fn publish(&self, image: Temporary, mode: u32, interrupt: &Interrupt) -> Result<Published> {
        let (size, sha256) = finish(&image.path, mode, interrupt)?;
        let text = checksum_file(&self.image, size, &sha256.to_hex());
        let checksum = Temporary { path: checksum_of(&image.path) };
        let mut file = File::create_new(&checksum.path).during("creating", &checksum.path)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).during("writing", &checksum.path)?;
        self.rename(&image.path, &self.image)?;
        if let Err(error) = self.rename(&checksum.path, &self.checksum) {
            // An image without its checksum is none. One that was replaced cannot come back, so its successor stays.
            if self.existing == Existing::Refuse {
                let _ = fs::rename(self.file(), &image.path);
            }
            return Err(error);
        }
        File::open(&self.directory).and_then(|directory| directory.sync_all()).during("syncing", &self.directory)?;
        Ok(Published { file: self.file(), size, sha256 })
    }

    fn rename(&self, from: &Path, name: &str) -> Result<()> {
        let to = self.directory.join(name);
        if self.existing == Existing::Replace {
            return fs::rename(from, &to).during("renaming", from);
        }
        match renameat_with(CWD, from, CWD, &to, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Err(self.taken(name)),
            // Not every file system can do it in one step.
            Err(Errno::INVAL | Errno::NOSYS) if to.symlink_metadata().is_ok() => Err(self.taken(name)),
            Err(Errno::INVAL | Errno::NOSYS) => fs::rename(from, &to).during("renaming", from),
            other => other.during("renaming", from),
        }
    }
}

/// The checksum file in the making that belongs to an image in the making.
fn checksum_of(temporary: &Path) -> PathBuf {
    let mut name = OsString::from(temporary);
    name.push("-CHECKSUM");
    name.into()
}

/// Takes away what a killed run has left in the output directory, going by its report's `image`. If its image has just
/// got its name, its checksum file gets it, too. `run` is the name of that run.
///
/// # Errors
/// When something cannot be removed or renamed.
pub(super) fn recover(image: &Value, run: &str) -> Result<()> {
    let path = |key: &str| image[key].as_str().map(PathBuf::from);
    let (Some(temporary), Some(checksum_file)) = (path("temporary"), path("checksum-file")) else { return Ok(()) };
    // Only what has the shape of our own names is touched, whatever the report says.
    let is_ours = |name: &str| name.starts_with('.') && !run.is_empty() && name.ends_with(&format!(".{run}"));
    if !temporary.file_name().and_then(|name| name.to_str()).is_some_and(is_ours) {
        return Ok(());
    }
    let checksum = checksum_of(&temporary);
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if is_there(&checksum) && !is_there(&temporary) {
        return fs::rename(&checksum, &checksum_file).during("renaming", &checksum);
    }
    // The image goes last: without it, the checksum file would be taken for that of a published one.
    for path in [checksum, temporary] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).during("removing", path),
            _ => {}
        }
    }
    Ok(())
}

/// A file in the making, gone with the value unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) path: PathBuf,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Copies a disk; blocks of zeros take no space in the copy.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub(super) fn copy(from: &Path, to: &Temporary, interrupt: &Interrupt) -> Result<()> {
    let to = &to.path;
    let mut source = File::open(from).during("opening", from)?;
    let mut options = OpenOptions::new();
    let mut copy = options.write(true).create_new(true).mode(0o600).open(to).during("creating", to)?;
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        interrupt.check()?;
        let length = fill(&mut source, &mut block).during("reading", from)?;
        let data = &block[..length];
        if data.iter().all(|byte| *byte == 0) {
            copy.seek(SeekFrom::Current(length as i64)).during("writing", to)?;
        } else {
            copy.write_all(data).during("writing", to)?;
        }
        size += length as u64;
        if length < BLOCK {
            break;
        }
    }
    copy.set_len(size).during("writing", to)
}

/// Reads until the block is full or the file ends.
fn fill(file: &mut File, block: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < block.len() {
        match file.read(&mut block[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

/// Hashes what was written as it can be read back, and makes it durable.
fn finish(path: &Path, mode: u32, interrupt: &Interrupt) -> Result<(u64, Checksum)> {
    fs::set_permissions(path, Permissions::from_mode(mode)).during("setting the permissions of", path)?;
    let mut file = File::open(path).during("opening", path)?;
    file.sync_all().during("syncing", path)?;
    let mut hasher = Hasher::new();
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        interrupt.check()?;
        let length = fill(&mut file, &mut block).during("reading", path)?;
        hasher.update(&block[..length]);
        size += length as u64;
        if length < BLOCK {
            return Ok((size, hasher.finish()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use serde_json::json;

    use super::*;

    fn output(directory: &Path, existing: Existing) -> Output {
        Output::new(directory.to_owned(), "a.qcow2".to_owned(), "a-CHECKSUM".to_owned(), existing)
    }

    fn published(output: &Output, content: &[u8]) -> Result<Published> {
        let temporary = output.temporary("RUN").unwrap();
        fs::write(&temporary.path, content).unwrap();
        output.publish(temporary, 0o644, &Interrupt::default())
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn an_image_appears_with_its_checksum() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path().join("deep/images");
        let output = output(&directory, Existing::Refuse);
        output.check_free().unwrap();
        let found = published(&output, b"abc").unwrap();
        assert_eq!((found.file, found.size), (directory.join("a.qcow2"), 3));
        assert_eq!(found.sha256, Checksum::of(b"abc"));
        assert_eq!(names(&directory), ["a-CHECKSUM", "a.qcow2"]);
        let text = fs::read_to_string(directory.join("a-CHECKSUM")).unwrap();
        assert_eq!(text, format!("# a.qcow2: 3 bytes\nSHA256 (a.qcow2) = {}\n", Checksum::of(b"abc")));
        assert_eq!(fs::metadata(directory.join("a.qcow2")).unwrap().mode() & 0o7777, 0o644);
    }

    #[test]
    fn a_taken_name_keeps_what_has_it() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let refusing = output(directory, Existing::Refuse);
        for taken in ["a.qcow2", "a-CHECKSUM"] {
            fs::write(directory.join(taken), "old").unwrap();
            let expected = format!("{} exists already; --force replaces it", directory.join(taken).display());
            assert_eq!(refusing.check_free().unwrap_err().to_string(), expected);
            assert_eq!(published(&refusing, b"new").unwrap_err().to_string(), expected);
            assert_eq!(names(directory), [taken]);
            assert_eq!(fs::read(directory.join(taken)).unwrap(), b"old");
            fs::remove_file(directory.join(taken)).unwrap();
        }
        fs::write(directory.join("a.qcow2"), "old").unwrap();
        let replacing = output(directory, Existing::Replace);
        replacing.check_free().unwrap();
        published(&replacing, b"new").unwrap();
        assert_eq!(fs::read(directory.join("a.qcow2")).unwrap(), b"new");
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
    }

    #[test]
    fn what_a_killed_run_left_is_taken_away_or_finished() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let output = output(directory, Existing::Refuse);
        let temporary = output.temporary_path("RUN");
        let facts = json!({
            "temporary": temporary.to_str().unwrap(), "checksum-file": output.checksum_file().to_str().unwrap(),
        });
        fs::write(&temporary, "half").unwrap();
        fs::write(checksum_of(&temporary), "half").unwrap();
        recover(&facts, "OTHER").unwrap();
        recover(&json!({}), "RUN").unwrap();
        assert_eq!(names(directory), [".a.qcow2.RUN", ".a.qcow2.RUN-CHECKSUM"]);
        recover(&facts, "RUN").unwrap();
        assert_eq!(names(directory), [""; 0]);
        fs::write(output.file(), "image").unwrap();
        fs::write(checksum_of(&temporary), "sum").unwrap();
        recover(&facts, "RUN").unwrap();
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
        recover(&facts, "RUN").unwrap();
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
    }

    #[test]
    fn a_copy_keeps_holes_and_odd_ends() {
        let scratch = tempfile::tempdir().unwrap();
        let from = scratch.path().join("from");
        for (at, size) in [(0, 1_u64), (3 << 20, (8 << 20) + 7), (0, BLOCK as u64), (0, 0)] {
            let file = File::create(&from).unwrap();
            file.set_len(size).unwrap();
            if size > 0 {
                std::os::unix::fs::FileExt::write_at(&file, b"x", at).unwrap();
            }
            let to = Temporary { path: scratch.path().join("to") };
            copy(&from, &to, &Interrupt::default()).unwrap();
            assert_eq!(fs::read(&to.path).unwrap(), fs::read(&from).unwrap());
            let metadata = fs::metadata(&to.path).unwrap();
            assert!(metadata.blocks() * 512 <= 1 << 20, "{size}: {} blocks", metadata.blocks());
        }
        assert_eq!(names(scratch.path()), ["from"]);
        let interrupt = Interrupt::default();
        interrupt.raise();
        let to = Temporary { path: scratch.path().join("to") };
        assert_eq!(copy(&from, &to, &interrupt).unwrap_err().to_string(), "interrupted");
    }
}
