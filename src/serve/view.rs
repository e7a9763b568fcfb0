//! What the pages say.

use crate::checksum::Checksum;
use crate::diff::DiffSizes;
use crate::object::{Commit, DirMeta, FileHeader};
use crate::repo::{CommitState, RepoMode};

/// One of several pages, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pages {
    pub(super) page: usize,
    pub(super) pages: usize,
    /// What all pages have together.
    pub(super) total: usize,
}

impl Pages {
    /// That page of `total` things, `size` a page; `None` for a page that there is not.
    pub(super) fn new(page: usize, size: usize, total: usize) -> Option<Self> {
        let pages = total.div_ceil(size).max(1);
        (page <= pages).then_some(Self { page, pages, total })
    }
}

/// A commit in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Brief {
    pub(super) checksum: Checksum,
    pub(super) subject: String,
    pub(super) version: Option<String>,
    pub(super) timestamp: u64,
}

impl Brief {
    pub(super) fn of(checksum: Checksum, commit: &Commit) -> Self {
        Self {
            checksum,
            subject: commit.subject.clone(),
            version: commit.version().map(str::to_owned),
            timestamp: commit.timestamp,
        }
    }
}

/// The first page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefsView {
    pub(super) mode: RepoMode,
    pub(super) collection: Option<String>,
    pub(super) has_summary: bool,
    pub(super) refs: Vec<RefRow>,
    pub(super) pages: Pages,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RefRow {
    pub(super) name: String,
    pub(super) commit: Checksum,
    /// The commit, or why it cannot be read.
    pub(super) brief: Result<Brief, String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CommitView {
    pub(super) checksum: Checksum,
    pub(super) commit: Commit,
    pub(super) state: CommitState,
    /// The refs whose tip it is.
    pub(super) refs: Vec<String>,
    pub(super) signatures: Vec<SignatureRow>,
    /// Its ancestors, the youngest first.
    pub(super) history: Vec<Brief>,
    /// Whether there are more, or an ancestor is not there.
    pub(super) end: HistoryEnd,
    /// Keys of the detached metadata.
    pub(super) detached_keys: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HistoryEnd {
    Beginning,
    More(Checksum),
    Missing(Checksum),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SignatureRow {
    /// `gpg`, `ed25519`, ...
    pub(super) kind: &'static str,
    /// Whether it is valid with a key of this machine; `None` where that cannot be told.
    pub(super) is_valid: Option<bool>,
    pub(super) text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeView {
    pub(super) commit: Checksum,
    pub(super) names: Vec<String>,
    pub(super) dirtree: Checksum,
    pub(super) dirmeta: Checksum,
    pub(super) meta: DirMeta,
    pub(super) rows: Vec<TreeRow>,
    pub(super) pages: Pages,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TreeRow {
    pub(super) name: String,
    /// Of the dirtree or file.
    pub(super) checksum: Checksum,
    pub(super) kind: RowKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowKind {
    Directory,
    File {
        mode: u32,
        size: u64,
    },
    Symlink {
        target: String,
    },
    /// The object is missing or damaged, for this reason.
    Unreadable(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileView {
    pub(super) commit: Checksum,
    pub(super) names: Vec<String>,
    pub(super) checksum: Checksum,
    pub(super) header: FileHeader,
    pub(super) size: u64,
    pub(super) content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Symlink,
    Text { text: String, is_whole: bool },
    Binary,
}

/// What was found in a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Modified,
    Removed,
    Added,
}

impl Change {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Modified => "modified",
            Self::Removed => "removed",
            Self::Added => "added",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiffView {
    pub(super) from: Brief,
    pub(super) to: Brief,
    pub(super) sizes: DiffSizes,
    pub(super) modified: usize,
    pub(super) removed: usize,
    pub(super) added: usize,
    pub(super) rows: Vec<DiffRow>,
    pub(super) pages: Pages,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiffRow {
    pub(super) change: Change,
    pub(super) path: String,
    pub(super) before: Option<Entry>,
    pub(super) after: Option<Entry>,
}

/// What is at a path in one of the commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    Directory,
    Symlink,
    /// With its size.
    File(u64),
    /// Its object cannot be read.
    Unknown,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchView {
    pub(super) commit: Checksum,
    pub(super) wanted: String,
    /// Where this page starts.
    pub(super) after: Option<String>,
    pub(super) hits: Vec<Hit>,
    /// How many paths were looked at.
    pub(super) seen: usize,
    /// Where the next page starts, if there is more to look at.
    pub(super) next: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) path: String,
    pub(super) is_directory: bool,
}
