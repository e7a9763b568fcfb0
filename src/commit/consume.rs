//! `--consume`: removes the source files that went into the commit once it is safe on disk.
//!
//! Only those are removed. Each is recorded when it is read, and removed through the descriptor of
//! its directory, provided that the name still refers to the same unchanged inode. Files that
//! appeared or changed meanwhile stay, and so does what the commit left out; a warning lists them.
//! A directory is removed when it is empty, unless it is a mount point. Upstream deletes while it
//! reads.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, Stat};
use rustix::io::Errno;

use crate::dir::{self, Dir};
use crate::error::{During, OsError, Result};
use crate::progress::{Event, Progress};
use crate::source::Directory;

/// Device and inode.
type Identity = (u64, u64);

/// The source directories of a commit, and the entries read in them.
#[derive(Default)]
pub(super) struct Consumed {
    roots: Vec<Root>,
    directories: Mutex<HashMap<Identity, Contents>>,
}

/// A source.
struct Root {
    path: PathBuf,
    directory: Arc<Directory>,
    /// The directory that holds it and its name there; `None` for a source such as `.`, which
    /// stays.
    parent: Option<(Dir, OsString)>,
}

/// What was read in a directory.
#[derive(Default)]
struct Contents {
    files: Vec<(String, Seen)>,
    directories: Vec<(String, Identity)>,
}

/// A file or symbolic link as it was before it was read.
#[derive(Clone, Copy)]
pub(super) struct Seen(Stat);

impl Seen {
    /// Records the state of a file that is about to be read.
    pub(super) fn of(directory: &Directory, name: &str) -> Result<Self> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map(Self).calling("fstatat", directory.shown_path(name))
    }

    fn is(&self, now: &Stat) -> bool {
        let Self(before) = self;
        let content = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
        let inode = |stat: &Stat| (stat.st_mode, stat.st_ctime, stat.st_ctime_nsec);
        // A file that has become the object has gained a name, and may have other permissions.
        // Where it had several names all the time, the removal of one changes the time of the
        // others.
        let had_one_name = before.st_nlink == 1 && now.st_nlink == 1;
        dir::identity(before) == dir::identity(now)
            && content(before) == content(now)
            && (!had_one_name || inode(before) == inode(now))
    }
}

impl Consumed {
    /// Opens a source, so that it stays the same directory even if the name is reused.
    pub(super) fn open(&mut self, path: &Path) -> Result<Arc<Directory>> {
        let parent = match path.file_name() {
            Some(_) => Some(Dir::open_parent(path).calling("opendir", path)?),
            None => None,
        };
        let directory = Arc::new(Directory::open(path)?);
        self.roots.push(Root { path: path.to_owned(), directory: directory.clone(), parent });
        Ok(directory)
    }

    /// Records a file that has been read.
    pub(super) fn note_file(&self, directory: Identity, name: &str, seen: Seen) {
        self.noting(directory, |contents| contents.files.push((name.to_owned(), seen)));
    }

    /// Records a directory that has been read.
    pub(super) fn note_directory(&self, parent: Identity, name: &str, directory: Identity) {
        self.noting(parent, |contents| contents.directories.push((name.to_owned(), directory)));
    }

    fn noting(&self, directory: Identity, note: impl FnOnce(&mut Contents)) {
        note(
            self.directories
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(directory)
                .or_default(),
        );
    }

    /// Removes what was recorded. The commit exists already, so a failed removal is only a warning.
    pub(super) fn remove(self, progress: &dyn Progress) {
        let directories = self.directories.into_inner().unwrap_or_else(PoisonError::into_inner);
        for Root { path, directory, parent } in self.roots {
            let mut removal =
                Removal { directories: &directories, path: path.clone(), progress, warnings: 0 };
            let Ok(stat) = rustix::fs::fstat(&directory) else { continue };
            let identity = dir::identity(&stat);
            match Dir::beneath(&directory, ".") {
                Ok(root) => removal.empty(root, identity),
                Err(error) => removal.cannot_remove("".as_ref(), error),
            }
            // A directory without a way back up is named, and the rest of the source with it.
            removal.path.clone_from(&path);
            if let Some((parent, name)) = parent {
                removal.remove_directory(parent.as_fd(), &name, directory.as_fd(), identity);
            }
            removal.finish(&path);
        }
    }
}

/// The removal of one source.
struct Removal<'r> {
    directories: &'r HashMap<Identity, Contents>,
    /// The path of the current directory, for messages.
    path: PathBuf,
    progress: &'r dyn Progress,
    warnings: usize,
}

/// The number of leftovers of a source that are named; further ones are only counted.
const MOST_WARNINGS: usize = 20;

/// A directory on the way down to the one that is being emptied.
struct Level<'r> {
    /// Its name in the directory above.
    name: &'r str,
    identity: Identity,
    /// The directories in it that are still to be emptied.
    left: std::slice::Iter<'r, (String, Identity)>,
}

impl<'r> Removal<'r> {
    /// Removes what was recorded in a directory and in those below it.
    ///
    /// One descriptor is open at a time, however deep the tree is, and nothing is called
    /// recursively: the way back is `..`, which must be the directory from which the way down led.
    fn empty(&mut self, root: Dir, identity: Identity) {
        let mut current = root;
        let mut levels = vec![self.enter(&current, "", identity)];
        while let Some(level) = levels.last_mut() {
            if let Some((name, identity)) = level.left.next() {
                match Dir::beneath(&current, name) {
                    Ok(below)
                        if rustix::fs::fstat(&below)
                            .is_ok_and(|stat| dir::identity(&stat) == *identity) =>
                    {
                        current = below;
                        self.path.push(name);
                        levels.push(self.enter(&current, name, *identity));
                    }
                    Ok(_) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => self.cannot_remove(name.as_ref(), error),
                }
                continue;
            }
            let Some(Level { name, identity, .. }) = levels.pop() else { break };
            let Some(above) = levels.last() else { break };
            let up = Dir::above(&current);
            let is_above = |up: &Dir| {
                rustix::fs::fstat(up).is_ok_and(|stat| dir::identity(&stat) == above.identity)
            };
            match up {
                Ok(up) if is_above(&up) => {
                    self.remove_directory(up.as_fd(), name.as_ref(), current.as_fd(), identity);
                    self.path.pop();
                    current = up;
                }
                Ok(_) => return self.cannot_remove("".as_ref(), Errno::STALE),
                Err(error) => return self.cannot_remove("".as_ref(), error),
            }
        }
    }

    /// Removes the files of a directory.
    fn enter(&mut self, dir: &Dir, name: &'r str, identity: Identity) -> Level<'r> {
        let Some(contents) = self.directories.get(&identity) else {
            return Level { name, identity, left: [].iter() };
        };
        for (name, seen) in &contents.files {
            match rustix::fs::statat(dir, name.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(now) if seen.is(&now) => match dir::remove_file(dir, name) {
                    Ok(()) | Err(Errno::NOENT) => {}
                    Err(error) => self.cannot_remove(name.as_ref(), error),
                },
                // The change is reported when the directory cannot be removed.
                Ok(_) | Err(Errno::NOENT) => {}
                Err(error) => self.cannot_remove(name.as_ref(), error),
            }
        }
        Level { name, identity, left: contents.directories.iter() }
    }

    /// Removes the current directory if it is empty, else names what is left in it.
    fn remove_directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        directory: BorrowedFd<'_>,
        identity: Identity,
    ) {
        let is_same = dir::stat(parent, name).is_ok_and(|stat| dir::identity(&stat) == identity);
        let removed = if is_same { dir::remove_dir(parent, name) } else { Ok(()) };
        match removed {
            Ok(()) if !is_same => {
                self.warn(format!("{} is another file now and is kept", self.path.display()))
            }
            // A mount point stays, here or in another mount namespace.
            Ok(()) | Err(Errno::NOENT | Errno::BUSY) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) => self.name_what_is_left(directory, identity),
            Err(error) => self.cannot_remove("".as_ref(), error),
        }
    }

    fn name_what_is_left(&mut self, directory: BorrowedFd<'_>, identity: Identity) {
        let contents = self.directories.get(&identity);
        let files: HashSet<&str> =
            contents.iter().flat_map(|all| &all.files).map(|(name, _)| name.as_str()).collect();
        let directories: HashSet<&str> = contents
            .iter()
            .flat_map(|all| &all.directories)
            .map(|(name, _)| name.as_str())
            .collect();
        let mut names = dir::names(directory).unwrap_or_default();
        names.sort_unstable();
        for name in names {
            let what = match name.to_str() {
                // What keeps it has been named already.
                Some(name) if directories.contains(name) => continue,
                Some(name) if files.contains(name) => "was changed and is kept",
                _ => "is not in the commit and is kept",
            };
            self.warn(format!("{} {what}", self.path.join(&name).display()));
        }
    }

    /// The path of an entry of the current directory; an empty name means the directory itself.
    fn cannot_remove(&mut self, name: &Path, error: Errno) {
        let path =
            if name.as_os_str().is_empty() { self.path.clone() } else { self.path.join(name) };
        self.warn(format!("{} is kept: {}", path.display(), OsError(error.into())));
    }

    fn warn(&mut self, what: String) {
        self.warnings += 1;
        if self.warnings <= MOST_WARNINGS {
            self.progress.event(Event::Warning(&what));
        }
    }

    fn finish(self, path: &Path) {
        if self.warnings > MOST_WARNINGS {
            let what = format!(
                "{} more files in {} are kept",
                self.warnings - MOST_WARNINGS,
                path.display()
            );
            self.progress.event(Event::Warning(&what));
        }
    }
}
