//! Files that are about to become objects.
//!
//! An object whose name is known beforehand is written under that name in the staging directory,
//! where it is not looked up before the end. Until it is finished its mode has a bit that no object
//! has: a process that takes the directory over after a kill removes such files. Everything else is
//! written under a temporary name and renamed once it is finished: content whose checksum is not
//! known yet, files in bare (they may have any mode), and objects that become visible at once.

use std::fs::File;
use std::io::Write;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::mark::{OWNER_ONLY, UNFINISHED_MARK, create};
use super::transaction::Transaction;
use crate::dir;
use crate::error::{During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::read::objects::loose_path;

/// An unfinished file of a transaction; it is removed unless it is placed.
#[derive(Debug)]
pub(in crate::repo) struct Temporary<'t, 'r> {
    transaction: &'t Transaction<'r>,
    /// The path in the transaction's work directory, until the file is placed.
    path: Option<String>,
    pub(in crate::repo) file: File,
}

impl<'r> Transaction<'r> {
    /// Creates a file for an object whose name is not known yet.
    pub(in crate::repo) fn create_temporary(&self) -> Result<Temporary<'_, 'r>> {
        let (path, file) = dir::at_free_name(
            || Ok(self.temporary_name()),
            |path| create(self.work_dir(), path, OWNER_ONLY),
            |error, path| Err(error).during("creating", self.work_path().join(path)),
        )?;
        Ok(Temporary { transaction: self, path: Some(path), file })
    }

    /// Creates a file for this object.
    pub(in crate::repo) fn create_object(&self, name: &ObjectName) -> Result<Temporary<'_, 'r>> {
        if !self.writes_in_place(name.object_type == ObjectType::File) {
            return self.create_temporary();
        }
        let path = loose_path(name, self.repo.mode());
        let created = self
            .at_target(name, |dir, file_name| create(dir, file_name, OWNER_ONLY | UNFINISHED_MARK));
        match created {
            Ok(file) => Ok(Temporary { transaction: self, path: Some(path), file }),
            // It exists already, and will be replaced.
            Err(Errno::EXIST) => self.create_temporary(),
            Err(error) => Err(error).during("creating", self.work_path().join(path)),
        }
    }
}

impl Temporary<'_, '_> {
    pub(in crate::repo) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.transaction.note_written(bytes.len());
        self.file.write_all(bytes).during("writing to", self.transaction.repo.path().join("tmp"))
    }

    /// Opens the file once more, to read what was written.
    pub(in crate::repo) fn reopen(&self) -> Result<File> {
        let dir = self.transaction.work_dir();
        let path = self.path.as_deref().unwrap_or_default();
        dir::open(dir, path, OFlags::RDONLY, Mode::empty())
            .during("opening", self.transaction.repo.path().join("tmp"))
    }

    /// Makes the file world-readable and gives it its name as an object.
    pub(in crate::repo) fn place_readable(self, name: &ObjectName) -> Result<()> {
        rustix::fs::fchmod(&self.file, Mode::from_raw_mode(0o644))
            .during("changing the mode of", name.to_string())?;
        self.place(name)
    }

    /// Gives the file, which has its final mode, its name as an object; it may have it already.
    pub(in crate::repo) fn place(mut self, name: &ObjectName) -> Result<()> {
        if self.transaction.repo.config().per_object_fsync && self.transaction.repo.config().fsync {
            self.file.sync_data().during("syncing", name.to_string())?;
        }
        // If that fails, the file is still to be removed.
        match &self.path {
            Some(path) if *path != loose_path(name, self.transaction.repo.mode()) => {
                self.transaction.place(path, name)?
            }
            _ => {}
        }
        self.path = None;
        Ok(())
    }
}

impl Drop for Temporary<'_, '_> {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let _ = dir::remove_file(self.transaction.work_dir(), &path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::UNIX_EPOCH;

    use rustix::fs::AtFlags;

    use super::*;
    use crate::checksum::Checksum;
    use crate::repo::{Repo, RepoMode};

    /// Finishes one object but not another, as if the process had been killed; returns whether each
    /// is there for the next transaction.
    fn what_is_left(repo: &Repo, object_type: ObjectType) -> [bool; 2] {
        let names = [b"whole".as_slice(), b"half"]
            .map(|bytes| ObjectName::new(Checksum::of(bytes), object_type));
        let transaction = Transaction::begin(repo).unwrap();
        let mut whole = transaction.create_object(&names[0]).unwrap();
        whole.write(b"whole").unwrap();
        whole.file.set_modified(UNIX_EPOCH).unwrap();
        whole.place_readable(&names[0]).unwrap();
        let mut half = transaction.create_object(&names[1]).unwrap();
        half.write(b"ha").unwrap();
        std::mem::forget(half);
        transaction.abort(None);
        let next = Transaction::begin(repo).unwrap();
        let left = names.map(|name| next.is_stored(&name).unwrap());
        next.commit().unwrap();
        assert_eq!(
            repo.list_objects().unwrap().len(),
            left.iter().filter(|&&is_left| is_left).count()
        );
        left
    }

    fn repo(path: &Path, mode: RepoMode) -> Repo {
        Repo::create(path, mode, None).unwrap()
    }

    #[test]
    fn what_a_killed_transaction_had_not_finished_is_no_object() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [RepoMode::Archive, RepoMode::BareUserOnly, RepoMode::Bare] {
            for object_type in [ObjectType::File, ObjectType::DirTree] {
                let repo = repo(&directory.path().join(format!("{mode}-{object_type:?}")), mode);
                assert_eq!(
                    what_is_left(&repo, object_type),
                    [true, false],
                    "{mode} {object_type:?}"
                );
            }
        }
    }

    #[test]
    fn a_sticky_file_of_a_bare_repository_is_finished() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory.path().join("repo"), RepoMode::Bare);
        let name = ObjectName::new(Checksum::of(b"x"), ObjectType::File);
        let transaction = Transaction::begin(&repo).unwrap();
        let temporary = transaction.create_object(&name).unwrap();
        rustix::fs::fchmod(&temporary.file, Mode::from_raw_mode(0o1644)).unwrap();
        temporary.file.set_modified(UNIX_EPOCH).unwrap();
        temporary.place(&name).unwrap();
        transaction.abort(None);
        let next = Transaction::begin(&repo).unwrap();
        assert!(next.is_stored(&name).unwrap());
    }

    #[test]
    fn what_is_given_up_is_removed_and_what_is_there_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory.path().join("repo"), RepoMode::Archive);
        let name = ObjectName::new(Checksum::of(b"x"), ObjectType::CommitMeta);
        let transaction = Transaction::begin(&repo).unwrap();
        let path = transaction.create_object(&name).unwrap().path.clone().unwrap();
        let staged =
            |path: &str| rustix::fs::statat(transaction.work_dir(), path, AtFlags::empty());
        assert_eq!(path, loose_path(&name, RepoMode::Archive));
        assert!(staged(&path).is_err());
        for content in [b"first".as_slice(), b"second"] {
            let mut temporary = transaction.create_object(&name).unwrap();
            temporary.write(content).unwrap();
            temporary.place_readable(&name).unwrap();
            let stat = staged(&path).unwrap();
            assert_eq!((stat.st_size, stat.st_mode & 0o7777), (content.len() as i64, 0o644));
        }
    }

    #[test]
    fn what_may_have_changed_since_is_not_taken_over() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory.path().join("repo"), RepoMode::BareUserOnly);
        let transaction = Transaction::begin(&repo).unwrap();
        let [linked, dated] = [b"linked".as_slice(), b"dated"]
            .map(|bytes| ObjectName::new(Checksum::of(bytes), ObjectType::File));
        let commit = Checksum::of(b"commit");
        let [object, metadata] = [ObjectType::Commit, ObjectType::CommitMeta]
            .map(|object_type| ObjectName::new(commit, object_type));
        for name in [linked, dated, object, metadata] {
            let temporary = transaction.create_object(&name).unwrap();
            if name != dated {
                temporary.file.set_modified(UNIX_EPOCH).unwrap();
            }
            temporary.place_readable(&name).unwrap();
        }
        let staged = transaction.work_path().join(loose_path(&linked, repo.mode()));
        std::fs::hard_link(staged, directory.path().join("source")).unwrap();
        transaction.abort(None);
        Transaction::begin(&repo).unwrap().commit().unwrap();
        let objects =
            walkdir::WalkDir::new(repo.path().join("objects")).into_iter().map(Result::unwrap);
        assert_eq!(objects.filter(|entry| !entry.file_type().is_dir()).count(), 0);
    }

    #[test]
    fn a_full_disk_keeps_nothing_of_what_was_staged() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory.path().join("repo"), RepoMode::Archive);
        let is_left = |error: Errno| {
            let transaction = Transaction::begin(&repo).unwrap();
            transaction.write_metadata(ObjectType::DirTree, b"").unwrap();
            let path = transaction.work_path();
            let error = Err::<(), _>(error).during("writing to", "a file").unwrap_err();
            transaction.abort(Some(&error));
            path.exists()
        };
        let left = [Errno::NOSPC, Errno::DQUOT, Errno::IO].map(is_left);
        assert_eq!(left, [false, false, true]);
    }

    #[test]
    fn another_name_in_the_end_is_the_one_that_counts() {
        let directory = tempfile::tempdir().unwrap();
        let repo = repo(&directory.path().join("repo"), RepoMode::Archive);
        let [expected, found] =
            [b"a", b"b"].map(|bytes| ObjectName::new(Checksum::of(bytes), ObjectType::DirMeta));
        let transaction = Transaction::begin(&repo).unwrap();
        transaction.create_object(&expected).unwrap().place_readable(&found).unwrap();
        transaction.commit().unwrap();
        assert_eq!(repo.list_objects().unwrap(), [found]);
    }
}
