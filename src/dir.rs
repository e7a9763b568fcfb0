//! Files reached through directory descriptors, with no symbolic link followed on the way.
//!
//! A path names whatever stands there at the moment it is used: a user who may write to one of its
//! directories can put a link in the place of a component between two uses. So osier opens a
//! directory once and then removes and replaces only what lies beneath that descriptor. Paths given
//! here are relative to a descriptor, have no `..`, and no component of them may be a link; only
//! the last one can be, where it is the link itself that is removed or replaced.
//!
//! Every function returns the kernel's answer; a link in the way is `ELOOP`, or `ENOTDIR` where a
//! directory was wanted.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::{Errno, Result};

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
/// A directory on the way needs no permission to be listed.
const ON_THE_WAY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);

/// An open directory.
#[derive(Debug)]
pub(crate) struct Dir(OwnedFd);

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<Dir> for File {
    fn from(dir: Dir) -> Self {
        dir.0.into()
    }
}

impl From<Dir> for OwnedFd {
    fn from(dir: Dir) -> Self {
        dir.0
    }
}

impl Dir {
    /// Opens the directory that the user has named: links in that path are the user's.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        rustix::fs::openat(CWD, path, DIRECTORY.difference(OFlags::NOFOLLOW), Mode::empty())
            .map(Self)
    }

    /// Opens the directory that holds what the user has named, and returns it with the last
    /// component.
    pub(crate) fn open_parent(path: &Path) -> Result<(Self, OsString)> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        Ok((Self::open(path.parent().unwrap_or(Path::new(".")))?, name.to_owned()))
    }

    /// Opens a directory beneath another one, only to reach what is in it: it need not be readable
    /// and cannot be listed.
    pub(crate) fn on_the_way(parent: impl AsFd, path: impl AsRef<Path>) -> Result<Self> {
        open(parent, path, ON_THE_WAY, Mode::empty()).map(|file| Self(file.into()))
    }

    /// Opens the directory that holds another one, which may have been moved: the caller compares
    /// it.
    pub(crate) fn above(dir: impl AsFd) -> Result<Self> {
        rustix::fs::openat(dir, "..", DIRECTORY, Mode::empty()).map(Self)
    }

    /// Opens a directory beneath another one.
    pub(crate) fn beneath(parent: impl AsFd, path: impl AsRef<Path>) -> Result<Self> {
        open(parent, path, DIRECTORY, Mode::empty()).map(|file| Self(file.into()))
    }
}

/// Opens a file beneath a directory, which `flags` may create. A link in the place of the last
/// component is `ELOOP`.
pub(crate) fn open(
    dir: impl AsFd,
    path: impl AsRef<Path>,
    flags: OFlags,
    mode: Mode,
) -> Result<File> {
    static HAS_OPENAT2: AtomicBool = AtomicBool::new(true);
    let (dir, path) = (dir.as_fd(), path.as_ref());
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    if is_one_component(path) {
        return rustix::fs::openat(dir, path, flags, mode).map(File::from);
    }
    if HAS_OPENAT2.load(Ordering::Relaxed) {
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(dir, path, flags, mode, resolve) {
            // Old kernels do not know the call, and filters of containers may forbid it with either
            // of the others.
            Err(Errno::NOSYS) => HAS_OPENAT2.store(false, Ordering::Relaxed),
            Err(Errno::PERM | Errno::AGAIN) => {}
            opened => return opened.map(File::from),
        }
    }
    open_stepwise(dir, path, flags, mode)
}

/// What [`open`] does, one component after the other.
fn open_stepwise(dir: BorrowedFd<'_>, path: &Path, flags: OFlags, mode: Mode) -> Result<File> {
    let mut components =
        path.components().filter(|component| *component != Component::CurDir).peekable();
    let mut reached: Option<OwnedFd> = None;
    while let Some(component) = components.next() {
        let Component::Normal(name) = component else { return Err(Errno::XDEV) };
        let from = reached.as_ref().map_or(dir, AsFd::as_fd);
        if components.peek().is_none() {
            return rustix::fs::openat(from, name, flags, mode).map(File::from);
        }
        reached = Some(rustix::fs::openat(from, name, ON_THE_WAY, Mode::empty())?);
    }
    rustix::fs::openat(dir, ".", flags, mode).map(File::from)
}

fn is_one_component(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    !bytes.contains(&b'/') && bytes != b".."
}

/// Calls `act` with the directory that holds `path`, and the last component.
fn in_parent<T>(
    dir: BorrowedFd<'_>,
    path: &Path,
    act: impl FnOnce(BorrowedFd<'_>, &OsStr) -> Result<T>,
) -> Result<T> {
    if is_one_component(path) {
        return act(dir, path.as_os_str());
    }
    let name = path.file_name().ok_or(Errno::INVAL)?;
    let parent = open(dir, path.parent().unwrap_or(Path::new(".")), ON_THE_WAY, Mode::empty())?;
    act(parent.as_fd(), name)
}

/// What stands at `path`; a link is not followed.
pub(crate) fn stat(dir: impl AsFd, path: impl AsRef<Path>) -> Result<Stat> {
    in_parent(dir.as_fd(), path.as_ref(), |dir, name| {
        rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
    })
}

/// Removes a file, a link or whatever is no directory.
pub(crate) fn remove_file(dir: impl AsFd, path: impl AsRef<Path>) -> Result<()> {
    in_parent(dir.as_fd(), path.as_ref(), |dir, name| {
        rustix::fs::unlinkat(dir, name, AtFlags::empty())
    })
}

/// Removes an empty directory.
pub(crate) fn remove_dir(dir: impl AsFd, path: impl AsRef<Path>) -> Result<()> {
    in_parent(dir.as_fd(), path.as_ref(), |dir, name| {
        rustix::fs::unlinkat(dir, name, AtFlags::REMOVEDIR)
    })
}

/// Renames, replacing what has the new name unless `flags` forbid it.
pub(crate) fn rename(
    (from, old): (impl AsFd, impl AsRef<Path>),
    (to, new): (impl AsFd, impl AsRef<Path>),
    flags: RenameFlags,
) -> Result<()> {
    in_parent(from.as_fd(), old.as_ref(), |from, old| {
        in_parent(to.as_fd(), new.as_ref(), |to, new| match flags.is_empty() {
            true => rustix::fs::renameat(from, old, to, new),
            false => rustix::fs::renameat_with(from, old, to, new, flags),
        })
    })
}

/// Makes something under a name that is free: `make` gets one of `names` after the other until
/// there is none of that name. Returns the name with what was made; `failed` says what becomes of
/// any other error.
pub(crate) fn at_free_name<N, T, E>(
    mut names: impl FnMut() -> std::result::Result<N, E>,
    mut make: impl FnMut(&N) -> Result<T>,
    failed: impl FnOnce(Errno, N) -> std::result::Result<(N, T), E>,
) -> std::result::Result<(N, T), E> {
    loop {
        let name = names()?;
        match make(&name) {
            Ok(made) => return Ok((name, made)),
            Err(Errno::EXIST) => {}
            Err(error) => return failed(error, name),
        }
    }
}

/// Makes a directory; that it is there already is `EEXIST`.
pub(crate) fn make_dir(dir: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<()> {
    in_parent(dir.as_fd(), path.as_ref(), |dir, name| {
        rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(mode))
    })
}

/// Makes a directory and those above it, as far as they are missing, and opens it.
pub(crate) fn make_dirs(dir: impl AsFd, path: impl AsRef<Path>, mode: u32) -> Result<Dir> {
    let mut reached = Dir::beneath(dir, ".")?;
    for component in path.as_ref().components() {
        let Component::Normal(name) = component else { return Err(Errno::INVAL) };
        match make_dir(&reached, name, mode) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        reached = Dir::beneath(&reached, name)?;
    }
    Ok(reached)
}

/// The names in a directory, without `.` and `..`.
pub(crate) fn names(dir: impl AsFd) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

/// A directory that is being emptied.
struct Level {
    /// Its name in the directory above.
    name: OsString,
    /// Device and inode.
    identity: (u64, u64),
    /// What is still to be removed from it.
    left: Vec<OsString>,
}

/// Removes a file, or a directory with everything in it. That there is nothing is success.
///
/// One descriptor is open at a time, however deep the tree is, and nothing is called recursively:
/// the way back is `..`, which must be the directory from which the way down led. One that was
/// moved meanwhile is `ESTALE`.
pub(crate) fn remove_all(dir: impl AsFd, path: impl AsRef<Path>) -> Result<()> {
    match in_parent(dir.as_fd(), path.as_ref(), remove_tree) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}

fn remove_tree(parent: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
    if remove_quickly(parent, name)? {
        return Ok(());
    }
    let mut levels = Vec::new();
    let mut current = descend(parent, name, &mut levels)?;
    while let Some(level) = levels.last_mut() {
        if let Some(name) = level.left.pop() {
            if !remove_quickly(current.as_fd(), &name)? {
                current = descend(current.as_fd(), &name, &mut levels)?;
            }
            continue;
        }
        let Some(Level { name, .. }) = levels.pop() else { break };
        match levels.last() {
            Some(above) => {
                let up = Dir::above(&current)?;
                if identity(&rustix::fs::fstat(&up)?) != above.identity {
                    return Err(Errno::STALE);
                }
                current = up;
                gone(rustix::fs::unlinkat(&current, &name, AtFlags::REMOVEDIR))?;
            }
            None => gone(rustix::fs::unlinkat(parent, &name, AtFlags::REMOVEDIR))?,
        }
    }
    Ok(())
}

/// Removes what is no directory; `false` for one.
fn remove_quickly(dir: BorrowedFd<'_>, name: &OsStr) -> Result<bool> {
    match rustix::fs::unlinkat(dir, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        // What a directory is answered with: the first by Linux, the second by POSIX.
        Err(Errno::ISDIR) => Ok(false),
        Err(Errno::PERM)
            if is_directory(&rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

fn descend(dir: BorrowedFd<'_>, name: &OsStr, levels: &mut Vec<Level>) -> Result<Dir> {
    let below = Dir::beneath(dir, name)?;
    let identity = identity(&rustix::fs::fstat(&below)?);
    levels.push(Level { name: name.to_owned(), identity, left: names(&below)? });
    Ok(below)
}

/// An entry removed by another process is gone, too.
fn gone(result: Result<()>) -> Result<()> {
    if result == Err(Errno::NOENT) { Ok(()) } else { result }
}

/// Device and inode.
pub(crate) fn identity(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

/// Whether it is a directory.
pub(crate) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A directory with `victim/file`, a link `link` to `victim`, and `real/file`.
    fn scene() -> (tempfile::TempDir, Dir) {
        let scratch = tempfile::tempdir().unwrap();
        for name in ["victim", "real"] {
            fs::create_dir(scratch.path().join(name)).unwrap();
            fs::write(scratch.path().join(name).join("file"), name).unwrap();
        }
        symlink("victim", scratch.path().join("link")).unwrap();
        let dir = Dir::open(scratch.path()).unwrap();
        (scratch, dir)
    }

    #[test]
    fn no_function_goes_through_a_link() {
        let (scratch, dir) = scene();
        let refused = |result: Result<()>| matches!(result, Err(Errno::LOOP | Errno::NOTDIR));
        assert!(refused(remove_file(&dir, "link/file")));
        assert!(refused(remove_all(&dir, "link/file")));
        assert!(refused(make_dir(&dir, "link/new", 0o755)));
        assert!(refused(make_dirs(&dir, "link/new", 0o755).map(drop)));
        assert!(refused(rename((&dir, "real/file"), (&dir, "link/file"), RenameFlags::empty())));
        assert!(refused(open(&dir, "link/file", OFlags::RDONLY, Mode::empty()).map(drop)));
        assert!(refused(Dir::beneath(&dir, "link").map(drop)));
        for path in ["link/file", "link", "real/../victim/file"] {
            let opened = open_stepwise(
                dir.as_fd(),
                Path::new(path),
                OFlags::RDONLY | OFlags::NOFOLLOW,
                Mode::empty(),
            );
            assert!(matches!(opened, Err(Errno::LOOP | Errno::NOTDIR | Errno::XDEV)), "{path}");
        }
        assert_eq!(fs::read(scratch.path().join("victim/file")).unwrap(), b"victim");
        assert_eq!(fs::read_dir(scratch.path().join("victim")).unwrap().count(), 1);
    }

    #[test]
    fn both_ways_to_open_reach_the_same_file() {
        let (_scratch, dir) = scene();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        let ways = [
            open(&dir, "real/file", flags, Mode::empty()).unwrap(),
            open_stepwise(dir.as_fd(), Path::new("./real/file"), flags, Mode::empty()).unwrap(),
        ];
        let [one, other] = ways.map(|file| identity(&rustix::fs::fstat(file).unwrap()));
        assert_eq!(one, other);
    }

    #[test]
    fn a_link_is_removed_and_what_it_points_to_stays() {
        let (scratch, dir) = scene();
        symlink("../victim", scratch.path().join("real/inner")).unwrap();
        remove_all(&dir, "real").unwrap();
        remove_all(&dir, "link").unwrap();
        remove_all(&dir, "never/was").unwrap();
        assert_eq!(names(&dir).unwrap(), ["victim"]);
        assert_eq!(fs::read(scratch.path().join("victim/file")).unwrap(), b"victim");
    }

    #[test]
    fn a_tree_of_any_depth_is_removed_with_one_descriptor() {
        let (_scratch, dir) = scene();
        let mut deepest = make_dirs(&dir, "deep", 0o755).unwrap();
        for _ in 0..1_100 {
            for name in ["a", "z"] {
                make_dir(&deepest, name, 0o755).unwrap();
            }
            deepest = Dir::beneath(&deepest, "a").unwrap();
        }
        drop(deepest);
        remove_all(&dir, "deep").unwrap();
        let mut left = names(&dir).unwrap();
        left.sort();
        assert_eq!(left, ["link", "real", "victim"]);
    }
}
