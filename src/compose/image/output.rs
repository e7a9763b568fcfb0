//! The output directory: an image appears there whole, under its name, with its checksum in a file beside it, or not at
//! all.
//!
//! Images of one name and different formats share the checksum file, so the directory is locked (`flock`) while that is
//! read and replaced.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use serde_json::Value;

use crate::checksum::{Checksum, Hasher};
use crate::error::{During, Error, Result};

use super::super::program::Interrupt;
use super::checksums::{Checksums, Found};

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
/// How long another run may hold the directory: it reads and writes a small file and renames two.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

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

    /// Fails early when the image, or its checksum, has a successor that must not be.
    ///
    /// # Errors
    /// Which one.
    pub(super) fn check_free(&self) -> Result<()> {
        if self.existing == Existing::Refuse && self.file().symlink_metadata().is_ok() {
            return Err(self.taken(&self.image));
        }
        self.others().map(drop)
    }

    /// The checksums of other images, and how those of this one go beside them.
    fn others(&self) -> Result<(Checksums, Existing)> {
        let found = Checksums::read(&self.checksum_file())?;
        match (found, self.existing) {
            (Found::Checksums(checksums), Existing::Refuse) if checksums.has(&self.image) => {
                let path = self.checksum_file();
                Err(Error::failed(format!("{} has {} already; --force replaces it", path.display(), self.image)))
            }
            (Found::Checksums(checksums), _) => Ok((checksums, Existing::Replace)),
            (Found::Foreign, Existing::Refuse) => Err(self.taken(&self.checksum)),
            (Found::Nothing | Found::Foreign, existing) => Ok((Checksums::default(), existing)),
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

    /// Lets a finished image appear under its name, then its checksum. `mode` are its permissions.
    ///
    /// # Errors
    /// When a name is taken, or something cannot be written; nothing new is there then.
    pub(super) fn publish(&self, image: Temporary, mode: u32, interrupt: &Interrupt) -> Result<Published> {
        let (size, sha256) = finish(&image.path, mode, interrupt)?;
        let _lock = lock(&self.directory, interrupt)?;
        let (mut checksums, existing) = self.others()?;
        checksums.set(&self.image, size, &sha256);
        let checksum = Temporary { path: checksum_of(&image.path) };
        write(&checksum.path, &checksums)?;
        self.rename(&image.path, &self.image, self.existing)?;
        if let Err(error) = self.rename(&checksum.path, &self.checksum, existing) {
            // An image without its checksum is none. One that was replaced cannot come back, so its successor stays.
            return Err(match self.existing {
                Existing::Refuse => {
                    let _ = fs::rename(self.file(), &image.path);
                    error
                }
                Existing::Replace => {
                    let (kept, name) = (checksum.keep(), self.checksum_file());
                    let why = error.chain();
                    let what = "was replaced, and its checksum file could not be";
                    let (kept, name) = (kept.display(), name.display());
                    Error::failed(format!("{} {what}: {why}; `mv {kept} {name}`", self.file().display()))
                }
            });
        }
        File::open(&self.directory).and_then(|directory| directory.sync_all()).during("syncing", &self.directory)?;
        Ok(Published { file: self.file(), size, sha256 })
    }

    fn rename(&self, from: &Path, name: &str, existing: Existing) -> Result<()> {
        let to = self.directory.join(name);
        if existing == Existing::Replace {
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

/// Keeps other runs from the checksum files of a directory until it is dropped. Where the file system has no locks, as
/// some of the network, it is done without: files are replaced whole all the same.
fn lock(directory: &Path, interrupt: &Interrupt) -> Result<File> {
    let file = File::open(directory).during("opening", directory)?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            Err(Errno::INTR) => continue,
            _ => return Ok(file),
        }
        interrupt.check()?;
        if started.elapsed() >= LOCK_TIMEOUT {
            return Err(Error::failed(format!("{} is locked by another run", directory.display())));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Writes a checksum file that nobody has yet.
fn write(path: &Path, checksums: &Checksums) -> Result<()> {
    let mut file = File::create_new(path).during("creating", path)?;
    file.write_all(checksums.to_text().as_bytes()).and_then(|()| file.sync_all()).during("writing", path)
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
    let ending = format!(".{run}");
    let image = temporary.file_name().and_then(|name| name.to_str()?.strip_prefix('.')?.strip_suffix(&ending));
    let Some(image) = image.filter(|image| !image.is_empty() && !run.is_empty()) else { return Ok(()) };
    let checksum = checksum_of(&temporary);
    let is_there = |path: &Path| path.symlink_metadata().is_ok();
    if is_there(&checksum) && !is_there(&temporary) {
        return finish_checksum(&checksum, &checksum_file, image);
    }
    // The image goes last: without it, the checksum file would be taken for that of a published one.
    remove(&checksum).and_then(|()| remove(&temporary))
}

/// Gives a checksum file in the making its name, the image having got its own; `image` is that name. The file that has it
/// now may say more of other images than the one in the making.
fn finish_checksum(from: &Path, to: &Path, image: &str) -> Result<()> {
    let directory = to.parent().unwrap_or(Path::new("/"));
    let _lock = lock(directory, &Interrupt::default())?;
    let (Found::Checksums(own), Found::Checksums(mut all)) = (Checksums::read(from)?, Checksums::read(to)?) else {
        return fs::rename(from, to).during("renaming", from);
    };
    all.take(image, &own);
    let mut new = OsString::from(from);
    new.push(".new");
    let new = PathBuf::from(new);
    remove(&new)?;
    write(&new, &all)?;
    fs::rename(&new, to).during("renaming", &new)?;
    remove(from)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).during("removing", path),
        _ => Ok(()),
    }
}

/// A file in the making, gone with the value unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    pub(super) path: PathBuf,
}

impl Temporary {
    /// Lets it be there when the value is gone.
    fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.path)
    }
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

    fn sums(directory: &Path) -> String {
        fs::read_to_string(directory.join("a-CHECKSUM")).unwrap()
    }

    #[test]
    fn a_checksum_file_that_cannot_be_replaced_is_kept_beside() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        fs::create_dir_all(directory.join("a-CHECKSUM/full")).unwrap();
        let output = output(directory, Existing::Replace);
        let message = published(&output, b"new").unwrap_err().chain();
        let (image, kept) = (output.file(), checksum_of(&output.temporary_path("RUN")));
        let start = format!("{} was replaced, and its checksum file could not be: renaming ", image.display());
        let end = format!("; `mv {} {}`", kept.display(), output.checksum_file().display());
        assert!(message.starts_with(&start) && message.ends_with(&end), "{message}");
        assert_eq!(fs::read(&image).unwrap(), b"new");
        let expected = format!("# a.qcow2: 3 bytes\nSHA256 (a.qcow2) = {}\n", Checksum::of(b"new"));
        assert_eq!(fs::read_to_string(kept).unwrap(), expected);
        // One that is not replaced does not appear.
        let refusing =
            Output { checksum: "b/b".to_owned(), image: "b".to_owned(), existing: Existing::Refuse, ..output };
        assert!(published(&refusing, b"new").is_err());
        assert!(!refusing.file().exists() && !refusing.temporary_path("RUN").exists());
    }

    #[test]
    fn images_of_one_name_share_the_checksum_file() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let of = |image: &str, existing| {
            Output::new(directory.to_owned(), image.to_owned(), "a-CHECKSUM".to_owned(), existing)
        };
        published(&of("a.qcow2", Existing::Refuse), b"one").unwrap();
        let raw = of("a.raw", Existing::Refuse);
        raw.check_free().unwrap();
        published(&raw, b"two").unwrap();
        let lines = |name: &str, content: &[u8]| {
            format!("# {name}: {} bytes\nSHA256 ({name}) = {}\n", content.len(), Checksum::of(content))
        };
        assert_eq!(sums(directory), lines("a.qcow2", b"one") + &lines("a.raw", b"two"));
        // What is said of an image that has gone is in the way of another.
        fs::remove_file(directory.join("a.raw")).unwrap();
        let expected = format!("{} has a.raw already; --force replaces it", directory.join("a-CHECKSUM").display());
        assert_eq!(raw.check_free().unwrap_err().to_string(), expected);
        assert_eq!(published(&raw, b"three").unwrap_err().to_string(), expected);
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
        published(&of("a.qcow2", Existing::Replace), b"four!").unwrap();
        assert_eq!(sums(directory), lines("a.raw", b"two") + &lines("a.qcow2", b"four!"));
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
    }

    #[test]
    fn runs_at_the_same_time_do_not_forget_each_others_checksums() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let images: Vec<String> = (0..16).map(|number| format!("a.{number}")).collect();
        thread::scope(|scope| {
            for image in &images {
                scope.spawn(move || {
                    let checksum = "a-CHECKSUM".to_owned();
                    let output = Output::new(directory.to_owned(), image.clone(), checksum, Existing::Refuse);
                    published(&output, image.as_bytes()).unwrap();
                });
            }
        });
        let sums = sums(directory);
        for image in &images {
            let line = format!("SHA256 ({image}) = {}", Checksum::of(image.as_bytes()));
            assert_eq!(sums.lines().filter(|found| **found == line).count(), 1, "{image}: {sums}");
        }
        // One that is held does not keep a run that is to end.
        let _held = lock(directory, &Interrupt::default()).unwrap();
        let interrupt = Interrupt::default();
        interrupt.raise();
        assert_eq!(lock(directory, &interrupt).unwrap_err().to_string(), "interrupted");
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
        // Meanwhile another image has come, and of this one there was another.
        let (old, new) = (Checksum::of(b"old"), Checksum::of(b"new"));
        let mut making = Checksums::default();
        making.set("a.qcow2", 5, &new);
        fs::write(checksum_of(&temporary), making.to_text()).unwrap();
        making.set("a.qcow2", 4, &old);
        making.set("a.raw", 6, &old);
        fs::write(output.checksum_file(), making.to_text()).unwrap();
        recover(&facts, "RUN").unwrap();
        let expected =
            format!("# a.raw: 6 bytes\nSHA256 (a.raw) = {old}\n# a.qcow2: 5 bytes\nSHA256 (a.qcow2) = {new}\n");
        assert_eq!(sums(directory), expected);
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
