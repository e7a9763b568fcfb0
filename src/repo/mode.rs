//! How a repository stores file objects.

use std::fmt;

/// The mode of a repository. Metadata objects are the same bytes in all modes; file objects are not
/// (docs/format.md, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepoMode {
    /// Files with owner, mode and xattrs in the inode; needs root.
    Bare,
    /// Files owned by the writer; owner, mode and xattrs in the xattr `user.ostreemeta`.
    BareUser,
    /// Files owned by the writer; owner and xattrs are not kept.
    BareUserOnly,
    /// Like bare, with xattrs in objects of their own.
    BareSplitXattrs,
    /// One deflated `.filez` per file, for serving over HTTP; `archive-z2` in the config.
    Archive,
}

impl RepoMode {
    /// Parses a mode as written in the config and for `init --mode`.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "bare" => Self::Bare,
            "bare-user" => Self::BareUser,
            "bare-user-only" => Self::BareUserOnly,
            "bare-split-xattrs" => Self::BareSplitXattrs,
            "archive" | "archive-z2" => Self::Archive,
            _ => return None,
        })
    }

    /// The spelling in the config.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::BareUser => "bare-user",
            Self::BareUserOnly => "bare-user-only",
            Self::BareSplitXattrs => "bare-split-xattrs",
            Self::Archive => "archive-z2",
        }
    }
}

impl fmt::Display for RepoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
