//! Changes the detached metadata of a commit outside a transaction.

use rustix::fs::RenameFlags;

use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Result};
use crate::gvariant::Dict;
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;
use crate::repo::read::objects::{file_name, loose_path};

/// The lock file, in `tmp/`.
const LOCK: &str = "staging-detached-lock";

impl Repo {
    /// Changes the detached metadata of a commit: reads it, which may be the parent's, applies
    /// `edit` and replaces it in this repository, under a lock. `None` leaves everything as it is,
    /// an empty dictionary an empty file.
    ///
    /// # Errors
    /// Those of `edit`; when the metadata cannot be read or replaced;
    /// [`LockTimeout`](crate::Error::LockTimeout).
    pub fn edit_detached_metadata(
        &self,
        commit: &Checksum,
        edit: impl FnOnce(Dict) -> Result<Option<Dict>>,
    ) -> Result<()> {
        let _lock = self.lock_update(LOCK)?;
        let current = self.load_detached_metadata(commit)?.unwrap_or_default();
        let Some(changed) = edit(current)? else { return Ok(()) };
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        let path = loose_path(&name, self.mode());
        let mut replacement = self.prepare_replacement(&changed.encode())?;
        let placed = replacement.place_by(|tmp, temporary| {
            self.fan_outs.within_made(self.objects_dir(), commit.as_bytes()[0], |dir| {
                dir::rename((tmp, temporary), (dir, file_name(&path)), RenameFlags::empty())
            })
        });
        placed.during("moving to", self.object_path(&name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::thread;

    use super::*;
    use crate::error::Error;
    use crate::gvariant::Value;
    use crate::repo::{OpenOptions, RepoMode};

    fn with(mut metadata: Dict, key: &str) -> Result<Option<Dict>> {
        metadata.push(key, Value::byte(1));
        Ok(Some(metadata))
    }

    fn keys(repo: &Repo, commit: &Checksum) -> Vec<String> {
        let metadata = repo.load_detached_metadata(commit).unwrap().unwrap_or_default();
        metadata.iter().map(|(key, _)| key.to_owned()).collect()
    }

    fn repo(path: &std::path::Path) -> Repo {
        let options = OpenOptions { disable_fsync: true, ..OpenOptions::default() };
        Repo::create_with(path, RepoMode::Archive, None, &options).unwrap()
    }

    #[test]
    fn metadata_are_replaced_and_the_last_entry_leaves_an_empty_file() {
        let scratch = tempfile::tempdir().unwrap();
        let repo = repo(&scratch.path().join("repo"));
        let commit = Checksum::of(b"commit");
        let path = repo.object_path(&ObjectName::new(commit, ObjectType::CommitMeta));
        repo.edit_detached_metadata(&commit, |_| Ok(None)).unwrap();
        assert!(!path.exists());
        repo.edit_detached_metadata(&commit, |old| with(old, "a")).unwrap();
        repo.edit_detached_metadata(&commit, |old| with(old, "b")).unwrap();
        assert_eq!(keys(&repo, &commit), ["a", "b"]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        let failed = repo.edit_detached_metadata(&commit, |_| Err(Error::failed("no")));
        assert_eq!(failed.unwrap_err().chain(), "no");
        assert_eq!(keys(&repo, &commit), ["a", "b"]);
        repo.edit_detached_metadata(&commit, |_| Ok(Some(Dict::new()))).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read_dir(repo.path().join("tmp")).unwrap().count(), 1, "tmp/cache only");
    }

    #[test]
    fn edits_at_the_same_time_lose_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let repo = repo(&scratch.path().join("repo"));
        let commit = Checksum::of(b"commit");
        thread::scope(|scope| {
            for writer in 0..4 {
                let repo = &repo;
                scope.spawn(move || {
                    for round in 0..20 {
                        let key = format!("{writer}-{round}");
                        repo.edit_detached_metadata(&commit, |old| with(old, &key)).unwrap();
                    }
                });
            }
        });
        assert_eq!(keys(&repo, &commit).len(), 80);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let scratch = tempfile::tempdir().unwrap();
        let repo = repo(&scratch.path().join("repo"));
        let commit = Checksum::of(b"commit");
        let victim = scratch.path().join("victim");
        fs::create_dir(&victim).unwrap();
        symlink(&victim, repo.path().join("objects").join(&commit.to_hex()[..2])).unwrap();
        assert!(repo.edit_detached_metadata(&commit, |old| with(old, "a")).is_err());
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }

    #[test]
    fn the_metadata_of_the_parent_are_read_and_those_of_the_repository_written() {
        let scratch = tempfile::tempdir().unwrap();
        let parent = repo(&scratch.path().join("parent"));
        let commit = Checksum::of(b"commit");
        parent.edit_detached_metadata(&commit, |old| with(old, "parent")).unwrap();
        let child = scratch.path().join("child");
        drop(repo(&child));
        let config = fs::read_to_string(child.join("config")).unwrap();
        fs::write(child.join("config"), format!("{config}parent={}\n", parent.path().display()))
            .unwrap();
        let child = Repo::open(&child).unwrap();
        child.edit_detached_metadata(&commit, |old| with(old, "child")).unwrap();
        assert_eq!(keys(&child, &commit), ["parent", "child"]);
        assert_eq!(keys(&parent, &commit), ["parent"]);
    }
}
