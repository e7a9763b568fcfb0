//! The output directory: an image appears there complete, under its name, with its checksum in a
//! file beside it, or not at all.
//!
//! Images of one name and different formats share the checksum file, so the directory is locked
//! (`flock`) while that is read and replaced. It is opened once: all names are looked up through
//! that descriptor, and no link in it is followed.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, Mode, OFlags, RenameFlags, flock};
use rustix::io::Errno;

use crate::checksum::{Checksum, Hasher};
use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::process::Interrupt;

use super::super::regular::{self, Links};
use super::checksums::{Checksums, Found};

/// What happens to an image of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and the run fails.
    #[default]
    Refuse,
    /// It is replaced.
    Replace,
}

/// The block size for copying. A block of zeros becomes a hole, as in the source.
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

/// The published files.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) file: PathBuf,
    pub(super) size: u64,
    pub(super) sha256: Checksum,
}

impl Output {
    pub(super) fn new(
        directory: PathBuf,
        image: String,
        checksum: String,
        existing: Existing,
    ) -> Self {
        Self { directory, image, checksum, existing }
    }

    /// The final path of the image.
    pub(super) fn file(&self) -> PathBuf {
        self.directory.join(&self.image)
    }

    /// The final path of its checksum file.
    pub(super) fn checksum_file(&self) -> PathBuf {
        self.directory.join(&self.checksum)
    }

    /// The temporary path of the image; `run` distinguishes runs.
    pub(super) fn temporary_path(&self, run: &str) -> PathBuf {
        self.directory.join(format!(".{}.{run}", self.image))
    }

    /// Fails early when the image or its checksum would replace something that must stay.
    ///
    /// # Errors
    /// Which one.
    pub(super) fn check_free(&self) -> Result<()> {
        let directory = match Dir::open(&self.directory) {
            Err(Errno::NOENT) => return Ok(()),
            directory => directory.during("opening", &self.directory)?,
        };
        if self.existing == Existing::Refuse && dir::stat(&directory, &self.image).is_ok() {
            return Err(self.taken(&self.image));
        }
        self.others(&directory).map(drop)
    }

    /// The checksums of other images, to which this one's is added.
    fn others(&self, directory: &Dir) -> Result<(Checksums, Existing)> {
        let found = Checksums::read(directory, &self.checksum, &self.checksum_file())?;
        match (found, self.existing) {
            (Found::Checksums(checksums), Existing::Refuse) if checksums.has(&self.image) => {
                let path = self.checksum_file();
                Err(Error::failed(format!(
                    "{} has {} already; --force replaces it",
                    path.display(),
                    self.image
                )))
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

    /// Creates the directory, and a temporary file in it for the image; `run` distinguishes runs.
    ///
    /// # Errors
    /// When one of them cannot be created.
    pub(super) fn temporary(&self, run: &str) -> Result<Temporary> {
        fs::create_dir_all(&self.directory).during("creating", &self.directory)?;
        let directory = Dir::open(&self.directory).during("opening", &self.directory)?;
        Temporary::create(Arc::new(directory), &self.temporary_path(run), 0o600)
    }

    /// Renames a finished image into place, then its checksum. `mode` is its permissions.
    ///
    /// # Errors
    /// When a name is taken, or something cannot be written; nothing new is there then.
    pub(super) fn publish(
        &self,
        mut image: Temporary,
        mode: u32,
        interrupt: &Interrupt,
    ) -> Result<Published> {
        let (size, sha256) = finish(&mut image, mode, interrupt)?;
        let directory = Arc::clone(&image.directory);
        let _lock = lock(&directory, &self.directory, interrupt)?;
        let (mut checksums, existing) = self.others(&directory)?;
        checksums.set(&self.image, size, &sha256);
        let mut checksum =
            Temporary::create(Arc::clone(&directory), &checksum_of(&image.path), 0o666)?;
        checksum.write(&checksums)?;
        self.rename(&image, &self.image, self.existing)?;
        if let Err(error) = self.rename(&checksum, &self.checksum, existing) {
            // An image without its checksum is withdrawn, unless it replaced another, which cannot
            // be restored.
            return Err(match self.existing {
                Existing::Refuse => {
                    let _ = dir::rename(
                        (&*directory, &self.image),
                        (&*directory, &image.name),
                        RenameFlags::empty(),
                    );
                    error
                }
                Existing::Replace => {
                    let (kept, name) = (checksum.keep(), self.checksum_file());
                    let why = error.chain();
                    let what = "was replaced, and its checksum file could not be";
                    let (kept, name) = (kept.display(), name.display());
                    Error::failed(format!(
                        "{} {what}: {why}; `mv {kept} {name}`",
                        self.file().display()
                    ))
                }
            });
        }
        rustix::fs::fsync(&*directory).during("syncing", &self.directory)?;
        Ok(Published { file: self.file(), size, sha256 })
    }

    fn rename(&self, from: &Temporary, name: &str, existing: Existing) -> Result<()> {
        let (directory, path) = (&*from.directory, &from.path);
        // Another file in its place must not get the name of what was written here.
        from.check()?;
        let rename = |flags| dir::rename((directory, &from.name), (directory, name), flags);
        if existing == Existing::Replace {
            return rename(RenameFlags::empty()).during("renaming", path);
        }
        match rename(RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => Err(self.taken(name)),
            // Not every file system can do it in one step.
            Err(Errno::INVAL | Errno::NOSYS) if dir::stat(directory, name).is_ok() => {
                Err(self.taken(name))
            }
            Err(Errno::INVAL | Errno::NOSYS) => {
                rename(RenameFlags::empty()).during("renaming", path)
            }
            other => other.during("renaming", path),
        }
    }
}

/// Keeps other runs from the checksum files of a directory until it is dropped. Some network file
/// systems have no locks; then there is none, but files are still replaced atomically.
fn lock(directory: &Dir, path: &Path, interrupt: &Interrupt) -> Result<Dir> {
    // A separate one: a lock belongs to the open file.
    let file = Dir::beneath(directory, ".").during("opening", path)?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            Err(Errno::INTR) => continue,
            _ => return Ok(file),
        }
        interrupt.check()?;
        if started.elapsed() >= LOCK_TIMEOUT {
            return Err(Error::failed(format!("{} is locked by another run", path.display())));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The temporary checksum file that belongs to a temporary image.
fn checksum_of(temporary: &Path) -> PathBuf {
    let mut name = OsString::from(temporary);
    name.push("-CHECKSUM");
    name.into()
}

/// Removes what a killed run has left in the output directory for an image of that name. If the
/// image had just been renamed into place, its checksum file follows. `run` is the name of that
/// run.
///
/// # Errors
/// When something cannot be removed or renamed.
pub(super) fn recover(directory: &Path, image: &str, run: &str) -> Result<()> {
    let stem = image.strip_suffix(".qcow2").or_else(|| image.strip_suffix(".raw"));
    let Some(stem) = stem.filter(|stem| !stem.is_empty() && !run.is_empty()) else { return Ok(()) };
    let path = directory;
    let directory = match Dir::open(path) {
        Err(Errno::NOENT) => return Ok(()),
        directory => directory.during("opening", path)?,
    };
    let (temporary, checksum) = (format!(".{image}.{run}"), format!(".{image}.{run}-CHECKSUM"));
    let is_there = |name: &str| dir::stat(&directory, name).is_ok();
    if is_there(&checksum) && !is_there(&temporary) {
        return finish_checksum(&directory, path, &checksum, &format!("{stem}-CHECKSUM"), image);
    }
    // The image is removed last: without it, the checksum file would be taken for that of a
    // published one.
    let remove = |name: &str| remove(&directory, name).during("removing", path.join(name));
    remove(&checksum).and_then(|()| remove(&temporary))
}

/// Renames a temporary checksum file into place after its image; `image` is that name. The existing
/// file may have more entries of other images than the temporary one.
fn finish_checksum(directory: &Dir, path: &Path, from: &str, to: &str, image: &str) -> Result<()> {
    let _lock = lock(directory, path, &Interrupt::default())?;
    let read = |name: &str| Checksums::read(directory, name, &path.join(name));
    let rename = |from: &str| {
        dir::rename((directory, from), (directory, to), RenameFlags::empty())
            .during("renaming", path.join(from))
    };
    let (Found::Checksums(own), Found::Checksums(mut all)) = (read(from)?, read(to)?) else {
        return rename(from);
    };
    all.take(image, &own);
    let new = format!("{from}.new");
    remove(directory, &new).during("removing", path.join(&new))?;
    let shared = Arc::new(Dir::beneath(directory, ".").during("opening", path)?);
    let mut written = Temporary::create(shared, &path.join(&new), 0o666)?;
    written.write(&all)?;
    rename(&new)?;
    remove(directory, from).during("removing", path.join(from))
}

fn remove(directory: &Dir, name: &str) -> rustix::io::Result<()> {
    match dir::remove_file(directory, name) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

/// A temporary file, removed on drop unless it was renamed.
#[derive(Debug)]
pub(super) struct Temporary {
    directory: Arc<Dir>,
    name: OsString,
    file: File,
    /// For messages.
    path: PathBuf,
}

impl Temporary {
    /// Creates a new file.
    fn create(directory: Arc<Dir>, path: &Path, mode: u32) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_owned();
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = dir::open(&*directory, &name, flags, Mode::from_raw_mode(mode))
            .during("creating", path)?;
        Ok(Self { directory, name, file, path: path.to_owned() })
    }

    fn write(&mut self, checksums: &Checksums) -> Result<()> {
        let written = self.file.write_all(checksums.to_text().as_bytes());
        written.and_then(|()| self.file.sync_all()).during("writing", &self.path)
    }

    /// Keeps the file on drop.
    fn keep(mut self) -> PathBuf {
        self.name.clear();
        self.path.clone()
    }

    /// # Errors
    /// When its name is another file's.
    fn check(&self) -> Result<()> {
        match self.has_its_name() {
            true => Ok(()),
            false => Err(Error::failed(format!(
                "{} is not the file that was written",
                self.path.display()
            ))),
        }
    }

    fn has_its_name(&self) -> bool {
        let own = rustix::fs::fstat(&self.file).map(|stat| dir::identity(&stat));
        let named = dir::stat(&*self.directory, &self.name).map(|stat| dir::identity(&stat));
        own.is_ok() && own == named
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.name.is_empty() && self.has_its_name() {
            let _ = dir::remove_file(&*self.directory, &self.name);
        }
    }
}

/// Copies a disk of at most `limit` bytes; blocks of zeros take no space in the copy.
///
/// # Errors
/// When the source is not a regular file, is too large or cannot be read, or when the copy cannot
/// be written.
pub(super) fn copy(
    from: &Path,
    limit: u64,
    to: &mut Temporary,
    interrupt: &Interrupt,
) -> Result<()> {
    let mut source = regular::open(from, Links::Refuse)?;
    let (path, copy) = (&to.path, &mut to.file);
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        interrupt.check()?;
        let length = fill(&mut source, &mut block).during("reading", from)?;
        let data = &block[..length];
        if data.iter().all(|byte| *byte == 0) {
            copy.seek(SeekFrom::Current(length as i64)).during("writing", path)?;
        } else {
            copy.write_all(data).during("writing", path)?;
        }
        size += length as u64;
        if size > limit {
            let from = from.display();
            return Err(Error::failed(format!(
                "{from} has more than {limit} bytes, more than its disk can take"
            )));
        }
        if length < BLOCK {
            break;
        }
    }
    copy.set_len(size).during("writing", path)
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

/// Hashes what was written by reading it back, and makes it durable.
fn finish(image: &mut Temporary, mode: u32, interrupt: &Interrupt) -> Result<(u64, Checksum)> {
    let (path, file) = (&image.path, &mut image.file);
    file.set_permissions(Permissions::from_mode(mode))
        .during("setting the permissions of", path)?;
    file.sync_all().and_then(|()| file.rewind()).during("syncing", path)?;
    let mut hasher = Hasher::new();
    let mut block = vec![0; BLOCK];
    let mut size = 0;
    loop {
        interrupt.check()?;
        let length = fill(file, &mut block).during("reading", path)?;
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

    use super::*;

    fn output(directory: &Path, existing: Existing) -> Output {
        Output::new(directory.to_owned(), "a.qcow2".to_owned(), "a-CHECKSUM".to_owned(), existing)
    }

    fn published(output: &Output, content: &[u8]) -> Result<Published> {
        let mut temporary = output.temporary("RUN").unwrap();
        temporary.file.write_all(content).unwrap();
        output.publish(temporary, 0o644, &Interrupt::default())
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
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
        assert_eq!(
            text,
            format!("# a.qcow2: 3 bytes\nSHA256 (a.qcow2) = {}\n", Checksum::of(b"abc"))
        );
        assert_eq!(fs::metadata(directory.join("a.qcow2")).unwrap().mode() & 0o7777, 0o644);
    }

    #[test]
    fn a_taken_name_keeps_what_has_it() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let refusing = output(directory, Existing::Refuse);
        for taken in ["a.qcow2", "a-CHECKSUM"] {
            fs::write(directory.join(taken), "old").unwrap();
            let expected =
                format!("{} exists already; --force replaces it", directory.join(taken).display());
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
        let start = format!(
            "{} was replaced, and its checksum file could not be: renaming ",
            image.display()
        );
        let end = format!("; `mv {} {}`", kept.display(), output.checksum_file().display());
        assert!(message.starts_with(&start) && message.ends_with(&end), "{message}");
        assert_eq!(fs::read(&image).unwrap(), b"new");
        let expected = format!("# a.qcow2: 3 bytes\nSHA256 (a.qcow2) = {}\n", Checksum::of(b"new"));
        assert_eq!(fs::read_to_string(kept).unwrap(), expected);
        // Without permission to replace, it does not appear.
        let refusing = Output {
            checksum: "b/b".to_owned(),
            image: "b".to_owned(),
            existing: Existing::Refuse,
            ..output
        };
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
            format!(
                "# {name}: {} bytes\nSHA256 ({name}) = {}\n",
                content.len(),
                Checksum::of(content)
            )
        };
        assert_eq!(sums(directory), lines("a.qcow2", b"one") + &lines("a.raw", b"two"));
        // An entry of a removed image is in the way of another.
        fs::remove_file(directory.join("a.raw")).unwrap();
        let expected = format!(
            "{} has a.raw already; --force replaces it",
            directory.join("a-CHECKSUM").display()
        );
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
                    let output = Output::new(
                        directory.to_owned(),
                        image.clone(),
                        checksum,
                        Existing::Refuse,
                    );
                    published(&output, image.as_bytes()).unwrap();
                });
            }
        });
        let sums = sums(directory);
        for image in &images {
            let line = format!("SHA256 ({image}) = {}", Checksum::of(image.as_bytes()));
            assert_eq!(sums.lines().filter(|found| **found == line).count(), 1, "{image}: {sums}");
        }
        // A held lock does not delay a run that is interrupted.
        let open = Dir::open(directory).unwrap();
        let _held = lock(&open, directory, &Interrupt::default()).unwrap();
        let interrupt = Interrupt::default();
        interrupt.raise();
        assert_eq!(lock(&open, directory, &interrupt).unwrap_err().to_string(), "interrupted");
    }

    #[test]
    fn what_a_killed_run_left_is_taken_away_or_finished() {
        let scratch = tempfile::tempdir().unwrap();
        let directory = scratch.path();
        let output = output(directory, Existing::Refuse);
        let temporary = output.temporary_path("RUN");
        let recover = |run: &str| recover(directory, "a.qcow2", run).unwrap();
        fs::write(&temporary, "half").unwrap();
        fs::write(checksum_of(&temporary), "half").unwrap();
        recover("OTHER");
        super::recover(directory, "../a.vmdk", "RUN").unwrap();
        assert_eq!(names(directory), [".a.qcow2.RUN", ".a.qcow2.RUN-CHECKSUM"]);
        recover("RUN");
        assert_eq!(names(directory), [""; 0]);
        fs::write(output.file(), "image").unwrap();
        fs::write(checksum_of(&temporary), "sum").unwrap();
        recover("RUN");
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
        recover("RUN");
        assert_eq!(names(directory), ["a-CHECKSUM", "a.qcow2"]);
        // Meanwhile another image has come, and of this one there was another.
        let (old, new) = (Checksum::of(b"old"), Checksum::of(b"new"));
        let mut making = Checksums::default();
        making.set("a.qcow2", 5, &new);
        fs::write(checksum_of(&temporary), making.to_text()).unwrap();
        making.set("a.qcow2", 4, &old);
        making.set("a.raw", 6, &old);
        fs::write(output.checksum_file(), making.to_text()).unwrap();
        recover("RUN");
        let expected = format!(
            "# a.raw: 6 bytes\nSHA256 (a.raw) = {old}\n# a.qcow2: 5 bytes\nSHA256 (a.qcow2) = \
             {new}\n"
        );
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
            let directory = Arc::new(Dir::open(scratch.path()).unwrap());
            let mut to = Temporary::create(directory, &scratch.path().join("to"), 0o600).unwrap();
            copy(&from, size, &mut to, &Interrupt::default()).unwrap();
            assert_eq!(fs::read(&to.path).unwrap(), fs::read(&from).unwrap());
            let metadata = fs::metadata(&to.path).unwrap();
            assert!(metadata.blocks() * 512 <= 1 << 20, "{size}: {} blocks", metadata.blocks());
        }
        assert_eq!(names(scratch.path()), ["from"]);
        let interrupt = Interrupt::default();
        interrupt.raise();
        let directory = Arc::new(Dir::open(scratch.path()).unwrap());
        let mut to = Temporary::create(directory, &scratch.path().join("to"), 0o600).unwrap();
        assert_eq!(copy(&from, 0, &mut to, &interrupt).unwrap_err().to_string(), "interrupted");
    }
}
