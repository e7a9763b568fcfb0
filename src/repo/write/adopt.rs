//! Adoption: a source file that is to be consumed becomes the object itself, by a hard link.
//!
//! Upstream renames the file. A link keeps the source in place until the commit is safe on disk, so
//! a kill in between loses nothing; a file that cannot be linked is written like any other content.
//! As upstream, an adopted file keeps its modification time.
//!
//! A source left over after a kill can therefore be the object itself. While objects are staged
//! that does no harm, because the next transaction does not take over files that have another name
//! or were changed since. Once objects are in place, shortly before refs move, the source must be
//! removed and not edited. Without staging that would hold from the start, so nothing is adopted
//! then.

use std::fs::File;
use std::os::fd::BorrowedFd;

use rustix::fs::{AtFlags, Mode, Stat};
use rustix::io::Errno;

use super::transaction::Transaction;
use crate::dir;
use crate::error::{During, Result};
use crate::object::{FileHeader, ObjectName, PERMISSION_BITS};
use crate::repo::RepoMode;

/// The location of a regular file that the repository may take over.
#[derive(Clone, Copy, Debug)]
pub struct Adoptable<'a> {
    /// The directory it is in.
    pub directory: BorrowedFd<'a>,
    /// The name of the file in that directory.
    pub name: &'a str,
}

/// A file that may be adopted, and its status before it was read.
pub(in crate::repo) struct Candidate<'a> {
    place: Adoptable<'a>,
    file: &'a File,
    before: Stat,
}

impl<'a> Candidate<'a> {
    /// The open `file`, which has not been read yet.
    pub(in crate::repo) fn new(file: &'a File, place: Adoptable<'a>) -> Result<Self, Errno> {
        Ok(Self { place, file, before: rustix::fs::fstat(file)? })
    }
}

impl Transaction<'_> {
    /// Links the file to its object name. Returns false, with nothing changed, when the file does
    /// not match the object, has changed, or cannot be linked.
    pub(in crate::repo) fn adopt(
        &self,
        object: &ObjectName,
        header: &FileHeader,
        candidate: &Candidate<'_>,
    ) -> Result<bool> {
        let Candidate { place: Adoptable { directory, name }, file, before } = candidate;
        let now = rustix::fs::fstat(file).during("reading", self.work_path())?;
        // Linking changes the ctime, so this is the last moment to compare it.
        let is_untouched = is_same_content(before, &now)
            && (before.st_ctime, before.st_ctime_nsec) == (now.st_ctime, now.st_ctime_nsec);
        if !is_untouched || !may_become_object(self.repo().mode(), header, file, &now)? {
            return Ok(false);
        }
        let linked = dir::at_free_name(
            || Ok(self.temporary_name()),
            |temporary| {
                rustix::fs::linkat(directory, *name, self.work_dir(), temporary, AtFlags::empty())
            },
            |error, _| Err(error),
        );
        // Another file system, too many links, a file that may not be linked.
        let Ok((temporary, ())) = linked else { return Ok(false) };
        let placed = self.place_linked(&temporary, object, header, candidate);
        if !matches!(placed, Ok(true)) {
            let _ = rustix::fs::unlinkat(self.work_dir(), &temporary, AtFlags::empty());
        }
        placed
    }

    /// Gives the link its name as an object if it refers to the file that was read.
    fn place_linked(
        &self,
        temporary: &str,
        object: &ObjectName,
        header: &FileHeader,
        Candidate { file, before, .. }: &Candidate<'_>,
    ) -> Result<bool> {
        let linked = rustix::fs::statat(self.work_dir(), temporary, AtFlags::SYMLINK_NOFOLLOW);
        let linked = linked.during("reading", self.work_path().join(temporary))?;
        let is_same_file = (linked.st_dev, linked.st_ino) == (before.st_dev, before.st_ino);
        if !(is_same_file && is_same_content(before, &linked)) {
            return Ok(false);
        }
        if before.st_mode & PERMISSION_BITS != header.mode & PERMISSION_BITS {
            rustix::fs::fchmod(file, Mode::from_raw_mode(header.mode & PERMISSION_BITS))
                .during("changing the mode of", self.work_path().join(temporary))?;
        }
        self.place(temporary, object)?;
        Ok(true)
    }
}

fn is_same_content(one: &Stat, other: &Stat) -> bool {
    (one.st_size, one.st_mtime, one.st_mtime_nsec)
        == (other.st_size, other.st_mtime, other.st_mtime_nsec)
}

/// Whether the file can be the object unchanged, except for the permissions in bare-user-only,
/// which keeps nothing else. The other modes keep an object's metadata where an ordinary file has
/// none.
fn may_become_object(
    mode: RepoMode,
    header: &FileHeader,
    file: &File,
    stat: &Stat,
) -> Result<bool> {
    match mode {
        RepoMode::BareUserOnly => Ok(true),
        RepoMode::Bare => {
            let as_it_is = stat.st_mode & PERMISSION_BITS == header.mode & PERMISSION_BITS
                && (stat.st_uid, stat.st_gid) == (header.uid, header.gid);
            Ok(as_it_is
                && crate::repo::read_xattrs(file).during("reading xattrs of", "a file")?
                    == header.xattrs)
        }
        _ => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::checksum::Checksum;
    use crate::object::{ObjectType, Xattrs};
    use crate::repo::Repo;
    use crate::repo::read::objects::loose_path;

    /// Adopts a file that `change` modifies after it was opened; returns whether that worked, and
    /// how many names the file has in the end.
    fn adopt(
        directory: &Path,
        happen: impl FnOnce(&Transaction<'_>, &ObjectName, &Path),
    ) -> (Result<bool>, u64) {
        let repo = Repo::create(&directory.join("repo"), RepoMode::BareUserOnly, None).unwrap();
        let source = directory.join("source");
        fs::write(&source, "content").unwrap();
        fs::set_permissions(&source, fs::Permissions::from_mode(0o644)).unwrap();
        let [parent, file] = [directory, &source].map(|path| File::open(path).unwrap());
        let header = FileHeader {
            uid: 0,
            gid: 0,
            mode: 0o100644,
            symlink_target: String::new(),
            xattrs: Xattrs::default(),
        };
        let object = ObjectName::new(Checksum::of(b"content"), ObjectType::File);
        let transaction = Transaction::begin(&repo).unwrap();
        let place = Adoptable { directory: parent.as_fd(), name: "source" };
        let candidate = Candidate::new(&file, place).unwrap();
        happen(&transaction, &object, &source);
        let adopted = transaction.adopt(&object, &header, &candidate);
        (adopted, file.metadata().unwrap().nlink())
    }

    #[test]
    fn a_file_that_changes_while_it_is_read_is_not_adopted() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = directory.path().join(name);
            fs::create_dir(&path).unwrap();
            path
        };
        assert!(matches!(adopt(&at("untouched"), |_, _, _| {}), (Ok(true), 2)));
        let changed = adopt(&at("changed"), |_, _, source| {
            let modified = source.metadata().unwrap().modified().unwrap();
            // The clock of the file system may be this coarse.
            std::thread::sleep(Duration::from_millis(50));
            let file = File::options().write(true).open(source).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"C", 0).unwrap();
            file.set_modified(modified).unwrap();
        });
        assert!(matches!(changed, (Ok(false), 1)), "{changed:?}");
    }

    #[test]
    fn what_cannot_be_placed_leaves_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let failed = adopt(directory.path(), |transaction, object, _| {
            let in_the_way =
                transaction.work_path().join(loose_path(object, RepoMode::BareUserOnly));
            fs::create_dir_all(in_the_way).unwrap();
        });
        assert!(matches!(failed, (Err(_), 1)), "{failed:?}");
    }
}
