//! The options of a commit.

use std::path::PathBuf;
use std::sync::Arc;

use crate::checksum::Checksum;
use crate::gvariant::{Dict, Value};
use crate::labels::Policy;
use crate::refspec::Refspec;
use crate::signer::Signer;
use crate::source::{MemoryTree, Modifier};

use super::stat_cache::StatCacheOptions;

/// The commit to make. There is no `Default`, because a commit needs a time: see
/// [`CommitOptions::new`].
#[derive(Clone, Debug)]
pub struct CommitOptions {
    /// The ref that will point to the commit; none makes an orphan.
    pub branch: Option<Refspec>,
    /// Which commit it follows.
    pub parent: Parent,
    /// A commit that the sources are overlaid onto. The modifier does not apply to it.
    pub base: Option<Checksum>,
    /// The trees, in the order in which they are overlaid.
    pub sources: Vec<Source>,
    /// Overrides of the metadata that the sources have.
    pub modifier: Modifier,
    /// Gives each file and directory of the sources its SELinux label, whatever the modifier says
    /// about xattrs. Without effect in a bare-user-only repository, which cannot keep any.
    pub selinux_policy: Option<Arc<Policy>>,
    /// How directories are read.
    pub reading: Reading,
    /// The contents of the commit object besides its tree.
    pub description: Description,
    /// Make no commit if the tree equals the parent's.
    pub skip_if_unchanged: bool,
    /// What signs the commit, in this order, before its ref moves.
    pub signers: Vec<Arc<dyn Signer>>,
}

impl CommitOptions {
    /// An orphan commit of an empty tree with this description, to be completed by
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
            signers: Vec::new(),
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
    /// The tree of a commit in the repository.
    Commit(Checksum),
    /// A tree built in memory.
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
    /// The commit that the branch points to, if any; an orphan has none.
    #[default]
    OfBranch,
    /// No parent.
    None,
    /// This commit.
    Commit(Checksum),
}

/// How directories are read.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// How files that are hard links to objects of the repository are treated.
    pub hard_links: HardLinks,
    /// Delete the source directories once the commit is safe.
    pub consume: bool,
    /// Record the size of each object in the commit (`ostree.sizes`); no effect in repositories
    /// other than archives.
    pub generate_sizes: bool,
    /// Do not read files of directories again that the stat cache knows to be unchanged.
    pub stat_cache: Option<StatCacheOptions>,
}

/// How far files are trusted that share device and inode with an object, as those of a hard-link
/// checkout do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardLinks {
    /// They are read like any other file.
    #[default]
    Read,
    /// They count as that object if owner, mode and xattrs are to be recorded as the object has
    /// them.
    Compare,
    /// They count as that object.
    Trust,
}

/// The contents of a commit object besides its tree. There is no `Default`, because a commit needs
/// a time: see [`Description::new`].
#[derive(Clone, Debug)]
pub struct Description {
    /// One line; may be empty.
    pub subject: String,
    /// More lines; may be empty.
    pub body: String,
    /// Seconds since 1970, UTC.
    pub timestamp: u64,
    /// Metadata, in the order in which it is written.
    pub metadata: Vec<(String, Value)>,
    /// Keys whose values are copied from the parent.
    pub keep_metadata: Vec<String>,
    /// Detached metadata of the commit; if not empty, replaces what the commit has.
    pub detached_metadata: Dict,
    /// The refs and collection that the commit is bound to.
    pub bindings: Bindings,
    /// Record the version of the only kernel in the tree, and that the tree is bootable.
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
