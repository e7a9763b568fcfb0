//! Changing refs by themselves, without a commit or a pull. The summary follows if the config asks
//! for it (`core.auto-update-summary`).

use crate::checksum::Checksum;
use crate::error::Result;
use crate::refspec::{CollectionRef, RefName, Refspec};
use crate::repo::{Repo, Transaction};
use crate::summary;

/// A change of one ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It names this commit.
    Set(Refspec, Checksum),
    /// It was deleted.
    Delete(Refspec),
    /// It is an alias of another ref of `refs/heads`.
    Alias {
        /// The ref that is the alias.
        name: RefName,
        /// The ref that it stands for.
        target: RefName,
    },
    /// A ref of a collection names this commit.
    SetInCollection(CollectionRef, Checksum),
    /// A ref of a collection was deleted.
    DeleteInCollection(CollectionRef),
}

/// Changes refs one after the other, each at once.
///
/// # Errors
/// When one cannot be changed; those before it are changed then. When the summary cannot be
/// updated.
pub fn change(repo: &Repo, changes: &[Change]) -> Result<()> {
    for change in changes {
        match change {
            Change::Set(Refspec { remote, name }, commit) => {
                repo.set_ref_immediate(remote.as_ref(), name, Some(commit))?;
            }
            Change::Delete(Refspec { remote, name }) => {
                repo.set_ref_immediate(remote.as_ref(), name, None)?
            }
            Change::Alias { name, target } => repo.set_alias(name, target)?,
            Change::SetInCollection(name, commit) => {
                repo.set_collection_ref_immediate(name, Some(commit))?
            }
            Change::DeleteInCollection(name) => repo.set_collection_ref_immediate(name, None)?,
        }
    }
    summary::auto_update(repo)
}

/// Moves a ref in a transaction: it is durable, and waits for a prune that is under way.
///
/// # Errors
/// When the ref cannot be written, or the summary cannot be updated.
pub fn reset(repo: &Repo, refspec: Refspec, commit: Checksum) -> Result<()> {
    let mut transaction = Transaction::begin(repo)?;
    transaction.set_ref(refspec, Some(commit));
    transaction.commit()?;
    summary::auto_update(repo)
}
