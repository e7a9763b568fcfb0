//! What can be asked of a commit.

use std::path::PathBuf;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::gvariant::{Dict, Value};
use crate::labels::Policy;
use crate::refspec::Refspec;
use crate::source::{MemoryTree, Modifier};

use super::stat_cache::StatCacheOptions;

/// A commit to be made. There is no default, because a commit has a time: [`CommitOptions::new`].
#[derive(Clone, Debug)]
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
    /// Gives each file and directory of the sources its SELinux label, whatever the modifier says
    /// about xattrs. Without effect in a bare-user-only repository, which cannot keep any.
    pub selinux_policy: Option<Arc<Policy>>,
    /// How directories are read.
    pub reading: Reading,
    /// What the commit object says besides its tree.
    pub description: Description,
    /// Make no commit if the tree is the parent's.
    pub skip_if_unchanged: bool,
}

impl CommitOptions {
    /// An orphan commit of nothing with this description, to be completed by
    /// `..CommitOptions::new(description)`.
    pub fn new(description: Description) -> Self {
        Self {
            branch: None,
            parent: Parent::default(),
            base: None,
            sources: Vec::new(),
            modifier: Modifier::default(),
            selinux_policy: None,
            reading: Reading::default(),
            description,
            skip_if_unchanged: false,
        }
    }
}

/// One tree to commit.
#[derive(Clone, Debug)]
pub enum Source {
    /// A directory.
    Directory(PathBuf),
    /// A tar archive; `None` is standard input. Refused without the feature `archives`.
    Tar(Option<PathBuf>, TarOptions),
    /// The tree of a commit that is in the repository.
    Commit(Checksum),
    /// A tree that was built from values.
    Memory(MemoryTree),
}

/// How a tar archive is read.
#[derive(Clone, Debug, Default)]
pub struct TarOptions {
    /// Make directories that the archive does not list, with mode 0755.
    pub autocreate_parents: bool,
    /// `REGEX,REPLACEMENT`, applied to each path.
    pub pathname_filter: Option<String>,
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
    /// Record the size of each object in the commit (`ostree.sizes`); nothing in repositories other
    /// than archives.
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

/// What a commit object says besides its tree. There is no default, because a commit has a time:
/// [`Description::new`].
#[derive(Clone, Debug)]
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

impl Description {
    /// A description with nothing but the time of the commit, in seconds since 1970, UTC.
    ///
    /// ```
    /// use osier::commit::Description;
    ///
    /// let description = Description { subject: "Compose 22.1".to_owned(), ..Description::new(1_700_000_000) };
    /// assert_eq!(description.timestamp, 1_700_000_000);
    /// ```
    pub fn new(timestamp: u64) -> Self {
        Self {
            subject: String::new(),
            body: String::new(),
            timestamp,
            metadata: Vec::new(),
            keep_metadata: Vec::new(),
            detached_metadata: Dict::default(),
            bindings: Bindings::default(),
            bootable: false,
            composefs_digest: false,
        }
    }
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
