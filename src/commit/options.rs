//! What can be asked of a commit.

use std::path::PathBuf;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::gvariant::{Dict, Value};
use crate::labels::Policy;
use crate::refspec::Refspec;
use crate::source::Modifier;

use super::stat_cache::StatCacheOptions;
use super::tar::TarOptions;

/// A commit to be made.
#[derive(Clone, Debug, Default)]
pub struct CommitOptions {
    /// The ref that will point to the commit; none makes an orphan.
    pub branch: Option<Refspec>,
    /// Which commit it follows.
    pub parent: Parent,
    /// A commit that the sources are laid over. The modifier does not apply to it.
    pub base: Option<Checksum>,
    /// The trees, in the order in which they are laid over each other.
    pub sources: Vec<Source>,
    /// What is recorded otherwise than the sources say.
    pub modifier: Modifier,
    /// Gives each file and directory of the sources its SELinux label, whatever the modifier says about xattrs. Without
    /// effect in a bare-user-only repository, which cannot keep any.
    pub selinux_policy: Option<Arc<Policy>>,
    /// How directories are read.
    pub reading: Reading,
    /// What the commit object says besides its tree.
    pub description: Description,
    /// Make no commit if the tree is the parent's.
    pub skip_if_unchanged: bool,
}

/// One tree to commit.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory.
    Directory(PathBuf),
    /// A tar archive; `None` is standard input.
    Tar(Option<PathBuf>, TarOptions),
    /// The tree of a commit that is in the repository.
    Commit(Checksum),
}

/// The parent of a new commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parent {
    /// What the branch points to, if anything; an orphan has none.
    #[default]
    OfBranch,
    /// None.
    None,
    /// This one.
    Commit(Checksum),
}

/// How directories are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// What files that are hard links to objects of the repository are taken for.
    pub hard_links: HardLinks,
    /// Delete the source directories once the commit is safe.
    pub consume: bool,
    /// Record the size of each object in the commit (`ostree.sizes`); nothing in repositories other than archives.
    pub generate_sizes: bool,
    /// Do not read files of directories again that the stat cache knows to be unchanged.
    pub stat_cache: Option<StatCacheOptions>,
}

/// Trust in files that share device and inode with an object, as those of a hard-link checkout do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardLinks {
    /// They are read like any other file.
    #[default]
    Read,
    /// They are that object, if owner, mode and xattrs are to be recorded as the object has them.
    Compare,
    /// They are that object.
    Trust,
}

/// What a commit object says besides its tree.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// One line; may be empty.
    pub subject: String,
    /// More lines; may be empty.
    pub body: String,
    /// Seconds since 1970, UTC.
    pub timestamp: u64,
    /// Metadata in the order in which it is to stand.
    pub metadata: Vec<(String, Value)>,
    /// Keys whose values are copied from the parent.
    pub keep_metadata: Vec<String>,
    /// Detached metadata of the commit; replaces what it has, if any is given.
    pub detached_metadata: Dict,
    /// Which refs and collection the commit says it belongs to.
    pub bindings: Bindings,
    /// Record the version of the one kernel in the tree, and that it boots.
    pub bootable: bool,
    /// Record the digest of the tree's composefs image.
    pub composefs_digest: bool,
}

/// The refs that a commit is bound to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bindings {
    /// No binding at all.
    None,
    /// The branch, these refs and the repository's collection.
    Refs(Vec<String>),
}

impl Default for Bindings {
    fn default() -> Self {
        Self::Refs(Vec::new())
    }
}
