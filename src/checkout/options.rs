//! The options of a checkout.

use std::sync::Arc;

use crate::labels::Policy;
use crate::source::SkipList;

/// How a commit is checked out.
#[derive(Clone, Debug, Default)]
pub struct CheckoutOptions {
    /// Files belong to the user who checks out: no owners, no xattrs, no setuid and setgid bits on
    /// files.
    pub user_mode: bool,
    /// What happens to existing files.
    pub overwrite: Overwrite,
    /// The directory of the commit that becomes the destination, or the file that is put into it;
    /// all by default.
    pub subpath: Option<String>,
    /// Whether files are hard links to objects.
    pub hard_links: HardLinks,
    /// Directories get no mode bits outside of 0775, as they never do from bare-user-only
    /// repositories.
    pub plain_directory_modes: bool,
    /// Files named `.wh.NAME` remove NAME, `.wh..wh..opq` empties its directory; neither is checked
    /// out itself. With [`Overwrite::Union`] a file also replaces a directory, and a directory a
    /// file or symbolic link.
    pub whiteouts: bool,
    /// Files named `.ostree-wh.NAME` become the character device 0:0 NAME, the whiteout of
    /// overlayfs.
    pub passthrough_whiteouts: bool,
    /// Paths that are left out, counted from the directory that is checked out; directories end in
    /// a slash.
    pub skip_list: Option<SkipList>,
    /// Gives what is copied its SELinux label, and each new directory; not in user mode, where no
    /// xattrs are set.
    pub relabel: Option<Relabel>,
    /// In user mode, keep the inflated files of an archive in its `uncompressed-objects-cache` and
    /// link to them.
    pub uncompressed_cache: bool,
    /// Everything is on disk when the checkout is done.
    pub fsync: bool,
}

impl CheckoutOptions {
    /// Whether a file takes the place of a directory with all that is in it, and a directory that
    /// of a file or link. That is how layers with whiteouts are laid over each other, so it takes
    /// both options; the destination itself is never replaced.
    pub(super) fn replaces_other_kinds(&self) -> bool {
        self.overwrite == Overwrite::Union && self.whiteouts
    }
}

/// SELinux labels for a checkout. Upstream leaves the labels of directories to a kernel with
/// SELinux; here they are set like those of files, so that any kernel will do.
#[derive(Clone, Debug)]
pub struct Relabel {
    /// Where the labels come from.
    pub policy: Arc<Policy>,
    /// The path that the destination stands for; by default the one that it has in the commit.
    pub prefix: Option<String>,
}

/// What happens to existing files and directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// The destination must not exist.
    #[default]
    Nothing,
    /// Existing directories stay as they are and are filled, existing files are replaced.
    Union,
    /// Existing directories and files stay as they are, what is missing is added.
    UnionAdd,
    /// As [`Overwrite::UnionAdd`], but an existing file must be the one that would have been added.
    UnionIdentical,
}

/// Whether files are hard links to objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HardLinks {
    /// Where it can be: the repository's mode keeps them as they are to be, in the same file
    /// system.
    #[default]
    WherePossible,
    /// It is an error if it cannot be. Empty files, and symlinks of repositories that have none,
    /// are copied nevertheless.
    Required,
    /// Never; copies share their blocks with the object where the file system can do that.
    Never,
}

/// Counts of what a checkout did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CheckoutStats {
    /// Files and symlinks that are hard links to objects.
    pub files_linked: u64,
    /// Files and symlinks that were written.
    pub files_copied: u64,
    /// Content bytes of the files that were written.
    pub content_bytes_written: u64,
}
