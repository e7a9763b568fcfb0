//! Changes the `config`: edits are serialised, and each starts from the file on disk.
//!
//! A lock file in `tmp/` serialises edits, within one process and between processes; it is removed
//! when released. The repository lock would make an edit wait for every running commit.

use std::path::Path;
use std::sync::{Arc, PoisonError};

use super::{Config, Repo};
use crate::error::Result;
use crate::keyfile::KeyFile;

/// The lock file, in `tmp/`.
const LOCK: &str = "staging-config-lock";

/// The outcome of an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigEdit {
    /// The file is replaced.
    Write,
    /// The file stays as it is.
    Keep,
}

impl Repo {
    /// Changes the `config`: reads it again, applies `edit` and replaces the file, under a lock.
    /// The open repository then uses the new settings, except for its mode and its parent.
    ///
    /// The edit may produce a config that no repository can be opened with; the open one then keeps
    /// its settings.
    ///
    /// # Errors
    /// Those of `edit`; when the config cannot be read or replaced;
    /// [`LockTimeout`](crate::Error::LockTimeout).
    pub fn edit_config(&self, edit: impl FnOnce(&mut KeyFile) -> Result<ConfigEdit>) -> Result<()> {
        let _lock = self.lock_update(LOCK)?;
        let mut keyfile = super::read_config(self.dir())?;
        if edit(&mut keyfile)? == ConfigEdit::Write {
            self.replace_file(Path::new("config"), keyfile.to_string().as_bytes())?;
        }
        if let Ok(config) = Config::from_keyfile(keyfile) {
            *self.config.write().unwrap_or_else(PoisonError::into_inner) =
                Arc::new(config.with(self.options()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::error::Error;
    use crate::repo::{OpenOptions, RepoMode};

    const ROUNDS: usize = 200;

    fn set(keyfile: &mut KeyFile, key: &str, value: &str) -> Result<ConfigEdit> {
        let changed = keyfile.set_string("test", key, value);
        changed.map_err(|source| Error::Malformed { what: "config".to_owned(), source })?;
        Ok(ConfigEdit::Write)
    }

    #[test]
    fn edits_of_several_threads_and_repositories_lose_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo");
        Repo::create(&path, RepoMode::Archive, None).unwrap();
        // Nothing is synced: this is about ordering, not durability.
        let options = OpenOptions { disable_fsync: true, ..OpenOptions::default() };
        let (one, other) =
            (Repo::open_with(&path, &options).unwrap(), Repo::open_with(&path, &options).unwrap());
        let writers = [(&one, "a"), (&one, "b"), (&other, "c")];
        thread::scope(|scope| {
            for (repo, name) in writers {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let value = round.to_string();
                        let key = format!("{name}{round}");
                        repo.edit_config(|keyfile| {
                            set(keyfile, name, &value)?;
                            set(keyfile, &key, &value)
                        })
                        .unwrap();
                    }
                });
            }
        });
        let keyfile = super::super::read_config(one.dir()).unwrap();
        for (_, name) in writers {
            assert_eq!(keyfile.get_raw("test", name), Some("199"), "{name}");
            for round in 0..ROUNDS {
                assert_eq!(
                    keyfile.get_raw("test", &format!("{name}{round}")),
                    Some(&*round.to_string())
                );
            }
        }
        assert!(!path.join("tmp").join(LOCK).exists());
    }

    #[test]
    fn an_edit_is_known_at_once_and_an_unusable_config_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo");
        let options = OpenOptions { disable_fsync: true, ..OpenOptions::default() };
        let repo = Repo::create_with(&path, RepoMode::Archive, None, &options).unwrap();
        repo.enable_tombstones().unwrap();
        assert!(repo.config().tombstone_commits);
        // Overrides of the environment still apply.
        assert!(!repo.config().fsync);
        let unusable = |keyfile: &mut KeyFile| {
            keyfile.remove("core", "repo_version");
            Ok(ConfigEdit::Write)
        };
        repo.edit_config(unusable).unwrap();
        assert!(repo.config().tombstone_commits);
        assert!(Repo::open(&path).is_err());
    }

    #[test]
    fn an_edit_that_fails_or_keeps_leaves_the_file_and_the_lock_is_released() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("repo");
        let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
        let text = "# a comment\n[core]\nrepo_version=1\nmode=archive-z2\n";
        std::fs::write(path.join("config"), text).unwrap();
        repo.edit_config(|keyfile| set(keyfile, "x", "1").map(|_| ConfigEdit::Keep)).unwrap();
        let failed = repo.edit_config(|keyfile| set(keyfile, "x=y", "1"));
        assert_eq!(failed.unwrap_err().chain(), "config: Invalid key name: x=y");
        assert_eq!(std::fs::read_to_string(path.join("config")).unwrap(), text);
        assert!(!path.join("tmp").join(LOCK).exists());
    }
}
