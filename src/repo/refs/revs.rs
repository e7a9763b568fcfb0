//! Resolves what the user types for a commit to its checksum (docs/format.md, section 12).

use std::collections::HashSet;
use std::path::Path;

use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{ObjectName, ObjectType};
use crate::refspec::Refspec;
use crate::repo::Repo;

/// The commits on the way from one to its ancestors.
///
/// A commit that is its own ancestor cannot be made, but a repository with damaged objects can have
/// one: code that follows parents to the end enters each commit here.
#[derive(Clone, Debug, Default)]
pub struct Ancestry {
    entered: HashSet<Checksum>,
}

impl Ancestry {
    /// Enters a commit.
    ///
    /// # Errors
    /// [`Error::MalformedObject`] when it has been entered before.
    pub fn enter(&mut self, commit: &Checksum) -> Result<()> {
        match self.entered.insert(*commit) {
            true => Ok(()),
            false => Err(DecodeError::new("the commit is its own ancestor"))
                .of_object(ObjectName::new(*commit, ObjectType::Commit)),
        }
    }
}

impl Repo {
    /// Resolves a rev: 64 hexadecimal digits, the unique start of a commit's name, a ref,
    /// `remote:ref`, each with any number of `^`.
    ///
    /// # Errors
    /// [`Error::RefNotFound`] when it names nothing; [`Error::Failed`] when it is not a valid rev,
    /// is not unique, or a commit has no parent.
    pub fn resolve_rev(&self, rev: &str) -> Result<Checksum> {
        self.try_resolve_rev(rev)?.ok_or_else(|| Error::RefNotFound { refspec: rev.to_owned() })
    }

    /// [`Repo::resolve_rev`], with `None` for a rev that names nothing.
    ///
    /// # Errors
    /// As [`Repo::resolve_rev`], but for [`Error::RefNotFound`].
    pub fn try_resolve_rev(&self, rev: &str) -> Result<Option<Checksum>> {
        let base = rev.trim_end_matches('^');
        let mut commit = match self.resolve_without_parents(base)? {
            Some(commit) => commit,
            None if base.len() < rev.len() => {
                return Err(Error::RefNotFound { refspec: base.to_owned() });
            }
            None => return Ok(None),
        };
        for _ in base.len()..rev.len() {
            commit = self
                .load_commit(&commit)?
                .parent
                .ok_or_else(|| Error::failed(format!("Commit {commit} has no parent")))?;
        }
        Ok(Some(commit))
    }

    fn resolve_without_parents(&self, rev: &str) -> Result<Option<Checksum>> {
        if let Ok(checksum) = Checksum::from_hex(rev) {
            return Ok(Some(checksum));
        }
        // The empty prefix is valid: it names the only commit of a repository.
        if rev.len() < 64 && rev.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            match self.list_commits_starting_with(rev)?[..] {
                [] => {}
                [commit] => return Ok(Some(commit)),
                _ => return Err(Error::failed(format!("Refspec {rev} not unique"))),
            }
        }
        let refspec = Refspec::parse(rev)?;
        match self.find_ref(&refspec)? {
            Some(commit) => Ok(Some(commit)),
            None => match self.parent() {
                Some(parent) => parent.try_resolve_rev(rev),
                None => Ok(None),
            },
        }
    }

    fn find_ref(&self, Refspec { remote, name }: &Refspec) -> Result<Option<Checksum>> {
        if let Some(remote) = remote {
            return self
                .read_ref(&Path::new("refs/remotes").join(remote.as_str()).join(name.as_str()));
        }
        for base in ["refs/heads", "refs/remotes"] {
            if let Some(commit) = self.read_ref(&Path::new(base).join(name.as_str()))? {
                return Ok(Some(commit));
            }
        }
        for remote in self.remotes_with_refs()? {
            if let Some(commit) =
                self.read_ref(&Path::new("refs/remotes").join(remote.as_str()).join(name.as_str()))?
            {
                return Ok(Some(commit));
            }
        }
        Ok(None)
    }
}
